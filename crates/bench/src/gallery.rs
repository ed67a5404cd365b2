//! The search among known faces, and how soon they are known again after a restart.

use std::{collections::HashSet, fs, hint::black_box, io::Cursor, path::Path, time::Instant};

use devstack::{Port, paths};
use face_recog::{
    engine::{DIMENSIONS, Embedding, Models},
    gallery::{Gallery, Known, cache::Cache, listing},
};
use image::ImageFormat;

use crate::{
    footprint,
    plot::Plot,
    report::{Report, Unit, in_turn, median},
    world::World,
};

const ROUNDS: usize = 50;

/// Restarts take longer than searches.
const RESTARTS: usize = 5;

pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    searches(report)?;
    restarts(report).await
}

/// Makes the folders `known_people` and `embeddings` in `folder`: as many different pictures, with embeddings that are
/// made up, as if face-recog had looked at all of them. Returns the settings that lead face-recog there.
pub(crate) fn fill(folder: &Path, people: usize) -> anyhow::Result<Vec<(&'static str, String)>> {
    let (known, embeddings) = (folder.join("known_people"), folder.join("embeddings"));
    fs::create_dir_all(&known)?;
    fs::create_dir_all(&embeddings)?;
    let mut small = Cursor::new(Vec::new());
    let photograph = image::open(paths::photographs().join("obama.jpg"))?;
    photograph.thumbnail(200, 200).write_to(&mut small, ImageFormat::Jpeg)?;
    for number in 0..people {
        // What follows the end of a JPEG is ignored, but it makes the content another.
        let bytes = [&small.get_ref()[..], number.to_string().as_bytes()].concat();
        fs::write(known.join(format!("{number}.jpg")), bytes)?;
    }
    let mut faces = Vec::new();
    let mut used = Vec::new();
    for (name, stamp) in listing::list(&known)? {
        let mut content = [0; 32]; // any that no other has
        content[..8].copy_from_slice(&used.len().to_le_bytes());
        faces.push((name.to_string_lossy().into_owned(), Known { content, embedding: embedding() }));
        used.push((name, stamp, content));
    }
    let model = Models::load(&paths::models())?.id();
    Cache::new(&embeddings, model).save(&used, &HashSet::new(), &Gallery::new(faces))?;
    Ok(vec![
        ("KNOWN_PEOPLE", known.display().to_string()),
        ("EMBEDDINGS_CACHE", embeddings.display().to_string()),
        ("MODELS", paths::models().display().to_string()),
    ])
}

async fn restarts(report: &mut Report) -> anyhow::Result<()> {
    let world = World::start().await?;
    let [many, nobody] = ["many", "nobody"].map(|name| world.folder.path().join(name));
    let (many, nobody) = (fill(&many, 10_000)?, fill(&nobody, 0)?);
    let start = async |settings: &[(&'static str, String)]| {
        let port = Port::reserve()?;
        let settings = [&[("FACE_RECOG_PORT", port.to_string())], settings].concat();
        let begun = Instant::now();
        let _face_recog = world.service("face-recog", &settings).await?;
        Ok(begun.elapsed().as_secs_f64())
    };
    let (ours, limit) = in_turn(RESTARTS, async || start(&many).await, async || start(&nobody).await).await?;
    report.add(
        "ready with 10,000 known people kept on disk",
        Unit::Time,
        ours,
        "ready with nobody known",
        limit,
    );
    Ok(())
}

fn searches(report: &mut Report) -> anyhow::Result<()> {
    let (mut searched, mut added) = (Vec::new(), Vec::new());
    for (people, words) in
        [(1000, "1,000"), (10_000, "10,000"), (30_000, "30,000"), (100_000, "100,000"), (300_000, "300,000")]
    {
        let before = footprint::memory()?;
        let gallery = Gallery::new((0..people).map(|n| (format!("{n}.jpg"), somebody())));
        let memory = footprint::memory()? - before;
        let face = [embedding()];
        let search = median_of(|| drop(black_box(gallery.nearest(black_box(&face)))));
        // What the search cannot do without: reading every number once.
        let numbers: Vec<f32> = vec![1.0; people as usize * DIMENSIONS];
        let limit = median_of(|| {
            let mut sums = [0.0_f32; 16];
            for chunk in black_box(&numbers).chunks_exact(16) {
                sums.iter_mut().zip(chunk).for_each(|(sum, number)| *sum += number);
            }
            black_box(sums);
        });
        searched.push([f64::from(people), search * 1e3]);
        added.push([f64::from(people), limit * 1e3]);
        report.add(
            &format!("search among {words} known faces"),
            Unit::Time,
            search,
            "adding their numbers up",
            limit,
        );
        if people == 100_000 {
            let bytes = f64::from(people) * size_of::<Embedding>() as f64;
            report.add("memory of 100,000 known faces", Unit::Bytes, memory, "their numbers", bytes);
            changed(report, &gallery, &numbers);
        }
    }
    report.plot(Plot {
        name: "known-people",
        axes: ["known faces", "milliseconds for one search"],
        lines: vec![("search", searched), ("adding their numbers up", added)],
    });
    Ok(())
}

/// Pictures may have the same content.
fn somebody() -> Known {
    Known { content: [0; 32], embedding: embedding() }
}

/// A new gallery with one face more, made while the old one serves.
fn changed(report: &mut Report, gallery: &Gallery, numbers: &[f32]) {
    let change = || vec![("new.jpg".to_owned(), Some(somebody()))];
    let ours = median_of(|| drop(black_box(gallery.with(change()))));
    let copying = median_of(|| drop(black_box(black_box(numbers).to_vec())));
    let what = "one more than 100,000 known, beside the service";
    report.add(what, Unit::Time, ours, "copying their numbers", copying);
}

fn embedding() -> Embedding {
    std::array::from_fn(|_| rand::random_range(-0.2..0.2))
}

fn median_of(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed().as_secs_f64()
        })
        .collect();
    median(&mut times)
}
