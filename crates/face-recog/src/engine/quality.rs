//! How well a face can be seen: what enrolment asks before it takes a face as an example.

use image::{
    RgbImage,
    imageops::{self, FilterType},
};

use super::Place;

/// Longest side of the copy that is measured, in pixels: faces are described at this size, too.
const SIDE: u32 = 150;

/// The variance of the Laplacian of a face, in grey at 150 by 150 pixels, or at its own size if that is smaller: sharp edges
/// make it large, so a blurred face or one that was enlarged from fewer pixels stays below about 30 (Pech-Pacheco et al., "Diatom autofocusing in
/// brightfield microscopy", ICPR 2000). 0 when no pixel of the box lies on the picture.
pub fn sharpness(picture: &RgbImage, place: &Place) -> f32 {
    let clamped = |at: i64, most: u32| u32::try_from(at.clamp(0, i64::from(most))).unwrap_or(most);
    let (left, top) = (clamped(place.left, picture.width()), clamped(place.top, picture.height()));
    let right = clamped(place.left.saturating_add(place.width.into()), picture.width());
    let bottom = clamped(place.top.saturating_add(place.height.into()), picture.height());
    if right <= left || bottom <= top {
        return 0.0;
    }
    let face = imageops::crop_imm(picture, left, top, right - left, bottom - top).to_image();
    let side = SIDE.min(face.width().max(face.height()));
    let grey = imageops::resize(&imageops::grayscale(&face), side, side, FilterType::Triangle);
    variance_of_laplacian(grey.as_raw(), side as usize)
}

fn variance_of_laplacian(grey: &[u8], side: usize) -> f32 {
    let value = |x: usize, y: usize| f32::from(grey[y * side + x]);
    let inner = 1..side.saturating_sub(1).max(1);
    if inner.is_empty() {
        return 0.0;
    }
    let (mut sum, mut squares) = (0.0, 0.0);
    for y in inner.clone() {
        for x in inner.clone() {
            let laplacian =
                value(x - 1, y) + value(x + 1, y) + value(x, y - 1) + value(x, y + 1) - 4.0 * value(x, y);
            sum += laplacian;
            squares += laplacian * laplacian;
        }
    }
    let count = (inner.len() * inner.len()) as f32;
    squares / count - (sum / count) * (sum / count)
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn chequered() -> RgbImage {
        RgbImage::from_fn(300, 300, |x, y| Rgb([if (x / 8 + y / 8) % 2 == 0 { 0 } else { 255 }; 3]))
    }

    #[test]
    fn what_is_blurred_is_less_sharp() {
        let whole = Place { left: 0, top: 0, width: 300, height: 300 };
        let sharp = sharpness(&chequered(), &whole);
        let blurred = sharpness(&imageops::blur(&chequered(), 6.0), &whole);
        assert!(sharp > 100.0 && blurred < sharp / 10.0, "{sharp} {blurred}");
        assert_eq!(sharpness(&RgbImage::new(300, 300), &whole), 0.0);
    }

    #[test]
    fn a_small_face_is_as_sharp_as_its_pixels_allow() {
        let small = imageops::resize(&chequered(), 60, 60, FilterType::Triangle);
        let place = Place { left: 0, top: 0, width: 60, height: 60 };
        let sharp = sharpness(&small, &place);
        let blurred = sharpness(&imageops::blur(&small, 3.0), &place);
        assert!(sharp > 100.0 && blurred < 30.0, "{sharp} {blurred}");
        for side in [1, 2, 3] {
            assert!(sharpness(&small, &Place { width: side, height: side, ..place }).is_finite());
        }
    }

    #[test]
    fn a_box_may_reach_over_the_edges_or_lie_beyond_them() {
        let over = Place { left: -50, top: 250, width: 100, height: 100 };
        assert!(sharpness(&chequered(), &over) > 0.0);
        let beyond = Place { left: 300, top: 0, width: 10, height: 10 };
        assert_eq!(sharpness(&chequered(), &beyond), 0.0);
    }
}
