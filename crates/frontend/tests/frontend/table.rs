//! Each row of the contract's status table, and rows that nobody should have written.

use crate::frontend::{Stage, cells};

/// Person and Status of an image whose row says `values`.
async fn shown(stage: &Stage, values: &str) -> (String, String) {
    let id = stage.store("/unknown_people/unknown0001.jpg").await;
    stage.sql(&format!("UPDATE images SET {values} WHERE id = {id}")).await;
    let mut rows = cells(&stage.frontend.html("/").await);
    stage.sql("DELETE FROM images").await;
    assert_eq!(rows.len(), 1);
    let [shown_id, path, person, status] = rows.remove(0);
    assert_eq!((shown_id, path.as_str()), (id.to_string(), "/unknown_people/unknown0001.jpg"));
    (person, status)
}

#[tokio::test]
async fn each_state_is_shown_as_the_contract_says() {
    let stage = Stage::set().await;
    for (values, person, status) in [
        ("status = 0", "Pending...", "Pending"),
        ("status = 0, attempts = 1, reason = 'no such file'", "Pending...", "Pending"),
        ("status = 3, claim = 7", "Pending...", "Processing"),
        ("status = 1, person = 1, distance = 0.3649", "Hannibal distance 0.36", "Processed"),
        ("status = 1, person = 3", "John Doe", "Processed"),
        ("status = 1, reason = 'no face', distance = 0.81", "Unknown no face", "Processed"),
        ("status = 1", "Unknown no known person was recognised", "Processed"),
        ("status = 2, reason = 'no such file', distance = 0.2", "Pending... no such file", "Failed"),
        ("status = 2", "Pending... recognition failed", "Failed"),
    ] {
        let expected = (person.to_owned(), status.to_owned());
        assert_eq!(shown(&stage, values).await, expected, "{values}");
    }
}

#[tokio::test]
async fn null_and_minus_one_both_mean_nobody() {
    let stage = Stage::set().await;
    for person in ["NULL", "-1"] {
        let (person, _) = shown(&stage, &format!("status = 1, reason = 'no face', person = {person}")).await;
        assert_eq!(person, "Unknown no face");
    }
}

#[tokio::test]
async fn a_person_who_is_not_in_the_database_is_unknown() {
    let stage = Stage::set().await;
    let (person, status) = shown(&stage, "status = 1, person = 777, distance = 0.1").await;
    assert_eq!(
        (person.as_str(), status.as_str()),
        ("Unknown person 777 is not in the database", "Processed")
    );
}

#[tokio::test]
async fn a_status_that_means_nothing_breaks_nothing() {
    let stage = Stage::set().await;
    let (person, status) = shown(&stage, "status = 42, person = 1").await;
    assert_eq!((person.as_str(), status.as_str()), ("Unknown status 42 has no meaning", "Unknown"));
    stage.sql("ALTER TABLE images MODIFY status INT NULL").await;
    let (person, status) = shown(&stage, "status = NULL").await;
    assert_eq!((person.as_str(), status.as_str()), ("Pending...", "Pending"));
}

#[tokio::test]
async fn a_row_that_the_original_inserts_is_shown() {
    let stage = Stage::set().await;
    stage.sql("INSERT INTO images (path, person, status) VALUES ('/a.jpg', -1, 0)").await;
    assert_eq!(cells(&stage.frontend.html("/").await)[0][1..], ["/a.jpg", "Pending...", "Pending"]);
}

#[tokio::test]
async fn whatever_a_path_a_name_or_a_reason_holds_is_shown_and_never_run() {
    let stage = Stage::set().await;
    let path = "/<script>alert(\"1\")</script>'; DROP TABLE images; -- &amp; 🦊 ملف\u{202e}gpj.jpg";
    let id = stage.store(path).await;
    stage.sql("UPDATE person SET name = '<b>Hannibal</b>' WHERE id = 1").await;
    stage.sql(&format!("UPDATE images SET status = 1, person = 1 WHERE id = {id}")).await;
    let failed = stage.store("/other.jpg").await;
    let reason = "UPDATE images SET status = 2, reason = '<img src=x onerror=alert(1)>'";
    stage.sql(&format!("{reason} WHERE id = {failed}")).await;

    let html = stage.frontend.html("/").await;
    assert!(!html.contains("<script>") && !html.contains("<b>") && !html.contains("<img"));
    for (character, escaped) in
        [("&", "&#38;"), ("<", "&#60;"), (">", "&#62;"), ("\"", "&#34;"), ("'", "&#39;")]
    {
        assert!(html.contains(escaped), "{character}");
    }
    let unescaped = |text: &str| {
        text.replace("&#60;", "<")
            .replace("&#62;", ">")
            .replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&#38;", "&")
    };
    let rows = cells(&html);
    assert_eq!(unescaped(&rows[0][2]), "Pending... <img src=x onerror=alert(1)>");
    assert_eq!(unescaped(&rows[1][1]), path);
    assert_eq!(unescaped(&rows[1][2]), "<b>Hannibal</b>");
    assert_eq!(stage.frontend.json("/").await["images"][1]["path"], path);
}
