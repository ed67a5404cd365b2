//! Answers that are no page, in the same design, or as problem details (RFC 9457) for programs.

use askama::Template;
use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER, VARY, WWW_AUTHENTICATE},
    },
    response::{Html, IntoResponse, Response},
};
use serde_json::json;
use web::access::Denied;

use crate::{format::Format, view::frame::Frame};

/// Seconds after which it is worth asking again while somebody is away.
const RETRY_SECONDS: u16 = 2;

/// Why there is nothing to show.
#[derive(Debug)]
pub enum Problem {
    /// `?before=` or `?after=` cannot be read.
    WrongCursor,
    /// What the gallery should be narrowed to cannot be read.
    WrongFilter,
    /// Nothing is at this address.
    NoSuchPage,
    /// The page can be read, and nothing else.
    WrongMethod,
    /// Nobody takes changes here.
    ReadOnly,
    /// The reader is no admin.
    AdminsOnly,
    /// The reader may not look.
    Denied(Denied),
    /// A page of another site asks for a change.
    OtherSite,
    /// The database is away, where it is noted who is logged in.
    NotLoggedOut,
    /// The receiver does not answer.
    ReceiverAway,
    /// The file of an image is not there any more, or is no picture.
    NoPicture,
    /// face-recog does not hand out pictures now.
    PictureAway,
    /// As many changes as can be passed on are under way.
    TooManyChanges,
    /// As many pages as can be told of changes are.
    TooManyListeners,
    /// The database does not answer, or is not prepared yet.
    DatabaseAway,
    /// A fault of ours.
    Internal,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    title: &'a str,
    detail: &'a str,
    /// Whether the page turns into what was asked for by itself.
    frame: Frame,
}

impl Problem {
    /// How HTTP says it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::WrongCursor | Self::WrongFilter => StatusCode::BAD_REQUEST,
            Self::NoSuchPage | Self::NoPicture => StatusCode::NOT_FOUND,
            Self::Denied(denied) => denied.status(),
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::ReadOnly | Self::AdminsOnly | Self::OtherSite => StatusCode::FORBIDDEN,
            Self::NotLoggedOut
            | Self::ReceiverAway
            | Self::PictureAway
            | Self::TooManyChanges
            | Self::TooManyListeners
            | Self::DatabaseAway => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A fixed word for programs.
    fn code(&self) -> &'static str {
        match self {
            Self::WrongCursor => "wrong_cursor",
            Self::WrongFilter => "wrong_filter",
            Self::NoSuchPage => "no_such_page",
            Self::Denied(denied) => denied.reason(),
            Self::WrongMethod => "wrong_method",
            Self::ReadOnly => "read_only",
            Self::AdminsOnly => "forbidden",
            Self::OtherSite => "other_site",
            Self::NotLoggedOut => "not_logged_out",
            Self::ReceiverAway => "receiver_away",
            Self::NoPicture => "no_picture",
            Self::PictureAway => "picture_away",
            Self::TooManyChanges => "too_many_changes",
            Self::TooManyListeners => "too_many_listeners",
            Self::DatabaseAway => "database_away",
            Self::Internal => "internal",
        }
    }

    /// What happened, and what to do about it.
    fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::WrongCursor => (
                "This page cannot be read from its address",
                "Allowed are ?before= or ?after=, one of them, with the id of a picture: a whole number, \
                 like ?before=71.",
            ),
            Self::WrongFilter => (
                "This filter is not valid",
                "A status is known, unknown, pending, processing, processed or failed, a day is written like \
                 2024-02-29, and people are sorted by id or name.",
            ),
            Self::NoSuchPage => {
                ("There is no such page", "It may have been deleted, or its address is misspelt.")
            }
            Self::WrongMethod => ("This page can only be read", "Allowed methods are GET and HEAD."),
            Self::ReadOnly => (
                "This page can only be read",
                "It was not told where the receiver is, which takes changes: that is the setting RECEIVER_ADDRESS.",
            ),
            Self::AdminsOnly => ("Only admins see this page", "Log in with the token of an admin."),
            Self::Denied(Denied::TooMany(_)) => (
                "Too many wrong tokens",
                "They came from your address, or from one that you share. Try again in a minute.",
            ),
            Self::Denied(Denied::Rebound) => (
                "This host name is not allowed",
                "Anybody could have led it to this machine, to look and change things through your browser. Say \
                 localhost instead; or tokens are needed, by the setting AUTH_TOKENS, and then any name will do.",
            ),
            Self::Denied(Denied::SessionOver) => {
                ("You are not logged in any more", "Load the page again, and log in.")
            }
            Self::Denied(_) => (
                "You have to log in",
                "The page /login takes a token; programs send it as Authorization: Bearer.",
            ),
            Self::OtherSite => (
                "This change was not asked for on a page of ours",
                "Only pages from here may change something. Programs send changes to the receiver itself.",
            ),
            Self::NotLoggedOut => (
                "You are still logged in",
                "The database is away, where it is noted who is logged in. Log out again in a moment.",
            ),
            Self::ReceiverAway => (
                "The receiver is away",
                "Whether the change counts is not known; look, and ask for it again in a moment.",
            ),
            Self::NoPicture => (
                "The picture is not there",
                "Its file was moved or deleted after it was posted, or it is no picture.",
            ),
            Self::PictureAway => (
                "The picture cannot be read now",
                "face-recog, which alone reads pictures, is away or has too much to do. Try again in a moment.",
            ),
            Self::TooManyChanges => {
                ("Too many changes at once", "Nothing was changed; try again in a moment.")
            }
            Self::TooManyListeners => {
                ("Too many pages are open", "This one asks for news by itself now and then.")
            }
            Self::DatabaseAway => (
                "The database is away",
                "The page comes back as soon as the database answers again. Nothing is lost: pictures that were \
                 accepted are recognised later.",
            ),
            Self::Internal => (
                "The page could not be made",
                "This is a fault of the frontend; its log says more. Loading the page again may help.",
            ),
        }
    }

    /// The answer.
    pub fn answer(self, format: Format) -> Response {
        let (status, (title, detail)) = (self.status(), self.words());
        let away = matches!(self, Self::DatabaseAway);
        let mut response = match format {
            Format::Html => {
                match (ProblemPage { title, detail, frame: Frame { live: away, ..Frame::default() } })
                    .render()
                {
                    Ok(page) => Html(page).into_response(),
                    Err(_) => detail.into_response(),
                }
            }
            Format::Json => {
                let body = json!({ "title": title, "status": status.as_u16(), "code": self.code(), "detail": detail });
                ([(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
            }
        };
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
        }
        response
    }
}

/// The page that says why a change was refused, in the receiver's words.
pub fn refused(status: StatusCode, words: &str) -> Response {
    let page = ProblemPage { title: "Nothing was changed", detail: words, frame: Frame::default() };
    match page.render() {
        Ok(page) => (status, Html(page)).into_response(),
        Err(_) => (status, words.to_owned()).into_response(),
    }
}

/// For every address that is no page.
pub async fn no_such_page(format: Format) -> Response {
    Problem::NoSuchPage.answer(format)
}

/// For everything but reading; axum adds the header `Allow`.
pub async fn wrong_method(format: Format) -> Response {
    Problem::WrongMethod.answer(format)
}
