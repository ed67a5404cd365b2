//! What a webhook says: the image, and whom or what was seen on it, as they are when it is sent.

use chrono::SecondsFormat;
use common::{
    db::{
        images::{FaceStatus, ImageStatus},
        webhooks::Delivery,
    },
    models::Person,
    quality::can_be_grouped,
    webhooks::Event,
};
use serde::Serialize;

/// A webhook's body.
#[derive(Serialize)]
struct Message<'a> {
    r#type: &'static str,
    /// When the work on the image ended.
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    /// Of `image.processed` and `image.failed`.
    Image(&'a ImageStatus),
    /// Of `person.seen`.
    Person { person: &'a Person, faces: Vec<&'a FaceStatus>, image: &'a ImageStatus },
    /// Of `face.new`.
    Faces { faces: Vec<&'a FaceStatus>, image: &'a ImageStatus },
    /// Of a test.
    Test {},
}

/// The body; `None` when somebody corrected or deleted since what it was to report.
pub(super) fn body(delivery: &Delivery, image: Option<&ImageStatus>) -> Option<serde_json::Result<String>> {
    let faces = |is_one: &dyn Fn(&FaceStatus) -> bool| -> Vec<&FaceStatus> {
        image.iter().flat_map(|image| &image.faces).filter(|face| is_one(face)).collect()
    };
    let data = match delivery.event {
        Some(Event::ImageProcessed | Event::ImageFailed) => Data::Image(image?),
        Some(Event::PersonSeen) => {
            let is_them = |person: &Person| person.id == delivery.person;
            let faces = faces(&|face| face.person.as_ref().is_some_and(is_them));
            let of_face = faces.first().and_then(|face| face.person.as_ref());
            let person = of_face.or(image?.person.as_ref().filter(|person| is_them(person)))?;
            Data::Person { person, faces, image: image? }
        }
        Some(Event::FaceNew) => {
            let faces = faces(&|face| {
                let FaceStatus { person, correction, area, sharpness, turned, .. } = face;
                person.is_none() && correction.is_none() && can_be_grouped(area.height, *sharpness, *turned)
            });
            Data::Faces { image: image.filter(|_| !faces.is_empty())?, faces }
        }
        None => Data::Test {},
    };
    let timestamp = delivery.ended_at.to_rfc3339_opts(SecondsFormat::Micros, true);
    Some(serde_json::to_string(&Message { r#type: delivery.name(), timestamp, data }))
}
