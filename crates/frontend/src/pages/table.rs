//! `GET /`: the original's table.

use askama::Template;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use common::db::images::page;
use serde::Serialize;

use crate::{
    Frontend,
    format::Format,
    pages::look_again::Notice,
    reader::Reader,
    view::{
        frame::Frame,
        image::ImageView,
        layout,
        paging::{self, Asked, Links, Rows},
    },
};

/// Rows on a page.
const PAGE: usize = 50;

#[derive(Template, Serialize)]
#[template(path = "table.html")]
struct Table {
    images: Vec<ImageView>,
    #[serde(flatten)]
    links: Links,
    #[serde(skip)]
    notice: Notice,
    #[serde(skip)]
    frame: Frame,
}

/// `GET /`, `GET /?before=ID`, `GET /?after=ID`
pub async fn show(
    State(frontend): State<Frontend>,
    reader: Reader,
    format: Format,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    layout::answer(format, &headers, async {
        let cursor = paging::cursor(asked)?;
        // Before the rows, so that nobody waits with them in hand.
        let notice = frontend.notice().await?;
        let Rows { rows, more } = frontend.read(page::posted(&frontend.pool, cursor, PAGE)).await?;
        let lines = Rows { rows: rows.into_iter().map(ImageView::from).collect(), more };
        let links = Links::new("/?", cursor, &lines, |line: &ImageView| line.id);
        let live = links.previous.is_none() || lines.rows.iter().any(|line| line.pending);
        Ok(Table { images: lines.rows, links, notice, frame: Frame { live, ..frontend.frame("/", reader) } })
    })
    .await
}
