//! Somebody becomes known by a face: one of an image, or the one on a picture that is sent.
//!
//! The new picture is written first, under a name that nobody reads; face-recog looks at it as it will when it counts; then
//! the row is stored; then the picture gets its name. So face-recog never meets a picture that is nobody's. If the receiver
//! is killed between the last two, a row stands there whose picture is missing, which harms nothing: to ask again, or to
//! remove it, mends that.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, EXPECT},
    },
    response::Response,
};
use common::{
    db::{
        faces::Nearest,
        images::Area,
        people::{
            self, Named,
            enrolment::{self, Candidate, Look, Unfit},
        },
    },
    models::ImageId,
    quality::BACKGROUND,
};
use rpc::FindResponse;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Peer, access::Who};

use crate::{
    compat::request,
    http::{error::Problem, id::Id, state::Receiver},
    people::{
        done,
        reference_photos::{PictureOf, answer, no_such_picture},
    },
    uploads::{
        Picture,
        form::{form_type, refuse},
        intake::Held,
        write::Nameless,
    },
};

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new().routes(routes!(enrol))
}

/// A face that was found before. Either `face` or `image` has to be there.
#[derive(Deserialize, ToSchema)]
struct Example {
    /// A face of an image.
    #[schema(example = 77)]
    face: Option<u64>,
    /// An image that shows one face.
    #[schema(example = 13)]
    image: Option<u64>,
    /// The entry of the audit by which the face was named: to undo that takes the picture away again.
    #[schema(example = 17)]
    part_of: Option<u64>,
}

/// A face, where it is, and what to do if it seems to be somebody else's and is not.
struct Shown {
    face: Candidate,
    way_out: &'static str,
    /// The entry of the audit that this is a part of.
    part_of: Option<u64>,
    /// A picture that was sent, if that is what shows it.
    sent: Option<Held>,
}

/// Enrol somebody by a face
///
/// The body is a picture of theirs that shows one face, or names a face that was found before. What is around the face is
/// cut out and becomes a picture that they are known by; every face like it is theirs within seconds. It has to be large,
/// sharp and straight enough, not like another person's, and not somebody else's by a word.
#[utoipa::path(post, path = "/people/{id}/pictures", tag = "people", params(("id" = u64, Path, description = "The person")),
    request_body(content((Example = "application/json"), (Picture = "application/octet-stream"))),
    responses(
    (status = CREATED, description = "The new picture", body = PictureOf),
    (status = OK, description = "It was theirs before", body = PictureOf),
    (status = NOT_FOUND, description = "There is no such person"),
    (status = CONFLICT, description = "The face or the picture is another person's, somebody said that it is not theirs, or the image's file is gone"),
    (status = PAYLOAD_TOO_LARGE, description = "The picture is larger than MAX_UPLOAD"),
    (status = UNSUPPORTED_MEDIA_TYPE, description = "What was sent is no picture, or a form"),
    (status = UNPROCESSABLE_ENTITY, description = "There is no such face, or it is no good example; the reason says why"),
    (status = NOT_IMPLEMENTED, description = "The receiver has no folder of known people"),
    (status = INSUFFICIENT_STORAGE, description = "The disk is full"),
))]
async fn enrol(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let person = match receiver.person(id).await {
        Ok(person) => person.id,
        Err(problem) => return Err(refuse(problem, &head.headers, body).await),
    };
    let shown = shown(&receiver, Peer::of(&head.extensions), head.headers, body).await?;
    let nameless = example(&receiver, &shown, person).await?;
    let picture = nameless.name.clone();
    answer(give(&receiver, id, nameless, shown.part_of, &who.name).await?, id, picture)
}

