//! What the services leave behind when they end.

use std::time::Duration;

use crate::system::System;

#[tokio::test]
async fn every_service_ends_cleanly_when_it_is_told_to() {
    let mut system = System::start().await;
    system.post_copies("coffee.png", 5).await;
    system.settled().await;
    let stack = &mut system.stack;
    for service in
        [&mut stack.receiver, &mut stack.image_processor, &mut stack.face_recog, &mut stack.frontend]
    {
        service.server.terminate().unwrap();
        let status = service.server.wait(Duration::from_secs(10)).await.unwrap();
        assert_eq!(status.code(), Some(0), "{}", std::fs::read_to_string(service.server.log()).unwrap());
    }
}

#[tokio::test]
async fn no_log_holds_the_password() {
    let mut system = System::start().await;
    system.post_copies("coffee.png", 1).await;
    system.settled().await;
    system.stack.receiver.server.stop().await.unwrap();
    let (_, password) = system.database.user_password.split_once(':').unwrap();
    for entry in std::fs::read_dir(system.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let log = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            assert!(!log.contains(password), "{}", path.display());
        }
    }
}
