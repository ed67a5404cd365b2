//! Embeddings of known pictures on disk, so that a restart does not look at 10,000 pictures again.
//!
//! One file holds all: it is read when pictures are new or changed, and replaced by a new one when they have
//! been looked at. A picture is known again by its name and [`Stamp`], without being read, or else by the hash of
//! its content. Whatever is wrong with the file or its folder costs time and nothing else: it counts as empty.

use std::{
    collections::{HashMap, HashSet},
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, BufWriter, Read as _, Write as _},
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::OpenOptionsExt as _,
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use crate::{
    engine::{DIMENSIONS, Embedding, ModelId},
    gallery::{Gallery, listing::Stamp},
    picture::ContentHash,
};

/// Name of the file in its folder.
const FILE: &str = "embeddings";

/// Begins the file; another number when its layout changes.
const MAGIC: &[u8] = b"kube-face embeddings 1\n";

/// A million pictures take two thirds of it; what is longer was not written here.
const MAX_FILE: u64 = 1 << 30;

/// How long the embedding of a picture is kept that is not in the folder any more, and that nobody was seen to remove:
/// the folder may just have lost its volume.
const KEEP_UNUSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Where embeddings are kept.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    model: ModelId,
}

/// A known picture that was looked at: its file's name, what it was, and the hash of its content.
pub type Used = (OsString, Stamp, ContentHash);

/// What was in the cache.
#[derive(Default)]
pub struct Remembered {
    bytes: Vec<u8>,
    records: Vec<Record>,
    by_name: HashMap<OsString, usize>,
    by_content: HashMap<ContentHash, usize>,
}

/// Written as its fields in this order, numbers as eight bytes, the least first.
struct Record {
    /// After the number of its bytes.
    name: OsString,
    stamp: Stamp,
    content: ContentHash,
    /// When the picture was first missed, in seconds since 1970; 0 while it is there.
    unused_since: u64,
    /// Where the embedding begins in the file; `None` when the picture shows no face. Written as the number
    /// of floats, and the floats.
    embedding: Option<usize>,
}

impl Cache {
    /// `folder` may be missing: then nothing is kept. Embeddings of another model than `model` do not count.
    pub fn new(folder: &Path, model: ModelId) -> Self {
        Self { folder: folder.to_owned(), model }
    }

