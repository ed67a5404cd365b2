//! A login gives a browser a session, which ends: by logging out, by itself, or with the token that opened it.

use std::fs;

use devstack::{Database, DatabaseServer, Port, PrivateFolder, Service};
use reqwest::{Method, StatusCode};

use crate::{
    access::{TOKENS, cookie, log_in, log_in_with, send},
    frontend::{Frontend, Stage, until},
};

/// What `cookie` gets of a page.
async fn status(address: &str, cookie: &str) -> StatusCode {
    send(address, Method::GET, "/people", &[("cookie", cookie)], "").await.status()
}

async fn log_out(address: &str, cookie: &str) -> reqwest::Response {
    let headers = [("cookie", cookie), ("sec-fetch-site", "same-origin")];
    send(address, Method::POST, "/logout", &headers, "").await
}

async fn count(stage: &Stage) -> i64 {
    sqlx::query_scalar("SELECT COUNT(*) FROM sessions").fetch_one(&stage.pool).await.unwrap()
}

#[tokio::test]
async fn a_stolen_cookie_is_worthless_after_the_logout() {
    let stage = Stage::set_with(&[TOKENS]).await;
    let (ours, anothers) =
        (cookie(stage.frontend.address(), "two").await, cookie(stage.frontend.address(), "two").await);
    assert_ne!(ours, anothers);
    assert_eq!(status(stage.frontend.address(), &ours).await, StatusCode::OK);
    let out = log_out(stage.frontend.address(), &ours).await;
    assert!(out.headers()["set-cookie"].to_str().unwrap().contains("=; Max-Age=0"));
    assert_eq!(status(stage.frontend.address(), &ours).await, StatusCode::SEE_OTHER);
    assert_eq!(status(stage.frontend.address(), &anothers).await, StatusCode::OK, "it is another session");
    assert_eq!(count(&stage).await, 1, "nothing of it stays");
    let change = [("cookie", &*ours), ("sec-fetch-site", "same-origin")];
    let change = send(stage.frontend.address(), Method::POST, "/api/images/1/retry", &change, "").await;
    assert_eq!(change.status(), StatusCode::UNAUTHORIZED);
    assert!(change.text().await.unwrap().contains("Load the page again, and log in"));
    let replica = stage.another(&[TOKENS]).await;
    until(|| async { status(replica.address(), &anothers).await == StatusCode::OK }).await;
    log_out(stage.frontend.address(), &anothers).await;
    until(|| async { status(replica.address(), &anothers).await == StatusCode::SEE_OTHER }).await;
}

#[tokio::test]
async fn a_session_ends_after_half_a_day_without_a_request_and_after_a_week_in_any_case() {
    let stage = Stage::set_with(&[TOKENS]).await;
    for (ages, expected) in [
        ("last_seen_at = NOW(6) - INTERVAL 719 MINUTE", StatusCode::OK),
        ("last_seen_at = NOW(6) - INTERVAL 12 HOUR", StatusCode::SEE_OTHER),
        ("expires_at = expires_at - INTERVAL 167 HOUR", StatusCode::OK),
        ("expires_at = expires_at - INTERVAL 7 DAY", StatusCode::SEE_OTHER),
    ] {
        stage.sql("DELETE FROM sessions").await;
        let cookie = cookie(stage.frontend.address(), "two").await;
        stage.sql(&format!("UPDATE sessions SET {ages}")).await;
        assert_eq!(status(stage.frontend.address(), &cookie).await, expected, "{ages}");
    }
}

#[tokio::test]
async fn that_a_session_is_used_is_noted_once_a_minute() {
    let stage = Stage::set_with(&[TOKENS]).await;
    for (seconds, is_noted) in [(10, false), (61, true)] {
        stage.sql("DELETE FROM sessions").await;
        let cookie = cookie(stage.frontend.address(), "two").await;
        stage
            .sql(&format!("UPDATE sessions SET last_seen_at = created_at - INTERVAL {seconds} SECOND"))
            .await;
        assert_eq!(status(stage.frontend.address(), &cookie).await, StatusCode::OK);
        let select = sqlx::query_scalar("SELECT last_seen_at >= created_at FROM sessions");
        let noted: bool = select.fetch_one(&stage.pool).await.unwrap();
        assert_eq!(noted, is_noted, "after {seconds} seconds");
    }
}

