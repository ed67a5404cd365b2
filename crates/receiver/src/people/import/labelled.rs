//! A folder of labelled pictures: in it one folder for each person, which is called as they are, with their pictures.
//!
//! Links are not followed, and what is hidden is not looked at.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use tokio::task::spawn_blocking;

use crate::{
    uploads::write::FileWork,
    watch_folder::{ENDINGS, POSTED_FOLDER},
};

/// The folder of unknown people, which may hang.
#[derive(Clone, Debug)]
pub struct UnknownPeople {
    folder: PathBuf,
    work: FileWork,
}

/// A folder of labelled pictures in the folder of unknown people.
#[derive(Clone, Debug)]
pub struct Labelled {
    unknown_people: UnknownPeople,
    place: PathBuf,
    /// Its path, without the folder of unknown people.
    folder: String,
}

/// One of its pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledPicture {
    /// The name of the folder that it is in.
    pub name: String,
    /// The name of its file.
    pub file: String,
}

impl UnknownPeople {
    /// The pictures in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, work: FileWork::default() }
    }

    /// The folder in it that `text` names; `None` when that names none that can be one.
    pub fn labelled(&self, text: &str) -> Option<Labelled> {
        let inside =
            text.strip_prefix(POSTED_FOLDER).filter(|inside| inside.is_empty() || inside.starts_with('/'));
        let text = inside.unwrap_or(text).trim_matches('/');
        let parts = Path::new(text).components().map(|part| match part {
            Component::Normal(part) => part.to_str(),
            _ => None,
        });
        // Pictures are posted by this spelling: `team//a` and `team/a/.` are `team/a`.
        let folder = parts.collect::<Option<Vec<_>>>()?.join("/");
        let can_be_one = !folder.is_empty() && !folder.contains('\0') && folder.chars().count() <= 255;
        can_be_one.then(|| Labelled {
            unknown_people: self.clone(),
            place: self.folder.join(&folder),
            folder,
        })
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let done = self.work.run(async move { spawn_blocking(work).await }).await;
        done.and_then(|done| done.map_err(io::Error::other)?)
    }
}

impl Labelled {
    /// As it is called in the folder of unknown people.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Whether it is there, and no link leads to it from elsewhere.
    pub async fn is_there(&self) -> io::Result<bool> {
        let mut place = self.place.clone();
        let parts = Path::new(&self.folder).components().count();
        let looked = self.unknown_people.with(move || {
            Ok((0..parts).all(|_| {
                let is_folder = fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_dir());
                place.pop() && is_folder
            }))
        });
        looked.await
    }

    /// Whether somebody removed or renamed it. A volume that is not mounted is an empty folder.
    pub async fn is_gone(&self) -> io::Result<bool> {
        let (all, place) = (self.unknown_people.folder.clone(), self.place.clone());
        let looked = self
            .unknown_people
            .with(move || Ok(!place.try_exists()? && fs::read_dir(all)?.next().transpose()?.is_some()));
        looked.await
    }

    /// The names of the people, in their order.
    pub async fn names(&self) -> io::Result<Vec<String>> {
        self.listed(self.place.clone(), |kind, _| kind.is_dir()).await
    }

    /// Somebody's pictures, in the order of their names.
    pub async fn pictures(&self, name: &str) -> io::Result<Vec<LabelledPicture>> {
        let is_picture = |file: &str| {
            let ending = file.rsplit_once('.').map(|(_, ending)| ending);
            ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
        };
        let is_picture = move |kind: fs::FileType, file: &str| kind.is_file() && is_picture(file);
        let files = self.listed(self.place.join(name), is_picture).await?;
        Ok(files.into_iter().map(|file| LabelledPicture { name: name.to_owned(), file }).collect())
    }

    /// The paths by which a picture can be posted; face-recog reads it by the first.
    pub fn paths(&self, LabelledPicture { name, file }: &LabelledPicture) -> [String; 2] {
        let path = format!("{}/{name}/{file}", self.folder);
        [format!("{POSTED_FOLDER}/{path}"), path]
    }

    async fn listed(
        &self,
        folder: PathBuf,
        wanted: impl Fn(fs::FileType, &str) -> bool + Send + 'static,
    ) -> io::Result<Vec<String>> {
        let listed = self.unknown_people.with(move || {
            let mut names = Vec::new();
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                // What is no text cannot be posted either.
                let Ok(name) = entry.file_name().into_string() else { continue };
                if !name.starts_with('.') && entry.file_type().is_ok_and(|kind| wanted(kind, &name)) {
                    names.push(name);
                }
            }
            names.sort_unstable();
            Ok(names)
        });
        listed.await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_is_one_inside_the_unknown_people_and_no_link() {
        let place = tempfile::tempdir().unwrap();
        let (outside, inside) = (place.path().join("outside"), place.path().join("unknown"));
        fs::create_dir_all(inside.join("team/2026")).unwrap();
        fs::create_dir_all(outside.join("team")).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        let people = UnknownPeople::new(inside.clone());
        for (text, folder) in [
            ("team", "team"),
            ("/unknown_people/team/2026", "team/2026"),
            ("/team/", "team"),
            ("team/.", "team"),
            ("team//2026/./", "team/2026"),
        ] {
            let labelled = people.labelled(text).unwrap();
            assert_eq!((labelled.folder(), labelled.is_there().await.unwrap()), (folder, true), "{text}");
        }
        for text in ["link", "link/team", "nowhere", "/unknown_peopleteam"] {
            assert!(!people.labelled(text).unwrap().is_there().await.unwrap(), "{text}");
        }
        for text in [
            "",
            "/",
            "/unknown_people",
            "/unknown_people/",
            "..",
            "team/../../outside",
            "./team",
            "a\0",
            &"a".repeat(256),
        ] {
            assert!(people.labelled(text).is_none(), "{text:?}");
        }
        let labelled = people.labelled("team").unwrap();
        assert!(!labelled.is_gone().await.unwrap());
        fs::rename(inside.join("team"), inside.join("elsewhere")).unwrap();
        assert!(labelled.is_gone().await.unwrap());
        let unmounted = UnknownPeople::new(inside.join("elsewhere/2026")).labelled("team").unwrap();
        assert!(!unmounted.is_gone().await.unwrap(), "a volume may be missing");
    }

    #[tokio::test]
    async fn pictures_are_listed_in_order_and_nothing_else_is() {
        let place = tempfile::tempdir().unwrap();
        for name in ["Bob", "Ada", ".hidden"] {
            fs::create_dir_all(place.path().join("team").join(name).join("deeper")).unwrap();
        }
        for file in ["b.PNG", "a.jpg", "note.txt", ".c.jpg", "deeper/d.jpg"] {
            fs::write(place.path().join("team/Ada").join(file), "x").unwrap();
        }
        fs::write(place.path().join("team/loose.jpg"), "x").unwrap();
        let labelled = UnknownPeople::new(place.path().to_owned()).labelled("team").unwrap();
        assert_eq!(labelled.names().await.unwrap(), ["Ada", "Bob"]);
        let pictures = labelled.pictures("Ada").await.unwrap();
        assert_eq!(pictures.iter().map(|picture| &picture.file[..]).collect::<Vec<_>>(), ["a.jpg", "b.PNG"]);
        assert_eq!(labelled.paths(&pictures[0]), ["/unknown_people/team/Ada/a.jpg", "team/Ada/a.jpg"]);
    }
}
