//! Everything can be exported from one system and imported in another, whole or not at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use devstack::{Database, PrivateFolder};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    access::TOKENS,
    stack::{Answer, Receiver, Stack, until},
};

/// Tables that are left out: what stands there is secret, or soon over.
const LEFT_OUT: [&str; 10] = [
    "sessions",
    "locks",
    "idempotency_keys",
    "webhooks",
    "webhook_targets",
    "webhook_deliveries",
    "webhook_attempts",
    "people_imports",
    "people_import_pictures",
    "people_import_erased",
];

/// A receiver with a folder of known people.
struct System {
    stack: Stack,
    folder: PrivateFolder,
}

impl System {
    async fn start() -> Self {
        let folder = PrivateFolder::new().unwrap();
        let flag = format!("--known-people={}", folder.path().display());
        Self { stack: Stack::start_with(&[&flag]).await, folder }
    }

    /// One with something in every table, and several pages of images.
    async fn full() -> Self {
        let system = Self::start().await;
        system.execute(FULL).await;
        for (name, content) in pictures() {
            fs::write(system.folder.path().join(name), content).unwrap();
        }
        system
    }

    async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.stack.rows.0).await.unwrap();
    }

    /// The archive.
    async fn export(&self) -> Vec<u8> {
        let answer = self.stack.receiver.ask("/export").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "application/x-tar");
        answer.bytes().await.unwrap().to_vec()
    }

    async fn import(&self, archive: Vec<u8>) -> Answer {
        self.stack.receiver.post("/import", archive).await
    }

    async fn refused(&self, archive: Vec<u8>, status: u16, words: &str) {
        let before = self.content().await;
        let answer = self.import(archive).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
        assert!(answer.body.contains(words), "{words} is not in {}", answer.body);
        assert_eq!(self.content().await, before, "nothing has changed");
    }

    /// Every value of every row, and every picture.
    async fn content(&self) -> BTreeMap<String, Vec<String>> {
        let columns: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT CAST(table_name AS CHAR), CAST(column_name AS CHAR), CAST(data_type AS CHAR)
             FROM information_schema.columns
             WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position",
        )
        .fetch_all(&self.stack.rows.0)
        .await
        .unwrap();
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (table, column, kind) in columns {
            let text = match &kind[..] {
                "float" | "double" => format!("CONCAT({column} + 0e0)"),
                "binary" | "varbinary" => format!("HEX({column})"),
                _ => format!("CAST({column} AS CHAR)"),
            };
            if !LEFT_OUT.contains(&&table[..]) {
                texts.entry(table).or_default().push(format!("COALESCE({text}, 'NULL')"));
            }
        }
        let mut content = BTreeMap::new();
        for (table, texts) in texts {
            let select =
                format!("SELECT CONCAT_WS('|', {}) AS line FROM {table} ORDER BY line", texts.join(", "));
            let rows = sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(&self.stack.rows.0).await;
            content.insert(table, rows.unwrap());
        }
        let pictures = fs::read_dir(self.folder.path()).unwrap().map(|entry| {
            let entry = entry.unwrap();
            format!("{:?} {:?}", entry.file_name(), fs::read(entry.path()).unwrap())
        });
        content.insert(
            "the folder of known people".to_owned(),
            pictures.collect::<BTreeSet<_>>().into_iter().collect(),
        );
        content
    }
}

/// What lies in the folder of known people: names of any script and length, and files of any size.
fn pictures() -> [(String, Vec<u8>); 4] {
    let large = (0..700_001).map(|byte| (byte % 251) as u8).collect();
    [
        ("ada.jpg".to_owned(), b"\xff\xd8\xff Ada".to_vec()),
        (format!("{}.png", "\u{1F600}".repeat(60)), vec![7; 512]),
        ("empty.JPEG".to_owned(), vec![]),
        ("large.jpg".to_owned(), large),
    ]
}

