//! Whence the tokens are known: from `AUTH_TOKENS` itself, or from a file that it names, which is read again and again. Who is
//! taken out of the file loses access within seconds.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use super::Tokens;

/// Largest file, in bytes: ten thousand holders.
const LARGEST: u64 = 1024 * 1024;

/// What the setting says. A file is not read before it is needed: who only asks whether the service is ready needs none.
#[derive(Clone, Debug)]
pub enum Source {
    /// Who has a token.
    Tokens(Tokens),
    /// The file that says so.
    File(PathBuf),
}

impl Source {
    /// Reads the setting. The error says what is wrong, and shows nothing of an entry but its name.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix('@') {
            Some(file) => Ok(Self::File(file.into())),
            None => Tokens::parse(text).map(Self::Tokens),
        }
    }

    /// Who has a token now.
    pub(super) fn read(&self) -> Result<Tokens, String> {
        match self {
            Self::Tokens(tokens) => Ok(tokens.clone()),
            Self::File(file) => read(file),
        }
    }
}

/// The tokens of a file: entries with commas or ends of lines between. Lines that begin with `#` are comments.
fn read(file: &Path) -> Result<Tokens, String> {
    let wrong = |what: &str| format!("the file {} {what}", file.display());
    let mut text = String::new();
    let read = File::open(file).and_then(|opened| opened.take(LARGEST + 1).read_to_string(&mut text));
    read.map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    if text.len() as u64 > LARGEST {
        return Err(wrong("is larger than 1 MiB"));
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let entries = lines.flat_map(|line| line.split(',')).map(str::trim).filter(|entry| !entry.is_empty());
    let entries: Vec<&str> = entries.collect();
    match entries[..] {
        // Somebody may be writing it in this moment.
        [] => Err(wrong("is empty: write off into it to let everybody do everything")),
        ["off"] => Ok(Tokens::default()),
        _ => Tokens::of(entries).map_err(|what| wrong(&format!("is wrong: {what}"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;

    use tempfile::tempdir;

    use super::*;

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn a_file_has_its_entries_in_lines_or_with_commas_between() {
        let folder = tempdir().unwrap();
        let file = folder.path().join("tokens");
        let setting = format!("@{}", file.display());
        for text in [
            format!("ada:viewer:{HASH},bob:admin:{HASH}"),
            format!("# who may look\nada:viewer:{HASH}\r\n\n  bob:admin:{HASH},\n#eve:admin:{HASH}\n"),
        ] {
            fs::write(&file, text).unwrap();
            let tokens = Source::parse(&setting).unwrap().read().unwrap();
            assert_eq!(format!("{tokens:?}"), r#"{"ada": "viewer", "bob": "admin"}"#);
        }
        fs::write(&file, "off\n").unwrap();
        assert!(Source::parse(&setting).unwrap().read().unwrap().are_off());
    }

    #[test]
    fn a_file_that_is_missing_empty_or_wrong_is_named() {
        let folder = tempdir().unwrap();
        let file = folder.path().join("tokens");
        let problem = || Source::parse(&format!("@{}", file.display())).unwrap().read().unwrap_err();
        assert!(problem().contains("tokens cannot be read: No such file"), "{}", problem());
        for (text, words) in [
            (&b""[..], "tokens is empty"),
            (b"# nobody\n", "tokens is empty"),
            (b"ada:editor:s3cret", "tokens is wrong: entry 1 (ada) needs the SHA-256"),
            (b"off,off", "tokens is wrong: entry 1 has not the form"),
            (b"\xff", "tokens cannot be read"),
            (&vec![b'\n'; 2 << 20], "tokens is larger than 1 MiB"),
        ] {
            fs::write(&file, text).unwrap();
            assert!(problem().contains(words) && !problem().contains("s3cret"), "{words}: {}", problem());
        }
    }
}
