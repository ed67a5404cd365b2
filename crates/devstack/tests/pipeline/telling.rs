//! From a picture that somebody only puts into a folder to a webhook that says who is on it.

use devstack::{PrivateFolder, certificates};
use serde_json::Value;

use crate::system::{System, eventually, listen_by_https};

#[tokio::test]
async fn a_picture_in_the_watched_folder_ends_as_a_webhook_that_says_who_is_on_it() {
    let private = PrivateFolder::new().unwrap();
    certificates(private.path(), 3).unwrap();
    let (url, told) = listen_by_https("/hook", private.path());
    let ca = private.path().join("ca.pem");
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let settings = [
        ("WEBHOOK_URL", url.as_str()),
        ("WEBHOOK_SECRET", secret),
        ("WATCH", "100ms"),
        ("SSL_CERT_FILE", ca.to_str().unwrap()),
    ];
    let system = System::start_with(&settings).await;
    system.lay_out("obama2.jpg", "new.jpg");
    let told = eventually("it is told", async || told.try_recv().ok()).await;
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(told["type"], "image.processed");
    assert_eq!(told["data"]["path"], "/unknown_people/new.jpg");
    assert_eq!(told["data"]["person"]["name"], "Barack Obama");
    assert_eq!(told["data"]["faces"].as_array().unwrap().len(), 1);
}
