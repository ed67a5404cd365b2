//! What a user relies on who configures the services: each setting by its name, as environment variable, as flag
//! and in `.env`; what is wrong is named; docs/configuration.md and .env.example tell the truth.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use devstack::{Database, Port, PrivateFolder, Process, Program, paths};
use sqlx::{ConnectOptions, Connection};

/// Far longer than any of these processes takes; only a failing test waits for it.
const SOON: Duration = Duration::from_secs(90);

const RECEIVER: &str = "receiver";
const IMAGE_PROCESSOR: &str = "image-processor";
const FACE_RECOG: &str = "face-recog";
const FRONTEND: &str = "frontend";
const REDEEMER: &str = "redeemer";
const RETENTION: &str = "retention";

const ALL: &[&str] = &[RECEIVER, IMAGE_PROCESSOR, FACE_RECOG, FRONTEND, REDEEMER, RETENTION];
const WITH_DATABASE: &[&str] = &[RECEIVER, IMAGE_PROCESSOR, FRONTEND, REDEEMER, RETENTION];
/// Those that run once and end.
const JOBS: &[&str] = &[REDEEMER, RETENTION];

/// Every setting, in the order in which a newcomer needs it, with its flag and the services that know it.
const SETTINGS: &[(&str, &str, &[&str])] = &[
    ("MYSQL_CONNECTION", "--db-host", WITH_DATABASE),
    ("MYSQL_PORT", "--db-port", WITH_DATABASE),
    ("MYSQL_USERPASSWORD", "--db-username-password", WITH_DATABASE),
    ("MYSQL_DBNAME", "--db-dbname", WITH_DATABASE),
    ("MYSQL_TLS", "--db-tls", WITH_DATABASE),
    ("MYSQL_TLS_CA", "--db-tls-ca", WITH_DATABASE),
    ("MYSQL_TLS_CERT", "--db-tls-cert", WITH_DATABASE),
    ("PRODUCER_ADDRESS", "--producer-address", &[RECEIVER, REDEEMER]),
    ("NSQ_LOOKUP_ADDRESS", "--nsq-lookup-address", &[IMAGE_PROCESSOR]),
    ("GRPC_ADDRESS", "--grpc-address", &[IMAGE_PROCESSOR, RECEIVER, FRONTEND]),
    ("KNOWN_PEOPLE", "--known-people", &[FACE_RECOG, RECEIVER]),
    ("UNKNOWN_PEOPLE", "--unknown-people", &[FACE_RECOG, RECEIVER]),
    ("MODELS", "--models", &[FACE_RECOG]),
    ("EMBEDDINGS_CACHE", "--embeddings-cache", &[FACE_RECOG]),
    ("MATCH_TOLERANCE", "--match-tolerance", &[FACE_RECOG]),
    ("RECEIVER_ADDRESS", "--receiver-address", &[FRONTEND]),
    ("THUMBNAILS", "--thumbnails", &[FRONTEND]),
    ("BIND_HOST", "--bind-host", ALL),
    ("RECEIVER_PORT", "--receiver-port", &[RECEIVER]),
    ("FRONTEND_PORT", "--frontend-port", &[FRONTEND]),
    ("FACE_RECOG_PORT", "--face-recog-port", &[FACE_RECOG]),
    ("OPS_PORT", "--ops-port", &[RECEIVER, IMAGE_PROCESSOR, FACE_RECOG, FRONTEND]),
    ("PROCESSOR_CONCURRENCY", "--processor-concurrency", &[IMAGE_PROCESSOR]),
    ("IDENTIFY_TIMEOUT", "--identify-timeout", &[IMAGE_PROCESSOR]),
    ("CLAIM_LEASE", "--claim-lease", &[IMAGE_PROCESSOR, REDEEMER]),
    ("MAX_ATTEMPTS", "--max-attempts", &[IMAGE_PROCESSOR]),
    ("SWEEP_AFTER", "--sweep-after", &[IMAGE_PROCESSOR]),
    ("BREAKER_MAX_FAILURES", "--breaker-max-failures", &[IMAGE_PROCESSOR]),
    ("BREAKER_TIMEOUT", "--breaker-timeout", &[IMAGE_PROCESSOR]),
    ("BREAKER_MAX_TIMEOUT", "--breaker-max-timeout", &[IMAGE_PROCESSOR]),
    ("MAX_REDEEMS", "--max-redeems", &[REDEEMER]),
    ("MAX_BODY", "--max-body", &[RECEIVER]),
    ("BODY_TIMEOUT", "--body-timeout", &[RECEIVER]),
    ("UPLOADS", "--uploads", &[RECEIVER, RETENTION]),
    ("MAX_UPLOAD", "--max-upload", &[RECEIVER]),
    ("UPLOADS_QUOTA", "--uploads-quota", &[RECEIVER]),
    ("WATCH", "--watch", &[RECEIVER]),
    ("STATELESS_RATE", "--stateless-rate", &[RECEIVER]),
    ("AUTH_TOKENS", "--auth-tokens", &[RECEIVER, FRONTEND]),
    ("WEBHOOK_URL", "--webhook-url", &[IMAGE_PROCESSOR]),
    ("WEBHOOK_SECRET", "--webhook-secret", &[IMAGE_PROCESSOR]),
    ("RETENTION", "--retention", &[RETENTION]),
    ("SHUTDOWN_TIMEOUT", "--shutdown-timeout", ALL),
];

