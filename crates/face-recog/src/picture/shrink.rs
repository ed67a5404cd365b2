//! Smaller copies of large pictures: each new pixel is the mean of the block of old ones that it stands for.

use std::ops::Range;

use image::RgbImage;

/// A copy of `width` × `height` pixels, neither of which may be 0 or more than the picture has. Pixel for pixel what
/// [`image::imageops::thumbnail`] makes, in a fraction of its time: that one walks through the blocks, this one straight
/// through the memory, a whole row at a time.
pub(crate) fn shrunk(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let mut copy = Shrinking::new(picture.dimensions(), (width, height));
    picture.as_raw().chunks_exact(3 * picture.width().max(1) as usize).for_each(|row| copy.add(row));
    copy.finish()
}

/// A smaller copy of a picture that comes row by row.
pub(crate) struct Shrinking {
    copy: RgbImage,
    /// The blocks of rows and of columns that become one pixel.
    rows: Vec<Range<usize>>,
    columns: Vec<Range<usize>>,
    /// How many rows have come, and how many rows of the copy are done.
    seen: usize,
    done: usize,
    /// Of the rows in a block so far.
    sums: Vec<u32>,
}

impl Shrinking {
    /// Makes `from` pixels (width and height) into `to`, none of which may be 0 or more than the other.
    pub fn new(from: (u32, u32), to: (u32, u32)) -> Self {
        Self {
            copy: RgbImage::new(to.0, to.1),
            rows: blocks(from.1, to.1).collect(),
            columns: blocks(from.0, to.0).collect(),
            seen: 0,
            done: 0,
            sums: vec![0; 3 * from.0 as usize],
        }
    }

    /// Adds the next row, in RGB.
    pub fn add(&mut self, row: &[u8]) {
        while let Some(block) = self.rows.get(self.done).filter(|block| block.start <= self.seen) {
            self.sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += u32::from(value));
            if self.seen + 1 < block.end {
                break;
            }
            let height = block.len();
            self.write(height);
        }
        self.seen += 1;
    }

    fn write(&mut self, height: usize) {
        let width = 3 * self.copy.width() as usize;
        let copy: &mut [u8] = &mut self.copy;
        let row = copy[self.done * width..][..width].as_chunks_mut::<3>().0;
        for (columns, new) in self.columns.iter().zip(row) {
            let count = (height * columns.len()) as u32;
            let mut total = [count / 2; 3]; // rounds the quotient to the nearest
            for pixel in self.sums[3 * columns.start..3 * columns.end].as_chunks::<3>().0 {
                total.iter_mut().zip(pixel).for_each(|(total, sum)| *total += sum);
            }
            *new = total.map(|total| (total / count) as u8);
        }
        self.sums.fill(0);
        self.done += 1;
    }

    /// The copy, once all rows were added.
    pub fn finish(self) -> RgbImage {
        self.copy
    }
}

/// Divides `length` pixels into `count` blocks, as equal as whole pixels allow.
fn blocks(length: u32, count: u32) -> impl Iterator<Item = Range<usize>> {
    let ratio = length as f32 / count as f32;
    (0..count).map(move |block| {
        let start = block as f32 * ratio;
        let end = (start + ratio).ceil() as u32;
        (start.ceil() as u32).min(length - 1) as usize..end.min(length) as usize
    })
}

#[cfg(test)]
mod tests {
    use image::{Rgb, imageops};

    use super::*;

    #[test]
    fn a_smaller_copy_is_pixel_for_pixel_that_of_the_image_crate() {
        let mut seed = 1_u32;
        for (old, new) in [
            ((1, 1), (1, 1)),
            ((20_000, 1), (1_200, 1)),
            ((33, 2_000), (19, 1_200)),
            ((1_201, 1_201), (1_200, 1_200)),
            ((1_999, 1_333), (1_200, 800)),
            ((4_032, 3_024), (1_200, 900)),
            ((1_500, 1_500), (1, 1)),
        ] {
            let picture = RgbImage::from_fn(old.0, old.1, |_, _| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                Rgb(seed.to_le_bytes()[1..].try_into().unwrap())
            });
            assert!(shrunk(&picture, new.0, new.1) == imageops::thumbnail(&picture, new.0, new.1), "{old:?}");
        }
    }
}
