//! Who may do what: what `web::access` knows of a request's sender, held against what its route needs.
//!
//! | role | may |
//! |---|---|
//! | viewer | read everything; search by a face, if their token says so |
//! | editor | post, upload, try again, look at again and delete images; say who is on a picture, and take it back |
//! | admin | change people: add, rename, merge and erase them, and their pictures; export and import everything; see and change webhooks |

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{
        HeaderValue, Method, StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::Response,
};
use common::db::sessions;
use web::{
    Peer,
    access::{Denied, Role, Who, bearer, not_from_other_site},
};

use crate::{
    archive,
    compat::format_of,
    http::{body::reject, error::Problem, format::Format, state::Receiver},
    stateless::{self, SEARCH},
    webhooks,
};

/// Lets a request pass whose sender may do what it asks for, with [`Who`] that is as an extension.
pub async fn authorize(State(receiver): State<Arc<Receiver>>, mut request: Request, next: Next) -> Response {
    let peer = Peer::of(request.extensions());
    let credential = bearer(request.headers()).map(str::to_owned);
    let who = match not_by_a_trick(&receiver, &request, peer) {
        Ok(()) => sender(&receiver, credential.as_deref(), peer).await,
        Err(denied) => Err(denied.into()),
    };
    match who.and_then(|who| may_pass(&receiver, &request, who)) {
        Ok(who) => {
            request.extensions_mut().insert(who);
            next.run(request).await
        }
        Err(refused) => refuse(&receiver, refused, peer, request).await,
    }
}

/// Why a request does not pass.
enum Refused {
    /// Its sender, if known, may not do it.
    Denied(Denied, Option<Who>),
    /// Its sender asks too often; the next time counts after so many seconds.
    TooOften(u64),
    /// Nobody knows now who its sender is.
    Unknown(Problem),
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied, None)
    }
}

/// Who sends this token, or a session in its place: the frontend knows no more of a reader who is logged in there. A cookie names
/// nobody here, as another site can make a browser send it.
async fn sender(receiver: &Receiver, credential: Option<&str>, peer: IpAddr) -> Result<Who, Refused> {
    let access = &receiver.access;
    let session = credential.filter(|credential| !access.is_open() && sessions::is_id(credential));
    let Some(id) = session else { return Ok(access.who(credential, peer)?) };
    receiver.is_ready().map_err(Refused::Unknown)?;
    let session = receiver.sessions.find(id).await.map_err(|error| Refused::Unknown(error.into()))?;
    Ok(access.of_session(session.map(|session| session.token).as_ref())?)
}

/// Fails unless this is somebody who may do what the request asks for.
fn may_pass(receiver: &Receiver, request: &Request, who: Who) -> Result<Who, Refused> {
    let route = route(request);
    let may = who.needs(needed(request.method(), route));
    match may.and_then(|()| if route == SEARCH { who.may_search() } else { Ok(()) }) {
        // Where nobody has a token, nobody can be told from others by it.
        Ok(()) if stateless::ROUTES.contains(&route) && !receiver.access.is_open() => {
            receiver.stateless_rate.count(&who.name).map_err(Refused::TooOften)?;
            Ok(who)
        }
        Ok(()) => Ok(who),
        Err(denied) => Err(Refused::Denied(denied, Some(who))),
    }
}

fn route(request: &Request) -> &str {
    request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str)
}

/// Where nobody needs a token, a browser that reaches this port would do for any page what that asks for.
fn not_by_a_trick(receiver: &Receiver, request: &Request, peer: IpAddr) -> Result<(), Denied> {
    not_from_other_site(request.method(), request.headers())?;
    receiver.access.not_rebound(peer, request.headers())
}

/// What a route needs. A new one that changes something needs an editor at least, without anybody thinking of it.
fn needed(method: &Method, route: &str) -> Role {
    match *method {
        _ if archive::ROUTES.contains(&route) => Role::Admin,
        _ if route.starts_with(webhooks::ROUTE) => Role::Admin,
        Method::GET | Method::HEAD => Role::Viewer,
        // It changes nothing, and needs a right of its own.
        _ if route == SEARCH => Role::Viewer,
        _ if route == "/people" || route.starts_with("/people/") => Role::Admin,
        _ => Role::Editor,
    }
}

/// Answers a request that may not pass. One that is denied is noted in the log.
async fn refuse(receiver: &Receiver, refused: Refused, peer: IpAddr, request: Request) -> Response {
    let format = format_of(&request);
    let response = match refused {
        Refused::Denied(denied, who) => {
            receiver.access.note_refusal(denied, who.as_ref(), peer, request.method(), route(&request));
            denied_answer(denied, format)
        }
        Refused::TooOften(seconds) => {
            let detail = format!(
                "this token asks more often than STATELESS_RATE allows; try again in {seconds} seconds"
            );
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_often", detail);
            come_back_after(problem.respond(format), seconds)
        }
        Refused::Unknown(problem) => problem.respond(format),
    };
    let (head, body) = request.into_parts();
    reject(&head.headers, body).await;
    response
}

fn come_back_after(mut response: Response, seconds: u64) -> Response {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn denied_answer(denied: Denied, format: Format) -> Response {
    let mut response = Problem::from(denied).respond(format);
    let headers = response.headers_mut();
    match denied {
        Denied::NoToken | Denied::WrongToken | Denied::SessionOver => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Denied::TooMany(seconds) => return come_back_after(response, seconds),
        Denied::OtherSite | Denied::Rebound | Denied::Forbidden { .. } | Denied::NoSearch => {}
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_posting_and_changing_people_need_more_and_more() {
        for route in ["/images/{id}", "/people", "/people/{id}", "/whatever"] {
            assert_eq!(needed(&Method::GET, route), Role::Viewer, "{route}");
        }
        for route in ["/image/post", "/images/post", "/images", "/faces/{id}/person", "/whatever", ""] {
            assert_eq!(needed(&Method::POST, route), Role::Editor, "{route}");
            assert_eq!(needed(&Method::DELETE, route), Role::Editor, "{route}");
        }
        for route in ["/people", "/people/{id}", "/people/{id}/pictures"] {
            assert_eq!(needed(&Method::POST, route), Role::Admin, "{route}");
            assert_eq!(needed(&Method::DELETE, route), Role::Admin, "{route}");
        }
        assert_eq!(needed(&Method::GET, "/export"), Role::Admin);
        assert_eq!(needed(&Method::POST, "/import"), Role::Admin);
        assert_eq!(needed(&Method::GET, "/webhooks"), Role::Admin);
        assert_eq!(needed(&Method::POST, "/webhooks/{id}/test"), Role::Admin);
    }
}
