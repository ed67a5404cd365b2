//! `GET /images/{id}`: one picture, with a box around every face.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use axum_extra::extract::{Query, QueryRejection};
use chrono::{DateTime, Utc};
use common::{
    db::{
        faces,
        images::{
            photos::{self, Filter, Neighbours},
            query,
        },
    },
    models::Person,
};
use serde::Serialize;
use sqlx::MySqlPool;

use crate::{
    Frontend,
    error::Problem,
    format::Format,
    reader::Reader,
    view::{
        face::{self, Face},
        filter::Wanted,
        frame::Frame,
        image::ImageView,
        layout,
    },
};

#[derive(Template, Serialize)]
#[template(path = "image.html")]
struct Image {
    #[serde(flatten)]
    line: ImageView,
    created_at: DateTime<Utc>,
    attempts: u32,
    /// What looked for its faces last; `None` where an earlier version or the original did.
    detector: Option<String>,
    /// Why it could not be looked at again, if so.
    look_again_failed: Option<String>,
    faces: Vec<Face>,
    /// Where it was opened from.
    #[serde(skip)]
    wanted: Wanted,
    #[serde(skip)]
    beside: Neighbours,
    #[serde(skip)]
    frame: Frame,
}

/// Least width of a box with a label that always shows, in percent of the picture.
const LEAST_LABELLED: f64 = 6.0;

/// A face's box on the picture, in percent of its size, so that it fits whatever size it is shown in.
struct Outline<'a> {
    face: &'a Face,
    /// Whether its label would cover its neighbours: it is shown when the pointer is on the box.
    is_small: bool,
    x: String,
    y: String,
    width: String,
    height: String,
    /// Where its name begins, or where it ends on the right side of the picture, so that it stays on it.
    label_x: String,
    anchor: &'static str,
    /// Where its name stands: above the box, or below it where there is no room.
    label_y: String,
    /// How far from that, in pixels of the screen.
    shift: i32,
}

/// `GET /images/{id}`, with the filter of the gallery that it was opened from
pub async fn show(
    State(frontend): State<Frontend>,
    reader: Reader,
    format: Format,
    headers: HeaderMap,
    Path(id): Path<String>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    layout::answer(format, &headers, async {
        let wanted = Wanted::of(wanted)?;
        let filter = wanted.filter()?;
        let image = frontend.read(read(&frontend.pool, layout::id(&id)?, &wanted, filter)).await?;
        Ok(Image { wanted, frame: frontend.frame("/gallery", reader), ..image.ok_or(Problem::NoSuchPage)? })
    })
    .await
}

async fn read(pool: &MySqlPool, id: u64, wanted: &Wanted, mut filter: Filter) -> sqlx::Result<Option<Image>> {
    let Some(image) = query::row(pool, id).await? else { return Ok(None) };
    let place = image.place();
    filter.people = wanted.people(pool).await?.into_iter().map(|called| called.ids).collect();
    Ok(Some(Image {
        created_at: image.created_at,
        attempts: image.attempts,
        detector: image.detector.clone(),
        look_again_failed: image.look_again_failed.clone(),
        line: image.into(),
        faces: faces::page::of_image(pool, id).await?.into_iter().map(Face::from).collect(),
        wanted: Wanted::default(),
        beside: photos::neighbours(pool, &filter, place).await?,
        frame: Frame::default(),
    }))
}

impl Image {
    fn people(&self) -> Vec<&Person> {
        face::people(self.faces.iter().filter_map(|face| face.person.as_ref()))
    }

    /// Whether a face that was not found can be added.
    fn can_be_drawn_on(&self) -> bool {
        self.frame.editor && self.line.processed() && self.line.width.is_some() && self.line.height.is_some()
    }

    fn outlines(&self) -> Vec<Outline<'_>> {
        let (Some(width @ 1..), Some(height @ 1..)) = (self.line.width, self.line.height) else {
            return Vec::new();
        };
        let percent = |length: i32, whole: i32| 100.0 * f64::from(length) / f64::from(whole);
        let text = |percent: f64| format!("{percent:.2}%");
        self.faces
            .iter()
            .map(|face| {
                let area = face.area;
                let (left, top) = (area.x.clamp(0, width), area.y.clamp(0, height));
                let (right, bottom) =
                    ((area.x + area.width).clamp(left, width), (area.y + area.height).clamp(top, height));
                let y = percent(top, height);
                let is_right = percent(left, width) > 60.0;
                let above = y > 8.0;
                Outline {
                    face,
                    is_small: percent(right - left, width) < LEAST_LABELLED,
                    label_x: text(percent(if is_right { right } else { left }, width)),
                    anchor: if is_right { "end" } else { "start" },
                    x: text(percent(left, width)),
                    y: text(y),
                    width: text(percent(right - left, width)),
                    height: text(percent(bottom - top, height)),
                    label_y: if above { text(y) } else { text(percent(bottom, height)) },
                    shift: if above { -6 } else { 18 },
                }
            })
            .collect()
    }
}
