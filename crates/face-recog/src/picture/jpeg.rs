//! JPEG, by libjpeg-turbo: what browsers decode it with, so whatever they show is seen here, too.
//!
//! A picture that ends too soon, or is broken in the middle, is one of which the rest is grey, as there.

use std::{
    ffi::{CStr, c_char, c_int, c_uint},
    marker::PhantomData,
    ptr::NonNull,
};

use super::{
    Decoded, Exif, MAX_PIXELS, PictureError,
    canvas::{Canvas, drawing},
    check_size,
    memory::hold,
};

/// Most pixels that all scans of a picture go over: a hundred scans of the largest picture, and more of smaller ones.
/// Programs write a dozen, the most thorough ones some sixty. Each one costs time, and next to no bytes.
const MOST_SCANNED: u64 = 100 * MAX_PIXELS;

/// As many pixels are no worse than [`KEPT_PIXELS`](super::KEPT_PIXELS): what a sensor of 48 megapixels makes four of.
const HALF_IS_ENOUGH: u64 = 12_000_000;

/// What the library needs beside coefficients, in bytes: some rows of each component.
const ROWS: u64 = 4 << 20;

/// Decodes all of it.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, PictureError> {
    let mut jpeg = Jpeg::open(bytes)?;
    let (width, height) = (jpeg.header.width, jpeg.header.height);
    check_size(width, height)?;
    let exif = Exif::read(exif(bytes));
    let held = hold(jpeg.memory() + drawing(width, height, exif.orientation))?;
    // Half as wide and high it is still about as large as any picture that is kept, and there in half of the time.
    let halved = u64::from(width) * u64::from(height) >= 4 * HALF_IS_ENOUGH;
    let (across, down) = jpeg.start(halved)?;
    let mut canvas = Canvas::new(across, down);
    let mut inks = vec![0; if jpeg.header.channels == 4 { 4 * across as usize } else { 0 }];
    for _ in 0..down {
        let row = canvas.row();
        if inks.is_empty() {
            jpeg.read_row(row)?;
        } else {
            jpeg.read_row(&mut inks)?;
            print(&inks, row);
        }
        canvas.row_is_drawn();
    }
    Ok(Decoded { pixels: canvas.finish(), size: (width, height), exif, held })
}

/// Cyan, magenta, yellow and black, of which 255 means no ink: so all programs write them since Adobe's did, and so all
/// browsers take them.
fn print(inks: &[u8], row: &mut [u8]) {
    for (ink, pixel) in inks.as_chunks::<4>().0.iter().zip(row.as_chunks_mut::<3>().0) {
        *pixel = [0, 1, 2].map(|i| ((u16::from(ink[i]) * u16::from(ink[3]) + 127) / 255) as u8);
    }
}

/// The first EXIF segment, if there is one.
fn exif(jpeg: &[u8]) -> Option<&[u8]> {
    let mut rest = jpeg.get(2..)?;
    // Segments follow each other, each with its length, until the first scan.
    while let [0xff, kind, high, low, ..] = *rest {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (true, Some(segment)) = (kind != 0xda, rest.get(4..2 + length)) else { break };
        if let (0xe1, Some(exif)) = (kind, segment.strip_prefix(b"Exif\0\0")) {
            return Some(exif);
        }
        rest = &rest[2 + length..];
        while let [0xff, 0xff, ..] = rest {
            rest = &rest[1..]; // any number of these may stand before a segment
        }
    }
    None
}

/// The C side of a decoder; see jpeg.c.
#[repr(C)]
struct Raw {
    _opaque: [u8; 0],
}

#[repr(C)]
#[derive(Default)]
struct Header {
    width: u32,
    height: u32,
    channels: u32,
    coefficients: u64,
}

unsafe extern "C" {
    fn kube_face_jpeg_new() -> *mut Raw;
    fn kube_face_jpeg_free(jpeg: *mut Raw);
    fn kube_face_jpeg_read_header(
        jpeg: *mut Raw,
        bytes: *const u8,
        length: usize,
        header: *mut Header,
    ) -> c_int;
    fn kube_face_jpeg_start(
        jpeg: *mut Raw,
        eighths: c_uint,
        memory: usize,
        most_scans: c_int,
        width: *mut u32,
        height: *mut u32,
    ) -> c_int;
    fn kube_face_jpeg_read_row(jpeg: *mut Raw, row: *mut u8) -> c_int;
    fn kube_face_jpeg_message(jpeg: *const Raw) -> *const c_char;
}

/// A decoder of `bytes`.
struct Jpeg<'a> {
    raw: NonNull<Raw>,
    header: Header,
    /// Of the rows that are decoded, from `start` on.
    width: u32,
    _bytes: PhantomData<&'a [u8]>,
}

impl<'a> Jpeg<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, PictureError> {
        // SAFETY: it takes nothing.
        let raw = unsafe { kube_face_jpeg_new() };
        let raw = NonNull::new(raw).ok_or_else(|| PictureError::damaged("no memory for a JPEG decoder"))?;
        let mut jpeg = Self { raw, header: Header::default(), width: 0, _bytes: PhantomData };
        // SAFETY: the bytes outlive the decoder, as its type says.
        let failed = unsafe {
            kube_face_jpeg_read_header(raw.as_ptr(), bytes.as_ptr(), bytes.len(), &raw mut jpeg.header)
        };
        jpeg.checked(failed)?;
        Ok(jpeg)
    }

    /// The most that the library will take, in bytes.
    fn memory(&self) -> u64 {
        self.header.coefficients + ROWS
    }

    /// Begins to decode, perhaps at half of the width and height. Returns how many pixels there are across and down.
    fn start(&mut self, halved: bool) -> Result<(u32, u32), PictureError> {
        let memory = usize::try_from(self.memory()).unwrap_or(usize::MAX);
        let pixels = u64::from(self.header.width) * u64::from(self.header.height);
        let most_scans = c_int::try_from(MOST_SCANNED / pixels.max(1)).unwrap_or(c_int::MAX);
        let (eighths, mut height) = (if halved { 4 } else { 8 }, 0);
        // SAFETY: the header was read, or there were no decoder.
        let failed = unsafe {
            kube_face_jpeg_start(
                self.raw.as_ptr(),
                eighths,
                memory,
                most_scans,
                &raw mut self.width,
                &raw mut height,
            )
        };
        self.checked(failed)?;
        Ok((self.width, height))
    }

    /// The next row, after `start`.
    fn read_row(&mut self, row: &mut [u8]) -> Result<(), PictureError> {
        assert_eq!(row.len(), self.width as usize * self.header.channels as usize);
        // SAFETY: the row is as long as the decoder has to be told.
        let failed = unsafe { kube_face_jpeg_read_row(self.raw.as_ptr(), row.as_mut_ptr()) };
        self.checked(failed)
    }

    fn checked(&self, failed: c_int) -> Result<(), PictureError> {
        if failed == 0 {
            return Ok(());
        }
        // SAFETY: the message is a field of the decoder and ends with a zero.
        let message = unsafe { CStr::from_ptr(kube_face_jpeg_message(self.raw.as_ptr())) };
        Err(PictureError::damaged(message.to_string_lossy()))
    }
}

impl Drop for Jpeg<'_> {
    fn drop(&mut self) {
        // SAFETY: nobody has freed it before.
        unsafe { kube_face_jpeg_free(self.raw.as_ptr()) }
    }
}
