//! Pictures of a request, one after the other: the body itself, or the files of a form. Each is held in memory as it arrives.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    http::{HeaderMap, StatusCode},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use multer::Multipart;
use web::{
    Peer,
    budget::{Budget, Charge},
};

use crate::{
    http::{
        body::{ReadError, discard, paced},
        error::Problem,
    },
    stateless::bounds::Bounds,
    uploads::{
        form::{MAX_FIELDS, form_type, no_form, read_away, refuse, too_many_fields, with_head_limit},
        store::{NotKept, SIGNATURE, extension},
    },
};

/// As much memory is taken at once, in bytes; and as much goes to face-recog in one message.
const BLOCK: usize = 64 << 10;

/// A picture in memory.
#[derive(Debug)]
pub struct Sent {
    /// The bytes of its file.
    pub blocks: Vec<Bytes>,
    /// How many these are.
    pub size: usize,
    /// It counts for as long as this lives.
    pub charge: Charge,
}

/// The pictures of a request, and its share of the requests at once.
pub struct Pictures {
    bounds: Bounds,
    peer: IpAddr,
    source: Source,
    _slot: Charge,
}

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, ReadError>> + Send>>;

enum Source {
    /// The body is one picture, if it was not taken yet.
    Body(Pieces, bool),
    Form {
        form: Multipart<'static>,
        /// What multer holds: see [`with_head_limit`].
        held: Arc<AtomicUsize>,
        fields: usize,
    },
}

impl Bounds {
    /// The pictures of `request`.
    pub async fn pictures(&self, request: Request) -> Result<Pictures, Problem> {
        let (head, body) = request.into_parts();
        let peer = Peer::of(&head.extensions);
        let Ok(slot) = self.slots.take(peer, 1) else {
            return Err(refuse(ReadError::Overloaded.into(), &head.headers, body).await);
        };
        let source = self.source(&head.headers, body).await?;
        Ok(Pictures { bounds: self.clone(), peer, source, _slot: slot })
    }

    async fn source(&self, headers: &HeaderMap, body: Body) -> Result<Source, Problem> {
        let Some(form) = form_type(headers) else {
            let body = self.not_too_large(headers, body).await?;
            return Ok(Source::Body(Box::pin(paced(body, self.patience)), false));
        };
        match multer::parse_boundary(form) {
            Ok(boundary) => {
                let held = Arc::new(AtomicUsize::new(0));
                let pieces = with_head_limit(paced(body, self.patience), held.clone());
                Ok(Source::Form { form: Multipart::new(pieces, boundary), held, fields: 0 })
            }
            Err(error) => Err(refuse(no_form(error), headers, body).await),
        }
    }

    /// Refuses a body that is announced to be too large.
    pub async fn not_too_large(&self, headers: &HeaderMap, body: Body) -> Result<Body, Problem> {
        if body.size_hint().lower() > self.most as u64 {
            return Err(refuse(self.too_large().into(), headers, body).await);
        }
        Ok(body)
    }

    fn too_large(&self) -> NotKept {
        NotKept::TooLarge(self.most as u64)
    }
}

impl Pictures {
    /// The only picture.
    pub async fn only(&mut self) -> Result<Sent, Problem> {
        let picture = self.next().await?;
        let picture = picture.ok_or_else(|| wrong_number("no_file", "the form holds no file; send one"))?;
        self.end("send one picture, and the form holds several").await?;
        Ok(picture)
    }

    /// Fails with `detail` when there is another picture.
    pub async fn end(&mut self, detail: &str) -> Result<(), Problem> {
        match self.next().await? {
            Some(_) => Err(wrong_number("several_files", detail)),
            None => Ok(()),
        }
    }