/// One of our binaries, run in a folder of its own with nothing set but what a test sets.
struct Run {
    folder: PrivateFolder,
    program: Program,
}

impl Run {
    fn of(service: &str) -> Self {
        let folder = PrivateFolder::new().unwrap();
        let built = Path::new(env!("CARGO_BIN_EXE_devstack")).with_file_name(service);
        assert!(built.exists(), "{} is missing: run `cargo build --workspace --bins`", built.display());
        Self { program: Program::new(built).working_folder(folder.path()), folder }
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.program.set(name, value);
        self
    }

    fn flags(mut self, flags: &[&str]) -> Self {
        self.program = self.program.arguments(flags);
        self
    }

    /// Writes the file `.env` of its working folder.
    fn dotenv(self, text: &str) -> Self {
        fs::write(self.folder.path().join(".env"), text).unwrap();
        self
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn printed(&self) -> String {
        fs::read_to_string(self.log()).unwrap()
    }

    /// Runs it to its end and returns its exit code and what it printed.
    async fn end(self) -> (Option<i32>, String) {
        let mut process = Process::spawn("the service", &self.program, &self.log()).unwrap();
        let status = process.wait(SOON).await.unwrap();
        (status.code(), self.printed())
    }

    /// Runs it, expects that it refuses its settings, and returns its words.
    async fn refused(self) -> String {
        let (code, words) = self.end().await;
        assert_eq!(code, Some(2), "{words}");
        words
    }

    /// Runs it until it has printed `words`, ends it, and returns all that it printed.
    async fn until(self, words: &str) -> String {
        let mut process = Process::spawn("the service", &self.program, &self.log()).unwrap();
        let deadline = Instant::now() + SOON;
        loop {
            let ended = process.ended().unwrap();
            let printed = self.printed();
            if printed.contains(words) {
                process.kill().unwrap();
                return printed;
            }
            assert!(ended.is_none() && Instant::now() < deadline, "not printed: {words}\n{printed}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// What `--help` says of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Help {
    flag: String,
    default: Option<String>,
    meaning: String,
}

/// The settings of a service by name, as `--help` lists them.
async fn help(service: &str) -> BTreeMap<String, Help> {
    let (code, text) = Run::of(service).flags(&["--help"]).end().await;
    assert_eq!(code, Some(0), "{text}");
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let settings = lines.windows(2).filter_map(|pair| {
        let flag = pair[0].split(' ').next().filter(|word| word.starts_with("--"))?;
        let (meaning, rest) = pair[1].split_once(" [env: ")?;
        let name = rest.split(['=', ']']).next()?;
        let default =
            rest.split_once("[default: ").map(|(_, default)| default.trim_end_matches(']').to_owned());
        Some((name.to_owned(), Help { flag: flag.to_owned(), default, meaning: meaning.to_owned() }))
    });
    settings.collect()
}

/// A row of the table in docs/configuration.md; services in alphabetical order, as their order says nothing.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    name: String,
    flag: String,
    services: BTreeSet<String>,
    default: String,
}

/// The table that docs/configuration.md should hold, in words and as rows.
async fn right_table() -> (String, BTreeSet<Row>) {
    let mut text =
        "| Name | Flag | Services | Default | Meaning |\n| --- | --- | --- | --- | --- |\n".to_owned();
    let mut rows = BTreeSet::new();
    let mut helps = BTreeMap::new();
    for service in ALL {
        helps.insert(*service, help(service).await);
    }
    for (name, flag, services) in SETTINGS {
        let Help { default, meaning, .. } = &helps[services[0]][*name];
        let shown = default.as_ref().map_or("required".to_owned(), |default| format!("`{default}`"));
        writeln!(text, "| `{name}` | `{flag}` | {} | {shown} | {meaning} |", services.join(", ")).unwrap();
        rows.insert(Row {
            name: (*name).to_owned(),
            flag: (*flag).to_owned(),
            services: services.iter().map(|service| (*service).to_owned()).collect(),
            default: default.clone().unwrap_or_else(|| "required".to_owned()),
        });
    }
    (text, rows)
}

/// The rows of the only table of docs/configuration.md.
fn documented_table() -> BTreeSet<Row> {
    let page = fs::read_to_string(paths::workspace().join("docs/configuration.md")).unwrap_or_default();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|line| {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
        assert!(cells.len() >= 7, "not five cells: {line}");
        Row {
            name: cells[1].clone(),
            flag: cells[2].clone(),
            services: cells[3].split(", ").map(str::to_owned).collect(),
            default: cells[4].clone(),
        }
    });
    rows.collect()
}

#[tokio::test]
async fn every_service_knows_its_settings_and_no_others() {
    for service in ALL {
        let known: BTreeMap<_, _> =
            help(service).await.into_iter().map(|(name, help)| (name, help.flag)).collect();
        let promised = SETTINGS.iter().filter(|(_, _, services)| services.contains(service));
        let promised = promised.map(|(name, flag, _)| ((*name).to_owned(), (*flag).to_owned())).collect();
        assert_eq!(known, promised, "{service}");
    }
}

#[tokio::test]
async fn services_that_share_a_setting_agree_on_it() {
    let mut seen = BTreeMap::new();
    for service in ALL {
        for (name, help) in help(service).await {
            let first = seen.entry(name.clone()).or_insert_with(|| help.clone());
            assert_eq!((&first.flag, &first.default), (&help.flag, &help.default), "{name} of {service}");
        }
    }
}

#[tokio::test]
async fn the_readme_lists_every_setting_as_it_is() {
    let (text, rows) = right_table().await;
    let right = documented_table() == rows;
    assert!(right, "the right table for docs/configuration.md:\n\n{text}");
}

#[tokio::test]
async fn a_wrong_value_is_refused_with_its_name_and_what_is_allowed() {
    let wrong = [
        (RECEIVER, "BIND_HOST", "localhost", "an IP address"),
        (RECEIVER, "RECEIVER_PORT", "http", "a number from 0 (any free one) to 65535"),
        (RECEIVER, "OPS_PORT", "65536", "a number from 0 (any free one) to 65535"),
        (RECEIVER, "MYSQL_PORT", "0", "a number from 1 to 65535"),
        (RECEIVER, "PRODUCER_ADDRESS", "nsqd-srv", "host:port"),
        (RECEIVER, "MAX_BODY", "2MB", "from 1 byte to 256MiB"),
        (RECEIVER, "BODY_TIMEOUT", "0s", "from 1ms to 24h"),
        (RECEIVER, "UPLOADS", "/unknown_people", "a folder whose name is uploads"),
        (RECEIVER, "MAX_UPLOAD", "1GiB", "from 1 byte to 256MiB"),
        (RECEIVER, "UPLOADS_QUOTA", "20GB", "off is needed, or a size like"),
        (IMAGE_PROCESSOR, "NSQ_LOOKUP_ADDRESS", "http://nsqlookup:4161", "host:port"),
        (IMAGE_PROCESSOR, "GRPC_ADDRESS", "face-recog:", "host:port"),
        (IMAGE_PROCESSOR, "PROCESSOR_CONCURRENCY", "0", "from 1 to 1024"),
        (IMAGE_PROCESSOR, "MAX_ATTEMPTS", "three", "a whole number from 1"),
        (IMAGE_PROCESSOR, "IDENTIFY_TIMEOUT", "30", "like 500ms, 30s or 5m"),
        (FACE_RECOG, "FACE_RECOG_PORT", "-1", "a number from 0 (any free one) to 65535"),
        (FACE_RECOG, "MATCH_TOLERANCE", "2.5", "above 0 and at most 2"),
        (FRONTEND, "FRONTEND_PORT", "", "a number from 0 (any free one) to 65535"),
        (RETENTION, "RETENTION", "0", "a number of days from 1"),
        (REDEEMER, "CLAIM_LEASE", "soon", "like 500ms, 30s or 5m"),
        (REDEEMER, "SHUTDOWN_TIMEOUT", "-1s", "like 500ms, 30s or 5m"),
    ];
    for (service, name, value, allowed) in wrong {
        let (_, flag, _) = SETTINGS.iter().find(|(known, _, _)| *known == name).unwrap();
        let by_flag = format!("{flag}={value}");
        for run in [Run::of(service).set(name, value), Run::of(service).flags(&[&by_flag])] {
            let words = run.set("MYSQL_USERPASSWORD", "kube:secret").refused().await;
            for part in [name, &format!("'{value}'"), allowed] {
                assert!(words.contains(part), "{name}={value}: {part} is missing in:\n{words}");
            }
        }
    }
}

#[tokio::test]
async fn a_setting_that_is_empty_is_refused_with_its_name() {
    for (service, name) in [
        (RECEIVER, "MYSQL_CONNECTION"),
        (RECEIVER, "MYSQL_DBNAME"),
        (RECEIVER, "MYSQL_USERPASSWORD"),
        (FACE_RECOG, "KNOWN_PEOPLE"),
        (FACE_RECOG, "UNKNOWN_PEOPLE"),
        (FACE_RECOG, "MODELS"),
    ] {
        let words = Run::of(service).set("MYSQL_USERPASSWORD", "kube:secret").set(name, "").refused().await;
        assert!(words.contains(name) && words.contains("a value is required"), "{words}");
    }
}

#[tokio::test]
async fn a_missing_user_and_password_are_named() {
    for service in WITH_DATABASE {
        let words = Run::of(service).refused().await;
        assert!(words.contains("MYSQL_USERPASSWORD") && words.contains("environment variable"), "{words}");
    }
}

#[tokio::test]
async fn a_service_that_is_asked_whether_it_is_healthy_lets_the_running_one_answer() {
    let (nobody, port) = (Port::reserve().unwrap(), Port::reserve().unwrap());
    for service in ALL.iter().filter(|service| !JOBS.contains(service)) {
        let run = || {
            let run = Run::of(service).set("BIND_HOST", "127.0.0.1").set("OPS_PORT", &port.to_string());
            let run = run.set("MYSQL_USERPASSWORD", "kube:secret").set("MYSQL_CONNECTION", "127.0.0.1");
            let run = run.set("MYSQL_PORT", &nobody.to_string());
            let run = run.set("RECEIVER_PORT", "0").set("FRONTEND_PORT", "0").set("FACE_RECOG_PORT", "0");
            let models = paths::models().display().to_string();
            run.set("MODELS", &models).set("KNOWN_PEOPLE", ".").set("UNKNOWN_PEOPLE", ".")
        };
        let ask = || run().flags(&["--healthy"]).end();
        let (code, words) = ask().await;
        assert!(code == Some(1) && words.contains("does not answer"), "{service}: {words}");

        let running = run();
        let _process = Process::spawn("the service", &running.program, &running.log()).unwrap();
        // All but face-recog wait for a database, in vain.
        let answer = match *service {
            FACE_RECOG => (Some(0), "ready\n"),
            _ => (Some(1), "waiting for the database\n"),
        };
        let deadline = Instant::now() + SOON;
        loop {
            let (code, words) = ask().await;
            if (code, words.as_str()) == answer {
                break;
            }
            assert!(Instant::now() < deadline, "{service}: {code:?}, {words}\n{}", running.printed());
        }
    }
}

#[tokio::test]
async fn settings_that_do_not_fit_together_are_refused_with_a_sentence() {
    for (name, value, sentence) in [
        ("IDENTIFY_TIMEOUT", "2m", "IDENTIFY_TIMEOUT (120s) must be shorter than CLAIM_LEASE (120s)"),
        ("CLAIM_LEASE", "30s", "IDENTIFY_TIMEOUT (30s) must be shorter than CLAIM_LEASE (30s)"),
        (
            "BREAKER_TIMEOUT",
            "6m",
            "BREAKER_TIMEOUT (360s) must not be longer than BREAKER_MAX_TIMEOUT (300s)",
        ),
    ] {
        let run = Run::of(IMAGE_PROCESSOR).set("MYSQL_USERPASSWORD", "kube:secret").set(name, value);
        let words = run.refused().await;
        assert!(words.contains(sentence), "{words}");
    }
}

#[tokio::test]
async fn the_file_dotenv_is_read_and_the_environment_wins() {
    let dotenv = "# development\nMYSQL_USERPASSWORD=kube:secret\nOPS_PORT=wrong-in-the-file\n";
    let words = Run::of(RECEIVER).dotenv(dotenv).refused().await;
    assert!(words.contains("'wrong-in-the-file'"), "{words}");

    let words = Run::of(RECEIVER).dotenv(dotenv).set("OPS_PORT", "wrong-outside").refused().await;
    assert!(words.contains("'wrong-outside'"), "{words}");

    let flag = ["--ops-port=wrong-by-hand"];
    let words =
        Run::of(RECEIVER).dotenv(dotenv).set("OPS_PORT", "wrong-outside").flags(&flag).refused().await;
    assert!(words.contains("'wrong-by-hand'"), "{words}");
}

#[tokio::test]
async fn a_line_of_dotenv_that_cannot_be_read_is_refused_and_not_shown() {
    let words = Run::of(RECEIVER).dotenv("MYSQL_USERPASSWORD='kube:s3cret\n").refused().await;
    assert!(
        words.contains(".env") && words.contains("single quotes") && !words.contains("s3cret"),
        "{words}"
    );
}

#[tokio::test]
async fn a_password_with_every_awkward_character_works_from_dotenv_and_from_the_environment() {
    let database = Database::fresh().await.unwrap();
    let mut server = database.options().connect().await.unwrap();
    let password = r#"a=b:c@d#e%f "g" $h \i `j` é"#;
    let user = format!("u{}", database.name.trim_start_matches("test_"));
    // Neither holds a single quote; MySQL reads a backslash in text as the start of an escape.
    let escaped = password.replace('\\', r"\\");
    let create = format!(
        "CREATE USER '{user}'@'%' IDENTIFIED BY '{escaped}'; GRANT ALL PRIVILEGES ON {}.* TO '{user}'@'%'",
        database.name
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut server).await.unwrap();

    // A redeemer with nothing to redeem needs the database alone, and ends well only if it got in.
    let redeemer = || {
        let run = Run::of(REDEEMER).set("MYSQL_CONNECTION", &database.host);
        run.set("MYSQL_PORT", &database.port.to_string()).set("MYSQL_DBNAME", &database.name)
    };
    let from_file = redeemer().dotenv(&format!("MYSQL_USERPASSWORD='{user}:{password}'\n"));
    let from_environment = redeemer().set("MYSQL_USERPASSWORD", &format!("{user}:{password}"));
    for run in [from_file, from_environment] {
        let (code, printed) = run.end().await;
        assert_eq!(code, Some(0), "{printed}");
        assert!(printed.contains("redeemed 0 failed and 0 abandoned images"), "{printed}");
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP USER '{user}'@'%'"))).execute(&mut server).await.unwrap();
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_token_that_stands_where_its_hash_should_is_refused_and_not_shown() {
    let run = Run::of(RECEIVER).set("MYSQL_USERPASSWORD", "kube:secret");
    let words = run.set("AUTH_TOKENS", "ada:editor:s3cret").refused().await;
    assert!(words.contains("AUTH_TOKENS") && words.contains("sha256sum"), "{words}");
    assert!(!words.contains("s3cret"), "{words}");
}

#[tokio::test]
async fn a_file_of_tokens_that_is_missing_or_wrong_is_named_and_not_shown() {
    for (service, port) in [(RECEIVER, "--receiver-port=0"), (FRONTEND, "--frontend-port=0")] {
        let run = || {
            let run = Run::of(service).set("MYSQL_USERPASSWORD", "kube:secret").set("AUTH_TOKENS", "@tokens");
            run.set("BIND_HOST", "127.0.0.1").flags(&["--ops-port=0", port])
        };
        let (code, words) = run().end().await;
        assert_eq!(code, Some(1), "{words}");
        assert!(words.contains("AUTH_TOKENS") && words.contains("the file tokens cannot be read"), "{words}");
        let run = run();
        fs::write(run.folder.path().join("tokens"), "ada:editor:s3cret").unwrap();
        let (code, words) = run.end().await;
        assert_eq!(code, Some(1), "{words}");
        assert!(words.contains("the file tokens is wrong: entry 1 (ada) needs the SHA-256"), "{words}");
        assert!(!words.contains("s3cret"), "{words}");
    }
}

#[tokio::test]
async fn a_password_is_never_printed() {
    let nobody = Port::reserve().unwrap();
    for service in WITH_DATABASE {
        let run = || Run::of(service).set("MYSQL_USERPASSWORD", "kube:s3cret");
        let (code, usage) = run().flags(&["--help"]).end().await;
        assert_eq!(code, Some(0));
        let refusal = run().set("BIND_HOST", "wrong").refused().await;
        let log = run()
            .set("RUST_LOG", "trace")
            .set("BIND_HOST", "127.0.0.1")
            .flags(if JOBS.contains(service) { &[] } else { &["--ops-port=0"] })
            .flags(match *service {
                RECEIVER => &["--receiver-port=0"],
                FRONTEND => &["--frontend-port=0"],
                RETENTION => &["--retention=1"],
                _ => &[],
            })
            .set("MYSQL_CONNECTION", "127.0.0.1")
            .set("MYSQL_PORT", &nobody.to_string())
            .until("waiting for the database")
            .await;
        for words in [usage, refusal, log] {
            assert!(!words.contains("s3cret"), "{words}");
        }
    }
}

/// The settings of .env.example: lines that are no comments.
fn example() -> (String, BTreeMap<String, String>) {
    let text = fs::read_to_string(paths::workspace().join(".env.example")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let settings = lines.map(|line| line.split_once('=').unwrap());
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    (text, settings)
}

#[test]
fn the_example_of_dotenv_holds_every_setting_once() {
    let (text, settings) = example();
    let names: BTreeSet<_> = settings.keys().map(String::as_str).collect();
    assert_eq!(names, SETTINGS.iter().map(|(name, _, _)| *name).collect());
    for name in names {
        let count = text.lines().filter(|line| line.starts_with(&format!("{name}="))).count();
        assert_eq!(count, 1, "{name}");
    }
    assert_eq!(settings["MYSQL_PORT"], "3306", "the test below sets another");
}

#[tokio::test]
async fn every_service_starts_with_the_example_of_dotenv() {
    let (text, _) = example();
    let nobody = Port::reserve().unwrap();
    for service in ALL {
        // Whoever runs this test may have a database of their own at the usual port: it is left alone.
        let run = Run::of(service).dotenv(&text).set("MYSQL_PORT", &nobody.to_string());
        run.until(&format!("{service} starts")).await;
    }
}
