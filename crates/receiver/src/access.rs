//! Who may do what: what `web::access` knows of a request's sender, held against what its route needs.
//!
//! | role | may |
//! |---|---|
//! | viewer | read everything |
//! | editor | post, upload, try again, look at again and delete images; say who is on a picture, and take it back |
//! | admin | change people: add, rename, merge and erase them, and their pictures |

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{
        HeaderValue, Method,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::Response,
};
use web::{
    Peer,
    access::{Denied, Role, Who, bearer, not_from_other_site},
};

use crate::{body::turn_away, post::format_of, problem::Problem, state::Receiver};

/// Lets a request pass whose sender may do what it asks for, with [`Who`] that is as an extension.
pub async fn let_in(State(receiver): State<Arc<Receiver>>, mut request: Request, next: Next) -> Response {
    match may_pass(&receiver, &request) {
        Ok(who) => {
            request.extensions_mut().insert(who);
            next.run(request).await
        }
        Err(denied) => refuse(denied, request).await,
    }
}

/// Who sent a request that may pass. One that may not is noted in the log.
fn may_pass(receiver: &Receiver, request: &Request) -> Result<Who, Denied> {
    let peer = Peer::of(request.extensions());
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let who = sender(receiver, request, peer);
    let passes = who.clone().and_then(|who| who.needs(needed(request.method(), route)));
    if let Err(denied) = passes {
        receiver.access.note_refusal(denied, who.as_ref().ok(), peer, request.method(), route);
        return Err(denied);
    }
    who
}

fn sender(receiver: &Receiver, request: &Request, peer: IpAddr) -> Result<Who, Denied> {
    // Where nobody needs a token, a browser that reaches this port would do for any page what that asks for.
    not_from_other_site(request.method(), request.headers())?;
    receiver.access.not_rebound(peer, request.headers())?;
    receiver.access.who(bearer(request.headers()), peer)
}

/// What a route needs. A new one that changes something needs an editor at least, without anybody thinking of it.
fn needed(method: &Method, route: &str) -> Role {
    match *method {
        Method::GET | Method::HEAD => Role::Viewer,
        _ if route == "/people" || route.starts_with("/people/") => Role::Admin,
        _ => Role::Editor,
    }
}

async fn refuse(denied: Denied, request: Request) -> Response {
    let mut response = Problem::from(denied).respond(format_of(&request));
    let headers = response.headers_mut();
    match denied {
        Denied::NoToken | Denied::WrongToken => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Denied::TooMany(seconds) => {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        Denied::OtherSite | Denied::Rebound | Denied::Forbidden { .. } => {}
    }
    let (head, body) = request.into_parts();
    turn_away(&head.headers, body).await;
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
    }
}
