//! `GET /unknown` and `GET /unknown/{cluster}`: faces that nobody has named, those that look alike together, and whom they may show.

use askama::Template;
use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use common::{
    db::{
        faces::{
            self, cluster_page,
            suggestions::{self, Suggestion},
        },
        images::FaceOfImage,
    },
    models::Person,
};
use serde::Serialize;

use crate::{
    Frontend,
    error::Problem,
    format::Format,
    reader::Reader,
    view::{
        face::{self, Face},
        frame::Frame,
        layout,
        paging::{self, Asked, Cursor, Links, Rows},
    },
};

/// Clusters on a page.
const CLUSTERS: usize = 24;

/// Faces of each that are shown there.
const SAMPLES: usize = 6;

/// Suggestions on the first page.
const SUGGESTIONS: usize = 6;

/// Faces on a page.
const PAGE: usize = 48;

/// Faces that look alike and have no name.
#[derive(Serialize)]
struct Cluster {
    /// The first of the faces.
    id: u64,
    /// How many there are.
    count: u64,
    /// The newest of them.
    faces: Vec<Face>,
}

impl From<cluster_page::Cluster> for Cluster {
    fn from(cluster: cluster_page::Cluster) -> Self {
        let faces = cluster.newest.into_iter().map(Face::from).collect();
        Self { id: cluster.id, count: cluster.count, faces }
    }
}

/// Whom a face, or faces that look alike, may show.
#[derive(Serialize)]
struct Suggested {
    /// The nearest.
    person: Person,
    /// The face, or the one of them that is nearest.
    #[serde(flatten)]
    face: FaceOfImage,
    /// How many there are.
    faces: u64,
}

impl Suggested {
    fn new(Suggestion { people, face, faces }: Suggestion) -> Option<Self> {
        Some(Self { person: people.into_iter().next()?, face, faces })
    }
}

#[derive(Template, Serialize)]
#[template(path = "unknown.html")]
struct Unknown {
    /// Whom some of them may show, on the first page alone.
    suggestions: Vec<Suggested>,
    /// How many suggestions there are.
    suggested: usize,
    /// Groups of faces that look alike, on the first page alone.
    #[serde(rename = "strangers")]
    clusters: Vec<Cluster>,
    /// Where more of them are.
    #[serde(rename = "more_strangers")]
    more_clusters: Option<String>,
    /// Faces that look like no other.
    faces: Vec<Face>,
    #[serde(flatten)]
    links: Links,
    #[serde(skip)]
    frame: Frame,
}

/// Where the list of clusters goes on: after the one with this many faces and this id.
#[derive(Default, serde::Deserialize)]
pub struct Wanted {
    strangers_of: Option<u64>,
    strangers_before: Option<u64>,
    #[serde(flatten)]
    asked: Asked,
}

/// `GET /unknown`
pub async fn list(
    State(frontend): State<Frontend>,
    reader: Reader,
    format: Format,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    layout::answer(format, &headers, async {
        let Query(wanted) = wanted.map_err(|_| Problem::WrongCursor)?;
        let cursor = wanted.asked.cursor()?;
        let after = match (wanted.strangers_of, wanted.strangers_before) {
            (Some(faces), Some(id)) => Some((faces, id)),
            (None, None) => None,
            _ => return Err(Problem::WrongCursor),
        };
        let pool = &frontend.pool;
        let is_first = after.is_none() && matches!(cursor, Cursor::Newest);
        let ((suggestions, suggested), (clusters, more), faces) = frontend
            .read(async {
                let suggestions = if is_first {
                    let all = suggestions::find(pool).await?;
                    (all.read(pool, 0, SUGGESTIONS).await?, all.count())
                } else {
                    (Vec::new(), 0)
                };
                let clusters = match cursor {
                    Cursor::Newest => cluster_page::read(pool, after, CLUSTERS, SAMPLES).await?,
                    _ => (Vec::new(), None),
                };
                // One long list at a time.
                let faces = match after {
                    None => faces::page::alone(pool, cursor, PAGE).await?,
                    Some(_) => Rows { rows: Vec::new(), more: None },
                };
                Ok((suggestions, clusters, faces))
            })
            .await?;
        let (clusters, faces) = (clusters.into_iter().map(Cluster::from).collect(), face::shown(faces));
        let links = Links::new("/unknown?", cursor, &faces, |face: &Face| face.id);
        let more_clusters =
            more.map(|(faces, id)| format!("/unknown?strangers_of={faces}&strangers_before={id}"));
        let suggestions = suggestions.into_iter().filter_map(Suggested::new).collect();
        Ok(Unknown {
            suggestions,
            suggested,
            clusters,
            more_clusters,
            faces: faces.rows,
            links,
            frame: frontend.frame("/unknown", reader),
        })
    })
    .await
}

#[derive(Template, Serialize)]
#[template(path = "cluster.html")]
struct ClusterPage {
    /// The first of the faces.
    #[serde(rename = "stranger")]
    cluster: u64,
    /// How many there are.
    count: i64,
    /// Those of this page.
    faces: Vec<Face>,
    #[serde(flatten)]
    links: Links,
    #[serde(skip)]
    frame: Frame,
}

/// `GET /unknown/{cluster}`
pub async fn show(
    State(frontend): State<Frontend>,
    reader: Reader,
    format: Format,
    headers: HeaderMap,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    layout::answer(format, &headers, async {
        let id = layout::id(&id)?;
        let cursor = paging::cursor(asked)?;
        let cluster = faces::page::of_cluster(&frontend.pool, id, cursor, PAGE);
        let (count, faces) = frontend.read(cluster).await?;
        let faces = face::shown(faces);
        if count == 0 {
            return Err(Problem::NoSuchPage);
        }
        let links = Links::new(&format!("/unknown/{id}?"), cursor, &faces, |face: &Face| face.id);
        Ok(ClusterPage {
            cluster: id,
            count,
            faces: faces.rows,
            links,
            frame: frontend.frame("/unknown", reader),
        })
    })
    .await
}
