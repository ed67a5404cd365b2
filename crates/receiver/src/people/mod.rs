//! Who is known: adding people, merging and deleting them, and naming clusters of unknown faces. What pages call and show them is
//! the subject of [`edit`], their reference photos that of [`enrolment`] and [`reference_photos`]; many people with theirs come by
//! [`import`].

mod edit;
pub mod enrolment;
pub mod folder;
pub mod import;
pub mod name;
pub mod reference_photos;

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header::LOCATION},
    response::Response,
};
use common::db::{
    corrections::{Assignee, Correction, Faces},
    faces::clusters::{self, Named},
    people::{
        self, Changed, Deleted, Known, NamePlace, Order,
        erase::{self, Left},
    },
};
use serde::{Deserialize, Serialize};
use sqlx::MySqlPool;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use web::access::{Role, Who};

use crate::{
    compat::request,
    corrections::{
        many::{self, CorrectedFaces},
        undo_at, written,
    },
    http::{end::End, error::Problem, format, id::Id, idempotency, state::Receiver},
    people::name::checked,
};

/// People of one page.
const PAGE: u32 = 100;

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new()
        .routes(routes!(list_people, add_person))
        .routes(routes!(get_person, edit::edit_person, delete_person))
        .routes(routes!(merge_people))
        .routes(routes!(name_cluster))
}

/// In which order to list, and from where on.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// `id` (default): in the order of their ids. `name`: by their names
    #[serde(default)]
    #[param(inline, value_type = Option<Sort>)]
    sort: Sort,
    /// Where the page before ended, as its `next` says; or the id of a person, to begin behind them
    #[param(value_type = Option<String>, pattern = r"^[0-9]{1,10}(_([0-9a-f]{2})*)?$", example = "100")]
    after: Option<End<NamePlace>>,
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Sort {
    #[default]
    Id,
    Name,
}

impl Asked {
    /// The order that is asked for, and from where on.
    async fn order(self, pool: &MySqlPool) -> Result<Order, Problem> {
        Ok(match (self.sort, self.after) {
            (Sort::Id, None) => Order::Id { after: 0 },
            (Sort::Id, Some(End::Id(after) | End::Place(NamePlace { id: after, .. }))) => Order::Id { after },
            (Sort::Name, None) => Order::Name { after: None },
            (Sort::Name, Some(End::Place(place))) => Order::Name { after: Some(place) },
            (Sort::Name, Some(End::Id(id))) => {
                let person = people::one(pool, id).await?.ok_or_else(|| no_such_person(id))?;
                Order::Name { after: Some(person.place()) }
            }
        })
    }
}

/// A page of people.
#[derive(Serialize, ToSchema)]
struct People {
    people: Vec<Known>,
    /// Where the next page is, if there is one.
    #[schema(example = "/people?after=100")]
    next: Option<String>,
}

/// List the known people
///
/// In the order of their ids or names, a hundred at a time, with the base names of their pictures, and where they were seen. Those
/// who are hidden are among them.
#[utoipa::path(get, path = "/people", tag = "people", params(Asked), responses(
    (status = OK, description = "A page of them", body = People),
    (status = BAD_REQUEST, description = "That is no order, or no place to begin behind"),
    (status = NOT_FOUND, description = "There is no such person to begin behind"),
))]
async fn list_people(
    State(receiver): State<Arc<Receiver>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(asked) = asked.map_err(|_| {
        let detail = "allowed are sort (id or name) and after (what next has, or an id, a number like 13)";
        Problem::new(StatusCode::BAD_REQUEST, "wrong_query", detail)
    })?;
    let sort = asked.sort;
    let order = asked.order(&receiver.pool).await?;
    let _turn = receiver.lists.turn().await?;
    let people = people::list(&receiver.pool, order, PAGE).await?;
    let is_full = people.len() == PAGE as usize;
    let last = people.last().filter(|_| is_full);
    let next = last.map(|person| match sort {
        Sort::Id => format!("/people?after={}", person.id),
        Sort::Name => format!("/people?sort=name&after={}", person.place()),
    });
    Ok(format::fresh(StatusCode::OK, &People { people, next }))
}

/// A name.
#[derive(Deserialize, ToSchema)]
struct GivenName {
    /// As it is shown; without control characters, and without those that nobody sees or that turn text around.
    #[schema(min_length = 1, max_length = 255, example = "Ada Lovelace")]
    name: String,
}

const NAME: &str = r#"a name, as in {"name":"Ada Lovelace"}"#;

