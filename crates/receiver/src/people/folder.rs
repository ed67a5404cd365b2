//! The folder of known people, as far as the receiver touches it: an example is written, a picture removed, and what lies
//! there is listed. Pictures come from face-recog, which opens and cuts them.
//!
//! Until a picture has its name, that is none which face-recog reads.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use axum::http::StatusCode;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use crate::{
    http::error::Problem,
    uploads::write::{self, FileWork, Nameless},
};

/// Names of known people's pictures end in one of these, in any case.
const ENDINGS: [&str; 3] = ["jpg", "jpeg", "png"];

/// Longest name of a file.
const LONGEST_NAME: usize = 255;

/// The folder `KNOWN_PEOPLE`. It may be missing: then nobody is enrolled here.
#[derive(Clone, Debug)]
pub struct KnownPeople {
    folder: Arc<PathBuf>,
    work: FileWork,
}

impl KnownPeople {
    /// The pictures in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder: Arc::new(folder), work: FileWork::default() }
    }

    /// Clears away what a killed process left in the folder, if there is one.
    pub async fn clear(&self) {
        let folder = self.folder.clone();
        match spawn_blocking(move || write::clear(&folder)).await {
            Ok(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "the folder of known people cannot be cleared now");
            }
            _ => {}
        }
    }

    /// Whether there is a folder, so that somebody can be enrolled here.
    pub async fn is_there(&self) -> Result<(), Problem> {
        self.with(|folder| fs::metadata(folder).map(drop)).await
    }

    /// Whether there is a folder whose pictures can be listed.
    pub async fn exists(&self) -> Result<bool, Problem> {
        self.with(|folder| Ok(entries(folder)?.is_some())).await
    }

    /// Writes a picture beside the others, unseen, under the name that its content gives it.
    pub async fn write(&self, jpeg: Vec<u8>) -> Result<Nameless, Problem> {
        self.with(move |folder| {
            let mut file = write::unfinished(folder, write::CUT)?;
            file.write_all(&jpeg)?;
            Nameless::new(file, format!("enrolled-{}.jpg", hex::encode(Sha256::digest(&jpeg))))
        })
        .await
    }

    /// Gives a picture its name, which face-recog sees within seconds.
    pub async fn show(&self, picture: Nameless) -> Result<(), Problem> {
        self.with(move |folder| picture.give_name(folder)).await
    }

    /// Removes a picture; false when there is none, or no folder, or its name is none that lies in it.
    pub async fn remove(&self, name: &str) -> Result<bool, Problem> {
        if !is_base_name(name) {
            return Ok(false);
        }
        let name = name.to_owned();
        self.with(move |folder| write::remove(folder, &name)).await
    }

    /// Whether a picture lies in the folder; `None` when there is no folder to tell.
    pub async fn has(&self, name: &str) -> Option<bool> {
        let name = name.to_owned();
        let looked = self.with(move |folder| Ok(folder.is_dir().then(|| folder.join(name).is_file())));
        looked.await.ok().flatten()
    }

    /// The pictures that lie in the folder, by their names; `None` when there is no folder.
    pub async fn list(&self) -> Result<Option<Vec<String>>, Problem> {
        self.with(|folder| {
            let Some(entries) = entries(folder)? else { return Ok(None) };
            let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
            let names = names.collect::<io::Result<Vec<_>>>()?;
            Ok(Some(names.into_iter().flatten().filter(|name| is_picture_name(name)).collect()))
        })
        .await
    }

    /// A picture of the folder, and how many bytes it has; `None` when it is there no more.
    pub async fn open(&self, name: &str) -> Result<Option<(File, u64)>, Problem> {
        let name = name.to_owned();
        self.with(move |folder| match File::open(folder.join(name)) {
            Ok(file) => {
                let metadata = file.metadata()?;
                Ok(metadata.is_file().then_some((file, metadata.len())))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// The next bytes of a picture, up to `most`; none at its end.
    pub async fn read(&self, file: File, most: usize) -> Result<(File, Vec<u8>), Problem> {
        self.with(move |_| {
            let mut bytes = Vec::with_capacity(most);
            (&file).take(most as u64).read_to_end(&mut bytes)?;
            Ok((file, bytes))
        })
        .await
    }

    /// Puts a picture into the folder under a name that it had elsewhere. May block.
    pub fn put(&self, name: &str, content: &mut impl Read) -> Result<Put, Problem> {
        if !is_picture_name(name) {
            return Ok(Put::NoName);
        }
        self.put_in(&self.folder.join(name), content).map_err(why)
    }

    fn put_in(&self, path: &Path, content: &mut impl Read) -> io::Result<Put> {
        let mut file = write::unfinished(&self.folder, write::CUT)?;
        io::copy(content, &mut file)?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Ok(_) => {
                File::open(&*self.folder)?.sync_all()?;
                Ok(Put::Written)
            }
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                let same = have_same_content(error.file.path(), path)?;
                Ok(if same { Put::Already } else { Put::Another })
            }
            Err(error) => Err(error.error),
        }
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let folder = self.folder.clone();
        let done = self.work.run(async move { spawn_blocking(move || work(&folder)).await }).await;
        done.and_then(|done| done.map_err(io::Error::other)?).map_err(why)
    }
}

/// What came of putting a picture into the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It lies there now.
    Written,
    /// It lay there before.
    Already,
    /// Another picture has its name.
    Another,
    /// No picture can be called this.
    NoName,
}

