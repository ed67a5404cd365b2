//! `/api/…`: changes that are made on a page go to the receiver, which alone changes things.
//!
//! A page of another site may make a browser send requests here, too. It cannot hide that it does: browsers say where
//! a request comes from, and what does not come from here is refused.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
        header::{
            ACCEPT, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
            LINK, LOCATION, RETRY_AFTER,
        },
        uri::{Authority, PathAndQuery, Scheme},
    },
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::sync::Semaphore;
use web::access::is_from_here;

use crate::{Frontend, error::Problem, format::Format};

/// More than the receiver takes of anything: its own limits are smaller, and say more.
const MAX_BODY: usize = 257 << 20;

/// Requests under way at once; an upload holds one for as long as it lasts.
const REQUESTS: usize = 64;

/// A receiver that is there answers a connection at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest request, body and answer. The receiver gives a slow upload less.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Longest answer to a change by a form: an image with all of its faces.
const MAX_ANSWER: usize = 8 << 20;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// What the receiver needs to know of a request; nothing else of a browser's request concerns it.
const PASSED_ON: [HeaderName; 6] =
    [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH, AUTHORIZATION, IDEMPOTENCY_KEY, web::REQUEST_ID];

/// What a page needs to know of the answer.
const PASSED_BACK: [HeaderName; 8] =
    [CONTENT_TYPE, CONTENT_LENGTH, LOCATION, LINK, RETRY_AFTER, ALLOW, CACHE_CONTROL, ACCEPT_POST];

/// The way to the receiver.
#[derive(Clone, Debug)]
pub struct Receiver {
    authority: Authority,
    client: Client<HttpConnector, Body>,
    places: Arc<Semaphore>,
}

impl Receiver {
    /// The receiver at `address`, which is `host:port`.
    pub fn new(address: &str) -> anyhow::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(8).build(connector);
        Ok(Self { authority: address.parse()?, client, places: Arc::new(Semaphore::new(REQUESTS)) })
    }

    /// Asks for a change by JSON, for whoever sends a request with these headers; under a key, once. The status and the JSON of
    /// the answer.
    pub async fn change(
        &self,
        (method, path): (Method, &str),
        headers: &HeaderMap,
        body: &Value,
        key: Option<&str>,
    ) -> Result<(StatusCode, Value), Problem> {
        let request = Request::builder().method(method).uri(format!("/api{path}"));
        let mut request = request.body(Body::from(body.to_string()));
        if let Ok(request) = &mut request {
            request.headers_mut().extend(chosen(headers, &[AUTHORIZATION]).drain());
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if let Some(key) = key.and_then(|key| HeaderValue::from_str(key).ok()) {
                request.headers_mut().insert(IDEMPOTENCY_KEY, key);
            }
        }
        let answer = self.forward(request.map_err(|_| Problem::NoSuchPage)?).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| {
            tracing::warn!(error, "the receiver's answer to a change cannot be read");
            Problem::ReceiverAway
        })?;
        Ok((status, serde_json::from_slice(&body.to_bytes()).unwrap_or_default()))
    }

    async fn forward(&self, request: Request) -> Result<Response, Problem> {
        let _place = self.places.try_acquire().map_err(|_| Problem::TooManyChanges)?;
        let (mut head, body) = request.into_parts();
        head.uri = self.address(&head.uri).ok_or(Problem::NoSuchPage)?;
        head.headers = chosen(&head.headers, &PASSED_ON);
        head.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        web::hand_on_trace(&mut head.headers);
        head.version = Default::default();
        head.extensions.clear();
        let request = Request::from_parts(head, Body::new(Limited::new(body, MAX_BODY)));
        let answer = tokio::time::timeout(TIMEOUT, self.client.request(request)).await;
        let answer = answer.map_err(|_| Problem::ReceiverAway)?.map_err(|error| {
            tracing::warn!(%error, "cannot pass a change on to the receiver");
            Problem::ReceiverAway
        })?;
        let (mut head, body) = answer.into_parts();
        head.headers = chosen(&head.headers, &PASSED_BACK);
        head.extensions.clear();
        Ok(Response::from_parts(head, Body::new(body)))
    }

    /// The same path and query at the receiver, without `/api`.
    fn address(&self, uri: &Uri) -> Option<Uri> {
        let path = uri.path_and_query()?.as_str().strip_prefix("/api")?;
        let mut parts = axum::http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
        Uri::from_parts(parts).ok()
    }
}

/// `/api/{*path}` with any method.
pub async fn forward(State(frontend): State<Frontend>, request: Request) -> Response {
    let answer = async {
        let receiver = frontend.receiver.as_ref().ok_or(Problem::ReadOnly)?;
        // Programs, which are no browsers, have the receiver for themselves.
        if !request.method().is_safe() && is_from_here(request.headers()) != Some(true) {
            return Err(Problem::OtherSite);
        }
        receiver.forward(request).await
    };
    answer.await.unwrap_or_else(|problem| problem.answer(Format::Json)).into_response()
}

fn chosen(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let values =
        |name| headers.get_all(name).iter().map(move |value| (HeaderName::clone(name), value.clone()));
    names.iter().flat_map(values).collect()
}