    /// The next picture.
    pub async fn next(&mut self) -> Result<Option<Sent>, Problem> {
        let (bounds, peer) = (&self.bounds, self.peer);
        match &mut self.source {
            Source::Body(_, true) => Ok(None),
            Source::Body(pieces, taken) => {
                *taken = true;
                Sent::read(bounds, peer, pieces).await.map(Some)
            }
            Source::Form { form, held, fields } => {
                while let Some(mut field) = form.next_field().await? {
                    *fields += 1;
                    if *fields > MAX_FIELDS {
                        return Err(too_many_fields());
                    }
                    let is_file = field.file_name().is_some_and(|name| !name.is_empty());
                    let mut pieces = (&mut field).inspect(|_| held.store(0, Ordering::Relaxed));
                    if is_file {
                        return Sent::read(bounds, peer, pieces).await.map(Some);
                    }
                    // What is no file is read past.
                    while let Some(piece) = pieces.next().await {
                        piece?;
                    }
                }
                Ok(None)
            }
        }
    }

    /// Reads what is left, so that the client reads the answer, but not for ever.
    pub async fn refuse(self, problem: Problem) -> Problem {
        match self.source {
            Source::Body(pieces, _) => discard(pieces).await,
            Source::Form { mut form, held, .. } => read_away(&mut form, &held).await,
        }
        problem
    }
}

impl Sent {
    async fn read<E: Into<Problem>>(
        bounds: &Bounds,
        peer: IpAddr,
        mut pieces: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Self, Problem> {
        let mut blocks = Blocks::new(&bounds.memory, peer)?;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(Into::into)?;
            if blocks.size + piece.len() > bounds.most {
                return Err(bounds.too_large().into());
            }
            blocks.push(&piece)?;
        }
        let sent = blocks.end();
        let beginning = sent.blocks.first().map_or(&[][..], |block| &block[..block.len().min(SIGNATURE)]);
        extension(beginning)?;
        Ok(sent)
    }
}

/// Bytes as they arrive, in blocks of one size: a client that sends each byte by itself takes no more memory than another.
struct Blocks {
    full: Vec<Bytes>,
    last: Vec<u8>,
    size: usize,
    charge: Charge,
}

impl Blocks {
    fn new(memory: &Budget, peer: IpAddr) -> Result<Self, ReadError> {
        Ok(Self { full: Vec::new(), last: Vec::new(), size: 0, charge: memory.take(peer, 0)? })
    }

    fn push(&mut self, mut piece: &[u8]) -> Result<(), ReadError> {
        self.size += piece.len();
        while !piece.is_empty() {
            if self.last.len() == self.last.capacity() {
                self.charge.grow(BLOCK)?;
                let full = std::mem::replace(&mut self.last, Vec::with_capacity(BLOCK));
                if !full.is_empty() {
                    self.full.push(full.into());
                }
            }
            let room = self.last.capacity() - self.last.len();
            let (now, later) = piece.split_at(piece.len().min(room));
            self.last.extend_from_slice(now);
            piece = later;
        }
        Ok(())
    }

    fn end(mut self) -> Sent {
        if !self.last.is_empty() {
            self.full.push(self.last.into());
        }
        Sent { blocks: self.full, size: self.size, charge: self.charge }
    }
}

fn wrong_number(code: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_held_in_blocks_however_they_come() {
        let bytes: Vec<u8> = (0..2 * BLOCK + 5).map(|n| n as u8).collect();
        for piece in [1, 7, BLOCK, bytes.len()] {
            let memory = Budget::new(6 * BLOCK);
            let here = IpAddr::from([127, 0, 0, 1]);
            let mut blocks = Blocks::new(&memory, here).unwrap();
            bytes.chunks(piece).for_each(|piece| blocks.push(piece).unwrap());
            let sent = blocks.end();
            assert_eq!((sent.size, sent.blocks.len()), (bytes.len(), 3));
            assert!(sent.blocks.concat() == bytes);
            assert!(memory.take(here, 1).is_err(), "three blocks are one address's share");
            drop(sent);
            assert!(memory.take(here, 3 * BLOCK).is_ok());
        }
    }
}
