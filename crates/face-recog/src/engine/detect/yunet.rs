//! The network YuNet and what its outputs mean (Wu et al., "YuNet: a tiny millisecond-level face detector", Machine
//! Intelligence Research 2023; the model of March 2023 from OpenCV's model zoo).
//!
//! It divides its input into squares of 8, 16 and 32 pixels and answers for each of them whether a face has its centre
//! there, and where the face's box is.

use image::RgbImage;
use ort::{
    session::Session,
    value::{DynValue, TensorRef},
};

use super::{Detection, tiles::Tile};

/// Sides of its squares, in pixels, with the names of the outputs that belong to them.
const SQUARES: [(usize, [&str; 3]); 3] = [
    (8, ["cls_8", "obj_8", "bbox_8"]),
    (16, ["cls_16", "obj_16", "bbox_16"]),
    (32, ["cls_32", "obj_32", "bbox_32"]),
];

/// The sides of its input are multiples of this.
const ALIGNMENT: u32 = 32;

/// Least score of what is told at all.
const LEAST_SCORE: f32 = 0.5;

/// The network of one thread.
pub(crate) struct YuNet {
    session: Session,
    /// Kept from look to look.
    input: Vec<f32>,
}

impl YuNet {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, input: Vec::new() }
    }

    /// Candidates in a tile of a copy, in the copy's pixels. Several may stand for one face.
    ///
    /// # Panics
    ///
    /// When the runtime fails, for example because it gets no memory: nothing can be said about the picture then.
    pub(crate) fn look(&mut self, copy: &RgbImage, tile: &Tile) -> Vec<Detection> {
        match self.run(copy, tile) {
            Ok(seen) => seen,
            Err(error) => panic!("the face detector failed: {error}"),
        }
    }

    fn run(&mut self, copy: &RgbImage, tile: &Tile) -> ort::Result<Vec<Detection>> {
        let (width, height) = (
            tile.width.next_multiple_of(ALIGNMENT) as usize,
            tile.height.next_multiple_of(ALIGNMENT) as usize,
        );
        fill(&mut self.input, copy, tile, width, height);
        let input = TensorRef::from_array_view(([1, 3, height, width], self.input.as_slice()))?;
        let outputs = self.session.run(ort::inputs!["input" => input])?;
        let mut seen = Vec::new();
        for (side, names) in SQUARES {
            let [class, object, boxes] = names.map(|name| numbers(&outputs[name]));
            let (class, object, boxes) = (class?, object?, boxes?);
            let columns = width / side;
            for (index, ((class, object), shape)) in
                class.iter().zip(object).zip(boxes.as_chunks::<4>().0).enumerate()
            {
                let score = (class.clamp(0.0, 1.0) * object.clamp(0.0, 1.0)).sqrt();
                if score >= LEAST_SCORE {
                    let (row, column) = (index / columns, index % columns);
                    seen.push(detection(side as f32, column as f32, row as f32, shape, score, tile));
                }
            }
        }
        Ok(seen)
    }
}

fn numbers(output: &DynValue) -> ort::Result<&[f32]> {
    Ok(output.try_extract_tensor::<f32>()?.1)
}

/// The box of the square in `row` and `column`: its centre is told from the square's corner, its size by logarithms, both
/// in squares.
fn detection(side: f32, column: f32, row: f32, shape: &[f32; 4], score: f32, tile: &Tile) -> Detection {
    let [right, down, width, height] = *shape;
    let (width, height) = (width.exp() * side, height.exp() * side);
    Detection {
        left: (column + right) * side - width / 2.0 + tile.left as f32,
        top: (row + down) * side - height / 2.0 + tile.top as f32,
        width,
        height,
        score,
    }
}

/// Lays the tile out as the network wants it: blue, green and red one after the other, 0 to 255, black beyond the tile.
fn fill(input: &mut Vec<f32>, copy: &RgbImage, tile: &Tile, width: usize, height: usize) {
    input.clear();
    input.resize(3 * width * height, 0.0);
    let (blue, rest) = input.split_at_mut(width * height);
    let (green, red) = rest.split_at_mut(width * height);
    let stride = 3 * copy.width() as usize;
    let rows = copy.as_raw().chunks_exact(stride).skip(tile.top as usize).take(tile.height as usize);
    for (number, row) in rows.enumerate() {
        let row = &row[3 * tile.left as usize..][..3 * tile.width as usize];
        let at = number * width..number * width + tile.width as usize;
        let planes = blue[at.clone()].iter_mut().zip(&mut green[at.clone()]).zip(&mut red[at]);
        for (((blue, green), red), pixel) in planes.zip(row.as_chunks::<3>().0) {
            (*red, *green, *blue) = (pixel[0].into(), pixel[1].into(), pixel[2].into());
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn a_tile_is_laid_out_in_planes_of_blue_green_and_red() {
        let copy = RgbImage::from_fn(3, 2, |x, y| Rgb([x as u8, 10 + y as u8, 20]));
        let tile = Tile { left: 1, top: 0, width: 2, height: 2 };
        let mut input = vec![9.0; 3];
        fill(&mut input, &copy, &tile, 4, 2);
        let blue = [20.0, 20.0, 0.0, 0.0, 20.0, 20.0, 0.0, 0.0];
        let green = [10.0, 10.0, 0.0, 0.0, 11.0, 11.0, 0.0, 0.0];
        let red = [1.0, 2.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0];
        assert_eq!(input, [blue, green, red].concat());
    }

    #[test]
    fn a_box_is_read_from_its_square() {
        let tile = Tile { left: 100, top: 0, width: 640, height: 640 };
        let seen = detection(8.0, 2.0, 1.0, &[0.5, 0.25, 0.0, 2.0_f32.ln()], 0.9, &tile);
        assert_eq!((seen.left, seen.top), (100.0 + 20.0 - 4.0, 10.0 - 8.0));
        assert!((seen.width - 8.0).abs() < 1e-4 && (seen.height - 16.0).abs() < 1e-4, "{seen:?}");
    }
}
