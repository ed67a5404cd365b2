//! Parts of a copy that are looked at one after the other: so a large copy takes no more memory than a small one.

use super::Detection;

/// Longest side of a tile, in pixels.
const LONGEST: u32 = 736;

/// How far neighbours overlap. A face that is no larger lies whole in one of them.
const OVERLAP: u32 = 96;

/// Height of the largest face that some tile surely holds whole, with something around it, in pixels.
pub(crate) const LARGEST_WHOLE: f32 = 80.0;

/// A face whose box comes so near to the border of a tile may go on beyond it.
const BORDER: f32 = 2.0;

/// A part of a copy, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) left: u32,
    pub(crate) top: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Tile {
    /// Whether the face is not cut by a border of the tile inside of the copy.
    pub(crate) fn holds(&self, face: &Detection, (width, height): (u32, u32)) -> bool {
        let within = |start: f32, length: f32, tile_start: u32, tile_length: u32, whole: u32| {
            let end = tile_start + tile_length;
            (tile_start == 0 || start >= tile_start as f32 + BORDER)
                && (end >= whole || start + length <= end as f32 - BORDER)
        };
        within(face.left, face.width, self.left, self.width, width)
            && within(face.top, face.height, self.top, self.height, height)
    }
}

/// Tiles that cover a copy of this size.
pub(crate) fn over((width, height): (u32, u32)) -> Vec<Tile> {
    let columns = parts(width);
    let rows = parts(height);
    rows.iter()
        .flat_map(|&(top, height)| {
            columns.iter().map(move |&(left, width)| Tile { left, top, width, height })
        })
        .collect()
}

/// Starts and lengths of as few parts as cover `length`, as equal as whole pixels allow.
fn parts(length: u32) -> Vec<(u32, u32)> {
    let count = length.saturating_sub(OVERLAP).div_ceil(LONGEST - OVERLAP).max(1);
    let part = (length + (count - 1) * OVERLAP).div_ceil(count);
    let step = part.saturating_sub(OVERLAP);
    (0..count).map(|index| ((index * step).min(length - part), part)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_copy_is_one_tile_and_a_large_one_is_covered_with_overlap() {
        assert_eq!(parts(640), [(0, 640)]);
        assert_eq!(parts(1), [(0, 1)]);
        for length in (1..3_000).step_by(7) {
            let parts = parts(length);
            assert_eq!(parts.first().map(|part| part.0), Some(0), "{length}");
            assert_eq!(parts.last().map(|(start, part)| start + part), Some(length), "{length}");
            for pair in parts.windows(2) {
                assert!(pair[0].0 + pair[0].1 >= pair[1].0 + OVERLAP, "{length}: {pair:?}");
            }
            assert!(parts.iter().all(|part| part.1 <= LONGEST), "{length}");
        }
    }

    #[test]
    fn a_face_that_a_tile_cuts_is_left_to_its_neighbour() {
        let tile = Tile { left: 0, top: 0, width: 700, height: 500 };
        let face = |left| Detection { left, top: 0.0, width: 50.0, height: 60.0, score: 0.9 };
        let copy = (1_280, 500);
        assert!(tile.holds(&face(0.0), copy) && tile.holds(&face(600.0), copy));
        assert!(!tile.holds(&face(650.0), copy) && !tile.holds(&face(660.0), copy));
        assert!(tile.holds(&face(660.0), (700, 500)), "the picture itself ends there");
    }
}