/// Makes a picture that was cut out somebody's, and shows it to face-recog.
pub async fn give(
    receiver: &Receiver,
    id: u64,
    nameless: Nameless,
    part_of: Option<u64>,
    who: &str,
) -> Result<Named, Problem> {
    let picture = nameless.name.clone();
    let named = done(people::name_picture(&receiver.pool, id, &picture, part_of, who).await?)?;
    if matches!(named, Named::Done | Named::Already) {
        receiver.known_people.show(nameless).await?;
        // An erasure or an undo meanwhile found no file to remove.
        let mut connection = receiver.pool.acquire().await?;
        if people::by_image_names(&mut connection, &[&picture]).await?.is_empty() {
            receiver.known_people.remove(&picture).await?;
            return Err(no_such_picture(&picture));
        }
    }
    Ok(named)
}

/// What is to be a picture of theirs, once face-recog has seen that it is a good one.
async fn example(receiver: &Receiver, shown: &Shown, person: i32) -> Result<Nameless, Problem> {
    let Shown { face, way_out, sent, .. } = shown;
    let refused = |why: Unfit| {
        let reason = match why {
            Unfit::Fault(_) => return unfit("no_good_example", why.to_string()),
            Unfit::Chosen(_) | Unfit::Rejected => "said_otherwise",
            Unfit::Anothers { .. } => "anothers",
        };
        let detail = format!("{why}; if it nevertheless is person {person}, {way_out}");
        Problem::new(StatusCode::CONFLICT, reason, detail)
    };
    face.check(person).map_err(refused)?;
    let (nameless, seen) = cut_out(receiver, face, sent.is_some()).await?;
    face.check_example(&receiver.pool, person, seen).await?.map_err(refused)?;
    Ok(nameless)
}

/// What face-recog sees on a picture that was cut out.
pub type Seen = Option<(Look, Option<Nearest>)>;

/// Cuts a face out. With `known` its picture lies in the folder of known people.
pub async fn cut_out(
    receiver: &Receiver,
    face: &Candidate,
    known: bool,
) -> Result<(Nameless, Seen), Problem> {
    let jpeg = receiver.face_client.crop(&face.path, face.area, known).await?;
    let nameless = receiver.known_people.write(jpeg).await?;
    let seen = counting(receiver.face_client.find_known(&nameless.name_for_now()).await?);
    Ok((nameless, seen))
}

/// Of several faces the largest counts, as on every known picture.
fn counting(seen: FindResponse) -> Seen {
    let FindResponse { faces, model, .. } = seen;
    let face = faces.into_iter().max_by_key(|face| u64::from(face.width) * u64::from(face.height))?;
    let nearest = face.nearest.map(|nearest| {
        let rpc::Nearest { image_name, distance, is_match } = nearest;
        Nearest { image_name, distance, is_match }
    });
    Some((Look { embedding: face.embedding, model }, nearest))
}

/// What the body says, or shows.
async fn shown(
    receiver: &Receiver,
    peer: IpAddr,
    mut headers: HeaderMap,
    body: Body,
) -> Result<Shown, Problem> {
    if form_type(&headers).is_some() {
        let detail = "send one picture, as the body itself: curl --data-binary @me.jpg";
        let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a_form", detail);
        return Err(refuse(problem, &headers, body).await);
    }
    // After a first look the announced length is not known any more.
    let body = receiver.examples.not_too_large(&headers, body).await?;
    let (beginning, body) = receiver.bodies.peek(body).await?;
    // Who asked first has been told to go on.
    headers.remove(EXPECT);
    if may_be_words(&headers, &beginning) {
        let body = receiver.bodies.read(peer, &headers, body).await?;
        chosen(receiver, &body.bytes).await
    } else if let Err(problem) = receiver.known_people.is_there().await {
        Err(refuse(problem, &headers, body).await)
    } else {
        sent(receiver, receiver.examples.picture(peer, &headers, body).await?).await
    }
}

/// A client that says that it is a picture is believed. curl says nothing; but no picture begins as JSON does, with ASCII that is
/// none of R (WebP), G (GIF), B (BMP), I and M (TIFF).
pub fn may_be_words(headers: &HeaderMap, beginning: &[u8]) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase()).unwrap_or_default();
    let says_picture = kind.starts_with(b"image/") || kind.starts_with(b"application/octet-stream");
    !says_picture && beginning.first().is_none_or(|first| first.is_ascii() && !b"\0RGBIM".contains(first))
}

