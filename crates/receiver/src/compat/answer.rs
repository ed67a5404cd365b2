//! What a client reads about its paths: the original's lines, or JSON.
//!
//! Each path is answered for by itself. The status is theirs where they agree; otherwise:
//!
//! | some paths | others | status |
//! |---|---|---|
//! | stored or known already | refused, or not stored | 207, also if a message waits |
//! | known already, or announced | to be announced later | 202 |
//! | refused | not stored | 503, for trying again can help |
//!
//! Of those that are not stored the first [`EXPLAINED`] say why, and the others are counted: an answer is not many times as
//! long as what it answers.

use std::fmt::{self, Write};

use axum::{
    http::{HeaderValue, StatusCode, header::LINK},
    response::Response,
};
use common::{db::errors::Kind, models::ImageId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    compat::request::{EXPLAINED, Posted},
    http::{
        error::{self, Details, Problem, may_come_back},
        format::{self, Format, Line},
    },
    images::ranges::Ranges,
    ingest::{Image, Taken},
};

/// What is answered: one path, or a list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// As `/image/post` does.
    Single,
    /// As `/images/post` does.
    Bulk,
}

/// What became of every path of a request.
#[derive(Debug)]
pub struct Answer {
    route: Route,
    /// In the order of what was posted, without what is only counted.
    entries: Vec<Entry>,
    /// What is wrong with that.
    counted: Vec<Counted>,
}

#[derive(Debug)]
struct Entry {
    /// `None` when what was posted is no path.
    path: Option<String>,
    /// `None` when it is not stored, and only counted.
    result: Option<Result<Image, Problem>>,
}

/// So many paths that are not stored for one reason.
#[derive(Debug)]
struct Counted {
    status: StatusCode,
    reason: &'static str,
    count: usize,
}

impl Answer {
    /// Joins what was posted with the images of those that are paths. Where images are missing, the database failed.
    pub fn new(route: Route, posted: Vec<Posted>, taken: impl Into<Taken>) -> Self {
        let Taken { images, why } = taken.into();
        let mut answer = Self { route, entries: Vec::new(), counted: Vec::new() };
        let (mut images, mut problems) = (images.into_iter(), 0);
        for (index, posted) in posted.into_iter().enumerate() {
            let (path, result) = match posted {
                Ok(path) => {
                    let result = images.next().ok_or_else(|| not_stored(&path, why));
                    (Some(path), result)
                }
                Err(refusal) => (None, Err(refusal.into())),
            };
            let result = match result {
                Ok(image) => Some(Ok(image)),
                Err(problem) if problems < EXPLAINED => {
                    problems += 1;
                    Some(Err(problem.about(route, index)))
                }
                Err(problem) => {
                    answer.only_count(&problem);
                    None
                }
            };
            // That a path was got is said in any case.
            if path.is_some() || result.is_some() {
                answer.entries.push(Entry { path, result });
            }
        }
        answer
    }

    fn only_count(&mut self, problem: &Problem) {
        let Problem { status, code: reason, .. } = *problem;
        match self.counted.iter_mut().find(|counted| counted.reason == reason) {
            Some(counted) => counted.count += 1,
            None => self.counted.push(Counted { status, reason, count: 1 }),
        }
    }

    /// What became of each path that is not only counted.
    fn results(&self) -> impl Iterator<Item = &Result<Image, Problem>> {
        self.entries.iter().filter_map(|entry| entry.result.as_ref())
    }

    /// Says what became of files: the path of each that was kept, and its image.
    pub fn of_files(route: Route, files: Vec<(Option<String>, Result<Image, Problem>)>) -> Self {
        let entries = files.into_iter().map(|(path, result)| Entry { path, result: Some(result) });
        Self { route, entries: entries.collect(), counted: Vec::new() }
    }

    /// The answer as HTTP.
    pub fn respond(&self, format: Format) -> Response {
        let status = self.status();
        self.results().flat_map(|result| result.as_ref().err()).for_each(Problem::count);
        self.counted.iter().for_each(|counted| error::count(counted.reason, counted.count));
        may_come_back(match format {
            Format::Plain => format::plain(status, self.lines()),
            Format::Json => self.with_link(self.json(status)),
        })
    }

    /// Tells of a bulk's images where to ask for all of them at once, if there are not too many for that.
    fn with_link(&self, mut response: Response) -> Response {
        let ids = self.results().flatten().map(|image| image.id().0);
        let batch = (self.route == Route::Bulk).then(|| Ranges::of(ids)).flatten();
        let link = batch.map(|batch| HeaderValue::try_from(format!("</batches/{batch}>; rel=\"status\"")));
        if let Some(Ok(link)) = link {
            response.headers_mut().insert(LINK, link);
        }
        response
    }

