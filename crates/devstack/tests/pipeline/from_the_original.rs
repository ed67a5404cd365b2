//! The way of docs/operations.md from the original sample to us, one service after the other, and back.

use std::{fs, time::Duration};

use devstack::{Database, Nsqd, Nsqlookupd, Port, PrivateFolder, Service, paths};
use rpc::{IdentifyRequest, identify_client::IdentifyClient};
use sqlx::{MySqlPool, mysql::MySqlPoolOptions};

use crate::system::{eventually, http};

/// What the original's pods say to the database and the queue.
struct Original {
    pool: MySqlPool,
    nsqd: Nsqd,
}

impl Original {
    /// Its receiver stores a path, and announces it unless nsqd loses the message. The id.
    async fn post(&self, path: &str, announced: bool) -> i32 {
        let insert = sqlx::query("insert into images (path, person, status) values (?, -1, 0)");
        let id = insert.bind(path).execute(&self.pool).await.unwrap().last_insert_id();
        if announced {
            self.nsqd.publish("images", &id.to_le_bytes()).await.unwrap();
        }
        i32::try_from(id).unwrap()
    }

    /// Its processor stores a result, by the name of the picture that was found.
    async fn finish(&self, id: i32, image_name: &str) {
        let person: (String, i32) = sqlx::query_as(
            "select person.name, person.id from person inner join person_images as pi on person.id = pi.person_id \
             where image_name = ?",
        )
        .bind(image_name)
        .fetch_one(&self.pool)
        .await
        .unwrap();
        let update = sqlx::query("update images set person = ?, status = 1 where id = ?").bind(person.1);
        update.bind(id).execute(&self.pool).await.unwrap();
    }

    /// Its frontend reads the table: each id with the person and the status. It fails on NULL.
    async fn table(&self) -> Vec<(i32, String, i32, i32)> {
        let select = sqlx::query_as("select id, path, person, status from images order by id");
        select.fetch_all(&self.pool).await.unwrap()
    }

    /// When each image changed last.
    async fn changes(&self) -> Vec<(i32, String)> {
        let select = sqlx::query_as("select id, cast(updated_at as char) from images order by id");
        select.fetch_all(&self.pool).await.unwrap()
    }
}

#[tokio::test]
async fn each_service_of_the_original_is_replaced_by_itself_and_all_come_back() {
    let folder = PrivateFolder::new().unwrap();
    for (photograph, name) in
        [("obama.jpg", "known_people/hannibal_1.jpg"), ("obama2.jpg", "unknown_people/unknown0001.jpg")]
    {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(paths::photographs().join(photograph), path).unwrap();
    }
    let picture = |name: &str| {
        let unknown_people = folder.path().join("unknown_people");
        fs::copy(unknown_people.join("unknown0001.jpg"), unknown_people.join(name)).unwrap();
        format!("/unknown_people/{name}")
    };

    // The original has run for a while: its tables, and one image in each status.
    let database = Database::fresh().await.unwrap();
    let pool = MySqlPoolOptions::new().max_connections(2).connect_lazy_with(database.options());
    let tables = include_str!("../../../../dbinit/database_setup.sql");
    sqlx::raw_sql(tables).execute(&pool).await.unwrap();
    let lookupd = Nsqlookupd::start(folder.path()).await.unwrap();
    let original = Original { pool, nsqd: Nsqd::start(folder.path(), &lookupd).await.unwrap() };
    let done = original.post(&picture("done.jpg"), false).await;
    original.finish(done, "hannibal_1.jpg").await;
    let failed = original.post(&picture("failed.jpg"), false).await;
    sqlx::query("update images set status = 2 where id = ?")
        .bind(failed)
        .execute(&original.pool)
        .await
        .unwrap();
    let lost = original.post(&picture("lost.jpg"), false).await;
    let waiting = original.post(&picture("waiting.jpg"), true).await;

    let [face_recog_port, receiver_port, frontend_port] = [(); 3].map(|()| Port::reserve().unwrap());
    let mut environment = database.environment();
    environment.extend(devstack::environment(folder.path(), &lookupd, &original.nsqd, &face_recog_port));
    environment.extend(
        [
            ("RECEIVER_PORT", receiver_port.to_string()),
            ("FRONTEND_PORT", frontend_port.to_string()),
            ("SWEEP_AFTER", "1s".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let start = async |name: &str| Service::start(name, folder.path(), environment.clone()).await.unwrap();

    // face-recog first: the original's processor asks it as before.
    let _face_recog = start("face-recog").await;
    let endpoint = rpc::endpoint(&format!("127.0.0.1:{face_recog_port}")).unwrap();
    let mut identify = IdentifyClient::new(endpoint.connect_lazy());
    let request = IdentifyRequest { image_path: "/unknown_people/unknown0001.jpg".to_owned() };
    let found = identify.identify(request).await.unwrap().into_inner();
    assert_eq!(found.image_name, "hannibal_1.jpg");
    let asked = original.post("/unknown_people/unknown0001.jpg", false).await;
    original.finish(asked, &found.image_name).await;

    // Our processor: what waits is looked at, also where the message was lost. The original still posts.
    let processor = start("image-processor").await;
    let posted = original.post(&picture("posted.jpg"), true).await;
    for id in [lost, waiting, posted] {
        eventually("an image of the original's is recognised", async || {
            let row = original.table().await.into_iter().find(|row| row.0 == id)?;
            (row.2 == 1 && row.3 == 1).then_some(())
        })
        .await;
    }

    // Receiver, frontend and redeemer.
    let receiver = start("receiver").await;
    let frontend = start("frontend").await;
    let request = http().post(format!("http://127.0.0.1:{receiver_port}/image/post"));
    let answer = request.body(format!(r#"{{"path":"{}"}}"#, picture("ours.jpg"))).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    let redeemed =
        Service::run("redeemer", folder.path(), environment.clone(), Duration::from_secs(30)).await.unwrap();
    assert!(redeemed.output.contains("redeemed 1 failed"), "{}", redeemed.output);
    eventually("everything has a result", async || {
        let rows = original.table().await;
        (rows.len() == 7 && rows.iter().all(|row| row.2 == 1 && row.3 == 1)).then_some(())
    })
    .await;
    let page = http().get(format!("http://127.0.0.1:{frontend_port}/")).send().await.unwrap();
    assert_eq!(page.text().await.unwrap().matches(">Hannibal<").count(), 7);

    // Back: the original's pods run on the database as it is now.
    drop((receiver, frontend, processor));
    let again = original.post(&picture("again.jpg"), true).await;
    original.finish(again, "hannibal_1.jpg").await;
    assert_eq!(original.table().await.last(), Some(&(again, "/unknown_people/again.jpg".to_owned(), 1, 1)));

    // And forward again: nothing is done twice.
    let before = original.changes().await;
    let _processor = start("image-processor").await;
    let last = original.post(&picture("last.jpg"), true).await;
    eventually("our processor goes on", async || {
        let rows = original.table().await;
        rows.iter().any(|row| row.0 == last && row.3 == 1).then_some(())
    })
    .await;
    assert_eq!(original.changes().await[..before.len()], before[..]);
}
