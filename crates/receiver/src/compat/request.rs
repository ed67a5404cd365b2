//! What a body asks for: paths, each of them checked by itself.
//!
//! `{"path":"/a.jpg"}` on the one route, `{"paths":[{"path":"/a.jpg"}]}` on the other. Other keys are ignored.

use serde::Deserialize;

use crate::compat::json::{Json, MAX_ELEMENTS as MAX_PATHS};

/// The column's width, in characters.
const PATH_LENGTH: usize = 255;

/// Characters of a refused path that its error shows.
const SHOWN_LENGTH: usize = 60;

/// Refusals of a request that say why. Of more the number is told: they cost a client two bytes each.
pub const EXPLAINED: usize = 100;

/// Memory that a posted path takes beside its text while it is stored: of a list, and of the rows.
const PER_PATH: usize = 128;

/// One path of a request as it was posted, or why it is none.
pub type Posted = Result<String, Refusal>;

/// Why a body as a whole says nothing that can be acted upon.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It cannot be read.
    #[error("the body is no valid JSON: {0}")]
    Malformed(String),
    /// It is JSON that says something else.
    #[error("the body {0}; send {1}")]
    Shape(&'static str, &'static str),
    /// It can be read, but asks for too much at once.
    #[error("the body has {0} paths; at most {MAX_PATHS} are allowed in one request, send several")]
    TooMany(usize),
}

/// Why one path is not accepted, in words for its sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Refusal {
    /// What the metrics count it as: a fixed word.
    pub reason: &'static str,
    words: String,
}

impl Refusal {
    fn new(reason: &'static str, words: String) -> Self {
        Self { reason, words }
    }
}

/// Reads the body of `/image/post`. The outer error is about the body, the inner about its path.
pub fn single(body: &[u8]) -> Result<Posted, BodyError> {
    match parse(body)? {
        Json::Object { path, .. } => Ok(path_of(path)),
        _ => Err(BodyError::Shape("is not an object", SINGLE)),
    }
}

/// Reads a body that is an object of few keys; `example` says what should stand in it, and shows one.
pub fn object<'a, T: Deserialize<'a>>(body: &'a [u8], example: &'static str) -> Result<T, BodyError> {
    match serde_json::from_slice(body) {
        // serde takes a list for a struct, too.
        Ok(object) if body.trim_ascii_start().starts_with(b"{") => Ok(object),
        Err(error) if !error.is_data() => Err(BodyError::Malformed(error.to_string())),
        _ => Err(BodyError::Shape("does not say what is asked for", example)),
    }
}

/// Memory that the paths of a body may take beside it, in bytes.
pub fn room(body: &[u8]) -> usize {
    let paths = 1 + body.iter().filter(|&&byte| byte == b',').count().min(MAX_PATHS);
    paths * PER_PATH + body.len()
}

/// The most that a body of `max_body` bytes takes together with its paths, in bytes.
pub fn most_memory(max_body: usize) -> usize {
    max_body.saturating_mul(2).saturating_add((MAX_PATHS + 1) * PER_PATH)
}

/// Reads the body of `/images/post`. Of its refusals the first [`EXPLAINED`] have words.
pub fn bulk(body: &[u8]) -> Result<Vec<Posted>, BodyError> {
    let Json::Object { paths, .. } = parse(body)? else {
        return Err(BodyError::Shape("is not an object", BULK));
    };
    match paths.map(|paths| *paths) {
        Some(Json::List(_, length)) if length > MAX_PATHS => Err(BodyError::TooMany(length)),
        Some(Json::List(elements, _)) => {
            let mut refused = 0;
            let posted = elements.into_iter().map(|value| {
                element(value).map_err(|refusal| {
                    refused += 1;
                    if refused <= EXPLAINED { refusal } else { Refusal { words: String::new(), ..refusal } }
                })
            });
            Ok(posted.collect())
        }
        Some(_) => Err(BodyError::Shape("has \"paths\" that are not a list", BULK)),
        None => Err(BodyError::Shape("has no \"paths\"", BULK)),
    }
}

const SINGLE: &str = r#"{"path":"/unknown_people/unknown0001.jpg"}"#;
const BULK: &str = r#"{"paths":[{"path":"/unknown_people/unknown0001.jpg"}]}"#;

/// The whole body as one JSON value. serde_json refuses what is nested deeper than 128.
fn parse(body: &[u8]) -> Result<Json, BodyError> {
    let text = std::str::from_utf8(body).map_err(|error| BodyError::Malformed(error.to_string()))?;
    serde_json::from_str(text).map_err(|error| BodyError::Malformed(error.to_string()))
}

fn element(value: Json) -> Posted {
    match value {
        Json::Object { path, .. } => path_of(path),
        other => {
            Err(Refusal::new("path_kind", format!("an object like {SINGLE} is needed, not {}", other.kind())))
        }
    }
}

fn path_of(path: Option<Box<Json>>) -> Posted {
    match path.map(|path| *path) {
        Some(Json::Text(path)) => checked(path),
        Some(other) => {
            Err(Refusal::new("path_kind", format!("\"path\" must be a string, not {}", other.kind())))
        }
        None => Err(Refusal::new("path_missing", format!("\"path\" is missing; send {SINGLE}"))),
    }
}

