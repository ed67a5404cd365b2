//! What people say about faces: who it is, who it is not, and that they take it back.

use axum::{
    http::{StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
};
use common::{
    faces::{self, Said, Word},
    lookup::{self, ImageStatus},
};
use serde::{Deserialize, Serialize};
use sqlx::MySqlPool;

use crate::{format, problem::Problem, ranges, request::BodyError};

/// Who the audit says it was: there are no accounts, so whoever reaches the receiver may correct it.
const WHO: &str = "anybody";

/// Notes what is said about faces.
#[derive(Clone, Debug)]
pub struct Corrections {
    pool: MySqlPool,
}

impl Corrections {
    /// Writes through `pool`.
    pub fn new(pool: MySqlPool) -> Self {
        Self { pool }
    }

    /// The face shows this person, or nobody who matters.
    pub async fn choose(&self, face: &str, body: &[u8]) -> Result<Response, Problem> {
        let face = parsed(face)?;
        let chosen: Chosen = read(body, r#"{"person":3}, or {"person":null} for nobody"#)?;
        self.say(face, chosen.person.map_or(Word::Nobody, Word::Is)).await
    }

    /// The face does not show this person.
    pub async fn reject(&self, face: &str, body: &[u8]) -> Result<Response, Problem> {
        let face = parsed(face)?;
        let rejected: Rejected = read(body, r#"{"person":3}"#)?;
        self.say(face, Word::IsNot(rejected.person)).await
    }

    /// What was said about the face counts no longer.
    pub async fn forget(&self, face: &str) -> Result<Response, Problem> {
        self.say(parsed(face)?, Word::Unsaid).await
    }

    /// What had been said before this entry of the audit counts again.
    pub async fn undo(&self, entry: &str) -> Result<Response, Problem> {
        let entry = parsed(entry)?;
        let undone = faces::undo(&self.pool, entry, WHO).await.map_err(database_away)?;
        let image = lookup::image_of_entry(&self.pool, entry).await.map_err(database_away)?;
        match image.filter(|_| undone) {
            Some(image) => Ok(answer(&image)),
            None => Err(not_found("no_such_entry", format!("there is no correction {entry} to undo"))),
        }
    }

    async fn say(&self, face: u64, word: Word) -> Result<Response, Problem> {
        let no_such_face = || not_found("no_such_face", format!("there is no face {face}"));
        let entry = match faces::say(&self.pool, face, word, WHO).await.map_err(database_away)? {
            Said::Noted(entry) => entry,
            Said::NoSuchFace => return Err(no_such_face()),
            Said::NoSuchPerson => {
                let detail = "there is no such person; name one by the id in the table person";
                return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_such_person", detail));
            }
        };
        let image = lookup::image_of_face(&self.pool, face).await.map_err(database_away)?;
        let image = image.ok_or_else(no_such_face)?;
        Ok(answer(&Corrected { undo: format!("/audit/{entry}/undo"), image }))
    }
}

/// Whom a face shows. `null` has to be written: what is missing may be misspelt.
#[derive(Deserialize)]
struct Chosen {
    #[serde(deserialize_with = "Option::deserialize")]
    person: Option<i32>,
}

/// Whom a face does not show.
#[derive(Deserialize)]
struct Rejected {
    person: i32,
}

/// An image after a correction.
#[derive(Serialize)]
struct Corrected {
    /// Where to post what takes it back.
    undo: String,
    #[serde(flatten)]
    image: ImageStatus,
}

/// Reads a body that is an object; `example` is one.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8], example: &'static str) -> Result<T, BodyError> {
    match serde_json::from_slice(body) {
        // serde takes a list for a struct, too.
        Ok(object) if body.trim_ascii_start().starts_with(b"{") => Ok(object),
        Err(error) if !error.is_data() => Err(BodyError::Malformed(error.to_string())),
        _ => Err(BodyError::Shape("does not say which person, by a number", example)),
    }
}

/// What is true now: nobody may keep it.
fn answer(object: &impl Serialize) -> Response {
    ([(CACHE_CONTROL, "no-store")], format::json(StatusCode::OK, object)).into_response()
}

fn parsed(id: &str) -> Result<u64, Problem> {
    ranges::number(id).ok_or_else(|| {
        let detail = "faces and corrections are named by their ids, numbers like 13";
        Problem::new(StatusCode::BAD_REQUEST, "not_an_id", detail)
    })
}

fn not_found(reason: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, reason, detail)
}

fn database_away(error: sqlx::Error) -> Problem {
    tracing::error!(%error, "cannot note a correction");
    // The answer to a commit may be lost; to say the same again does no harm.
    let detail = "the database does not answer; say it again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database_away", detail)
}
