//! How the files that uploads wrote are told from others: by their place, and by their names, which only the receiver
//! gives.

/// The folder of uploads: as the receiver posts it, and as somebody may have posted it.
pub const FOLDERS: [&str; 2] = ["/unknown_people/uploads", "uploads"];

/// The path as which the receiver posts an upload of this name.
pub fn path_of(name: &str) -> String {
    format!("{}/{name}", FOLDERS[0])
}

/// The name of the upload that this path leads to; `None` when it leads to another file.
pub fn name_in(path: &str) -> Option<&str> {
    let name = FOLDERS.iter().find_map(|folder| path.strip_prefix(folder))?;
    name.strip_prefix('/').filter(|name| is_name(name))
}

/// Whether the receiver gives such names: the SHA-256 of the content, and the kind of picture.
pub fn is_name(name: &str) -> bool {
    let Some((hash, extension)) = name.split_once('.') else { return false };
    hash.len() == 64
        && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && ["jpg", "png", "webp", "gif", "bmp", "tif", "heic", "avif"].contains(&extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_known_by_its_name() {
        let hash = "0123456789abcdef".repeat(4);
        assert!(is_name(&format!("{hash}.jpg")) && is_name(&format!("{hash}.webp")));
        for other in [
            "",
            "me.jpg",
            &hash,
            &format!("{hash}.txt"),
            &format!("{hash}.jpg.gif"),
            &format!("A{}.jpg", &hash[1..]),
        ] {
            assert!(!is_name(other), "{other}");
        }
    }

    #[test]
    fn only_a_path_into_the_folder_of_uploads_leads_to_one() {
        let name = format!("{}.jpg", "0".repeat(64));
        for path in FOLDERS.map(|folder| format!("{folder}/{name}")) {
            assert_eq!(name_in(&path), Some(&name[..]), "{path}");
        }
        for other in [
            "/unknown_people/uploads/me.jpg".to_owned(),
            format!("/unknown_people/{name}"),
            format!("/unknown_people/uploads/x/{name}"),
            format!("/unknown_people/uploads{name}"),
            name,
        ] {
            assert_eq!(name_in(&other), None, "{other}");
        }
    }
}
