//! `make demo`: real photographs travel through the real stack, and the table shows who is on them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use devstack::{Database, DatabaseServer, PrivateFolder, Stack, crowd, http_client, paths};
use serde::Deserialize;
use sqlx::{ConnectOptions, Connection};
use tokio::signal::unix::{SignalKind, signal};

/// Longer than recognition takes on the slowest machine; a failed picture is tried three times.
const RECOGNISED_WITHIN: Duration = Duration::from_secs(120);

/// Who is known, and by which photograph.
const KNOWN: [(&str, &str); 2] = [("Barack Obama", "obama.jpg"), ("Joe Biden", "biden.jpg")];

/// A picture that is posted, and what must come of it.
struct Picture {
    name: &'static str,
    shows: &'static str,
    expected: Expected,
}

/// The row that a picture must end as.
#[derive(Clone, Copy)]
enum Expected {
    Named(&'static str),
    /// Processed, nobody named, for a reason with these words.
    Unknown(&'static str),
    /// Failed, for a reason with these words.
    Failed(&'static str),
}

const PICTURES: [Picture; 12] = {
    use Expected::{Failed, Named, Unknown};
    const fn picture(name: &'static str, shows: &'static str, expected: Expected) -> Picture {
        Picture { name, shows, expected }
    }
    [
        picture("obama2.jpg", "a known person, years earlier", Named("Barack Obama")),
        picture("obama3.jpg", "the same, far away", Named("Barack Obama")),
        picture("obama_partial_face.jpg", "half a face", Named("Barack Obama")),
        picture("obama_partial_face2.jpg", "the other half", Named("Barack Obama")),
        picture("32bit.png", "a PNG with transparency", Named("Barack Obama")),
        picture(CROWD, "a crowd of 24, near and far", Named("Joe Biden")),
        picture("astronaut.png", "a stranger", Unknown("nobody known")),
        picture("camera.png", "a face in profile", Unknown("nobody known")),
        picture("chelsea.png", "a cat", Unknown("no face")),
        picture("coffee.png", "a cup", Unknown("no face")),
        picture(NO_PICTURE, "a text that calls itself a picture", Failed("")),
        picture("missing.jpg", "a file that is not there", Failed("")),
    ]
};

const CROWD: &str = "crowd.png";
const NO_PICTURE: &str = "notes.jpg";

/// Shows real photographs being recognised, from the first request to the table.
#[derive(Parser)]
struct Arguments {
    /// Keep everything running until Ctrl-C, also without a terminal
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = tokio::select! {
        result = demo(arguments.keep || std::io::stdout().is_terminal()) => result,
        () = asked_to_stop() => {
            println!("\nstopped");
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn demo(keep: bool) -> Result<()> {
    let folder = PrivateFolder::new()?;
    say(
        "starting MariaDB, nsqlookupd, nsqd, receiver, image-processor, face-recog and frontend on this machine",
    );
    let began = Instant::now();
    let server = DatabaseServer::mariadb(folder.path()).await?;
    let database = server.database().await?;
    let uploads = folder.path().join("unknown_people/uploads");
    fs::create_dir_all(&uploads).context("cannot make the folder of uploads")?;
    let mut settings = database.environment();
    settings.push(("UPLOADS".to_owned(), uploads.display().to_string()));
    let stack = Stack::start(folder.path(), settings, true).await?;
    println!(
        "    all ready after {:.1} s, with their logs in {}",
        began.elapsed().as_secs_f64(),
        folder.path().display()
    );

    say("introducing the people who are known, one photograph each");
    introduce(&stack, &database).await?;
    say("posting pictures of unknown people");
    lay_out_pictures(&stack.unknown_people())?;
    post(&stack).await?;
    say("recognising");
    let rows = recognised(&stack).await?;
    show(&rows);
    check(&rows)?;

    println!("\nEvery picture ended as it should. The same in the browser: {}/gallery", stack.frontend_url());
    if keep {
        println!(
            "Put pictures into {} and post their names, as above. Ctrl-C stops everything.",
            stack.unknown_people().display()
        );
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Puts the known people's photographs into the folder, which face-recog watches, and their names into the database.
async fn introduce(stack: &Stack, database: &Database) -> Result<()> {
    let mut connection = database.options().connect().await?;
    for (person, photograph) in KNOWN {
        let id = sqlx::query("INSERT INTO person (name) VALUES (?)")
            .bind(person)
            .execute(&mut connection)
            .await?
            .last_insert_id();
        sqlx::query("INSERT INTO person_images (image_name, person_id) VALUES (?, ?)")
            .bind(photograph)
            .bind(id)
            .execute(&mut connection)
            .await?;
        copy(&paths::photographs().join(photograph), &stack.known_people().join(photograph))?;
        println!("    {person:<14} {photograph}");
    }
    connection.close().await?;
    wait_until_known(stack, KNOWN.len()).await
}

/// Waits until face-recog has embedded the known people: its metrics count them.
async fn wait_until_known(stack: &Stack, people: usize) -> Result<()> {
    let metrics = format!("http://{}/metrics", stack.face_recog.ops_address());
    let wanted = format!("facerecog_known_people {people}");
    let began = Instant::now();
    while began.elapsed() < RECOGNISED_WITHIN {
        if http()?.get(&metrics).send().await?.text().await?.lines().any(|line| line == wanted) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!(
        "face-recog did not take up the known people; its log is {}",
        stack.face_recog.server.log().display()
    )
}

fn lay_out_pictures(folder: &Path) -> Result<()> {
    for picture in &PICTURES {
        let photograph = paths::photographs().join(picture.name);
        if photograph.exists() {
            copy(&photograph, &folder.join(picture.name))?;
        }
    }
    crowd()?.save(folder.join(CROWD)).context("cannot write the picture of a crowd")?;
    fs::write(folder.join(NO_PICTURE), "Dear diary, this is no picture.\n").context("cannot write a file")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {}: run `make setup` first", from.display()))?;
    Ok(())
}

/// The two requests of the original: one picture, and many.
async fn post(stack: &Stack) -> Result<()> {
    let path = |picture: &Picture| format!("/unknown_people/{}", picture.name);
    let (first, others) = PICTURES.split_first().context("there are no pictures")?;
    let one = serde_json::json!({ "path": path(first) });
    let paths: Vec<_> = others.iter().map(|picture| serde_json::json!({ "path": path(picture) })).collect();
    for (route, body) in [("/image/post", one), ("/images/post", serde_json::json!({ "paths": paths }))] {
        let url = format!("{}{route}", stack.receiver_url());
        println!("    $ curl -d '{body}' {url}");
        let answer = http()?.post(&url).body(body.to_string()).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        for line in text.lines() {
            println!("    {line}");
        }
        if status != reqwest::StatusCode::OK {
            bail!("the receiver answered {status}");
        }
    }
    Ok(())
}

/// A line of the table, as the frontend gives it to programs.
#[derive(Deserialize)]
struct Row {
    id: u64,
    path: String,
    person: Option<Person>,
    status: String,
    distance: Option<f64>,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Person {
    name: String,
}

#[derive(Deserialize)]
struct Table {
    images: Vec<Row>,
}

impl Row {
    fn name(&self) -> &str {
        self.path.trim_start_matches("/unknown_people/")
    }

    fn settled(&self) -> bool {
        matches!(self.status.as_str(), "Processed" | "Failed")
    }
}

/// Follows the table until every picture is recognised or has failed for good.
async fn recognised(stack: &Stack) -> Result<Vec<Row>> {
    let terminal = std::io::stdout().is_terminal();
    let began = Instant::now();
    let mut shown = usize::MAX;
    loop {
        let request = http()?.get(stack.frontend_url()).header("accept", "application/json");
        let table: Table = serde_json::from_slice(&request.send().await?.error_for_status()?.bytes().await?)?;
        let settled = table.images.iter().filter(|row| row.settled()).count();
        if settled != shown {
            let progress = format!(
                "    {settled:>2} of {} after {:.1} s",
                PICTURES.len(),
                began.elapsed().as_secs_f64()
            );
            if terminal {
                print!("\r{progress}");
                std::io::stdout().flush()?;
            } else {
                println!("{progress}");
            }
            shown = settled;
        }
        if settled == PICTURES.len() {
            println!();
            return Ok(table.images);
        }
        if began.elapsed() > RECOGNISED_WITHIN {
            bail!(
                "not all pictures were recognised in time; the logs are beside {}",
                stack.unknown_people().display()
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn show(rows: &[Row]) {
    let shows: BTreeMap<_, _> = PICTURES.iter().map(|picture| (picture.name, picture.shows)).collect();
    println!(
        "{:>3}  {:<24} {:<35} {:<13} {:>8}  {:<10} Reason",
        "ID", "Picture", "Shows", "Person", "Distance", "Status"
    );
    for row in rows.iter().rev() {
        let person = row
            .person
            .as_ref()
            .map_or(if row.status == "Processed" { "Unknown" } else { "-" }, |person| &person.name);
        let distance = row.distance.map_or_else(|| "-".to_owned(), |distance| format!("{distance:.2}"));
        println!(
            "{:>3}  {:<24} {:<35} {person:<13} {distance:>8}  {:<10} {}",
            row.id,
            row.name(),
            shows.get(row.name()).unwrap_or(&""),
            row.status,
            row.reason.as_deref().unwrap_or_default(),
        );
    }
}

fn check(rows: &[Row]) -> Result<()> {
    let wrong: Vec<_> = PICTURES
        .iter()
        .filter(|picture| {
            !rows.iter().any(|row| {
                let person = row.person.as_ref().map(|person| person.name.as_str());
                let reason = row.reason.as_deref().unwrap_or_default();
                row.name() == picture.name
                    && match picture.expected {
                        Expected::Named(name) => row.status == "Processed" && person == Some(name),
                        Expected::Unknown(why) => {
                            row.status == "Processed" && person.is_none() && reason.contains(why)
                        }
                        Expected::Failed(why) => {
                            row.status == "Failed" && person.is_none() && reason.contains(why)
                        }
                    }
            })
        })
        .map(|picture| picture.name)
        .collect();
    if wrong.is_empty() { Ok(()) } else { bail!("not as expected: {}", wrong.join(", ")) }
}

fn http() -> Result<reqwest::Client> {
    Ok(http_client().timeout(Duration::from_secs(30)).build()?)
}

fn say(what: &str) {
    println!("\n==> {what}");
}

async fn asked_to_stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
