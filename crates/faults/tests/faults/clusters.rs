//! A cluster of three database servers, of which some go and come back.

use std::time::Duration;

use faults::{FakeFaceRecog, Load, Order, Replication, Sent, System, eventually, within};
use reqwest::StatusCode;
use sqlx::{AssertSqlSafe, ConnectOptions};

/// Two receivers and two processors on a cluster, and a load.
async fn under_load(face_recog: &FakeFaceRecog, replication: Replication) -> (System, Load) {
    let plan = System::with(face_recog).receivers(2).processors(2).cluster(replication);
    let system = plan.start().await;
    let load = system.client.load("/unknown_people/", 4, Duration::from_millis(30));
    system.until_processed(100).await;
    (system, load)
}

/// Waits until so many images more are processed, whatever servers are away.
async fn until_more_are_processed(system: &System, more: i64) {
    let count = "SELECT COUNT(*) FROM images WHERE status = 1";
    let count = async || sqlx::query_scalar::<_, i64>(count).fetch_one(&system.pool).await.ok();
    let before = eventually("the tables can be read", &count).await;
    let enough = async || count().await.filter(|count| *count >= before + more);
    eventually(&format!("{more} images more are processed"), enough).await;
}

/// Kills a server, and has it join again, with all data from another.
async fn kill_and_bring_back(system: &mut System, node: usize) {
    system.cluster.as_mut().unwrap().nodes[node].server.kill().unwrap();
    until_more_are_processed(system, 50).await;
    system.cluster.as_mut().unwrap().bring_back(node).await.unwrap();
    until_more_are_processed(system, 50).await;
}

/// Freezes a server until the others have thrown it out, and has it come back.
async fn freeze_and_bring_back(system: &mut System, node: usize) {
    system.cluster.as_mut().unwrap().nodes[node].server.pause().unwrap();
    let members = "SELECT variable_value FROM information_schema.global_status
                   WHERE variable_name = 'wsrep_cluster_size'";
    eventually("the others throw it out", async || {
        let members: String = sqlx::query_scalar(members).fetch_one(&system.pool).await.ok()?;
        (members == "2").then_some(())
    })
    .await;
    until_more_are_processed(system, 50).await;
    system.cluster.as_mut().unwrap().nodes[node].server.resume().unwrap();
    system.cluster.as_ref().unwrap().until_whole().await.unwrap();
    until_more_are_processed(system, 50).await;
}

fn is_answered(sent: &Sent) -> bool {
    matches!(sent.outcome, Ok(status) if status.is_success() || status == StatusCode::SERVICE_UNAVAILABLE)
}

/// Ends the load and judges.
async fn judge(system: &System, load: Load) {
    let sent = load.stop().await;
    let unanswered: Vec<_> =
        sent.iter().filter(|sent| !is_answered(sent)).map(|sent| &sent.outcome).collect();
    assert!(unanswered.is_empty(), "a 2xx or a 503 for every request: {unanswered:?}");
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(system.failed_tries().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: `make faults` runs it"]
async fn fault_42_where_all_servers_of_a_cluster_are_written_each_image_is_claimed_once() {
    let face_recog = FakeFaceRecog::quick().await;
    let (system, load) = under_load(&face_recog, Replication::Galera(Order::InTurn)).await;
    until_more_are_processed(&system, 300).await;
    judge(&system, load).await;
    let processed: i64 = system.count(1).await;
    // A result that matches no row is dropped, and its image is claimed anew when the lease is over.
    assert_eq!((system.claims().await, face_recog.calls() as i64), (processed, processed));
}

/// Under load one server is killed and comes back, and then one is frozen and comes back.
async fn a_killed_and_a_frozen_server_lose_nothing(order: Order, killed: usize, frozen: usize) {
    let face_recog = FakeFaceRecog::quick().await;
    let (mut system, load) = under_load(&face_recog, Replication::Galera(order)).await;
    kill_and_bring_back(&mut system, killed).await;
    freeze_and_bring_back(&mut system, frozen).await;
    judge(&system, load).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: `make faults` runs it"]
async fn fault_43_a_cluster_whose_writer_is_killed_or_frozen_and_comes_back_loses_nothing() {
    a_killed_and_a_frozen_server_lose_nothing(Order::First, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: `make faults` runs it"]
async fn fault_43_a_cluster_that_is_written_everywhere_while_servers_go_and_come_loses_nothing() {
    a_killed_and_a_frozen_server_lose_nothing(Order::InTurn, 1, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: `make faults` runs it"]
async fn fault_43_with_two_of_three_servers_gone_nothing_is_promised_and_then_all_goes_on() {
    let face_recog = FakeFaceRecog::quick().await;
    let (mut system, load) = under_load(&face_recog, Replication::Galera(Order::First)).await;
    for node in [0, 1] {
        system.cluster.as_mut().unwrap().nodes[node].server.kill().unwrap();
    }
    within(Duration::from_secs(20), "posts are refused", async || {
        let status = system.post(&["alone.jpg"]).await.status;
        (status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    // The three find each other again only when all of them are there.
    for node in [0, 1] {
        system.cluster.as_mut().unwrap().nodes[node].server.spawn().unwrap();
    }
    system.cluster.as_ref().unwrap().until_whole().await.unwrap();
    until_more_are_processed(&system, 50).await;
    judge(&system, load).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: `make faults` runs it"]
async fn fault_44_a_group_whose_primary_is_killed_and_comes_back_loses_nothing() {
    let face_recog = FakeFaceRecog::quick().await;
    let (mut system, load) = under_load(&face_recog, Replication::Group).await;
    kill_and_bring_back(&mut system, 0).await;
    judge(&system, load).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: `make faults` runs it"]
async fn fault_44_a_group_whose_primary_is_handed_over_loses_nothing() {
    let face_recog = FakeFaceRecog::quick().await;
    let (system, load) = under_load(&face_recog, Replication::Group).await;
    for next in [1, 0] {
        let cluster = system.cluster.as_ref().unwrap();
        let mut connection = cluster.nodes[next].options().connect().await.unwrap();
        let uuid: String =
            sqlx::query_scalar("SELECT @@server_uuid").fetch_one(&mut connection).await.unwrap();
        let hand_over = AssertSqlSafe(format!("SELECT group_replication_set_as_primary('{uuid}')"));
        sqlx::raw_sql(hand_over).execute(&mut connection).await.unwrap();
        eventually("the next one is the primary", async || {
            (cluster.primary().await == Some(next)).then_some(())
        })
        .await;
        until_more_are_processed(&system, 100).await;
    }
    judge(&system, load).await;
}
