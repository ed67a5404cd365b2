//! A folder of the user's own: `person/*.jpg`, judged pair by pair.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use face_recog::{
    engine::{Embedding, FaceEngine},
    picture,
};

use crate::statistics::{share, tolerance_for};

/// Pairs that are listed as the worst.
const WORST: usize = 10;

/// A picture of somebody.
struct Portrait {
    path: PathBuf,
    person: usize,
    embedding: Embedding,
}

/// Two pictures, and how far apart their faces are.
struct Pair<'p> {
    one: &'p Path,
    other: &'p Path,
    distance: f64,
}

/// Prints how many pairs are judged rightly, and which tolerance suits these people.
pub fn report(engine: &mut FaceEngine, folder: &Path, tolerance: f64) -> Result<()> {
    let portraits = portraits(engine, folder)?;
    let people = portraits.iter().map(|portrait| portrait.person).max().map_or(0, |last| last + 1);
    let (mut same, mut others) = (Vec::new(), Vec::new());
    for (number, one) in portraits.iter().enumerate() {
        for other in &portraits[number + 1..] {
            let distance = distance(&one.embedding, &other.embedding);
            let pair = Pair { one: &one.path, other: &other.path, distance };
            if one.person == other.person { same.push(pair) } else { others.push(pair) }
        }
    }
    ensure!(
        !same.is_empty() && !others.is_empty(),
        "{} needs two people at least, and two pictures of one of them: one folder for each person",
        folder.display()
    );
    same.sort_by(|one, other| other.distance.total_cmp(&one.distance));
    others.sort_by(|one, other| one.distance.total_cmp(&other.distance));
    let distances: Vec<f64> = others.iter().map(|pair| pair.distance).collect();
    let matches = |tolerance: f64| same.iter().filter(|pair| pair.distance <= tolerance).count();
    let false_matches = |tolerance: f64| distances.partition_point(|distance| *distance <= tolerance);

    println!(
        "\n{} pictures of {people} people: {} pairs of one person, {} of two",
        portraits.len(),
        same.len(),
        others.len()
    );
    println!("\nAt the tolerance {tolerance}");
    let right = matches(tolerance) + others.len() - false_matches(tolerance);
    println!("  pairs judged rightly   {}", share(right, same.len() + others.len()));
    println!("  same person matched    {}", share(matches(tolerance), same.len()));
    println!("  others matched         {}", share(false_matches(tolerance), others.len()));
    for allowed in [0.01, 0.001] {
        println!("\nWhere {} % of the others may match", 100.0 * allowed);
        if (others.len() as f64) < 1.0 / allowed {
            println!("  {} pairs of two people are too few to tell", others.len());
            continue;
        }
        if let Some(tolerance) = tolerance_for(&distances, allowed) {
            println!("  tolerance              {tolerance:.3}");
            println!("  same person matched    {}", share(matches(tolerance), same.len()));
        }
    }
    suggest(&same, &distances);

    println!("\nThe worst pairs of one person: look whether they are labelled rightly");
    list(&same);
    println!("\nThe worst pairs of two");
    list(&others);
    Ok(())
}

/// The tolerance with the fewest wrong pairs; of several, the middle.
fn suggest(same: &[Pair], others: &[f64]) {
    let wrong = |tolerance: f64| {
        same.iter().filter(|pair| pair.distance > tolerance).count()
            + others.partition_point(|distance| *distance <= tolerance)
    };
    let steps: Vec<f64> = (30..=80).map(|step| f64::from(step) / 100.0).collect();
    let Some(least) = steps.iter().map(|&step| wrong(step)).min() else { return };
    let best: Vec<f64> = steps.into_iter().filter(|&step| wrong(step) == least).collect();
    let middle = best[best.len() / 2];
    println!("\nMATCH_TOLERANCE={middle} judges the most of these pairs rightly ({least} wrong)");
}

fn list(pairs: &[Pair]) {
    for pair in pairs.iter().take(WORST) {
        println!("  {:.3}  {}  {}", pair.distance, pair.one.display(), pair.other.display());
    }
}

/// The largest face of each picture.
fn portraits(engine: &mut FaceEngine, folder: &Path) -> Result<Vec<Portrait>> {
    let mut portraits = Vec::new();
    for (person, home) in entries(folder)?.into_iter().filter(|path| path.is_dir()).enumerate() {
        for path in entries(&home)?.into_iter().filter(|path| path.is_file()) {
            let face = fs::read(&path)
                .map_err(anyhow::Error::from)
                .and_then(|bytes| Ok(picture::decode(&bytes)?))
                .map(|picture| engine.largest_face(&picture.pixels).1);
            match face {
                Ok(Some(face)) => match face.embedding() {
                    Some(&embedding) => portraits.push(Portrait { path, person, embedding }),
                    None => println!("left out, its face is too small: {}", path.display()),
                },
                Ok(None) => println!("left out, no face is found: {}", path.display()),
                Err(error) => println!("left out, {error}: {}", path.display()),
            }
        }
    }
    Ok(portraits)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// The Euclidean distance of two embeddings.
pub fn distance(one: &Embedding, other: &Embedding) -> f64 {
    one.iter().zip(other).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
}