/// A path that can be stored, or why it is none.
pub fn checked(path: String) -> Posted {
    let length = path.chars().count();
    let (reason, problem) = if path.is_empty() {
        return Err(Refusal::new(
            "path_empty",
            format!("the path is empty; 1 to {PATH_LENGTH} characters are allowed"),
        ));
    } else if length > PATH_LENGTH {
        ("path_too_long", format!("has {length} characters; at most {PATH_LENGTH} are allowed"))
    } else if path.contains('\0') {
        ("path_nul", "holds a NUL character, which no file name can".to_owned())
    } else if path.split('/').any(|segment| segment == "..") {
        ("path_outside", "has a segment \"..\"; name the file without it".to_owned())
    } else {
        return Ok(path);
    };
    Err(Refusal::new(reason, format!("the path {} {problem}", quoted(&path))))
}

/// The beginning of a path in quotes.
fn quoted(path: &str) -> String {
    match path.char_indices().nth(SHOWN_LENGTH) {
        None => format!("'{path}'"),
        Some((end, _)) => format!("'{}…'", &path[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(body: &str) -> String {
        single(body.as_bytes()).unwrap().unwrap()
    }

    fn refusal(body: &str) -> String {
        single(body.as_bytes()).unwrap().unwrap_err().to_string()
    }

    fn json(path: &str) -> String {
        serde_json::json!({ "path": path }).to_string()
    }

    #[test]
    fn keys_may_begin_with_a_capital_and_others_are_ignored() {
        assert_eq!(path(r#"{"path":"/a.jpg"}"#), "/a.jpg");
        assert_eq!(path(r#" {"size":[1,{}], "Path":"/a.jpg"} "#), "/a.jpg");
        assert_eq!(
            path(r#"{"path":"/a.jpg","Path":7,"path":"/b.jpg"}"#),
            "/b.jpg",
            "the last of them counts"
        );
        let paths = bulk(br#"{"Paths":[{"path":"a"},{"Path":"b"}]}"#).unwrap();
        assert_eq!(paths, [Ok("a".to_owned()), Ok("b".to_owned())]);
    }

    #[test]
    fn a_path_keeps_every_character() {
        for odd in
            ["/ä b.jpg ", " ", "😀", "a\nb\t\u{1b}", "'; DROP TABLE images; --", "<b>&amp;", "...", "a..b/.c"]
        {
            assert_eq!(path(&json(odd)), odd);
        }
    }

    #[test]
    fn the_length_counts_characters_not_bytes() {
        assert!(single(json(&"😀".repeat(255)).as_bytes()).unwrap().is_ok());
        assert!(refusal(&json(&"a".repeat(256))).contains("has 256 characters; at most 255 are allowed"));
    }

    #[test]
    fn a_path_that_cannot_name_a_file_inside_a_folder_is_refused() {
        for wrong in ["..", "../a", "a/..", "/a/../b", "a//../b"] {
            assert!(refusal(&json(wrong)).contains("a segment \"..\""), "{wrong}");
        }
        assert!(refusal(r#"{"path":"a\u0000b"}"#).contains("NUL"));
        assert!(refusal(r#"{"path":""}"#).contains("empty"));
    }

    #[test]
    fn what_is_no_path_is_named() {
        assert!(refusal("{}").contains("\"path\" is missing"));
        assert!(refusal(r#"{"path":7}"#).contains("must be a string, not a number"));
        assert!(refusal(r#"{"path":null}"#).contains("not null"));
        let paths = bulk(br#"{"paths":["a",{"path":"b"}]}"#).unwrap();
        assert!(paths[0].as_ref().unwrap_err().to_string().contains("not a string"));
        assert_eq!(paths[1], Ok("b".to_owned()));
    }

    #[test]
    fn a_body_of_another_shape_is_told_from_one_that_is_no_json() {
        for shape in ["[]", "7", "null", "\"paths\""] {
            assert!(matches!(single(shape.as_bytes()), Err(BodyError::Shape(..))), "{shape}");
            assert!(matches!(bulk(shape.as_bytes()), Err(BodyError::Shape(..))), "{shape}");
        }
        for shape in ["{}", r#"{"paths":{}}"#, r#"{"paths":null}"#, r#"{"paths":1.5}"#] {
            assert!(matches!(bulk(shape.as_bytes()), Err(BodyError::Shape(..))), "{shape}");
        }
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
        for broken in
            ["", " ", "{", "path=/a.jpg", "{} {}", "{\"path\":\"a\"}x", "{\"path\":\"\\ud800\"}", &deep]
        {
            assert!(matches!(single(broken.as_bytes()), Err(BodyError::Malformed(_))), "{broken}");
            assert!(matches!(bulk(broken.as_bytes()), Err(BodyError::Malformed(_))), "{broken}");
        }
        assert!(matches!(single(b"{\"path\":\"\xff\"}"), Err(BodyError::Malformed(_))));
    }

    #[test]
    fn one_request_has_a_limited_number_of_paths() {
        let body = format!(r#"{{"paths":[{}0]}}"#, "0,".repeat(MAX_PATHS));
        assert_eq!(bulk(body.as_bytes()), Err(BodyError::TooMany(MAX_PATHS + 1)));
    }

    #[test]
    fn a_path_costs_less_than_what_is_counted_for_it() {
        use common::db::images::Stored;
        let held = size_of::<Posted>() + size_of::<&str>() + size_of::<Stored>() + size_of::<usize>() * 4;
        assert!(held <= PER_PATH, "{held} bytes");
        assert!(room(&[b','; 1 << 20]) <= most_memory(1 << 20));
    }

    #[test]
    fn a_long_path_is_shown_shortened() {
        assert!(refusal(&json(&"é".repeat(300))).contains(&format!("'{}…'", "é".repeat(60))));
    }
}