/// A face that was found before.
async fn chosen(receiver: &Receiver, body: &[u8]) -> Result<Shown, Problem> {
    let wanted = r#"which face, as in {"face":77}, or an image with one face, as in {"image":13}, or a picture itself"#;
    let Example { face, image, part_of } = request::object(body, wanted)?;
    let face = match (face, image) {
        (Some(face), None) => face,
        (None, Some(image)) => only_face(receiver, image).await?,
        _ => return Err(request::BodyError::Shape("does not say what is asked for", wanted).into()),
    };
    let Some(face) = enrolment::candidate(&receiver.pool, face).await? else {
        return Err(unfit("no_such_face", format!("there is no face {face}")));
    };
    Ok(Shown { face, way_out: "say so of the face first", part_of, sent: None })
}

async fn only_face(receiver: &Receiver, image: u64) -> Result<u64, Problem> {
    let Some(faces) = enrolment::faces_of(&receiver.pool, ImageId(image)).await? else {
        return Err(unfit("no_such_image", format!("there is no image {image}")));
    };
    match faces[..] {
        [face] => Ok(face),
        [] => Err(unfit("no_face", format!("no face was found on image {image}, or none yet"))),
        _ => {
            let ids: Vec<_> = faces.iter().take(20).map(u64::to_string).collect();
            let detail = format!(
                "image {image} shows {} faces; say which, as in {{\"face\":{}}}: {}",
                faces.len(),
                ids[0],
                ids.join(", ")
            );
            Err(unfit("several_faces", detail))
        }
    }
}

/// The one face of a picture that was sent.
async fn sent(receiver: &Receiver, picture: Held) -> Result<Shown, Problem> {
    let path = picture.file.name_for_now().into_owned();
    let face = only_face_on(receiver.face_client.find_known(&path).await?, path)?;
    let way_out = "post the picture, say so of its face, and send that face's id";
    Ok(Shown { face, way_out, part_of: None, sent: Some(picture) })
}

/// The one face in the foreground of a picture.
pub fn only_face_on(found: FindResponse, path: String) -> Result<Candidate, Problem> {
    let FindResponse { mut faces, model, .. } = found;
    let highest = faces.iter().map(|face| face.height).max().unwrap_or_default();
    faces.retain(|face| face.height.saturating_mul(BACKGROUND.unsigned_abs()) >= highest);
    let [face] = &faces[..] else {
        let detail = match faces.len() {
            0 => "no face was found on the picture".to_owned(),
            several => format!(
                "the picture shows {several} faces: cut it to one of them, or post it and say which of its faces"
            ),
        };
        return Err(unfit(if faces.is_empty() { "no_face" } else { "several_faces" }, detail));
    };
    // The detector's boxes are no larger than the picture.
    let length = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
    let area = Area { x: face.left, y: face.top, width: length(face.width), height: length(face.height) };
    let look = Look { embedding: face.embedding.clone(), model };
    Ok(Candidate::newcomer(path, area, look, (face.sharpness, face.turned)))
}

fn unfit(reason: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, reason, detail)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn words_are_told_from_pictures_by_their_first_byte() {
        for words in [b"{\"face\":1}".as_slice(), b" [", b"\n{", b"null", b"7", b"hello", b""] {
            assert!(may_be_words(&HeaderMap::new(), words), "{words:?}");
            let picture = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("image/png"))]);
            assert!(!may_be_words(&picture, words));
        }
        for picture in [b"\xff\xd8\xff".as_slice(), b"\x89PNG", b"RIFF", b"GIF89a", b"\0\0\0\x18ftypheic"] {
            assert!(!may_be_words(&HeaderMap::new(), picture), "{picture:?}");
        }
    }
}