/// Values of every kind in every table.
const FULL: &str = r#"
DELETE FROM person_images; DELETE FROM person;
INSERT INTO person (id, name) VALUES (3, 'Ada 😀 "Lovelace"'), (70, 'Bob\\\n');
INSERT INTO person_images (id, image_name, person_id) VALUES (9, 'ada.jpg', 3), (11, 'gone.jpg', 70);
INSERT INTO images (id, path, person, status, distance, reason, attempts, redeemable, redeems, suspect, created_at, updated_at,
    width, height, detector, file_name, taken_at, taken_offset, shown_at, look_again) VALUES
    (5, '/unknown_people/a 😀.jpg', 3, 1, 0.34999999999999998, NULL, 1, TRUE, 2, FALSE, '2026-01-02 03:04:05.678901',
     '2026-01-02 03:04:06.000001', 640, 480, 'yunet', 'é.jpg', '1931-05-06 07:08:09', -90, '1931-05-06 07:08:09', NULL),
    (6, 'uploads/0000000000000000000000000000000000000000000000000000000000000000.jpg', -1, 2, NULL, 'no picture', 3, FALSE, 0,
     TRUE, '2026-01-02 03:04:05', '2026-01-02 03:04:06', NULL, NULL, NULL, NULL, NULL, NULL, '2026-01-02 03:04:05.5', NULL),
    (7, '/again.jpg', 3, 0, 0.1, NULL, 0, TRUE, 0, FALSE, '2026-01-03 00:00:00', '2026-01-03 00:00:00', 1, 1, 'old', NULL, NULL,
     NULL, '2026-01-03 00:00:00', 4);
INSERT INTO faces (id, image_id, position, x, y, width, height, embedding, model, score, sharpness, turned, gallery, nearest,
    distance, matches, chosen, person, stranger) VALUES
    (21, 5, 0, -3, 4, 100, 120, UNHEX(REPEAT('00ff0a5c', 128)), 'dlib', 0.9, 123.456, 0.1, 18446744073709551615, 'ada.jpg',
     0.1234567890123456789, TRUE, NULL, 3, NULL),
    (22, 5, 1, 0, 0, 1, 1, '', 'dlib', NULL, 1e-7, 1, 0, NULL, NULL, FALSE, -1, -1, NULL),
    (23, 7, 0, 0, 0, 9, 9, REPEAT('x', 512), 'other', 0.3333333, 3, 0.3, 1, NULL, 0.7, FALSE, NULL, -1, 23);
INSERT INTO face_rejections VALUES (22, 3), (23, 70), (23, 3);
INSERT INTO clusters VALUES (23, 2);
INSERT INTO look_again_runs (id, detector, person, first_id, last_id, next_id, total, taken, state, started_at, ended_at) VALUES
    (4, 'yunet', NULL, 1, NULL, 7, 3, 1, 0, '2026-01-03 00:00:00.5', NULL);
INSERT INTO look_again_failures (image_id, run, reason, at) VALUES (5, 4, 'it is gone', '2026-01-03 00:00:01');
INSERT INTO images_dropped VALUES (1, '/a.jpg', NULL, 0, 5);
INSERT INTO audit (id, at, who, action, subject, detail, undoes, part_of) VALUES
    (8, '2026-01-01 00:00:00.000001', 'ada', 'confirm', 'face 21', CONCAT('{"a":"', REPEAT('b', 100000), '"}'), NULL, NULL),
    (9, '2026-01-01 00:00:00', 'ada', 'undo', 'face 21', '{}', 8, 7);
INSERT INTO sessions (id, token, name) VALUES (REPEAT('i', 32), REPEAT('t', 32), 'a session');
INSERT INTO idempotency_keys (id, request, made) VALUES (REPEAT('k', 32), REPEAT('r', 32), 1);
INSERT INTO webhooks (image_id, claim, status) VALUES (5, 1, 1);
INSERT INTO webhook_targets (id, url, secret, events) VALUES (1, 'https://example.org/', 'whsec_', 'face.new');
INSERT INTO webhook_deliveries (target, event, image_id, claim) VALUES (1, 'face.new', 5, 1);
INSERT INTO webhook_attempts (target, event, image_id, status, took_ms) VALUES (1, 'face.new', 5, 500, 1);
INSERT INTO images (path, status) WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 900)
    SELECT CONCAT('/many/', n.n, '/', m.n), 1 FROM n, (SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3) AS m;
INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery, distance, matches)
    SELECT id, 0, id, 4, 100, 100, RANDOM_BYTES(512), 'dlib', RAND() * 1000, RAND(), 1, RAND(), FALSE FROM images
    WHERE path LIKE '/many/%';
INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery, distance, matches)
    SELECT id, 1, id, 4, 100, 100, RANDOM_BYTES(512), 'dlib', RAND() * 1000, RAND(), 1, RAND(), FALSE FROM images
    WHERE path LIKE '/many/%';
