//! The database is away, freezes, and comes back.

use devstack::{DatabaseServer, Port, PrivateFolder};
use reqwest::{Method, Response, StatusCode};

use crate::frontend::{Frontend, until};

const PASSWORD: &str = "very:secret";

async fn check_away(answer: Response) {
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "2");
    assert_eq!(answer.headers()["cache-control"], "private, no-store");
    let page = answer.text().await.unwrap();
    assert!(page.contains("<title>Persons of Interest</title>") && page.contains("The database is away"));
    assert!(page.contains("<main data-live "), "it turns into the table by itself");
    for secret in [PASSWORD, "secret", "SELECT", "127.0.0.1", "error", "sqlx"] {
        assert!(!page.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn without_a_database_it_starts_answers_and_stops() {
    let nobody = Port::reserve().unwrap();
    let frontend = Frontend::start(nobody.number(), "kube", &format!("kube:{PASSWORD}")).await;
    check_away(frontend.get("/").await).await;
    let json = frontend.json("/").await;
    assert_eq!((&json["status"], &json["title"]), (&503.into(), &"The database is away".into()));
    assert!(frontend.readiness.missing().is_some());
    let style = frontend.get("/assets/style.css").await;
    assert_eq!(style.status(), StatusCode::OK, "the design does not need the database");
    assert_eq!(frontend.get("/?before=x").await.status(), StatusCode::BAD_REQUEST);
    frontend.stop().await;
}

#[tokio::test]
async fn the_table_comes_back_with_the_database() {
    let folder = PrivateFolder::new().unwrap();
    let mut mariadb = DatabaseServer::mariadb(folder.path()).await.unwrap();
    let database = mariadb.database().await.unwrap();
    let frontend = Frontend::start(mariadb.port(), &database.name, &mariadb.user_password()).await;
    let answers = || async { frontend.get("/").await.status() == StatusCode::OK };
    until(answers).await;

    mariadb.server.stop().await.unwrap();
    check_away(frontend.get("/").await).await;
    mariadb.server.start().await.unwrap();
    until(answers).await;

    // A wrong statement, or a table that is missing, is no outage.
    let rows = sqlx::MySqlPool::connect_lazy_with(database.options());
    sqlx::raw_sql("RENAME TABLE images TO images_elsewhere").execute(&rows).await.unwrap();
    let fault = frontend.get("/").await;
    assert_eq!(fault.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!fault.text().await.unwrap().contains("images_elsewhere"));
    sqlx::raw_sql("RENAME TABLE images_elsewhere TO images").execute(&rows).await.unwrap();
    until(answers).await;

    // It accepts connections and queries still, and never answers.
    mariadb.server.pause().unwrap();
    check_away(frontend.request(Method::GET, "/").send().await.unwrap()).await;
    mariadb.server.resume().unwrap();
    until(answers).await;
    frontend.stop().await;
}
