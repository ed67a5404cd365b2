//! HEIC and AVIF, as telephones write them: `heif-convert` of libheif makes a JPEG of them, in a process of its own.
//!
//! Their decoders are large and written in C, and files that break them are found every year. The process holds nothing but
//! the one file, and has little memory, little time and no environment. What it leaves is read like any other JPEG.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::Path,
    process::{Command, Output, Stdio},
};

use image::metadata::Orientation;
use rustix::{
    fs::{MemfdFlags, memfd_create},
    process::{Pid, Resource, Rlimit, prlimit},
};
use tempfile::TempDir;

use super::{Decoded, Exif, MAX_FILE, PictureError, check_size, jpeg, memory::hold};

const CONVERTER: &str = "heif-convert";

/// Quality of the JPEG: what it costs cannot be seen, in the picture or in an embedding.
const QUALITY: &str = "95";

/// The folder of the JPEG: in memory, and there and writable in every container, even where nothing else is.
const MEMORY_FOLDER: &str = "/dev/shm";

/// Processor time of one picture, in seconds: one of 48 megapixels takes two.
const SECONDS: u64 = 20;

/// What the process takes beside its pixels: its libraries and stacks, of which it uses little.
const LIBRARIES: u64 = 128 << 20;

/// The header is searched within so many bytes.
const HEADER: usize = 1 << 20;

/// Decodes the first picture of a HEIC or AVIF file, whose format is called `name`.
pub(super) fn decode(bytes: &[u8], name: &'static str) -> Result<Decoded, PictureError> {
    let jpeg = {
        let needed = needed(bytes, name)?;
        let _held = hold(needed + bytes.len() as u64)?;
        convert(bytes, needed + LIBRARIES).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => PictureError::NotRead(name),
            io::ErrorKind::InvalidData => PictureError::damaged(error),
            _ => PictureError::Read(error),
        })?
    };
    let decoded = jpeg::decode(&jpeg)?;
    // The converter has turned it already, and wrote its EXIF into the JPEG.
    let exif = Exif { orientation: Orientation::NoTransforms, ..decoded.exif };
    Ok(Decoded { exif, ..decoded })
}

/// The memory that its decoder takes, in bytes, measured with pictures of 12 to 48 megapixels.
fn needed(bytes: &[u8], name: &str) -> Result<u64, PictureError> {
    let header = &bytes[..bytes.len().min(HEADER)];
    // Of all pictures in the file, thumbnails and parts included, the largest.
    let sizes = boxes(header, b"ispe").map(|size: [u8; 8]| {
        let [side, other] = [[size[0], size[1], size[2], size[3]], [size[4], size[5], size[6], size[7]]];
        (u32::from_be_bytes(side), u32::from_be_bytes(other))
    });
    let largest = sizes.max_by_key(|&(width, height)| u64::from(width) * u64::from(height));
    let (width, height) = largest.ok_or_else(|| PictureError::damaged("it does not say how large it is"))?;
    check_size(width, height)?;
    let is_deep = boxes(header, b"pixi").any(|[_, bits]: [u8; 2]| bits > 8);
    let per_pixel = if name == "AVIF" { 8 } else { 5 } * if is_deep { 2 } else { 1 };
    Ok(per_pixel * u64::from(width) * u64::from(height) + (8 << 20))
}

/// What boxes of this kind begin with, after their version and flags (ISO/IEC 14496-12, 4.2).
fn boxes<'b, const N: usize>(header: &'b [u8], kind: &'b [u8; 4]) -> impl Iterator<Item = [u8; N]> + 'b {
    let places = header.windows(4).enumerate().filter(move |(_, window)| window == kind);
    places.filter_map(|(place, _)| header.get(place + 8..)?.first_chunk().copied())
}

/// The picture as JPEG. [`io::ErrorKind::NotFound`] where the converter is missing, [`io::ErrorKind::InvalidData`] where it
/// makes nothing of the file.
fn convert(bytes: &[u8], memory: u64) -> io::Result<Vec<u8>> {
    let folder = TempDir::new_in(MEMORY_FOLDER)
        .map_err(|error| io::Error::other(format!("{MEMORY_FOLDER}: {error}")))?;
    let picture = folder.path().join("picture.jpg");
    let Output { status, stderr, .. } = run(file_of(bytes)?, &picture, memory)?;
    let open = || match File::open(&picture) {
        // Of several pictures each has a number.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            File::open(folder.path().join("picture-1.jpg"))
        }
        opened => opened,
    };
    match open() {
        Ok(file) if status.success() => {
            let mut jpeg = Vec::new();
            file.take(MAX_FILE).read_to_end(&mut jpeg)?;
            Ok(jpeg)
        }
        _ => {
            let said = String::from_utf8_lossy(&stderr);
            let why = format!("{CONVERTER} ended with {status}: {}", said.trim().escape_debug());
            Err(io::Error::new(io::ErrorKind::InvalidData, why))
        }
    }
}

/// A file in memory alone.
fn file_of(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("picture", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file.into())
}

fn run(file: OwnedFd, picture: &Path, memory: u64) -> io::Result<Output> {
    let mut command = Command::new(CONVERTER);
    // It wants to seek in its file, which it may in one that it opens itself.
    command.args(["--quiet", "-q", QUALITY, "/proc/self/fd/0"]).arg(picture);
    // Without an arena of memory for each thread, of which each is counted whole.
    command.env_clear().env("MALLOC_ARENA_MAX", "1");
    let child = command.stdin(file).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    // It has not yet read a byte of the file: its libraries are being loaded.
    let process = Pid::from_child(&child);
    for (resource, limit) in
        [(Resource::As, memory), (Resource::Cpu, SECONDS), (Resource::Fsize, MAX_FILE), (Resource::Core, 0)]
    {
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        // It may have ended.
        let _ = prlimit(Some(process), resource, limit);
    }
    child.wait_with_output()
}