"#;

/// The files of an archive.
fn files(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let files = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (String::from_utf8(entry.path_bytes().into_owned()).unwrap(), content)
    });
    files.collect()
}

/// An archive of these files.
fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, &content[..]).unwrap();
    }
    archive.into_inner().unwrap()
}

/// The same with the lines of the first file in a folder changed.
fn with_lines(
    files: &[(String, Vec<u8>)],
    folder: &str,
    change: impl Fn(&mut Vec<String>),
) -> (String, Vec<u8>) {
    let mut files = files.to_vec();
    let (path, content) = files.iter_mut().find(|(path, _)| path.starts_with(folder)).unwrap();
    let mut lines: Vec<_> = std::str::from_utf8(content).unwrap().lines().map(str::to_owned).collect();
    change(&mut lines);
    *content = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
    (path.clone(), archive(&files))
}

/// An archive whose first file has a name of so many bytes.
fn with_a_name_of(length: usize, archive: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path("././@LongLink").unwrap();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(length as u64);
    header.set_cksum();
    [header.as_bytes(), &vec![b'a'; length][..], archive].concat()
}

#[tokio::test]
async fn all_that_is_exported_can_be_imported_in_another_system() {
    let (old, new) = (System::full().await, System::start().await);
    let archive = old.export().await;
    let answer = new.import(archive).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let held: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&held["pictures"], &held["rows"]["images"]), (&json!(4), &json!(2703)));
    assert_eq!((&held["rows"]["faces"], &held["rows"]["face_rejections"]), (&json!(5403), &json!(3)));
    let imported = "SELECT who FROM audit WHERE action = 'import' AND subject = 'everything'";
    let who: String = sqlx::query_scalar(imported).fetch_one(&new.stack.rows.0).await.unwrap();
    assert_eq!(who, "anybody");
    new.execute("DELETE FROM audit WHERE action = 'import'").await;
    let (old, new) = (old.content().await, new.content().await);
    assert_eq!(old.keys().collect::<Vec<_>>(), new.keys().collect::<Vec<_>>());
    for (table, rows) in &old {
        assert!(!rows.is_empty(), "{table} holds nothing to compare");
        let differs = rows.iter().zip(&new[table]).find(|(old, new)| old != new);
        assert!(differs.is_none() && rows.len() == new[table].len(), "{table}: {differs:?}");
    }
}

