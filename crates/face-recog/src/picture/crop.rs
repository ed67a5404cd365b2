//! Small copies of pictures to look at: a thumbnail, a face, or the example that somebody is enrolled with.
//!
//! Nothing else in the system opens pictures, so the other services ask here for small copies. Recognition does not wait for it:
//! this is work for the background, and only so much of it may wait.

use std::sync::Arc;

use image::{
    RgbImage,
    codecs::jpeg::JpegEncoder,
    imageops::{self, FilterType},
};
use rpc::{Area, CropRequest, CropResponse};
use tokio::sync::Semaphore;
use tonic::Status;

use crate::{
    engine::timed,
    grpc::{Service, note_failure, open, picture_status, pool_status},
    picture::{Picture, PictureError, folder::Folder, shrink::shrunk},
};

/// Longest side of what is answered, in pixels: enough for a whole screen, and less than the 4 MiB that a gRPC client
/// takes by default, whatever is on the picture.
const LONGEST_SIDE: u32 = 1_440;

/// Of 100: no artefact is seen, and faces are described as they are on the picture itself.
const QUALITY: u8 = 90;

/// Requests that may wait: a page of thumbnails for several people.
const WAITING: usize = 256;

/// A permit for each request that may wait.
pub(crate) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(WAITING))
}

impl Service {
    /// The picture, or the box of it, as a JPEG.
    pub(crate) async fn show(&self, request: CropRequest) -> Result<CropResponse, Status> {
        let Ok(_place) = self.crops.try_acquire() else {
            note_failure("busy");
            return Err(Status::resource_exhausted("too many pictures wait to be shown: try again later"));
        };
        let path = request.image_path.clone();
        let folder = self.folder(request.known);
        self.pool
            .run_in_background(move |_, _| crop(&folder, &request))
            .await
            .map_err(|error| pool_status(error, &path))?
            .map_err(|error| picture_status(error, &path))
    }
}

/// What a worker does. Blocks.
fn crop(folder: &Folder, request: &CropRequest) -> Result<CropResponse, PictureError> {
    let picture = open(folder, &request.image_path)?;
    let part = match &request.area {
        Some(area) => part(&picture, area).ok_or(PictureError::Beyond)?,
        None => picture.pixels,
    };
    let side = if request.side == 0 { LONGEST_SIDE } else { request.side.min(LONGEST_SIDE) };
    timed("show", || {
        let small = fitted(part, side);
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
            .encode_image(&small)
            .map_err(PictureError::damaged)?;
        Ok(CropResponse { jpeg, width: small.width(), height: small.height() })
    })
}

/// The box and half its size on each side of it, as far as the picture goes. `None` when no pixel of the box itself is
/// on the picture.
fn part(picture: &Picture, area: &Area) -> Option<RgbImage> {
    // The pixels may be a smaller copy.
    let scale = f64::from(picture.pixels.width()) / f64::from(picture.size.0.max(1));
    let span = |start: i32, length: u32, whole: u32| {
        let (start, length, whole) = (f64::from(start) * scale, f64::from(length) * scale, f64::from(whole));
        let on_it = length > 0.0 && start < whole && start + length > 0.0;
        // Where the box is on the picture, so are both of these.
        let from = (start - length / 2.0).max(0.0).floor() as u32;
        let to = (start + 1.5 * length).min(whole).ceil() as u32;
        (on_it && from < to).then(|| (from, to - from))
    };
    let (left, width) = span(area.left, area.width, picture.pixels.width())?;
    let (top, height) = span(area.top, area.height, picture.pixels.height())?;
    Some(imageops::crop_imm(&picture.pixels, left, top, width, height).to_image())
}

/// As it is, or smaller, so that no side is longer than `side`.
fn fitted(picture: RgbImage, side: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let longest = u64::from(width.max(height));
    if longest <= side.into() {
        return picture;
    }
    // A side never vanishes, and is shorter than it was, so it fits.
    let short = |length: u32, side: u64| (u64::from(length) * side / longest).max(1) as u32;
    let (side, double) = (u64::from(side), 2 * u64::from(side));
    // Whole blocks of pixels are added up soon, but leave steps in slanting lines: they do the larger part of the way.
    let blocks = if longest > 2 * double {
        shrunk(&picture, short(width, double), short(height, double))
    } else {
        picture
    };
    imageops::resize(&blocks, short(width, side), short(height, side), FilterType::Triangle)
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn picture(width: u32, height: u32) -> Picture {
        Picture {
            pixels: RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 0])),
            size: (width, height),
            taken: None,
        }
    }

    fn area(left: i32, top: i32, width: u32, height: u32) -> Area {
        Area { left, top, width, height }
    }

    #[test]
    fn a_box_is_shown_with_half_its_size_around_it_as_far_as_the_picture_goes() {
        let inside = part(&picture(200, 200), &area(80, 60, 40, 20)).unwrap();
        assert_eq!((inside.dimensions(), inside[(0, 0)]), ((80, 40), Rgb([60, 50, 0])));
        let over = part(&picture(200, 200), &area(-20, 180, 40, 40)).unwrap();
        assert_eq!((over.dimensions(), over[(0, 0)]), ((40, 40), Rgb([0, 160, 0])));
    }

    #[test]
    fn a_box_is_meant_in_the_pixels_of_the_file_also_when_fewer_are_kept() {
        let kept = Picture { size: (400, 400), ..picture(200, 200) };
        assert_eq!(part(&kept, &area(160, 120, 80, 40)).unwrap().dimensions(), (80, 40));
    }

    #[test]
    fn a_box_without_a_pixel_on_the_picture_shows_nothing() {
        for beyond in [
            area(200, 0, 10, 10),
            area(0, -10, 10, 10),
            area(50, 50, 0, 10),
            area(i32::MAX, i32::MIN, u32::MAX, 1),
            area(i32::MIN, 0, 1, 1),
        ] {
            assert_eq!(part(&picture(200, 200), &beyond), None, "{beyond:?}");
        }
        let all = part(&picture(200, 200), &area(i32::MIN, i32::MIN, u32::MAX, u32::MAX)).unwrap();
        assert_eq!(all.dimensions(), (200, 200));
    }

    #[test]
    fn a_picture_becomes_smaller_and_never_larger() {
        assert_eq!(fitted(RgbImage::new(300, 200), 100).dimensions(), (100, 66));
        assert_eq!(fitted(RgbImage::new(30, 20), 100).dimensions(), (30, 20));
        assert_eq!(fitted(RgbImage::new(20_000, 1), 1).dimensions(), (1, 1));
    }
}