/// What lies in a folder; `None` when there is none.
fn entries(folder: &Path) -> io::Result<Option<fs::ReadDir>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        entries => entries.map(Some),
    }
}

fn have_same_content(one: &Path, other: &Path) -> io::Result<bool> {
    if fs::metadata(one)?.len() != fs::metadata(other)?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (mut piece, mut beside) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        let length = one.read(&mut piece)?;
        other.read_exact(&mut beside[..length])?;
        if length == 0 || piece[..length] != beside[..length] {
            return Ok(length == 0);
        }
    }
}

/// Whether a picture of this name can lie in the folder, and would be read by face-recog.
pub fn is_picture_name(name: &str) -> bool {
    let ending = Path::new(name).extension().and_then(OsStr::to_str).unwrap_or_default();
    let is_read = ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known));
    is_base_name(name) && is_read && name.len() <= LONGEST_NAME
}

/// Names in the table may be anybody's: only what is one part of a path cannot lead out of the folder.
fn is_base_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let first = parts.next();
    matches!(first, Some(Component::Normal(part)) if part == name)
        && parts.next().is_none()
        && !name.contains('\0')
}

fn why(error: io::Error) -> Problem {
    tracing::error!(%error, "cannot use the folder of known people");
    match error.kind() {
        io::ErrorKind::NotFound => {
            let detail =
                "nobody can be enrolled here: the receiver has no folder of known people (KNOWN_PEOPLE)";
            Problem::new(StatusCode::NOT_IMPLEMENTED, "no_known_people", detail)
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            let detail = "there is no room in the folder of known people; tell an administrator";
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", detail)
        }
        _ => {
            let detail = "the folder of known people cannot be written to; tell an administrator";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "known_people_away", detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_pictures_in_the_folder_itself_are_taken() {
        for name in ["a.jpg", "A b.JPEG", "é😀.png", "..a.jpg"] {
            assert!(is_picture_name(name), "{name}");
        }
        for name in [
            "", "a.gif", "jpg", ".jpg", "..", "../a.jpg", "/a.jpg", "a/b.jpg", "./a.jpg", "a.jpg/", "a\0.jpg",
        ] {
            assert!(!is_picture_name(name), "{name}");
        }
        assert!(!is_picture_name(&format!("{}.jpg", "a".repeat(252))));
    }

    #[tokio::test]
    async fn a_picture_is_seen_when_it_is_complete_and_the_same_twice_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let known = KnownPeople::new(folder.path().to_owned());
        let listed = || fs::read_dir(folder.path()).unwrap().count();
        let unseen = known.write(b"picture".to_vec()).await.unwrap();
        let name = unseen.name.clone();
        assert_eq!(known.has(&name).await, Some(false));
        known.show(unseen).await.unwrap();
        let again = known.write(b"picture".to_vec()).await.unwrap();
        assert_eq!(again.name, name);
        known.show(again).await.unwrap();
        assert_eq!((known.has(&name).await, listed()), (Some(true), 1));
        drop(known.write(b"another".to_vec()).await.unwrap());
        assert_eq!(listed(), 1, "what is never shown does not stay");
        assert!(known.remove(&name).await.unwrap());
        assert!(!known.remove(&name).await.unwrap());
        assert_eq!(listed(), 0);
    }

    #[tokio::test]
    async fn nothing_outside_the_folder_is_removed_and_without_one_nobody_is_enrolled() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret.jpg"), "").unwrap();
        fs::create_dir(folder.path().join("known")).unwrap();
        let known = KnownPeople::new(folder.path().join("known"));
        assert!(!known.remove("../secret.jpg").await.unwrap());
        let secret = folder.path().join("secret.jpg");
        assert!(!known.remove(secret.to_str().unwrap()).await.unwrap());
        assert!(secret.exists());
        let none = KnownPeople::new(folder.path().join("missing"));
        assert_eq!(none.write(vec![]).await.unwrap_err().status, StatusCode::NOT_IMPLEMENTED);
        assert_eq!(none.is_there().await.unwrap_err().status, StatusCode::NOT_IMPLEMENTED);
        assert_eq!((none.has("x.jpg").await, none.remove("x.jpg").await.unwrap()), (None, false));
    }
}