#[tokio::test]
async fn an_archive_is_a_tar_of_json_lines_without_secrets() {
    let system = System::full().await;
    fs::create_dir(system.folder.path().join("a folder.jpg")).unwrap();
    let archive = system.export().await;
    let files = files(&archive);
    let manifest: Value = serde_json::from_slice(&files[0].1).unwrap();
    assert_eq!(
        (&files[0].0[..], &manifest["format"], &manifest["people"]),
        ("manifest.json", &json!(1), &json!(2))
    );
    assert_eq!(
        (&manifest["model"], &manifest["version"]),
        (&json!("dlib"), &json!(env!("CARGO_PKG_VERSION")))
    );
    assert_eq!(files.last().unwrap().0, "complete.json");
    let folders: BTreeSet<_> = files.iter().filter_map(|(path, _)| Some(path.split_once('/')?.0)).collect();
    assert_eq!(
        folders.into_iter().collect::<Vec<_>>(),
        [
            "audit",
            "clusters",
            "face_rejections",
            "faces",
            "images",
            "images_dropped",
            "known_people",
            "look_again_failures",
            "look_again_runs",
            "person",
            "person_images"
        ]
    );
    let complete: Value = serde_json::from_slice(&files.last().unwrap().1).unwrap();
    assert_eq!((&complete["missing_pictures"], &complete["pictures"]), (&json!(1), &json!(4)));
    let (_, faces) = files.iter().find(|(path, _)| path.starts_with("faces/")).unwrap();
    let first: Value = serde_json::from_slice(faces.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!((&first["id"], &first["model"], &first["score"]), (&json!(21), &json!("dlib"), &json!(0.9)));
    assert!(first["embedding"].as_str().unwrap().starts_with("AP8KXAD/Clw"), "{first}");
    let text = String::from_utf8_lossy(&archive);
    assert!(!text.contains("a session") && !text.contains(&"t".repeat(32)));
}

#[tokio::test]
async fn who_reads_compressed_answers_gets_a_compressed_archive() {
    let system = System::start().await;
    let asked = system.stack.receiver.ask("/export").header("accept-encoding", "gzip");
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert!(answer.bytes().await.unwrap().starts_with(b"\x1f\x8b"));
}

#[tokio::test]
async fn an_archive_goes_into_an_empty_system_alone() {
    let (old, new) = (System::full().await, System::start().await);
    let archive = old.export().await;
    old.refused(archive.clone(), 409, "is not empty").await;
    // Its note in the audit is nobody's own.
    new.export().await;
    new.execute("INSERT INTO person (name) VALUES ('Ada')").await;
    new.refused(archive.clone(), 409, "its table person has rows").await;
    new.execute("DELETE FROM person WHERE name = 'Ada'").await;
    fs::write(new.folder.path().join("ada.jpg"), "another picture").unwrap();
    new.refused(archive.clone(), 409, "another picture that is called ada.jpg").await;
    fs::write(new.folder.path().join("ada.jpg"), &pictures()[0].1).unwrap();
    assert_eq!(new.import(archive.clone()).await.status, StatusCode::OK);
    new.refused(archive, 409, "is not empty").await;
}

#[tokio::test]
async fn a_broken_line_is_named_and_leaves_nothing() {
    let (old, new) = (System::full().await, System::start().await);
    let whole = old.export().await;
    let files = files(&whole);
    let no_json = with_lines(&files, "faces/", |lines| lines[2].truncate(40));
    let twice = with_lines(&files, "audit/", |lines| lines[1] = lines[0].clone());
    let too_long = with_lines(&files, "person/", |lines| {
        lines[1] = format!(r#"{{"id":71,"name":"{}","hidden":0,"cover":null}}"#, "a".repeat(256));
    });
    let strange = with_lines(&files, "clusters/", |lines| lines[0] = r#"{"id":1,"colour":2}"#.to_owned());
    for (path, archive, line, why) in [
        (no_json.0, no_json.1, 3, "no JSON object"),
        (twice.0, twice.1, 2, "uplicate"),
        (too_long.0, too_long.1, 2, "name"),
        (strange.0, strange.1, 1, "colour"),
    ] {
        new.refused(archive.clone(), 422, &format!("{path}, line {line}: ")).await;
        new.refused(archive, 422, why).await;
    }
    assert_eq!(new.import(whole).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_archive_that_is_not_whole_leaves_nothing() {
    let (old, new) = (System::full().await, System::start().await);
    let whole = old.export().await;
    let files = files(&whole);
    new.refused(whole[..whole.len() / 2].to_vec(), 422, "cut off").await;
    new.refused(archive(&files[..files.len() - 1]), 422, "it ends before its last file, complete.json").await;
    new.refused(archive(&files[1..]), 422, "its first file has to be manifest.json").await;
    let without_audit: Vec<_> =
        files.iter().filter(|(path, _)| !path.starts_with("audit/")).cloned().collect();
    new.refused(archive(&without_audit), 422, "complete.json says that the archive holds").await;
    let mut later = files.clone();
    later[0].1 = br#"{"format":2,"version":"9.0.0","at":"","model":null,"people":0}"#.to_vec();
    new.refused(archive(&later), 422, "release 9.0.0 or a later one").await;
    let mut outside = files.clone();
    outside.insert(1, ("known_people/.hidden".to_owned(), b"x".to_vec()));
    new.refused(archive(&outside), 422, "no name of a picture").await;
    new.refused(with_a_name_of(1 << 20, &whole), 422, "the head of a file is too long").await;
    new.refused(b"{}".to_vec(), 422, "no tar").await;
    new.refused(vec![], 422, "cut off").await;
    assert_eq!(new.import(whole).await.status, StatusCode::OK);
}

#[tokio::test]
async fn only_an_admin_exports_or_imports_everything() {
    let folder = PrivateFolder::new().unwrap();
    let flag = format!("--known-people={}", folder.path().display());
    let stack = Stack::start_with(&[TOKENS, &flag]).await;
    let (export, import) = (|| stack.receiver.ask("/export"), || stack.receiver.build("/import"));
    for token in ["one", "two"] {
        for request in [export(), import()] {
            let answer = stack.receiver.send(request.bearer_auth(token)).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
        }
    }
    let answer = stack.receiver.send(export().bearer_auth("three")).await;
    assert!(answer.status == StatusCode::OK && answer.body.contains("manifest.json"));
    let noted: (String, String) =
        sqlx::query_as("SELECT who, action FROM audit").fetch_one(&stack.rows.0).await.unwrap();
    assert_eq!(noted, ("eve".to_owned(), "export".to_owned()));
    let answer = stack.receiver.send(import().bearer_auth("three")).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
}

#[tokio::test]
async fn without_its_folder_nothing_is_exported_that_needs_it() {
    let folder = PrivateFolder::new().unwrap();
    let flag = format!("--known-people={}", folder.path().join("missing").display());
    let stack = Stack::start_with(&[&flag]).await;
    let answer = stack.receiver.send(stack.receiver.ask("/export")).await;
    assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED, "{}", answer.body);
    assert!(answer.body.contains("no_known_people"), "{}", answer.body);
    sqlx::raw_sql("DELETE FROM person_images").execute(&stack.rows.0).await.unwrap();
    let answer = stack.receiver.send(stack.receiver.ask("/export")).await;
    assert!(answer.status == StatusCode::OK && answer.body.contains("complete.json"));
}

#[tokio::test]
async fn a_client_that_stops_reading_does_not_keep_others_from_exporting() {
    let folder = PrivateFolder::new().unwrap();
    // More than the buffers of a connection hold.
    fs::File::create(folder.path().join("large.jpg")).unwrap().set_len(64 << 20).unwrap();
    let flag = format!("--known-people={}", folder.path().display());
    let stack = Stack::start_with(&[&flag, "--body-timeout=1s"]).await;
    let export = async || stack.receiver.ask("/export").send().await.unwrap();
    let unread = export().await;
    assert_eq!(unread.status(), StatusCode::OK);
    until("another client gets an archive", async || export().await.status() == StatusCode::OK).await;
    drop(unread);
}

/// The same database behind a proxy that loses the answers to COMMIT while it is told to.
async fn behind_a_proxy(database: &Database) -> (Database, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let loses = Arc::new(AtomicBool::new(false));
    let (server, told) = ((database.host.clone(), database.port), loses.clone());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(forward(client, TcpStream::connect(server.clone()).await.unwrap(), told.clone()));
        }
    });
    let (user_password, name) = (database.user_password.clone(), database.name.clone());
    (Database { host: "127.0.0.1".to_owned(), port, user_password, name }, loses)
}

async fn forward(mut client: TcpStream, mut server: TcpStream, loses: Arc<AtomicBool>) {
    let (mut question, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    // Other work of the receiver commits as well.
    let (mut imports, mut is_commit) = (false, false);
    loop {
        let written = tokio::select! {
            read = client.read(&mut question) => {
                let sent = &question[..read.unwrap_or(0)];
                let has = |word: &[u8]| sent.windows(word.len()).any(|bytes| bytes == word);
                imports |= has(b"INSERT INTO faces ");
                is_commit = imports && has(b"COMMIT");
                if sent.is_empty() { return } else { server.write_all(sent).await }
            }
            read = server.read(&mut answer) => match read {
                Ok(read) if read > 0 && !(is_commit && loses.load(Ordering::SeqCst)) => client.write_all(&answer[..read]).await,
                _ => return,
            },
        };
        if written.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn an_import_whose_commit_is_not_answered_keeps_its_pictures() {
    let (old, new) = (System::full().await, System::start().await);
    let archive = old.export().await;
    let (database, loses) = behind_a_proxy(&new.stack.database).await;
    let flag = format!("--known-people={}", new.folder.path().display());
    let receiver = Receiver::start(&database, &new.stack.nsqd.tcp_address(), &[&flag]).await;
    receiver.wait_until_ready().await;
    loses.store(true, Ordering::SeqCst);
    let answer = receiver.post("/import", archive.clone()).await;
    loses.store(false, Ordering::SeqCst);
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert!(answer.body.contains("import_unknown"), "{}", answer.body);
    assert_eq!(new.stack.rows.count().await, 2703);
    for (name, content) in pictures() {
        assert!(fs::read(new.folder.path().join(&name)).unwrap() == content, "{name}");
    }
    let again = receiver.post("/import", archive).await;
    assert!(again.status == StatusCode::CONFLICT && again.body.contains("not_empty"), "{}", again.body);
}
