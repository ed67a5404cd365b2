//! What lies in the folder of known people, without a look into the files.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
};

/// Names of known people's pictures end in one of these, in any case.
const ENDINGS: [&[u8]; 3] = [b".jpg", b".jpeg", b".png"];

/// What tells that a file has changed. Default when the file cannot be asked.
///
/// The device is not in it: a volume may get another number each time that it is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    pub(crate) inode: u64,
    pub(crate) length: u64,
    /// Seconds and nanoseconds.
    pub(crate) modified: [i64; 2],
    /// Also moves when a file is replaced by one with the old time, and when permissions change.
    pub(crate) changed: [i64; 2],
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            length: metadata.len(),
            modified: [metadata.mtime(), metadata.mtime_nsec()],
            changed: [metadata.ctime(), metadata.ctime_nsec()],
        }
    }
}

/// Lists the pictures of a folder by their names. Blocks.
pub fn list(folder: &Path) -> io::Result<BTreeMap<OsString, Stamp>> {
    let mut listing = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_picture_name(&name) {
            // Follows symbolic links, which is how Kubernetes mounts a ConfigMap.
            let stamp = fs::metadata(entry.path()).map(|metadata| Stamp::of(&metadata)).unwrap_or_default();
            listing.insert(name, stamp);
        }
    }
    Ok(listing)
}

fn is_picture_name(name: &OsStr) -> bool {
    let name = name.as_bytes();
    ENDINGS.iter().any(|ending| {
        name.len() >= ending.len() && name[name.len() - ending.len()..].eq_ignore_ascii_case(ending)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_told_by_the_end_of_their_names() {
        for name in ["a.jpg", "a.JPG", "a.b.Jpeg", "é.pNg", ".jpg"] {
            assert!(is_picture_name(OsStr::new(name)), "{name}");
        }
        for name in ["jpg", "a.gif", "a.jpg.txt", "a.jpg~", "README", ""] {
            assert!(!is_picture_name(OsStr::new(name)), "{name}");
        }
    }
}
