//! How fast many people are imported from a folder of labelled pictures, and how much memory the receiver takes for it.
//!
//! face-recog is a fake here, which sees one good face on each picture at once: the receiver and the database do all of the work.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use devstack::{FakeFaceRecog, Port, Reply};
use rpc::Face;
use serde_json::Value;

use crate::{
    footprint::most_memory,
    report::{Report, Unit},
    world::World,
};

const PEOPLE: usize = 10_000;
const PICTURES: usize = 3;

/// How often the import is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// What the receiver may take, however many people there are.
const MEMORY: f64 = 64e6;

/// Pictures a second of one face-recog with two processors.
const PACE: f64 = 40.0;

pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let world = World::start().await?;
    let face_recog = FakeFaceRecog::today(|_| Reply::name("")).await;
    face_recog.tell_faces("yunet", |_| vec![good_face()]);
    let at = |name: &str| world.folder.path().join(name);
    fs::create_dir(at("known_people"))?;
    for person in 0..PEOPLE {
        let folder = at("unknown_people").join(format!("team/Person {person}"));
        fs::create_dir_all(&folder)?;
        for picture in 0..PICTURES {
            // No picture is like another.
            fs::write(folder.join(format!("{picture}.jpg")), format!("{person} {picture}"))?;
        }
    }
    let port = Port::reserve()?;
    let settings = [
        ("RECEIVER_PORT", port.to_string()),
        ("GRPC_ADDRESS", face_recog.address()),
        ("KNOWN_PEOPLE", at("known_people").display().to_string()),
        ("UNKNOWN_PEOPLE", at("unknown_people").display().to_string()),
    ];
    let receiver = world.service("receiver", &settings).await?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let begun = Instant::now();
    let body = serde_json::json!({ "folder": "team" });
    let run = client.post(format!("http://127.0.0.1:{port}/people/import")).json(&body).send().await?;
    let run = run.json::<Value>().await?["id"].as_u64().context("the import does not begin")?;
    let ended = loop {
        let asked = client.get(format!("http://127.0.0.1:{port}/people/import/{run}")).send().await?;
        let told: Value = asked.json().await?;
        if told["state"] != "Running" {
            break told;
        }
        tokio::time::sleep(ASK_EVERY).await;
    };
    ensure!(ended["enrolled"] == PEOPLE * PICTURES, "not all were enrolled: {ended}");
    let pace = (PEOPLE * PICTURES) as f64 / begun.elapsed().as_secs_f64();
    report.add("pictures of people imported", Unit::Rate, pace, "what one face-recog looks at", PACE);
    let memory = most_memory(receiver.server.pid())?;
    let what = format!("memory of the receiver, {PEOPLE} people imported");
    report.add(&what, Unit::Bytes, memory, "the most that it may take", MEMORY);
    Ok(())
}

fn good_face() -> Face {
    let embedding = common::embedding::write(&[0.5; 128]);
    Face { width: 100, height: 100, sharpness: 120.0, score: Some(0.9), embedding, ..Face::default() }
}
