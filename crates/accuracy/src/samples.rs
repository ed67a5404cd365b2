//! The photographs of `make setup`, and pictures composed of them.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use common::quality::{MIN_COMPARED_HEIGHT, MIN_REFERENCE_HEIGHT, SMALL_FACE_MARGIN};
use devstack::paths;
use face_recog::{
    engine::{Embedding, Face, FaceEngine},
    picture,
};
use image::{RgbImage, imageops};

use crate::compose::{Change, Cutout, background, saved};

/// Photographs with one face that looks at the camera: the first of each person is the reference.
const FACES: [(&str, &str); 5] = [
    ("obama.jpg", "Obama"),
    ("obama2.jpg", "Obama"),
    ("obama3.jpg", "Obama"),
    ("biden.jpg", "Biden"),
    ("astronaut.png", "Collins"),
];

/// Photographs without a face.
const NO_FACES: [&str; 5] = ["brick.png", "chelsea.png", "coffee.png", "grass.png", "text.png"];

const HEIGHTS: [u32; 10] = [16, 20, 24, 28, 32, 40, 48, 64, 96, 160];

const CHANGES: [(&str, Change); 7] = [
    ("as photographed", Change::None),
    ("tilted by 15°", Change::Tilted(15.0)),
    ("tilted by 30°", Change::Tilted(30.0)),
    ("a quarter of the light", Change::Dim),
    ("blurred", Change::Blurred(0.05)),
    ("JPEG of quality 50", Change::Jpeg(50)),
    ("JPEG of quality 20", Change::Jpeg(20)),
];

/// A face whose person is known.
struct Reference {
    person: &'static str,
    embedding: Embedding,
}

/// What became of the faces of one height.
#[derive(Clone, Copy, Default)]
struct Tally {
    found: usize,
    faces: usize,
    /// Faces on photographs other than the reference.
    others: usize,
    named: usize,
    wrong: usize,
}

/// Prints what is found by height, what is found where no face is, and which names are right.
pub fn report(engine: &mut FaceEngine, tolerance: f64, keep: Option<&Path>) -> Result<()> {
    let mut cutouts = Vec::new();
    let mut references: Vec<Reference> = Vec::new();
    println!("\nThe photographs as they are");
    for (name, person) in FACES {
        let photograph = photograph(name)?;
        let (_, face) = engine.largest_face(&photograph);
        let face = face.with_context(|| format!("no face is found on {name}"))?;
        let embedding = *face.embedding().with_context(|| format!("the face on {name} is too small"))?;
        let nearest = nearest(&embedding, &references)
            .map(|(person, distance)| format!(", nearest {person} at {distance:.3}"))
            .unwrap_or_default();
        println!(
            "  {name:22} {person:8} score {:.2}, {} pixels high{nearest}",
            face.score.unwrap_or_default(),
            face.place.height
        );
        let is_reference = references.iter().all(|reference| reference.person != person);
        if is_reference {
            references.push(Reference { person, embedding });
        }
        cutouts.push((person, is_reference, Cutout::new(&photograph, face.place)));
    }
    println!("\nFaces found where none is");
    for name in NO_FACES {
        let photograph = photograph(name)?;
        let half = imageops::thumbnail(&photograph, photograph.width() / 2, photograph.height() / 2);
        let found = engine.faces(&photograph, |_| {}).len();
        println!("  {name:22} {found}, at half the size {}", engine.faces(&half, |_| {}).len());
    }

    println!("\nFaces found, of {} of each height in pixels", FACES.len());
    print!("  {:24}", "");
    HEIGHTS.iter().for_each(|height| print!("{height:>6}"));
    println!();
    let mut tallies = [Tally::default(); HEIGHTS.len()];
    for (words, change) in CHANGES {
        print!("  {words:24}");
        for (height, tally) in HEIGHTS.into_iter().zip(&mut tallies) {
            let (row, middles) = row(&cutouts, height, change)?;
            if let Some(folder) = keep {
                let name = format!("{words} {height}.png").replace(' ', "-");
                row.save(folder.join(&name)).with_context(|| format!("cannot write {name}"))?;
            }
            let faces = engine.faces(&row, |_| {});
            let found = judge(&faces, &middles, &cutouts, &references, tolerance, tally);
            print!("{found:>6}");
        }
        println!();
    }

    println!("\nNames by height, all of these together (references as photographed, tolerance {tolerance})");
    println!("  height  found  named on another photograph  named as somebody else");
    for (height, tally) in HEIGHTS.iter().zip(tallies) {
        let Tally { found, faces, others, named, wrong } = tally;
        let note = if *height < MIN_COMPARED_HEIGHT.unsigned_abs() { "not compared" } else { "" };
        println!("  {height:>6}  {found:>2} of {faces}  {named:>2} of {others:<22}  {wrong:<6} {note}");
    }
    Ok(())
}

fn photograph(name: &str) -> Result<RgbImage> {
    let path = paths::photographs().join(name);
    let bytes =
        fs::read(&path).with_context(|| format!("{} is missing: run `make setup`", path.display()))?;
    Ok(picture::decode(&bytes).with_context(|| format!("{name} cannot be read"))?.pixels)
}

/// All faces at one height side by side on grass, and where the middle of each is.
fn row(cutouts: &[(&str, bool, Cutout)], height: u32, change: Change) -> Result<(RgbImage, Vec<(f32, f32)>)> {
    let faces: Vec<_> = cutouts.iter().map(|(_, _, cutout)| cutout.of_height(height, change)).collect();
    let width = faces.iter().map(|(face, _)| face.width() + height).sum::<u32>().max(1_000);
    let tall = faces.iter().map(|(face, _)| face.height()).max().unwrap_or_default() + 2 * height;
    let mut row = background(&photograph("grass.png")?, width, tall.max(600));
    let mut middles = Vec::new();
    let mut left = height / 2;
    for (face, (x, y)) in &faces {
        imageops::replace(&mut row, face, left.into(), height.into());
        middles.push((left as f32 + x, height as f32 + y));
        left += face.width() + height;
    }
    Ok((saved(row, change)?, middles))
}

/// How many of the faces were found; who they look like goes into the tally.
fn judge(
    faces: &[Face],
    middles: &[(f32, f32)],
    cutouts: &[(&str, bool, Cutout)],
    references: &[Reference],
    tolerance: f64,
    tally: &mut Tally,
) -> usize {
    let mut found = 0;
    for (&(x, y), (person, is_reference, _)) in middles.iter().zip(cutouts) {
        tally.faces += 1;
        tally.others += usize::from(!is_reference);
        let covers = |face: &&Face| {
            let place = &face.place;
            let inside =
                |at: f32, start: i64, length: u32| at > start as f32 && at < start as f32 + length as f32;
            inside(x, place.left, place.width) && inside(y, place.top, place.height)
        };
        let Some(face) = faces.iter().find(covers) else { continue };
        found += 1;
        let Some((named, distance)) = face.embedding().and_then(|it| nearest(it, references)) else {
            continue;
        };
        let small = face.place.height < MIN_REFERENCE_HEIGHT.unsigned_abs();
        if distance <= tolerance - if small { SMALL_FACE_MARGIN } else { 0.0 } {
            tally.named += usize::from(named == *person && !is_reference);
            tally.wrong += usize::from(named != *person);
        }
    }
    tally.found += found;
    found
}

fn nearest(embedding: &Embedding, references: &[Reference]) -> Option<(&'static str, f64)> {
    let distances = references
        .iter()
        .map(|reference| (reference.person, crate::people::distance(embedding, &reference.embedding)));
    distances.min_by(|one, other| one.1.total_cmp(&other.1))
}
