//! The file of a picture, opened to be handed out as it is.

use std::{
    fs::File,
    io::{Read, Seek},
};

use crate::picture::{PictureError, folder::Folder, format::Format};

/// As many bytes at its beginning tell a picture's format.
const SIGNATURE: u64 = 12;

/// A picture's file.
#[derive(Debug)]
pub struct Original {
    /// It stands at its beginning.
    pub file: File,
    /// In bytes.
    pub size: u64,
    /// What kind of picture it is, as HTTP names it.
    pub media_type: &'static str,
}

/// Opens the picture that `image_path` names, if it is one by its first bytes. Blocks.
pub fn open(folder: &Folder, image_path: &str) -> Result<Original, PictureError> {
    let (mut file, size) = folder.open(image_path)?;
    let mut beginning = Vec::new();
    (&mut file).take(SIGNATURE).read_to_end(&mut beginning).map_err(PictureError::Read)?;
    file.rewind().map_err(PictureError::Read)?;
    match Format::of(&beginning) {
        Some(format) => Ok(Original { file, size, media_type: format.media_type() }),
        None if beginning.is_empty() => Err(PictureError::Empty),
        None => Err(PictureError::NoPicture),
    }
}
