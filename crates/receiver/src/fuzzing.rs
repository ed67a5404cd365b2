//! What must hold of any bytes at all that a client posts.
//!
//! The fuzz target calls [`check`] with bytes that it makes from the [`seeds`]; the test below calls it with the
//! seeds themselves.

use common::models::ImageId;
use serde_json::{Value, json};

use crate::{
    compat::{
        answer::{Answer, Route},
        request::{self, BodyError, EXPLAINED, Posted},
    },
    http::format::Format,
    ingest::Image,
};

/// Reads `body` as both routes do: it is refused as a whole, or each of its paths is answered for, and what is
/// accepted can be stored.
///
/// # Panics
///
/// When something of this does not hold.
pub fn check(body: &[u8]) {
    let is_json = serde_json::from_slice::<Value>(body).is_ok();
    for (route, posted) in
        [(Route::Single, request::single(body).map(|path| vec![path])), (Route::Bulk, request::bulk(body))]
    {
        let malformed = matches!(posted, Err(BodyError::Malformed(_)));
        assert_eq!(malformed, !is_json, "what is JSON is a matter of the standard: {posted:?}");
        if let Ok(posted) = posted {
            posted.iter().flatten().for_each(|path| assert_storable(path));
            assert_answered(route, posted);
        }
    }
}

fn assert_storable(path: &str) {
    assert!((1..=255).contains(&path.chars().count()), "{} characters", path.chars().count());
    assert!(!path.contains('\0') && !path.split('/').any(|part| part == ".."), "{path:?}");
}

/// Answers with all images, with the first half of them, and with none, as when the database goes away.
fn assert_answered(route: Route, posted: Vec<Posted>) {
    let accepted = posted.iter().flatten().count();
    for stored in [accepted, accepted / 2, 0] {
        let answer = Answer::new(route, posted.clone(), images(stored));
        let lines = answer.lines();
        // Each path has a line of its own, and a new row a second one for its message; of many refusals some are counted
        // on one.
        let new = stored.div_ceil(2);
        let heading = match (route, accepted) {
            (Route::Single, 1) => 2,
            (_, 0) if !posted.is_empty() => 0,
            _ => 1,
        };
        let refused = posted.len() - stored;
        let told = if refused > EXPLAINED { EXPLAINED + 1 } else { refused };
        assert_eq!(lines.lines().count(), heading + stored + told + new, "{lines}");
        let errors = lines.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, told, "{lines}");
        let status = answer.respond(Format::Json).status();
        assert_eq!(status.is_success(), stored > 0 || posted.is_empty(), "{status}");
    }
}

/// New rows and known ones in turn.
fn images(number: usize) -> Vec<Image> {
    let image = |number: usize| {
        let id = ImageId(number as u64);
        if number.is_multiple_of(2) {
            Image::Saved { id, queued: number.is_multiple_of(4) }
        } else {
            Image::Known { id }
        }
    };
    (0..number).map(image).collect()
}

/// Bodies that are right, and those that are wrong in one way each.
pub fn seeds() -> Vec<Vec<u8>> {
    let path = |path: &str| json!({ "path": path }).to_string().into_bytes();
    let mut seeds: Vec<Vec<u8>> =
        ["/unknown_people/a.jpg", "", "..", "a/../b", "\0", "\u{2028}\n", "é😀"].map(path).into();
    seeds.extend([path(&"a".repeat(255)), path(&"😀".repeat(255)), path(&"é".repeat(256))]);
    seeds.extend(
        [
            r#"{"paths":[{"path":"/a.jpg"},{"Path":"/b.jpg"}]}"#,
            r#"{"Paths":[{"path":""},{"path":"/a"},7,null,[],{"path":{}},{}]}"#,
            r#"{"path":"/a","Path":"/b","path":7,"paths":[]}"#,
            r#"{"path":"\u0000\ud83d\ude00\ud800"}"#,
            r#"{"path":1e999,"paths":-0.0,"x":true}"#,
            "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
            "{}",
            "",
        ]
        .map(|text| text.as_bytes().to_vec()),
    );
    seeds.push(b"{\"path\":\"\xff\"}".to_vec());
    seeds.push([b"[".repeat(200), b"]".repeat(200)].concat());
    seeds
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_the_fuzzer_begins_with_is_answered_as_it_should_be() {
        super::seeds().iter().for_each(|seed| super::check(seed));
    }
}