    fn status(&self) -> StatusCode {
        let (mut good, mut waiting) = (false, false);
        let mut worst = self.counted.iter().map(|counted| counted.status).max();
        for result in self.results() {
            match result {
                Ok(image) => {
                    good = true;
                    waiting |= matches!(image, Image::Saved { queued: false, .. });
                }
                Err(problem) => worst = worst.max(Some(problem.status)),
            }
        }
        match worst {
            None if waiting => StatusCode::ACCEPTED,
            None => StatusCode::OK,
            Some(_) if good => StatusCode::MULTI_STATUS,
            Some(worst) => worst,
        }
    }

    pub(crate) fn lines(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = self.write_lines(&mut text);
        text
    }

    fn write_lines(&self, text: &mut String) -> fmt::Result {
        let got: Vec<&str> = self.entries.iter().filter_map(|entry| entry.path.as_deref()).collect();
        if let (Route::Single, [path]) = (self.route, &got[..]) {
            writeln!(text, "got path: {}", GoPath(path))?;
        }
        if !got.is_empty() || (self.entries.is_empty() && self.counted.is_empty()) {
            writeln!(text, "got paths: {}", GoPaths(&got))?;
        }
        for Entry { path, result } in &self.entries {
            match result {
                Some(Ok(Image::Saved { id, queued })) => {
                    let next = if *queued { "image sent to nsq" } else { "image queued for later" };
                    writeln!(text, "image saved with id: {id}\n{next}")?;
                }
                Some(Ok(Image::Known { id })) => {
                    let path = Line(path.as_deref().unwrap_or_default());
                    writeln!(text, "image with path '{path}' already exists with id: {id}")?;
                }
                Some(Err(problem)) => text.push_str(&problem.to_line()),
                None => {}
            }
        }
        match self.only_counted() {
            0 => Ok(()),
            more => writeln!(text, "error: {more} more paths are not stored; the first {EXPLAINED} say why"),
        }
    }

    fn only_counted(&self) -> usize {
        self.counted.iter().map(|counted| counted.count).sum()
    }

    fn json(&self, status: StatusCode) -> Response {
        let mut paths = self.entries.iter().filter_map(Entry::to_json);
        match (self.route, paths.next()) {
            (Route::Single, Some(path)) => format::json(status, &path),
            (_, first) => {
                let problem = (!status.is_success())
                    .then(|| Details::new(status, "none_stored", "none of the paths was stored"));
                let paths = first.into_iter().chain(paths).collect();
                let not_listed = Some(self.only_counted()).filter(|&more| more > 0);
                format::json(status, &PathsJson { problem, paths, not_listed })
            }
        }
    }
}

impl Problem {
    /// Says in a bulk which path the problem is about.
    fn about(mut self, route: Route, index: usize) -> Self {
        if route == Route::Bulk {
            self.detail.insert_str(0, &format!("paths[{index}]: "));
        }
        self
    }
}

impl Image {
    /// Its row.
    pub fn id(self) -> ImageId {
        match self {
            Self::Saved { id, .. } | Self::Known { id } => id,
        }
    }
}

/// What is said of a path that the database did not take.
pub fn not_stored(path: &str, why: Kind) -> Problem {
    let (status, code, reason) = match why {
        Kind::OtherServer | Kind::Away => (
            StatusCode::SERVICE_UNAVAILABLE,
            "not_stored",
            "the database does not answer; post it again later",
        ),
        Kind::UsedUp => (
            StatusCode::INSUFFICIENT_STORAGE,
            "numbers_used_up",
            "all numbers of images are used up; begin with an empty database",
        ),
        Kind::Data | Kind::Fault => return Problem::internal(),
    };
    Problem::new(status, code, format!("the image '{path}' is not stored because {reason}"))
}

impl Entry {
    /// `None` when it is only counted.
    fn to_json(&self) -> Option<PathJson<'_>> {
        let path = self.path.as_deref().unwrap_or_default();
        Some(match self.result.as_ref()? {
            Ok(Image::Saved { id, queued }) => {
                PathJson::Image { path, id: id.0, created: true, queued: *queued }
            }
            Ok(Image::Known { id }) => PathJson::Image { path, id: id.0, created: false, queued: false },
            Err(problem) => PathJson::Problem(problem.details()),
        })
    }
}

/// One path's answer.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Posted)]
pub enum PathJson<'a> {
    /// Its image.
    Image {
        /// As it was posted.
        #[schema(example = "/unknown_people/unknown0001.jpg")]
        path: &'a str,
        /// The image.
        #[schema(example = 13)]
        id: u64,
        /// Whether this request made the row.
        created: bool,
        /// Whether this request sent the message.
        queued: bool,
    },
    /// Why there is none.
    Problem(Details<'a>),
}

/// A bulk's answer; with an error's status it is problem details, too.
#[derive(Serialize, ToSchema)]
#[schema(as = PostedMany)]
pub struct PathsJson<'a> {
    #[serde(flatten)]
    #[schema(ignore)]
    problem: Option<Details<'a>>,
    /// In the order of what was posted: each that is stored, and the first 100 of the others with what is wrong.
    paths: Vec<PathJson<'a>>,
    /// How many more are not stored, if there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 0)]
    not_listed: Option<usize>,
}