/// Add somebody
///
/// There may be others of the same name. Somebody is recognised as soon as there is a picture of them.
#[utoipa::path(post, path = "/people", tag = "people", request_body = GivenName, params(
    ("Idempotency-Key" = Option<String>, Header, description = "A word of your choice: repeated under it within a day, this adds nobody else", pattern = "^[!-~]{1,255}$"),
), responses(
    (status = CREATED, description = "The new person", body = Known, headers(("Location" = String, description = "Where to ask for them"))),
    (status = CONFLICT, description = "Who was added under this key before is gone"),
))]
async fn add_person(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let body = receiver.body(request).await?;
    let GivenName { name } = request::object(&body.bytes, NAME)?;
    let key = idempotency::key(&headers, &who, "/people", &body.bytes)?;
    let known = match people::add(&receiver.pool, checked(&name)?, &who.name, key.as_ref()).await? {
        Some(person) => Known::new(person),
        None => {
            let id = idempotency::made(&receiver.pool, key.as_ref()).await?;
            people::one(&receiver.pool, id).await?.ok_or_else(|| idempotency::gone(id))?
        }
    };
    let mut response = format::fresh(StatusCode::CREATED, &known);
    if let Ok(location) = HeaderValue::try_from(format!("/people/{}", known.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Ask for somebody
#[utoipa::path(get, path = "/people/{id}", tag = "people", params(("id" = u64, Path, description = "The person")), responses(
    (status = OK, description = "Their name, the base names of their pictures, and where they were seen", body = Known),
    (status = NOT_FOUND, description = "There is no such person"),
))]
async fn get_person(State(receiver): State<Arc<Receiver>>, Id(id): Id) -> Result<Response, Problem> {
    Ok(format::fresh(StatusCode::OK, &receiver.person(id).await?))
}

impl Receiver {
    /// Somebody who is known.
    pub async fn person(&self, id: u64) -> Result<Known, Problem> {
        people::one(&self.pool, id).await?.ok_or_else(|| no_such_person(id))
    }
}

fn no_such_person(id: u64) -> Problem {
    Problem::not_found("no_such_person", format!("there is no person {id}"))
}

/// What was changed, or that there is no such person.
pub fn done<T>(changed: Changed<T>) -> Result<T, Problem> {
    match changed {
        Changed::Done(result) => Ok(result),
        Changed::NoSuchPerson(id) => Err(no_such_person(id)),
    }
}

/// Somebody after a change.
#[derive(Serialize, ToSchema)]
struct ChangedPerson {
    /// Where to post what takes it back.
    #[schema(example = "/audit/17/undo")]
    undo: String,
    #[serde(flatten)]
    person: Known,
}

/// How somebody is deleted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct How {
    /// Whether everything of theirs goes: pictures, faces with their embeddings, and what the audit tells of them.
    #[serde(default)]
    erase: bool,
}

/// Delete somebody
///
/// Images show them no longer. Their pictures stay where they lie and are nobody's, unless everything is to be erased. That can
/// also be asked for later, when somebody was deleted before.
#[utoipa::path(delete, path = "/people/{id}", tag = "people", params(("id" = u64, Path, description = "The person"), How), responses(
    (status = OK, description = "What went with them", body = Deleted),
    (status = NOT_FOUND, description = "There is no such person, or nothing of them is left to erase"),
    (status = CONFLICT, description = "They were merged into somebody, who is to be erased instead"),
    (status = NOT_IMPLEMENTED, description = "The receiver has no folder of known people to erase pictures from"),
    (status = INSUFFICIENT_STORAGE, description = "The disk is full"),
))]
async fn delete_person(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(id): Id,
    how: Result<Query<How>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(How { erase }) = how.map_err(|_| {
        let detail = "\"erase\" has to be true or false";
        Problem::new(StatusCode::BAD_REQUEST, "wrong_query", detail)
    })?;
    let deleted = match erase {
        true => erase_all(&receiver, id, &who).await?,
        false => done(people::delete(&receiver.pool, id, false, &who.name).await?)?,
    };
    Ok(format::fresh(StatusCode::OK, &deleted))
}

async fn erase_all(receiver: &Receiver, id: u64, who: &Who) -> Result<Deleted, Problem> {
    let pictures = pictures_to_erase(receiver, id).await.inspect_err(|problem| {
        tracing::info!(person = id, who = &*who.name, code = problem.code, "nobody is erased");
    })?;
    tracing::info!(person = id, who = &*who.name, pictures = pictures.len(), "somebody is to be erased");
    // The files first: a person whom the tables still tell of can be erased again.
    erase_pictures(receiver, &pictures).await?;
    let deleted = done(people::delete(&receiver.pool, id, true, &who.name).await?)?;
    // One may have been added meanwhile.
    erase_pictures(receiver, &deleted.pictures).await?;
    let Deleted { pictures, images, faces } = &deleted;
    tracing::info!(
        person = id,
        who = &*who.name,
        pictures = pictures.len(),
        images,
        faces,
        "somebody is erased"
    );
    Ok(deleted)
}

/// The pictures of somebody who is to be erased: known, or deleted before.
async fn pictures_to_erase(receiver: &Receiver, id: u64) -> Result<Vec<String>, Problem> {
    if let Some(person) = people::one(&receiver.pool, id).await? {
        return Ok(person.pictures);
    }
    match erase::left(&receiver.pool, id).await? {
        Left::Traces(pictures) => Ok(pictures),
        Left::Nothing => Err(no_such_person(id)),
        Left::Merged(into) => {
            let detail = format!(
                "person {id} was merged into person {into}, who has everything of theirs: erase person {into}"
            );
            Err(Problem::new(StatusCode::CONFLICT, "merged", detail))
        }
    }
}