    /// Reads what is there. Blocks.
    pub fn load(&self) -> Remembered {
        let path = self.folder.join(FILE);
        let trouble = match read(&path) {
            Ok(bytes) => match Remembered::parse(bytes, &self.model) {
                Some(remembered) => return remembered,
                None => "it is damaged, of another version or of another model".to_owned(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Remembered::default(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(file = %path.display(), trouble, "the cache of embeddings counts as empty");
        Remembered::default()
    }

    /// Replaces what is there by the pictures that are `used`, whose embeddings are in `gallery` unless they
    /// show no face, and by what was there before and is not used any more, for some time; what was `removed` by
    /// somebody, and is not used under another name, goes at once. Blocks.
    pub fn save(&self, used: &[Used], removed: &HashSet<ContentHash>, gallery: &Gallery) -> io::Result<()> {
        if !self.folder.is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let before = self.load();
        let new = self.folder.join(format!("{FILE}.new"));
        let written = self.write(&new, &before, used, removed, gallery);
        written.and_then(|()| fs::rename(&new, self.folder.join(FILE))).inspect_err(|_| {
            // Half a file would only fill the disk further.
            let _ = fs::remove_file(&new);
        })
    }

    fn write(
        &self,
        path: &Path,
        before: &Remembered,
        used: &[Used],
        removed: &HashSet<ContentHash>,
        gallery: &Gallery,
    ) -> io::Result<()> {
        let mut file = Hashing { file: BufWriter::new(File::create(path)?), hash: Sha256::new() };
        file.write(MAGIC)?;
        file.write(self.model.as_bytes())?;
        let written: HashSet<_> = used.iter().map(|(_, _, content)| content).chain(removed).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        for record in before.records.iter().filter(|record| !written.contains(&record.content)) {
            let since = if record.unused_since == 0 { now } else { record.unused_since };
            if now.saturating_sub(since) < KEEP_UNUSED.as_secs() {
                let embedding = before.embedding(record);
                file.write(&encoded(
                    &record.name,
                    &record.stamp,
                    &record.content,
                    since,
                    embedding.as_ref(),
                ))?;
            }
        }
        for (name, stamp, content) in used {
            let embedding = name.to_str().and_then(|name| gallery.embedding(name));
            file.write(&encoded(name, stamp, content, 0, embedding))?;
        }
        let Hashing { mut file, hash } = file;
        file.write_all(&hash.finalize())?;
        file.into_inner()?.sync_all()
    }
}

impl Remembered {
    /// `None` unless every byte is as it was written, for the same model.
    fn parse(bytes: Vec<u8>, model: &ModelId) -> Option<Self> {
        let (content, hash) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        let mut rest = content.strip_prefix(MAGIC)?.strip_prefix(model.as_bytes())?;
        if Sha256::digest(content)[..] != *hash {
            return None;
        }
        let mut records = Vec::new();
        while !rest.is_empty() {
            let length = usize::try_from(number(&mut rest)?).ok()?;
            let name = OsString::from_vec(rest.split_off(..length)?.to_vec());
            let stamp = Stamp {
                inode: number(&mut rest)?,
                length: number(&mut rest)?,
                modified: [time(&mut rest)?, time(&mut rest)?],
                changed: [time(&mut rest)?, time(&mut rest)?],
            };
            let hash = rest.split_off(..32)?.try_into().ok()?;
            let unused_since = number(&mut rest)?;
            let floats = usize::try_from(number(&mut rest)?).ok()?;
            let begin = content.len() - rest.len();
            let embedding = match rest.split_off(..floats.checked_mul(4)?)?.len() / 4 {
                0 => None,
                DIMENSIONS => Some(begin),
                _ => return None,
            };
            records.push(Record { name, stamp, content: hash, unused_since, embedding });
        }
        let numbered = || records.iter().enumerate();
        // Those in use come last and so win over those of the same name that are not any more.
        let by_name = numbered().map(|(number, record)| (record.name.clone(), number)).collect();
        let by_content = numbered().map(|(number, record)| (record.content, number)).collect();
        Some(Self { by_name, by_content, records, bytes })
    }

    /// The content and the embedding (none without a face) of the picture `name`, if it has not changed since.
    pub fn unchanged(&self, name: &OsStr, stamp: &Stamp) -> Option<(ContentHash, Option<Embedding>)> {
        let record = &self.records[*self.by_name.get(name)?];
        (record.stamp == *stamp).then(|| (record.content, self.embedding(record)))
    }

    /// The embedding (none without a face) of a picture with this content.
    pub fn same(&self, content: &ContentHash) -> Option<Option<Embedding>> {
        Some(self.embedding(&self.records[*self.by_content.get(content)?]))
    }

    fn embedding(&self, record: &Record) -> Option<Embedding> {
        let bytes = &self.bytes[record.embedding?..];
        let mut floats = bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
        Some(std::array::from_fn(|_| floats.next().unwrap_or(f32::NAN)))
    }
}

fn encoded(
    name: &OsStr,
    stamp: &Stamp,
    content: &ContentHash,
    unused_since: u64,
    embedding: Option<&Embedding>,
) -> Vec<u8> {
    let embedding = embedding.map_or(&[][..], |embedding| embedding);
    let mut bytes = (name.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend([stamp.inode, stamp.length].map(u64::to_le_bytes).as_flattened());
    bytes.extend([stamp.modified, stamp.changed].as_flattened().iter().flat_map(|time| time.to_le_bytes()));
    bytes.extend_from_slice(content);
    bytes.extend([unused_since, embedding.len() as u64].map(u64::to_le_bytes).as_flattened());
    bytes.extend(embedding.iter().flat_map(|float| float.to_le_bytes()));
    bytes
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(rest.split_off(..8)?.try_into().ok()?))
}

fn time(rest: &mut &[u8]) -> Option<i64> {
    number(rest).map(u64::cast_signed)
}

/// A file that ends in the hash of what is before.
struct Hashing {
    file: BufWriter<File>,
    hash: Sha256,
}

impl Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.file.write_all(bytes)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe that nobody writes to returns at once.
    let file = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(io::Error::other("it is no file, or too large for one that was written here"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}
