//! A folder of labelled pictures: in it one folder for each person, which is called as they are, with their pictures.
//!
//! Links are not followed, and what is hidden is not looked at.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use tokio::task::spawn_blocking;

use crate::watch_folder::{ENDINGS, POSTED_FOLDER};

/// A folder of labelled pictures in the folder of unknown people.
#[derive(Clone, Debug)]
pub struct Labelled {
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

impl Labelled {
    /// The folder that `text` names in `unknown_people`; `None` when it names none that can be one.
    pub fn new(unknown_people: &Path, text: &str) -> Option<Self> {
        let text = text.strip_prefix(POSTED_FOLDER).unwrap_or(text).trim_matches('/');
        let is_plain = Path::new(text).components().all(|part| matches!(part, Component::Normal(_)));
        let can_be_one = !text.is_empty() && is_plain && !text.contains('\0') && text.chars().count() <= 255;
        can_be_one.then(|| Self { place: unknown_people.join(text), folder: text.to_owned() })
    }

    /// As it is called in the folder of unknown people.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Whether it is there, and no link leads to it from elsewhere.
    pub async fn is_there(&self) -> bool {
        let mut place = self.place.clone();
        let parts = Path::new(&self.folder).components().count();
        let looked = spawn_blocking(move || {
            (0..parts).all(|_| {
                let is_folder = fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_dir());
                place.pop() && is_folder
            })
        });
        looked.await.unwrap_or_default()
    }

    /// The names of the people, in their order.
    pub async fn names(&self) -> io::Result<Vec<String>> {
        listed(self.place.clone(), |kind, _| kind.is_dir()).await
    }

    /// Somebody's pictures, in the order of their names.
    pub async fn pictures(&self, name: &str) -> io::Result<Vec<LabelledPicture>> {
        let is_picture = |file: &str| {
            let ending = file.rsplit_once('.').map(|(_, ending)| ending);
            ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
        };
        let files =
            listed(self.place.join(name), move |kind, file| kind.is_file() && is_picture(file)).await?;
        Ok(files.into_iter().map(|file| LabelledPicture { name: name.to_owned(), file }).collect())
    }

    /// The paths by which a picture can be posted; face-recog reads it by the first.
    pub fn paths(&self, LabelledPicture { name, file }: &LabelledPicture) -> [String; 2] {
        let path = format!("{}/{name}/{file}", self.folder);
        [format!("{POSTED_FOLDER}/{path}"), path]
    }
}

async fn listed(
    folder: PathBuf,
    wanted: impl Fn(fs::FileType, &str) -> bool + Send + 'static,
) -> io::Result<Vec<String>> {
    let listed = spawn_blocking(move || {
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
    listed.await.unwrap_or_else(|error| Err(io::Error::other(error)))
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
        for (text, folder) in
            [("team", "team"), ("/unknown_people/team/2026", "team/2026"), ("/team/", "team")]
        {
            let labelled = Labelled::new(&inside, text).unwrap();
            assert_eq!((labelled.folder(), labelled.is_there().await), (folder, true), "{text}");
        }
        for text in ["link", "link/team", "nowhere"] {
            assert!(!Labelled::new(&inside, text).unwrap().is_there().await, "{text}");
        }
        for text in ["", "/", "..", "team/../../outside", "./team", "a\0", &"a".repeat(256)] {
            assert!(Labelled::new(&inside, text).is_none(), "{text:?}");
        }
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
        let labelled = Labelled::new(place.path(), "team").unwrap();
        assert_eq!(labelled.names().await.unwrap(), ["Ada", "Bob"]);
        let pictures = labelled.pictures("Ada").await.unwrap();
        assert_eq!(pictures.iter().map(|picture| &picture.file[..]).collect::<Vec<_>>(), ["a.jpg", "b.PNG"]);
        assert_eq!(labelled.paths(&pictures[0]), ["/unknown_people/team/Ada/a.jpg", "team/Ada/a.jpg"]);
    }
}