/// A path as Go's `%+v` writes the original's struct.
struct GoPath<'a>(&'a str);

impl fmt::Display for GoPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{Path:{}}}", Line(self.0))
    }
}

/// Paths as Go's `%+v` writes the original's struct.
struct GoPaths<'a>(&'a [&'a str]);

impl fmt::Display for GoPaths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{Paths:[")?;
        for (index, path) in self.0.iter().enumerate() {
            let blank = if index > 0 { " " } else { "" };
            write!(f, "{blank}{}", GoPath(path))?;
        }
        f.write_str("]}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::request;

    fn bulk(body: &str, images: Vec<Image>) -> Answer {
        Answer::new(Route::Bulk, request::bulk(body.as_bytes()).unwrap(), images)
    }

    fn saved(id: u64, queued: bool) -> Image {
        Image::Saved { id: ImageId(id), queued }
    }

    fn known(id: u64) -> Image {
        Image::Known { id: ImageId(id) }
    }

    const TWO: &str = r#"{"paths":[{"path":"/a"},{"path":"/b"}]}"#;
    const ONE_WRONG: &str = r#"{"paths":[{"path":"/a"},{"path":""}]}"#;

    #[test]
    fn the_status_is_the_paths_own_where_they_agree() {
        assert_eq!(bulk(r#"{"paths":[]}"#, vec![]).status(), 200);
        assert_eq!(bulk(TWO, vec![saved(1, true), known(2)]).status(), 200);
        assert_eq!(bulk(TWO, vec![saved(1, false), known(2)]).status(), 202);
        assert_eq!(bulk(TWO, vec![]).status(), 503);
        assert_eq!(bulk(r#"{"paths":[{},7]}"#, vec![]).status(), 422);
    }

    #[test]
    fn where_paths_differ_the_status_says_so() {
        assert_eq!(bulk(TWO, vec![saved(1, true)]).status(), 207);
        assert_eq!(bulk(ONE_WRONG, vec![known(1)]).status(), 207);
        assert_eq!(bulk(ONE_WRONG, vec![saved(1, false)]).status(), 207);
        assert_eq!(bulk(ONE_WRONG, vec![]).status(), 503);
    }

    #[test]
    fn each_path_has_its_lines_in_order() {
        let body = r#"{"paths":[{"path":"/a"},{},{"path":"/b"},{"path":"/c"},{"path":"/d"}]}"#;
        assert_eq!(
            bulk(body, vec![saved(4, true), known(2), saved(5, false)]).lines(),
            "got paths: {Paths:[{Path:/a} {Path:/b} {Path:/c} {Path:/d}]}\n\
             image saved with id: 4\n\
             image sent to nsq\n\
             error: paths[1]: \"path\" is missing; send {\"path\":\"/unknown_people/unknown0001.jpg\"}\n\
             image with path '/b' already exists with id: 2\n\
             image saved with id: 5\n\
             image queued for later\n\
             error: paths[4]: the image '/d' is not stored because the database does not answer; post it again later\n"
        );
    }

    #[test]
    fn of_many_refusals_the_first_are_explained_and_the_others_counted() {
        let body = format!(r#"{{"paths":[{{"path":"/a"}}{},{{"path":"/b"}}]}}"#, ",0".repeat(150));
        let lines = bulk(&body, vec![known(1), known(2)]).lines();
        assert_eq!(lines.lines().count(), 1 + 2 + 100 + 1, "{lines}");
        assert!(lines.ends_with("error: 50 more paths are not stored; the first 100 say why\n"), "{lines}");
        assert!(lines.contains("'/b' already exists with id: 2"), "{lines}");
        // So it is with what the database did not take.
        let lines = bulk(&body, vec![known(1)]).lines();
        assert!(lines.contains("{Path:/a} {Path:/b}") && lines.contains("error: 51 more paths"), "{lines}");
        let all = format!(r#"{{"paths":[0{}]}}"#, ",0".repeat(99_999));
        for answer in [bulk(&all, vec![]).lines(), serde_json::to_string(&all_json(&all)).unwrap()] {
            assert!(answer.len() < 32 * 1024, "{} bytes", answer.len());
        }
    }

    /// As JSON answers it.
    fn all_json(body: &str) -> serde_json::Value {
        let answer = bulk(body, vec![]);
        let paths: Vec<_> = answer.entries.iter().filter_map(Entry::to_json).collect();
        assert_eq!(paths.len() + answer.only_counted(), 100_000);
        serde_json::json!(paths)
    }

    #[test]
    fn a_path_cannot_forge_lines() {
        let body = r#"{"paths":[{"path":"/a\nimage saved with id: 9"},{"path":"\n/../"}]}"#;
        let answer = bulk(body, vec![known(1)]).lines();
        assert_eq!(answer.lines().count(), 3, "{answer}");
        assert!(answer.contains(r"/a\nimage saved with id: 9") && answer.contains(r"\n/../"), "{answer}");
    }
}
