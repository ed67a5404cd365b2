//! Pictures that were sent, as files: each is named by its own SHA-256, so that the same picture is one file.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    pin::pin,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};
use web::budget::Charge;

use crate::uploads::{
    quota::Room,
    write::{self, Nameless},
};

/// Pieces between the network and the disk.
const PIECES: usize = 4;

/// As many first bytes tell what kind of picture it is.
pub const SIGNATURE: usize = 12;

/// Why a file was not kept.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// It is larger than the limit.
    #[error("the file is too large: at most {0} bytes are allowed")]
    TooLarge(u64),
    /// It begins as none of these kinds does.
    #[error("the file is no JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF picture")]
    NotAPicture,
    /// There is no room for it.
    #[error("there is no room for the file; tell an administrator, or send it again later")]
    DiskFull,
    /// The other uploads take what all may take.
    #[error("the uploads have used up UPLOADS_QUOTA: delete images, or raise it")]
    QuotaUsed,
    /// The folder is away or cannot be written to, which the log tells more of.
    #[error("the folder for the file cannot be written to; send it again later, or tell an administrator")]
    FolderAway,
}

impl From<io::Error> for NotKept {
    fn from(error: io::Error) -> Self {
        tracing::error!(%error, "cannot keep an upload");
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::FolderAway,
        }
    }
}

/// The folder that uploads go to.
#[derive(Clone, Debug)]
pub struct UploadStore {
    path: Arc<PathBuf>,
    max_file: u64,
    room: Room,
}

impl UploadStore {
    /// Keeps files of up to `max_file` bytes in `path`, and of about `quota` bytes together.
    pub fn new(path: PathBuf, max_file: u64, quota: Option<u64>) -> Self {
        Self { path: Arc::new(path), max_file, room: Room::new(quota) }
    }

    /// The largest file, in bytes.
    pub fn max_file(&self) -> u64 {
        self.max_file
    }

    /// Makes the folder, if only that is missing, and clears away what a killed process left in it.
    pub async fn prepare(&self) {
        let folder = self.path.clone();
        let prepared = spawn_blocking(move || {
            fs::create_dir(&*folder).or_else(|error| if folder.is_dir() { Ok(()) } else { Err(error) })?;
            write::clear(&folder)
        });
        if let Ok(Err(error)) = prepared.await {
            tracing::warn!(folder = %self.path.display(), %error, "the folder for uploads cannot be used now");
        }
    }

    /// Counts the room that the files take, if there is a quota.
    pub async fn count(&self) {
        let (folder, room) = (self.path.clone(), self.room.clone());
        if let Ok(Err(error)) = spawn_blocking(move || room.count(&folder)).await {
            tracing::warn!(folder = %self.path.display(), %error, "cannot count the room that uploads take");
        }
    }

    /// Takes what `pieces` are the whole of. The outer error is theirs. A volume that hangs keeps `slot` until it goes on.
    pub async fn take<E>(
        &self,
        pieces: impl Stream<Item = Result<Bytes, E>>,
        slot: Charge,
    ) -> Result<Result<Nameless, NotKept>, E> {
        let (sender, receiver) = mpsc::channel(PIECES);
        let folder = self.clone();
        let writer = spawn_blocking(move || {
            let written = folder.write(receiver);
            drop(slot);
            written
        });
        let mut pieces = pin!(pieces);
        let mut end = Ok(());
        loop {
            let piece = match pieces.next().await {
                Some(Ok(piece)) => Some(piece),
                None => None,
                Some(Err(error)) => {
                    end = Err(error);
                    break;
                }
            };
            let last = piece.is_none();
            match timeout_at(Instant::now() + write::PATIENCE, sender.send(piece)).await {
                Ok(Ok(())) if !last => {}
                // When it fails the writer has ended, which says why by itself.
                Ok(_) => break,
                Err(_) => return Ok(Err(write::hangs().into())),
            }
        }
        drop(sender);
        let written = timeout_at(Instant::now() + write::PATIENCE, writer).await;
        end?;
        let written = written.unwrap_or_else(|_| Ok(Err(write::hangs().into())));
        Ok(written.unwrap_or_else(|error| Err(io::Error::other(error).into())))
    }

    /// Gives a file its name.
    pub async fn name(self, nameless: Nameless) -> Result<(), NotKept> {
        let named = spawn_blocking(move || {
            let size = nameless.size()?;
            // The same picture again takes no more room.
            if !self.path.join(&nameless.name).exists() {
                self.room.add(size);
            }
            nameless.give_name(&self.path)
        });
        Ok(named.await.unwrap_or_else(|error| Err(io::Error::other(error)))?)
    }

