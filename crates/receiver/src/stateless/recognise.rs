//! Who is on a picture that is sent.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use axum::{
    extract::{Query, Request, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};
use common::{
    db::{images::Area, people},
    embedding,
    models::Person,
};
use rpc::{NearestPictures, RecogniseResponse};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    http::{error::Problem, format, state::Receiver},
    uploads::Picture,
};

/// Most people that are told of each face.
const MOST_PEOPLE: u32 = 10;

/// Known pictures that are asked for, for each person that is wanted: most people have fewer.
const PICTURES_OF_A_PERSON: u32 = 16;

/// Names that the table is asked for at once.
const AT_ONCE: usize = 2048;

/// What is asked for.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// How many of the nearest people are told of each face
    #[serde(default = "one")]
    #[param(minimum = 1, maximum = 10, default = 1)]
    k: u32,
    /// Whether the embedding of each face is told
    #[serde(default)]
    embedding: bool,
}

fn one() -> u32 {
    1
}

/// A form with one picture.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it describes the form for the OpenAPI document")]
pub struct PictureForm {
    /// The field with a file name is it, whatever the field is called.
    file: Picture,
}

/// What is seen on a picture.
#[derive(Serialize, ToSchema)]
pub struct Recognised {
    /// Width of the upright picture, in pixels.
    #[schema(example = 1280)]
    width: u32,
    /// Height of the upright picture, in pixels.
    #[schema(example = 960)]
    height: u32,
    /// What looked for faces.
    detector: String,
    /// What the embeddings were made with: only those of one model can be compared.
    model: String,
    /// Every face, the surest first.
    faces: Vec<RecognisedFace>,
}

/// One face of a picture that is not kept. Where it is one of an image, it has the same numbers.
#[derive(Serialize, ToSchema)]
pub struct RecognisedFace {
    /// Where it is on the picture.
    #[serde(rename = "box")]
    area: Area,
    /// Whether it is recognised: the nearest known picture is near enough for `MATCH_TOLERANCE`, and somebody's.
    recognised: bool,
    /// The known person that it shows, if it is recognised.
    person: Option<Person>,
    /// Euclidean distance to the nearest known face.
    distance: Option<f64>,
    /// Base name of the known picture with that face.
    nearest: Option<String>,
    /// The people nearest to it, near enough or not, the nearest first.
    people: Vec<NearPerson>,
    /// How sure the detector is that it is a face: 0 to 1.
    score: Option<f32>,
    /// Variance of the Laplacian; little is blurred. 0 of a face that is too small to be compared.
    sharpness: f32,
    /// 0 looks straight ahead, 1 is a profile.
    turned: f32,
    /// 128 numbers, if they are asked for and the face is large enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 128, max_items = 128)]
    embedding: Option<Vec<f32>>,
}

/// Somebody known, and how near a face is to them.
#[derive(Serialize, ToSchema)]
pub struct NearPerson {
    /// Who it is.
    person: Person,
    /// Euclidean distance to the nearest of their known pictures.
    #[schema(example = 0.34)]
    distance: f64,
    /// Base name of that picture.
    #[schema(example = "obama.jpg")]
    picture: String,
}

/// Recognise a picture without keeping it
///
/// The body is a picture, or a form with one. Nothing of it is stored, logged or cached.
#[utoipa::path(post, path = "/recognise", tag = "stateless", params(Asked),
    request_body(description = "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF", content(
        (Picture = "application/octet-stream"),
        (PictureForm = "multipart/form-data"),
    )),
    responses(
        (status = OK, description = "What is seen on it", body = Recognised),
        (status = PAYLOAD_TOO_LARGE, description = "The picture is larger than MAX_UPLOAD, or than 16 MiB"),
        (status = UNSUPPORTED_MEDIA_TYPE, description = "It is no picture of these kinds"),
        (status = UNPROCESSABLE_ENTITY, description = "The picture cannot be used, or the form holds none or several"),
        (status = NOT_IMPLEMENTED, description = "face-recog is of a release that cannot do this"),
    ))]
