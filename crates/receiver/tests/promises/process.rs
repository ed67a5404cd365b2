//! The receiver as the process that Kubernetes runs.

use devstack::{Port, Service};

use crate::stack::Stack;

#[tokio::test]
async fn the_process_is_configured_by_its_environment_is_measured_and_ends_when_asked() {
    let stack = Stack::start().await;
    let folder = devstack::PrivateFolder::new().unwrap();
    let port = Port::reserve().unwrap();
    let mut environment = stack.database.environment();
    environment.push(("PRODUCER_ADDRESS".to_owned(), stack.nsqd.tcp_address()));
    environment.push(("RECEIVER_PORT".to_owned(), port.to_string()));
    let mut service = Service::start("receiver", folder.path(), environment).await.unwrap();

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://127.0.0.1:{port}/image/post");
    let answer = client.post(url).body(r#"{"path":"/a.jpg"}"#).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let metrics = client.get(format!("http://{}/metrics", service.ops_address())).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for line in [
        r#"receiver_requests_total{route="/image/post",status="200"} 1"#,
        "receiver_images_stored_total 1",
        r#"receiver_request_seconds_count{route="/image/post"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} is missing in:\n{metrics}");
    }

    assert!(service.server.stop().await.unwrap().success());
    let log = std::fs::read_to_string(service.server.log()).unwrap();
    assert!(log.contains("receiver ends") && !log.contains("d#e"), "{log}");
}
