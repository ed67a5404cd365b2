//! `GET /unknown` and `GET /unknown/{cluster}`: faces that nobody has named, those that look alike together.

use std::{cmp::Reverse, collections::HashMap};

use askama::Template;
use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use common::db::paging::end_of_search;
use serde::Serialize;
use sqlx::{MySql, MySqlPool, QueryBuilder};

use crate::{
    Frontend,
    error::Problem,
    format::Format,
    view::{
        face::{self, Face},
        layout::{self, Frame},
        paging::{self, Asked, Cursor, Links, Rows},
    },
};

/// Clusters on a page.
const STRANGERS: usize = 24;

/// Faces of each that are shown there.
const SAMPLES: usize = 6;

/// Faces of each that are counted there: of more, the number is that of the last count of all.
const COUNTED: u64 = 1_000;

/// Faces on a page.
const PAGE: usize = 48;

/// Faces that one page looks at to find those that nobody said anything about.
const SEARCHED: usize = 5_000;

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

#[derive(Template, Serialize)]
#[template(path = "unknown.html")]
struct Unknown {
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
        let ((clusters, more), faces) = frontend
            .read(async {
                let clusters = match cursor {
                    Cursor::Newest => clusters(pool, after).await?,
                    _ => (Vec::new(), None),
                };
                // One long list at a time.
                let faces = match after {
                    None => singles(pool, cursor).await?,
                    Some(_) => Rows { rows: Vec::new(), more: None },
                };
                Ok((clusters, faces))
            })
            .await?;
        let links = Links::new("/unknown?", cursor, &faces, |face: &Face| face.id);
        let more_clusters =
            more.map(|(faces, id)| format!("/unknown?strangers_of={faces}&strangers_before={id}"));
        Ok(Unknown { clusters, more_clusters, faces: faces.rows, links, frame: frontend.frame("/unknown") })
    })
    .await
}

/// The next clusters, the largest first, and after which one there are more. As they are noted they may have faces that are
/// theirs no more; those that are shown are counted.
async fn clusters(
    pool: &MySqlPool,
    after: Option<(u64, u64)>,
) -> sqlx::Result<(Vec<Cluster>, Option<(u64, u64)>)> {
    let mut select =
        QueryBuilder::<MySql>::new("SELECT CAST(faces AS UNSIGNED), id FROM clusters WHERE faces > 1");
    if let Some((faces, id)) = after {
        select.push(" AND (faces < ").push_bind(faces).push(" OR (faces = ").push_bind(faces);
        select.push(" AND id < ").push_bind(id).push("))");
    }
    select.push(format_args!(" ORDER BY faces DESC, id DESC LIMIT {}", STRANGERS + 1));
    let mut noted: Vec<(u64, u64)> = select.build_query_as().fetch_all(pool).await?;
    let more = (noted.len() > STRANGERS).then(|| noted[STRANGERS - 1]);
    noted.truncate(STRANGERS);
    let mut samples = samples(pool, noted.iter().map(|&(_, id)| id)).await?;
    let counted = count(pool, noted.iter().map(|&(_, id)| id)).await?;
    let mut clusters = Vec::with_capacity(noted.len());
    for (faces, id) in noted {
        let count = counted.get(&id).copied().unwrap_or_default();
        let count = if count < COUNTED { count } else { faces.max(COUNTED) };
        if count > 1 {
            clusters.push(Cluster { id, count, faces: samples.remove(&id).unwrap_or_default() });
        }
    }
    clusters.sort_by_key(|cluster| Reverse(cluster.count));
    Ok((clusters, more))
}

/// How many faces each of these clusters has, up to [`COUNTED`].
async fn count(
    pool: &MySqlPool,
    clusters: impl ExactSizeIterator<Item = u64>,
) -> sqlx::Result<HashMap<u64, u64>> {
    if clusters.len() == 0 {
        return Ok(HashMap::new());
    }
    let mut select = QueryBuilder::<MySql>::new("");
    for (nth, cluster) in clusters.enumerate() {
        select.push(if nth == 0 { "SELECT " } else { " UNION ALL SELECT " });
        select.push("CAST(").push_bind(cluster).push(" AS UNSIGNED), CAST(COUNT(*) AS UNSIGNED) FROM (");
        select.push("SELECT id FROM faces WHERE stranger = ").push_bind(cluster);
        select.push(format_args!(" LIMIT {COUNTED}) AS some"));
    }
    let counts: Vec<(u64, u64)> = select.build_query_as().fetch_all(pool).await?;
    Ok(counts.into_iter().collect())
}

/// The newest faces of each of these clusters.
async fn samples(
    pool: &MySqlPool,
    clusters: impl ExactSizeIterator<Item = u64>,
) -> sqlx::Result<HashMap<u64, Vec<Face>>> {
    if clusters.len() == 0 {
        return Ok(HashMap::new());
    }
    let mut select = face::select();
    select.push(" JOIN (");
    for (nth, cluster) in clusters.enumerate() {
        select.push(if nth == 0 {
            "(SELECT id FROM faces WHERE stranger = "
        } else {
            " UNION ALL (SELECT id FROM faces WHERE stranger = "
        });
        select.push_bind(cluster).push(format_args!(" ORDER BY id DESC LIMIT {SAMPLES})"));
    }
    select.push(") AS sample ON sample.id = faces.id ORDER BY faces.id DESC");
    let mut samples: HashMap<u64, Vec<Face>> = HashMap::new();
    for face in face::fetch(pool, select).await? {
        samples.entry(face.cluster.unwrap_or_default()).or_default().push(face);
    }
    Ok(samples)
}

/// Unknown faces that are alone, and about which nobody said anything.
async fn singles(pool: &MySqlPool, cursor: Cursor) -> sqlx::Result<Rows<Face>> {
    let push_candidates = |select: &mut QueryBuilder<MySql>| {
        select.push("SELECT id FROM faces WHERE faces.person = -1");
        cursor.push_bound(select, "id");
        cursor.push_order(select, "id", SEARCHED);
    };
    let mut select = face::select();
    select.push(" JOIN (");
    push_candidates(&mut select);
    select.push(
        ") AS nobody ON nobody.id = faces.id WHERE chosen IS NULL AND (stranger IS NULL OR NOT EXISTS (
             SELECT * FROM faces AS other WHERE other.stranger = faces.stranger AND other.id <> faces.id))",
    );
    cursor.push_order(&mut select, "faces.id", PAGE + 1);
    let mut faces = Rows::new(face::fetch(pool, select).await?, PAGE, cursor, |face| face.id);
    if faces.more.is_none() {
        faces.more = end_of_search(pool, cursor, SEARCHED, push_candidates).await?;
    }
    Ok(faces)
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
    format: Format,
    headers: HeaderMap,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    layout::answer(format, &headers, async {
        let id = layout::id(&id)?;
        let cursor = paging::cursor(asked)?;
        let (count, faces) = frontend.read(one_cluster(&frontend.pool, id, cursor)).await?;
        if count == 0 {
            return Err(Problem::NoSuchPage);
        }
        let links = Links::new(&format!("/unknown/{id}?"), cursor, &faces, |face: &Face| face.id);
        Ok(ClusterPage { cluster: id, count, faces: faces.rows, links, frame: frontend.frame("/unknown") })
    })
    .await
}

async fn one_cluster(pool: &MySqlPool, cluster: u64, cursor: Cursor) -> sqlx::Result<(i64, Rows<Face>)> {
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM faces WHERE stranger = ?")
        .bind(cluster)
        .fetch_one(pool)
        .await?;
    Ok((count, face::page(pool, "stranger", cluster, cursor, PAGE).await?))
}
