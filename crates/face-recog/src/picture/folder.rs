//! From a path to bytes: the only door through which pictures enter.
//!
//! Requests name pictures by path, so the kernel itself is asked to resolve the path beneath the folder that it is
//! about (`openat2` with `RESOLVE_BENEATH`, by way of cap-std): `..`, absolute paths and symbolic links that lead out
//! are refused, also when something is swapped while it is opened.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    ops::Deref,
    os::unix::fs::OpenOptionsExt as _,
    path::{Component, Path, PathBuf},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions, OpenOptionsExt as _},
};
use rustix::fs::OFlags;

use crate::picture::{
    MAX_FILE, PictureError,
    memory::{Held, hold_file},
};

/// `O_NONBLOCK`: opening a pipe that nobody writes to returns at once. Regular files ignore it.
const OPEN_FLAGS: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// Whose pictures lie in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The people to recognise: `UNKNOWN_PEOPLE`.
    Unknown,
    /// Those who are known already: `KNOWN_PEOPLE`.
    Known,
}

impl Whose {
    /// Where the folder is in every message, wherever it is mounted here.
    fn well_known(self) -> &'static str {
        match self {
            Self::Unknown => "/unknown_people",
            Self::Known => "/known_people",
        }
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown people",
            Self::Known => "known people",
        })
    }
}

/// What a file holds. Only so much of all files is in memory at once.
#[derive(Debug)]
pub struct Content {
    bytes: Vec<u8>,
    _held: Held<'static>,
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// A folder that pictures are read from, and nothing beside it.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    whose: Whose,
}

impl Folder {
    /// The folder may be missing at first: it is opened anew for each picture, so a volume may come and go.
    pub fn new(path: &Path, whose: Whose) -> Self {
        Self { path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()), whose }
    }

    /// Reads the picture that `image_path` names: of unknown people, `/unknown_people/x` and `x` both mean x in the
    /// folder, any other absolute path must lie inside it. Blocks.
    pub fn read(&self, image_path: &str) -> Result<Content, PictureError> {
        let (file, size) = self.open(image_path)?;
        read(file, size)
    }

    /// Opens the file of a picture, and says how many bytes it has. Blocks.
    pub fn open(&self, image_path: &str) -> Result<(File, u64), PictureError> {
        let path = self.relative(image_path)?;
        let folder = Dir::open_ambient_dir(&self.path, ambient_authority())
            .map_err(|error| PictureError::Folder(self.whose, error))?;
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OPEN_FLAGS);
        let file = folder.open_with(path, &options).map_err(|error| why_not_opened(error, self.whose))?;
        regular(file.into_std())
    }

    fn relative<'a>(&self, image_path: &'a str) -> Result<&'a Path, PictureError> {
        if image_path.contains('\0') {
            return Err(PictureError::Path("contains a NUL character"));
        }
        let path = Path::new(image_path);
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(PictureError::Outside(self.whose));
        }
        let inside =
            match path.strip_prefix(&self.path).or_else(|_| path.strip_prefix(self.whose.well_known())) {
                Ok(inside) => inside,
                Err(_) if path.is_absolute() => return Err(PictureError::Outside(self.whose)),
                Err(_) => path,
            };
        if inside.components().all(|part| part == Component::CurDir) {
            return Err(PictureError::NotAFile);
        }
        Ok(inside)
    }
}

/// Reads a file of the operator's own choice (a known person's picture). Blocks.
pub fn read_trusted(path: &Path) -> Result<Content, PictureError> {
    let file = File::options().read(true).custom_flags(OPEN_FLAGS).open(path);
    let (file, size) = regular(file.map_err(|error| why_not_opened(error, Whose::Known))?)?;
    read(file, size)
}

/// Asks the opened file, not its name, what it is, so that nothing can be swapped in between.
fn regular(file: File) -> Result<(File, u64), PictureError> {
    let metadata = file.metadata().map_err(PictureError::Read)?;
    if !metadata.is_file() {
        return Err(PictureError::NotAFile);
    }
    if metadata.len() > MAX_FILE {
        return Err(PictureError::TooLong);
    }
    Ok((file, metadata.len()))
}

fn read(file: File, size: u64) -> Result<Content, PictureError> {
    let held = hold_file(size);
    // One byte more than there should be, so that the end is seen without room for more.
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
    // It may grow while it is read: then somebody still writes it.
    file.take(size).read_to_end(&mut bytes).map_err(PictureError::Read)?;
    Ok(Content { bytes, _held: held })
}

fn why_not_opened(error: io::Error, whose: Whose) -> PictureError {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound | Kind::NotADirectory => PictureError::Missing(whose),
        // cap-std's own refusal carries no number of the system's.
        Kind::PermissionDenied if error.raw_os_error().is_none() => PictureError::Outside(whose),
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
