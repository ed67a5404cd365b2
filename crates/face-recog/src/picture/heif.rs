//! HEIC and AVIF, as telephones write them: `heif-convert` of libheif makes a JPEG of them, in a process of its own.
//!
//! Their decoders are large and written in C, and files that break them are found every year. So what breaks is another process,
//! with little memory, little time and no environment. It reads and writes memory alone. What it leaves is read like any other
//! JPEG.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
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

/// Where the names of the JPEG lie: writable in every container, even where nothing else is.
const NAMES: &str = "/dev/shm";

/// How long one picture may take: one of 48 megapixels takes two seconds. Others wait for the memory that it holds.
const LONGEST: Duration = Duration::from_secs(10);

/// Pause between two looks at whether it is done.
const POLL: Duration = Duration::from_millis(5);

/// What the process takes beside its pixels: its libraries and stacks, of which it uses little.
const LIBRARIES: u64 = 128 << 20;

/// How each JPEG ends.
const END: [u8; 2] = [0xff, 0xd9];

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
    let properties = properties(bytes).unwrap_or_default();
    // Of all pictures in the file, thumbnails and parts included, the largest.
    let sizes = boxes(properties, b"ispe").map(|size: [u8; 8]| {
        let [width, height] = [[size[0], size[1], size[2], size[3]], [size[4], size[5], size[6], size[7]]];
        (u32::from_be_bytes(width), u32::from_be_bytes(height))
    });
    let largest = sizes.max_by_key(|&(width, height)| u64::from(width) * u64::from(height));
    let (width, height) = largest.ok_or_else(|| PictureError::damaged("it does not say how large it is"))?;
    check_size(width, height)?;
    let is_deep = boxes(properties, b"pixi").any(|[_, bits]: [u8; 2]| bits > 8);
    let per_pixel = if name == "AVIF" { 8 } else { 5 } * if is_deep { 2 } else { 1 };
    Ok(per_pixel * u64::from(width) * u64::from(height) + (8 << 20))
}

/// What is said of the pictures of a file: its box `meta` (ISO/IEC 14496-12, 4.2 and 8.11).
fn properties(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, kind) = (bytes.first_chunk()?, bytes.get(4..8)?);
        let length = match u32::from_be_bytes(*length) {
            0 => bytes.len(),
            1 => u64::from_be_bytes(*bytes.get(8..)?.first_chunk()?).try_into().ok()?,
            length => usize::try_from(length).ok()?,
        };
        let this = &bytes[..length.clamp(8, bytes.len())];
        if kind == b"meta" {
            return Some(this);
        }
        bytes = bytes.get(this.len()..)?;
    }
}

/// What boxes of this kind begin with, after their version and flags.
fn boxes<'b, const N: usize>(properties: &'b [u8], kind: &'b [u8; 4]) -> impl Iterator<Item = [u8; N]> + 'b {
    let places = properties.windows(4).enumerate().filter(move |(_, window)| window == kind);
    places.filter_map(|(place, _)| properties.get(place + 8..)?.first_chunk().copied())
}

/// The picture as JPEG. [`io::ErrorKind::NotFound`] where the converter is missing, [`io::ErrorKind::InvalidData`] where it
/// makes nothing of the file.
fn convert(bytes: &[u8], memory: u64) -> io::Result<Vec<u8>> {
    let mut picture = in_memory()?;
    picture.write_all(bytes)?;
    let mut jpeg = in_memory()?;
    // It tells by the name of a file what to write, and gives the first of several pictures a number.
    let names = TempDir::new_in(NAMES).map_err(|error| io::Error::other(format!("{NAMES}: {error}")))?;
    for name in ["picture.jpg", "picture-1.jpg"] {
        symlink("/proc/self/fd/1", names.path().join(name))?;
    }
    let mut command = Command::new(CONVERTER);
    // It wants to seek in its file, which it may in one that it opens itself.
    command.args(["--quiet", "-q", QUALITY, "/proc/self/fd/0"]).arg(names.path().join("picture.jpg"));
    // Without an arena of memory for each thread, of which each is counted whole.
    command.env_clear().env("MALLOC_ARENA_MAX", "1");
    let mut child = command.stdin(picture).stdout(jpeg.try_clone()?).stderr(Stdio::piped()).spawn()?;
    let ended = end(&mut child, memory, &names.path().join("picture-2.jpg"));
    let mut said = String::new();
    if let Err(error) = &ended {
        // Nothing of it stays, whatever it was doing.
        let _ = child.kill();
        said = error.to_string();
    }
    child.wait()?;
    if let Some(mut stderr) = child.stderr.take().filter(|_| ended.is_ok()) {
        stderr.read_to_string(&mut said)?;
    }
    let mut bytes = Vec::new();
    jpeg.rewind()?;
    jpeg.take(MAX_FILE).read_to_end(&mut bytes)?;
    // It ends with code 0 even where it could write half of it only.
    if bytes.ends_with(&END) {
        return Ok(bytes);
    }
    let why = format!("{CONVERTER}: {}", said.trim().escape_debug());
    Err(io::Error::new(io::ErrorKind::InvalidData, why))
}

/// A file in memory alone, which goes with whoever has it open.
fn in_memory() -> io::Result<File> {
    Ok(File::from(memfd_create("picture", MemfdFlags::CLOEXEC)?))
}

/// Waits for the end of the process, or of its time, or until it begins the `next` picture.
fn end(child: &mut Child, memory: u64, next: &Path) -> io::Result<()> {
    // Its libraries are being loaded, if it has come so far.
    let process = Pid::from_child(child);
    for (resource, limit) in [
        (Resource::As, memory),
        (Resource::Cpu, LONGEST.as_secs()),
        (Resource::Fsize, MAX_FILE),
        (Resource::Core, 0),
    ] {
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        // It may have ended.
        let _ = prlimit(Some(process), resource, limit);
    }
    let began = Instant::now();
    while child.try_wait()?.is_none() {
        if next.exists() {
            return Err(io::Error::other("there are several pictures"));
        }
        if began.elapsed() > LONGEST {
            return Err(io::Error::other(format!("it took longer than {LONGEST:?}")));
        }
        thread::sleep(POLL);
    }
    Ok(())
}
