//! Why there is no picture.

use std::{error::Error, io};

use super::{MAX_FILE, MAX_PIXELS, MAX_SIDE, format};
use crate::picture::folder::Whose;

/// Why there is no picture. What is displayed is fit for a user's eyes; sources are for the log.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The path cannot name a picture at all.
    #[error("the path {0}")]
    Path(&'static str),
    /// The path, or a symbolic link on its way, leads out of the folder.
    #[error("the path leads out of the folder of {0}")]
    Outside(Whose),
    /// Nothing is there.
    #[error("there is no such file in the folder of {0}")]
    Missing(Whose),
    /// The file's permissions do not let this service read it.
    #[error("the service is not allowed to read the file: change its permissions")]
    Forbidden,
    /// A directory, a pipe, a device or a socket.
    #[error("it is not a regular file")]
    NotAFile,
    /// More than [`MAX_FILE`] bytes.
    #[error("the file is larger than {} MiB", MAX_FILE >> 20)]
    TooLong,
    /// No bytes.
    #[error("the file is empty")]
    Empty,
    /// None of the known formats.
    #[error("the file is no {} picture", format::READ)]
    NoPicture,
    /// A format that is read by a program which is missing.
    #[error(
        "{0} pictures are not read, because heif-convert is missing here: save it as JPEG, or install Debian's package libheif-examples"
    )]
    NotRead(&'static str),
    /// More pixels than one worker may spend memory on.
    #[error(
        "the picture has {width} × {height} pixels: too many (at most {} million, no side over {MAX_SIDE})",
        MAX_PIXELS / 1_000_000
    )]
    TooLarge {
        /// Pixels from left to right.
        width: u32,
        /// Pixels from top to bottom.
        height: u32,
    },
    /// Its decoder would need more than all of them may have.
    #[error(
        "the picture takes {needed} MiB of memory to open, and {most} are allowed: save it as a JPEG, not progressive"
    )]
    TooMuchMemory {
        /// What it would take, in MiB.
        needed: u64,
        /// What there is, in MiB.
        most: u64,
    },
    /// The format is known, but the content is broken, or holds more than it should.
    #[error("the picture is damaged or of an unusual kind: save it anew as JPEG or PNG")]
    Damaged(#[source] Box<dyn Error + Send + Sync>),
    /// The disk or the network failed, not the picture.
    #[error("the file could not be read")]
    Read(#[source] io::Error),
    /// The folder itself is away.
    #[error("the folder of {0} cannot be opened")]
    Folder(Whose, #[source] io::Error),
    /// The box that shall be shown has no pixel on the picture.
    #[error("the box lies beyond the picture")]
    Beyond,
}

impl PictureError {
    /// What its decoder says against a picture.
    pub(crate) fn damaged(why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Damaged(why.into())
    }

    /// What the metrics count it as: a fixed word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Path(_) => "impossible_path",
            Self::Outside(_) => "outside",
            Self::Missing(_) => "missing",
            Self::Forbidden => "forbidden",
            Self::NotAFile => "not_a_file",
            Self::TooLong => "file_too_large",
            Self::Empty => "empty",
            Self::NoPicture => "no_picture",
            Self::NotRead(_) => "format_not_read",
            Self::TooLarge { .. } => "too_many_pixels",
            Self::TooMuchMemory { .. } => "too_much_memory",
            Self::Damaged(_) => "damaged",
            Self::Read(_) => "unreadable",
            Self::Folder(..) => "folder_away",
            Self::Beyond => "beyond",
        }
    }
}
