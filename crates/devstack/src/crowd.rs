//! A picture of many people, composed of the sample photographs: as many faces as a group photograph has, near and far.

use anyhow::{Context, Result};
use image::{RgbImage, imageops};

use crate::paths;

/// Where the heads are on the photographs: left, top, width and height in pixels.
const HEADS: [(&str, [u32; 4]); 5] = [
    ("obama.jpg", [300, 0, 400, 480]),
    ("astronaut.png", [150, 0, 170, 204]),
    ("biden.jpg", [320, 40, 500, 600]),
    ("obama3.jpg", [560, 180, 430, 516]),
    ("obama2.jpg", [130, 110, 440, 528]),
];

/// Rows from the back to the front: how many people, and how high their heads are drawn, in pixels.
const ROWS: [(u32, u32); 4] = [(9, 48), (7, 90), (5, 160), (3, 260)];

/// How many people are on it.
pub const PEOPLE: usize = {
    let (mut people, mut row) = (0, 0);
    while row < ROWS.len() {
        people += ROWS[row].0 as usize;
        row += 1;
    }
    people
};

const WIDTH: u32 = 1_200;

/// Space above each row, in pixels.
const GAP: u32 = 24;

/// The picture: faces from about 30 pixels high at the back to 160 in front, of three people.
///
/// # Errors
///
/// When the photographs are missing.
pub fn crowd() -> Result<RgbImage> {
    let heads = HEADS
        .iter()
        .map(|(name, [left, top, width, height])| {
            let photograph = image::open(paths::photographs().join(name))
                .with_context(|| format!("cannot read {name}: run `make setup` first"))?;
            Ok(photograph.crop_imm(*left, *top, *width, *height).into_rgb8())
        })
        .collect::<Result<Vec<_>>>()?;
    let height = ROWS.iter().map(|(_, height)| height + GAP).sum::<u32>() + GAP;
    let mut crowd = RgbImage::from_pixel(WIDTH, height, image::Rgb([96, 104, 112]));
    let (mut top, mut next) = (GAP, 0);
    for (people, height) in ROWS {
        for place in 0..people {
            let head = &heads[next % heads.len()];
            next += 1;
            let width = head.width() * height / head.height();
            let small = imageops::resize(head, width, height, imageops::FilterType::Triangle);
            let middle = (2 * place + 1) * WIDTH / (2 * people);
            imageops::replace(&mut crowd, &small, (middle - width / 2).into(), top.into());
        }
        top += height + GAP;
    }
    Ok(crowd)
}
