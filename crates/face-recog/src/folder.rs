//! From a path to bytes: the only door through which pictures enter.
//!
//! Requests name pictures by path, so the kernel itself is asked to resolve the path beneath the folder of
//! unknown people (`openat2` with `RESOLVE_BENEATH`, by way of cap-std): `..`, absolute paths and symbolic
//! links that lead out are refused, also when something is swapped while it is opened.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt as _,
    path::{Component, Path, PathBuf},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions, OpenOptionsExt as _},
};
use rustix::fs::OFlags;

use crate::picture::{MAX_FILE, PictureError};

/// Where the folder of unknown people is in every message, wherever it is mounted here.
const WELL_KNOWN: &str = "/unknown_people";

/// `O_NONBLOCK`: opening a pipe that nobody writes to returns at once. Regular files ignore it.
const OPEN_FLAGS: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// The folder that pictures of unknown people are read from, and nothing else.
#[derive(Clone, Debug)]
pub struct UnknownPeople {
    folder: PathBuf,
}

impl UnknownPeople {
    /// The folder need not exist yet: it is opened anew for each picture, so a volume may come and go.
    pub fn new(folder: &Path) -> Self {
        Self { folder: std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()) }
    }

    /// Reads the picture that `image_path` names: `/unknown_people/x` and `x` both mean x in the folder, any
    /// other absolute path must lie inside it. Blocks.
    pub fn read(&self, image_path: &str) -> Result<Vec<u8>, PictureError> {
        let path = self.relative(image_path)?;
        let folder =
            Dir::open_ambient_dir(&self.folder, ambient_authority()).map_err(PictureError::Folder)?;
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OPEN_FLAGS);
        let file = folder.open_with(path, &options).map_err(why_not_opened)?;
        read_regular(file.into_std())
    }

    fn relative<'a>(&self, image_path: &'a str) -> Result<&'a Path, PictureError> {
        if image_path.contains('\0') {
            return Err(PictureError::Path("contains a NUL character"));
        }
        let path = Path::new(image_path);
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(PictureError::Outside);
        }
        let inside = match path.strip_prefix(&self.folder).or_else(|_| path.strip_prefix(WELL_KNOWN)) {
            Ok(inside) => inside,
            Err(_) if path.is_absolute() => return Err(PictureError::Outside),
            Err(_) => path,
        };
        if inside.components().all(|part| part == Component::CurDir) {
            return Err(PictureError::NotAFile);
        }
        Ok(inside)
    }
}

/// Reads a file of the operator's own choice (a known person's picture). Blocks.
pub fn read_trusted(path: &Path) -> Result<Vec<u8>, PictureError> {
    let file = File::options().read(true).custom_flags(OPEN_FLAGS).open(path).map_err(why_not_opened)?;
    read_regular(file)
}

/// Asks the opened file, not its name, what it is, so that nothing can be swapped in between.
fn read_regular(file: File) -> Result<Vec<u8>, PictureError> {
    let metadata = file.metadata().map_err(PictureError::Read)?;
    if !metadata.is_file() {
        return Err(PictureError::NotAFile);
    }
    if metadata.len() > MAX_FILE {
        return Err(PictureError::TooLong);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default() + 1);
    // It may have grown since.
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(PictureError::Read)?;
    if bytes.len() as u64 > MAX_FILE { Err(PictureError::TooLong) } else { Ok(bytes) }
}

fn why_not_opened(error: io::Error) -> PictureError {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound | Kind::NotADirectory => PictureError::Missing,
        // cap-std's own refusal carries no number of the system's.
        Kind::PermissionDenied if error.raw_os_error().is_none() => PictureError::Outside,
        Kind::PermissionDenied => PictureError::Forbidden,
        Kind::InvalidFilename => PictureError::Path("is too long"),
        _ => match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::LOOP) => PictureError::Path("goes round in circles"),
            // A socket, or a device without a driver.
            Some(rustix::io::Errno::NXIO | rustix::io::Errno::NODEV) => PictureError::NotAFile,
            _ => PictureError::Read(error),
        },
    }
}