    /// Removes a file; false when there is none.
    pub async fn remove(&self, name: &str) -> Result<bool, NotKept> {
        let (folder, room, name) = (self.path.clone(), self.room.clone(), name.to_owned());
        let removed = spawn_blocking(move || {
            let size = fs::symlink_metadata(folder.join(&name)).map_or(0, |file| file.len());
            let removed = write::remove(&folder, &name)?;
            if removed {
                room.give_back(size);
            }
            Ok(removed)
        });
        Ok(removed.await.unwrap_or_else(|error| Err(io::Error::other(error)))?)
    }

    /// Writes pieces until `None`. A channel that ends before means that nobody wants the file any more.
    fn write(&self, mut pieces: mpsc::Receiver<Option<Bytes>>) -> Result<Nameless, NotKept> {
        let mut file = write::unfinished(&self.path, write::SENT)?;
        let (mut hash, mut size, mut signature) = (Sha256::new(), 0, Vec::with_capacity(SIGNATURE));
        loop {
            let piece =
                pieces.blocking_recv().ok_or(io::ErrorKind::UnexpectedEof).map_err(io::Error::from)?;
            let Some(piece) = piece else { break };
            size += piece.len() as u64;
            if size > self.max_file {
                return Err(NotKept::TooLarge(self.max_file));
            }
            if !self.room.has(size) {
                return Err(NotKept::QuotaUsed);
            }
            signature.extend(piece.iter().take(SIGNATURE - signature.len()));
            if signature.len() == SIGNATURE {
                extension(&signature)?;
            }
            hash.update(&piece);
            file.write_all(&piece)?;
        }
        let extension = extension(&signature)?;
        let name = format!("{}.{extension}", hex::encode(hash.finalize()));
        Ok(Nameless::new(file, name)?)
    }
}

/// The extension of the kind of picture that begins like this.
pub fn extension(signature: &[u8]) -> Result<&'static str, NotKept> {
    Ok(match signature {
        [0xff, 0xd8, 0xff, ..] => "jpg",
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => "png",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "webp",
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => "gif",
        [b'B', b'M', ..] => "bmp",
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => "tif",
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f' | b's', ..] => "avif",
        [_, _, _, _, b'f', b't', b'y', b'p', b'h', b'e', b'i' | b'v', ..]
        | [_, _, _, _, b'f', b't', b'y', b'p', b'm', b'i' | b's', b'f', b'1', ..] => "heic",
        _ => return Err(NotKept::NotAPicture),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_known_by_its_first_bytes() {
        assert_eq!(extension(b"\xff\xd8\xff").unwrap(), "jpg");
        assert_eq!(extension(b"\x89PNG\r\n\x1a\n").unwrap(), "png");
        assert_eq!(extension(b"RIFF\0\0\0\0WEBP").unwrap(), "webp");
        assert_eq!(extension(b"GIF87a").unwrap(), "gif");
        assert_eq!(extension(b"GIF89a\x01").unwrap(), "gif");
        assert_eq!(extension(b"BM\x3a\0").unwrap(), "bmp");
        assert_eq!(extension(b"II\x2a\0").unwrap(), "tif");
        assert_eq!(extension(b"MM\0\x2a").unwrap(), "tif");
        for other in [b"".as_slice(), b"\xff\xd8", b"RIFF\0\0\0\0WAVE", b"GIF88a", b"%PDF-1.7", b"<svg>"] {
            assert!(matches!(extension(other), Err(NotKept::NotAPicture)), "{other:?}");
        }
        for (brand, kind) in [(b"heic", "heic"), (b"mif1", "heic"), (b"avif", "avif")] {
            assert_eq!(extension(&[b"\0\0\0\x18ftyp", &brand[..]].concat()).unwrap(), kind);
        }
        assert!(matches!(extension(b"\0\0\0\x18ftypisom"), Err(NotKept::NotAPicture)));
    }

    #[test]
    fn a_full_disk_is_told_from_a_folder_that_is_away() {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].map(io::Error::from);
        assert!(full.into_iter().all(|error| matches!(NotKept::from(error), NotKept::DiskFull)));
        assert!(matches!(NotKept::from(io::Error::from(io::ErrorKind::NotFound)), NotKept::FolderAway));
    }
}
