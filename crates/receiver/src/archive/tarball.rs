//! The archive as bytes that come or go: a tar, of which only the part in hand is in memory.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

/// Files of a tar begin at multiples of this.
const BLOCK: usize = 512;

/// The head of a file.
pub fn head(path: &str, size: u64, at: u64) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(at);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, path, io::empty())?;
    let mut head = archive.into_inner()?;
    head.truncate(head.len() - 2 * BLOCK); // its end
    Ok(head)
}

/// What follows a file of this size.
pub fn padding(size: u64) -> &'static [u8] {
    const ZEROES: [u8; BLOCK] = [0; BLOCK];
    let beyond = (size % BLOCK as u64) as usize;
    &ZEROES[..(BLOCK - beyond) % BLOCK]
}

/// What follows the last file.
pub fn end() -> Vec<u8> {
    vec![0; 2 * BLOCK]
}

/// A file with its head and what follows it.
pub fn file(path: &str, content: &[u8], at: u64) -> io::Result<Vec<u8>> {
    let size = content.len() as u64;
    Ok([&head(path, size, at)?, content, padding(size)].concat())
}

/// Bytes that are received piece by piece, for a thread that may wait for them.
pub struct Incoming {
    pieces: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Incoming {
    /// These pieces, one after the other.
    pub fn new(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self { pieces, piece: Bytes::new() }
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// How many bytes may still be read, if that is bounded.
pub type Bound = Rc<Cell<Option<usize>>>;

/// Bytes of which no more are read than the bound allows at that time.
pub struct Bounded {
    pub incoming: Incoming,
    pub bound: Bound,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.bound.get() else { return self.incoming.read(buffer) };
        let most = buffer.len().min(left);
        if most == 0 && !buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the head of a file is too long"));
        }
        let length = self.incoming.read(&mut buffer[..most])?;
        self.bound.set(Some(left - length));
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_a_tar_with_names_of_any_length_and_script() {
        let long = format!("known_people/{}.jpg", "\u{1F600}".repeat(60));
        let contents = [("a.json", vec![b'a'; 512]), (&long, vec![b'b'; 513]), ("c", vec![])];
        let mut bytes = Vec::new();
        for (path, content) in &contents {
            bytes.extend(file(path, content, 7).unwrap());
        }
        bytes.extend(end());
        assert_eq!(bytes.len() % BLOCK, 0);
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut read = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            read.push((String::from_utf8(entry.path_bytes().into_owned()).unwrap(), content));
        }
        let contents: Vec<_> =
            contents.into_iter().map(|(path, content)| (path.to_owned(), content)).collect();
        assert_eq!(read, contents);
    }
}
