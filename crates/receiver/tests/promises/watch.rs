//! A picture that is put into the watched folder is taken in as if its path had been posted.

use std::fs;

use devstack::PrivateFolder;

use crate::stack::{Stack, until};

async fn watching(folder: &PrivateFolder) -> Stack {
    let place = format!("--unknown-people={}", folder.path().display());
    Stack::start_with(&["--watch=20ms", &place]).await
}

#[tokio::test]
async fn new_pictures_are_posted_once_and_announced() {
    let folder = PrivateFolder::new().unwrap();
    fs::write(folder.path().join("before.jpg"), "x").unwrap();
    let stack = watching(&folder).await;
    until("what lay there is posted", async || stack.rows.count().await == 1).await;
    fs::create_dir(folder.path().join("new")).unwrap();
    fs::write(folder.path().join("new/ä b.png"), "x").unwrap();
    fs::write(folder.path().join("note.txt"), "x").unwrap();
    until("the new one is posted", async || stack.rows.count().await == 2).await;
    assert_eq!(stack.rows.paths().await, ["/unknown_people/before.jpg", "/unknown_people/new/ä b.png"]);
    assert_eq!(stack.messages(2).await.len(), 2);
    assert_eq!(stack.message_count().await, 2, "each is announced once");
}

#[tokio::test]
async fn nothing_is_watched_unless_somebody_says_so() {
    let folder = PrivateFolder::new().unwrap();
    fs::write(folder.path().join("a.jpg"), "x").unwrap();
    let stack = Stack::start_with(&[&format!("--unknown-people={}", folder.path().display())]).await;
    stack.receiver.post_path("/b.jpg").await;
    assert_eq!(stack.rows.paths().await, ["/b.jpg"]);
}