#[tokio::test]
async fn sessions_that_are_over_go_with_later_logins() {
    let stage = Stage::set_with(&[TOKENS]).await;
    let digits = "SELECT 0 AS i UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5";
    stage
        .sql(&format!(
            "INSERT INTO sessions (id, token, name, last_seen_at, expires_at)
             SELECT UNHEX(SHA2(CONCAT(a.i, b.i, c.i), 256)), '', 'x', NOW(6) - INTERVAL 12 * (a.i % 2) HOUR,
                    NOW(6) + INTERVAL 2 * (a.i % 2) - 1 SECOND
             FROM ({digits}) AS a, ({digits}) AS b, ({digits}) AS c"
        ))
        .await;
    assert_eq!(count(&stage).await, 216);
    cookie(stage.frontend.address(), "two").await;
    assert_eq!(count(&stage).await, 17, "some go at once");
    cookie(stage.frontend.address(), "two").await;
    assert_eq!(count(&stage).await, 2);
}

#[tokio::test]
async fn who_is_taken_out_of_the_file_of_tokens_is_logged_out_without_a_restart() {
    let folder = PrivateFolder::new().unwrap();
    let file = folder.path().join("tokens");
    let entries: Vec<&str> = TOKENS.strip_prefix("--auth-tokens=").unwrap().split(',').collect();
    fs::write(&file, entries.join("\n")).unwrap();
    let tokens = format!("--auth-tokens=@{}", file.display());
    let stage = Stage::set_with(&[&tokens, "--receiver-address=127.0.0.1:1"]).await;
    let (ada, bob) =
        (cookie(stage.frontend.address(), "one").await, cookie(stage.frontend.address(), "two").await);
    assert_eq!(status(stage.frontend.address(), &bob).await, StatusCode::OK);

    let page = async || {
        let page = send(stage.frontend.address(), Method::GET, "/people", &[("cookie", &ada)], "").await;
        page.text().await.unwrap()
    };
    assert!(page().await.contains("Log out ada") && !page().await.contains("data-add-person"));
    fs::write(&file, entries[0].replace(":viewer:", ":admin:")).unwrap();
    until(|| async { status(stage.frontend.address(), &bob).await == StatusCode::SEE_OTHER }).await;
    assert_eq!(log_in(stage.frontend.address(), "token=two").await.status(), StatusCode::UNAUTHORIZED);
    until(|| async { page().await.contains("data-add-person") }).await;

    // Somebody is writing it.
    fs::write(&file, "").unwrap();
    let json = [("accept", "application/json"), ("authorization", "Bearer one")];
    assert_eq!(
        send(stage.frontend.address(), Method::GET, "/people", &json, "").await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn over_tls_the_cookie_is_bound_to_this_host_and_to_tls() {
    let stage = Stage::set_with(&[TOKENS]).await;
    let attributes = |cookie: &str| {
        let (session, attributes) = cookie.split_once("; ").unwrap();
        let (name, session) = session.split_once('=').unwrap();
        assert!(session.starts_with("kfs_") && session.len() == 68, "{session}");
        (name.to_owned(), attributes.to_owned())
    };
    let plain = log_in(stage.frontend.address(), "token=two").await;
    let (name, rest) = attributes(plain.headers()["set-cookie"].to_str().unwrap());
    assert_eq!((&*name, &*rest), ("kube-face", "Path=/; HttpOnly; SameSite=Strict"));
    let tls = ("x-forwarded-proto", "https");
    let secure = log_in_with(stage.frontend.address(), "token=two", &[tls]).await;
    let secure = secure.headers()["set-cookie"].to_str().unwrap();
    let (name, rest) = attributes(secure);
    assert_eq!((&*name, &*rest), ("__Host-kube-face", "Path=/; HttpOnly; SameSite=Strict; Secure"));

    let cookie = secure.split(';').next().unwrap();
    let page = send(stage.frontend.address(), Method::GET, "/people", &[("cookie", cookie), tls], "").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(
        status(stage.frontend.address(), cookie).await,
        StatusCode::SEE_OTHER,
        "it never goes over plain HTTP"
    );
}

#[tokio::test]
async fn the_token_is_in_no_cookie_and_neither_it_nor_the_session_is_in_a_row() {
    let stage = Stage::set_with(&[TOKENS]).await;
    let response = log_in(stage.frontend.address(), "token=three").await;
    for value in response.headers().values() {
        assert!(!value.to_str().unwrap().contains("three"), "{value:?}");
    }
    let session = response.headers()["set-cookie"].to_str().unwrap().split(['=', ';']).nth(1).unwrap();
    let row: (Vec<u8>, Vec<u8>, String) =
        sqlx::query_as("SELECT id, token, name FROM sessions").fetch_one(&stage.pool).await.unwrap();
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    assert!(
        TOKENS.contains(&format!("eve:admin:{}", hex(&row.1))),
        "the token's hash, as the setting has it"
    );
    assert_eq!(row.2, "eve");
    assert!(!session.contains(&hex(&row.0)) && !hex(&row.0).contains("three"));

    // What an earlier release left in a browser opens nothing, and goes.
    let left =
        send(stage.frontend.address(), Method::GET, "/people", &[("cookie", "kube_face_token=three")], "")
            .await;
    assert_eq!(left.status(), StatusCode::SEE_OTHER);
    assert!(left.headers()["set-cookie"].to_str().unwrap().starts_with("kube_face_token=; Max-Age=0"));
}

#[tokio::test]
async fn while_the_database_is_away_nobody_is_told_to_log_in_again() {
    let folder = PrivateFolder::new().unwrap();
    let mut mariadb = DatabaseServer::mariadb(folder.path()).await.unwrap();
    let Database { name, .. } = &mariadb.database().await.unwrap();
    let frontend = Frontend::start_with(mariadb.port(), name, &mariadb.user_password(), &[TOKENS]).await;
    until(|| async { frontend.readiness.missing().is_none() }).await;
    let cookie = cookie(frontend.address(), "two").await;
    mariadb.server.stop().await.unwrap();
    for (method, path) in
        [(Method::GET, "/people"), (Method::GET, "/thumbnails/1"), (Method::POST, "/logout")]
    {
        let headers = [("cookie", &*cookie), ("sec-fetch-site", "same-origin")];
        let answer = send(frontend.address(), method, path, &headers, "").await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(!answer.headers().contains_key("set-cookie"), "it can be tried again");
        assert!(answer.text().await.unwrap().contains("atabase is away"), "{path}");
    }
    let answer = log_in(frontend.address(), "token=two").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    mariadb.server.start().await.unwrap();
    until(|| async { status(frontend.address(), &cookie).await == StatusCode::OK }).await;
    frontend.stop().await;
}

#[tokio::test]
async fn the_log_says_who_logged_in_and_out_and_shows_nothing_that_opens_a_page() {
    const TOKEN: &str = "nobody-guesses-this-7f3a";
    const HASH: &str = "8a559551a4be6c4e7e459e21863349099b2685d7d55d77ddc1128fa35963f014";
    let (database, folder) = (Database::fresh().await.unwrap(), PrivateFolder::new().unwrap());
    let port = Port::reserve().unwrap();
    let mut environment = database.environment();
    let settings = [
        ("FRONTEND_PORT", port.to_string()),
        ("AUTH_TOKENS", format!("eve:admin:{HASH}")),
        ("RUST_LOG", "debug".to_owned()),
    ];
    environment.extend(settings.map(|(name, value)| (name.to_owned(), value)));
    let service = Service::start("frontend", folder.path(), environment).await.unwrap();
    let frontend = format!("http://127.0.0.1:{port}");
    let cookie = cookie(&frontend, TOKEN).await;
    log_out(&frontend, &cookie).await;
    let log = fs::read_to_string(service.server.log()).unwrap();
    for words in ["logged in", "logged out"] {
        let line = log
            .lines()
            .find(|line| line.contains("INFO") && line.contains(words))
            .unwrap_or_else(|| panic!("{log}"));
        assert!(line.contains("eve") && line.contains("peer=127.0.0.1"), "{line}");
    }
    for secret in [TOKEN, "kfs_"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}