async fn erase_pictures(receiver: &Receiver, names: &[String]) -> Result<(), Problem> {
    for name in names {
        if receiver.known_people.has(name).await.is_none() {
            let detail =
                "their pictures cannot be erased: the receiver has no folder of known people (KNOWN_PEOPLE)";
            return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "no_known_people", detail));
        }
        receiver.known_people.remove(name).await?;
    }
    Ok(())
}

/// Whom to merge into.
#[derive(Deserialize, ToSchema)]
struct Into {
    /// The person who stays.
    #[schema(example = 4)]
    into: u64,
}

/// Merge two people who are one
///
/// Reference photos, corrections and images become those of the other, whose name stays.
#[utoipa::path(post, path = "/people/{id}/merge", tag = "people", params(("id" = u64, Path, description = "The person who goes")), request_body = Into, responses(
    (status = OK, description = "The person who stays, and where to undo it", body = ChangedPerson),
    (status = NOT_FOUND, description = "There is no such person"),
    (status = UNPROCESSABLE_ENTITY, description = "There is no such person to stay, or it is the same"),
))]
async fn merge_people(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Problem> {
    let body = receiver.body(request).await?;
    let Into { into } = request::object(&body.bytes, r#"who they are, too, as in {"into":4}"#)?;
    if id == into {
        let detail = "nobody can be merged into themselves";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "same_person", detail));
    }
    let entry = match people::merge(&receiver.pool, id, into, &who.name).await? {
        // It is the body that names nobody, and not the address.
        Changed::NoSuchPerson(missing) if missing == into => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Err(Problem { status, ..no_such_person(into) });
        }
        merged => done(merged)?,
    };
    let merged = ChangedPerson { undo: undo_at(entry), person: receiver.person(into).await? };
    Ok(format::fresh(StatusCode::OK, &merged))
}

/// The person to whom a cluster is assigned: a known one by the id, or a new one by a name.
#[derive(Deserialize, ToSchema)]
struct Identity {
    /// Somebody known; `null` for nobody.
    #[serde(default, deserialize_with = "written")]
    #[schema(value_type = Option<i32>, example = 3)]
    person: Option<Option<i32>>,
    /// The name of somebody new.
    #[schema(min_length = 1, max_length = 255, example = "Ada Lovelace")]
    name: Option<String>,
}

/// Name a cluster of unknown faces
///
/// Every face of the group is assigned, except those that were rejected for this person. `null` ignores all of them. Either `person` or `name` has to be there; a new name needs the role admin.
#[utoipa::path(post, path = "/strangers/{id}/person", tag = "people", params(("id" = u64, Path, description = "The group of faces")), request_body = Identity, responses(
    (status = OK, description = "Who it is, and on how many faces", body = CorrectedFaces),
    (status = FORBIDDEN, description = "The token does not allow to add people"),
    (status = NOT_FOUND, description = "There is no such group"),
    (status = CONFLICT, description = "Each of its faces was rejected for this person"),
    (status = UNPROCESSABLE_ENTITY, description = "There is no such person, or the name is none"),
))]
async fn name_cluster(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(cluster): Id,
    request: Request,
) -> Result<Response, Problem> {
    let body = receiver.body(request).await?;
    let wanted = r#"either who it is, as in {"person":3}, or a new name, as in {"name":"Ada Lovelace"}"#;
    let identity = request::object(&body.bytes, wanted)?;
    let whom = match &identity {
        Identity { person: Some(Some(person)), name: None } => Assignee::Known(*person),
        Identity { person: Some(None), name: None } => {
            return many::correct(&receiver, Faces::OfCluster(cluster), Correction::Ignore, &who, None).await;
        }
        Identity { person: None, name: Some(name) } => {
            who.needs(Role::Admin)?;
            Assignee::New(checked(name)?)
        }
        _ => return Err(request::BodyError::Shape("does not say what is asked for", wanted).into()),
    };
    match clusters::name(&receiver.pool, cluster, whom, &who.name).await? {
        Named::Done { person, faces, entry } => {
            Ok(format::fresh(StatusCode::OK, &CorrectedFaces::new(entry, Some(person), faces)))
        }
        Named::NoSuchCluster => {
            let detail =
                format!("there is no cluster {cluster}; perhaps its faces have got a name meanwhile");
            Err(Problem::not_found("no_such_cluster", detail))
        }
        Named::NotThem => {
            let detail = "each face of this cluster was rejected for this person; \
                          to assign one nevertheless, correct that face";
            Err(Problem::new(StatusCode::CONFLICT, "not_them", detail))
        }
        Named::NoSuchPerson => {
            let detail = "there is no such person; name one by the id that GET /people tells";
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_such_person", detail))
        }
    }
}