pub async fn recognise(
    State(receiver): State<Arc<Receiver>>,
    asked: Result<Query<Asked>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let mut pictures = receiver.stateless.pictures(request).await?;
    let asked = match asked {
        Ok(Query(asked)) if (1..=MOST_PEOPLE).contains(&asked.k) => asked,
        _ => {
            let detail = "allowed are k, the number of people to name for each face, from 1 to 10, and \
                          embedding, true or false";
            return Err(pictures.refuse(Problem::new(StatusCode::BAD_REQUEST, "wrong_query", detail)).await);
        }
    };
    let picture = match pictures.only().await {
        Ok(picture) => picture,
        Err(problem) => return Err(pictures.refuse(problem).await),
    };
    let seen = receiver.face_client.recognise(picture, asked.k * PICTURES_OF_A_PERSON).await?;
    let owners = owners(&receiver, &seen).await?;
    Ok(format::fresh(StatusCode::OK, &Recognised::new(seen, &owners, asked)))
}

/// Whose the known pictures are that faces are nearest to.
async fn owners(receiver: &Receiver, seen: &RecogniseResponse) -> Result<HashMap<String, Person>, Problem> {
    let pictures = seen.nearest.iter().flat_map(|near| &near.pictures);
    let names: BTreeSet<&str> = pictures.map(|picture| &picture.image_name[..]).collect();
    let names = Vec::from_iter(names);
    let mut owners = HashMap::new();
    for names in names.chunks(AT_ONCE) {
        let mut connection = receiver.pool.acquire().await?;
        owners.extend(people::by_image_names(&mut connection, names).await?);
    }
    Ok(owners)
}

impl Recognised {
    fn new(seen: RecogniseResponse, owners: &HashMap<String, Person>, asked: Asked) -> Self {
        let found = seen.found.unwrap_or_default();
        let mut nearest = seen.nearest.into_iter();
        let faces = found.faces.into_iter().map(|face| {
            let near = nearest.next().unwrap_or_default();
            RecognisedFace::new(face, near, owners, asked)
        });
        let faces = faces.collect();
        Self { width: found.width, height: found.height, detector: found.detector, model: found.model, faces }
    }
}

impl RecognisedFace {
    fn new(face: rpc::Face, near: NearestPictures, owners: &HashMap<String, Person>, asked: Asked) -> Self {
        let matched = face.nearest.as_ref().filter(|nearest| nearest.is_match);
        let person = matched.and_then(|nearest| owners.get(&nearest.image_name)).cloned();
        let embedding = asked.embedding.then(|| embedding::read(&face.embedding)).flatten();
        Self {
            area: area_of(&face),
            recognised: person.is_some(),
            person,
            distance: face.nearest.as_ref().map(|nearest| nearest.distance),
            people: people_of(near, owners, asked.k),
            score: face.score,
            sharpness: face.sharpness,
            turned: face.turned,
            embedding: embedding.map(|numbers| numbers.to_vec()),
            nearest: face.nearest.map(|nearest| nearest.image_name),
        }
    }
}

/// The box around a face.
pub fn area_of(face: &rpc::Face) -> Area {
    // Boxes are hardly larger than the picture.
    let length = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
    Area { x: face.left, y: face.top, width: length(face.width), height: length(face.height) }
}

/// The people whose known pictures are nearest, each once.
fn people_of(near: NearestPictures, owners: &HashMap<String, Person>, most: u32) -> Vec<NearPerson> {
    let mut named = HashSet::new();
    let people = near.pictures.into_iter().filter_map(|nearest| {
        let person = owners.get(&nearest.image_name)?;
        named.insert(person.id).then(|| NearPerson {
            person: person.clone(),
            distance: nearest.distance,
            picture: nearest.image_name,
        })
    });
    people.take(most as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_person_is_named_once_with_their_nearest_picture() {
        let near =
            |name: &str, distance| rpc::Nearest { image_name: name.to_owned(), distance, is_match: true };
        let pictures =
            vec![near("nobodys", 0.1), near("a1", 0.2), near("a2", 0.3), near("b", 0.4), near("c", 0.5)];
        let person = |id| Person { id, name: format!("person {id}") };
        let owners = [("a1", 1), ("a2", 1), ("b", 2), ("c", 3)];
        let owners = owners.map(|(name, id)| (name.to_owned(), person(id))).into();
        let people = people_of(NearestPictures { pictures }, &owners, 2);
        let told: Vec<_> =
            people.iter().map(|near| (near.person.id, &near.picture[..], near.distance)).collect();
        assert_eq!(told, [(1, "a1", 0.2), (2, "b", 0.4)]);
    }
}
