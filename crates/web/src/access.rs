//! Who may do what: `AUTH_TOKENS`, the roles, and what a request says about its sender.
//!
//! ```text
//! Authorization: Bearer …     ──▶ Access::who ─────────┐   ┌─▶ Who: a name and a role
//!                                                      ├───┤
//! the session of a login, whose ─▶ Access::of_session ─┘   └─▶ Denied: no token, a wrong one, too many wrong ones
//! token the table names
//! ```
//!
//! Without tokens nobody is asked and everybody may do everything. A service decides by itself what a route needs, looks
//! sessions up by itself, and words its answers in its own format.

mod failures;
mod names;
mod refusals;
mod source;
mod tokens;

use std::{
    future,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::anyhow;
use axum::http::{
    HeaderMap, Method, StatusCode,
    header::{AUTHORIZATION, HOST, ORIGIN},
};
use tokio::task::spawn_blocking;

use self::{failures::Failures, names::is_rebound, refusals::Refusals};
pub use self::{
    source::Source,
    tokens::{AccessSettings, Tokens},
};

/// Pause between two looks into the file of tokens.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// A token of so many characters, as `openssl rand` draws it, is found by no guessing.
const UNGUESSABLE: usize = 32;

/// What somebody may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looks at everything.
    Viewer,
    /// Posts pictures, and says who is on them.
    Editor,
    /// Adds, changes and erases people.
    Admin,
}

impl Role {
    /// As `AUTH_TOKENS` writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }
}

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The token's name, which the audit notes.
    pub name: Arc<str>,
    /// What they may do.
    pub role: Role,
    /// Whether they may search by a face, whatever the role; an admin may.
    pub searches: bool,
}

impl Who {
    /// Everybody, where there are no tokens.
    pub fn anybody() -> Self {
        Self { name: "anybody".into(), role: Role::Admin, searches: true }
    }

    /// Fails unless they may do what `role` may.
    pub fn needs(&self, role: Role) -> Result<(), Denied> {
        if self.role >= role { Ok(()) } else { Err(Denied::Forbidden { has: self.role, needs: role }) }
    }

    /// Fails unless they may search by a face.
    pub fn may_search(&self) -> Result<(), Denied> {
        if self.searches || self.role == Role::Admin { Ok(()) } else { Err(Denied::NoSearch) }
    }
}

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It has no token.
    #[error("this needs a token: send it in the header Authorization, as Bearer and the token")]
    NoToken,
    /// It has one that nobody was given.
    #[error("this token is not valid here; ask an administrator for another")]
    WrongToken,
    /// The login that it comes from is over: somebody logged out, or did nothing for long, or their token was revoked.
    #[error("this session is over; log in again")]
    SessionOver,
    /// Its address has sent too many wrong ones.
    #[error("too many wrong tokens came from this address; try again in {0} seconds")]
    TooMany(u64),
    /// A browser sent it for a page of another site.
    #[error("a page of another site cannot change anything here")]
    OtherSite,
    /// A browser on this machine sent it under a name that anybody may have led here.
    #[error(
        "under this name anybody's page could come here through a browser on this machine; \
         say localhost instead, or have AUTH_TOKENS set"
    )]
    Rebound,
    /// Its token does not allow this.
    #[error("this needs a token with the role {}, and this one has the role {}", needs.word(), has.word())]
    Forbidden {
        /// The token's role.
        has: Role,
        /// The least role that is allowed.
        needs: Role,
    },
    /// Its token does not allow to search by a face.
    #[error(
        "this needs a token that may search by a face: that of an admin, or one with +search behind its role"
    )]
    NoSearch,
}

impl Denied {
    /// How HTTP says it. A 401 needs the header `WWW-Authenticate` beside it, a 429 `Retry-After`.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NoToken | Self::WrongToken | Self::SessionOver => StatusCode::UNAUTHORIZED,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::OtherSite | Self::Rebound | Self::Forbidden { .. } | Self::NoSearch => {
                StatusCode::FORBIDDEN
            }
        }
    }

    /// What the metrics count it as: a fixed word.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::WrongToken => "wrong_token",
            Self::SessionOver => "session_over",
            Self::TooMany(_) => "too_many_wrong_tokens",
            Self::OtherSite => "other_site",
            Self::Rebound => "rebound",
            Self::Forbidden { .. } => "forbidden",
            Self::NoSearch => "no_search",
        }
    }
}

/// The way in. Clones share what they know of tokens, and of wrong ones.
#[derive(Clone, Debug)]
pub struct Access {
    tokens: Arc<RwLock<Tokens>>,
    /// Whence they are read again.
    source: Source,
    failures: Arc<Failures>,
    refusals: Arc<Refusals>,
}

impl Access {
    /// Accepts the tokens of `source`, and names their holders in the log.
    ///
    /// # Errors
    /// When it is a file that is missing or wrong.
    pub fn new(source: Source) -> anyhow::Result<Self> {
        let tokens =
            source.read().map_err(|problem| anyhow!("AUTH_TOKENS (--auth-tokens) is wrong: {problem}"))?;
        say(&tokens);
        let tokens = Arc::new(RwLock::new(tokens));
        Ok(Self { tokens, source, failures: Arc::default(), refusals: Arc::default() })
    }

    /// Whether nobody needs a token.
    pub fn is_open(&self) -> bool {
        self.tokens().are_off()
    }

    fn tokens(&self) -> Tokens {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file of tokens again and again, if they have one. What was read last counts for as long as the file is
    /// wrong. Never returns.
    pub async fn follow(&self) {
        if let Source::Tokens(_) = self.source {
            return future::pending().await;
        }
        let mut last = Ok(self.tokens());
        loop {
            tokio::time::sleep(READ_AGAIN).await;
            let source = self.source.clone();
            let read = spawn_blocking(move || source.read()).await;
            let read = read.unwrap_or_else(|error| Err(error.to_string()));
            if read == last {
                continue;
            }
            match &read {
                Ok(tokens) => {
                    say(tokens);
                    *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens.clone();
                }
                Err(problem) => {
                    tracing::error!(
                        problem,
                        "AUTH_TOKENS is wrong now: the tokens that were read before still count"
                    );
                }
            }
            last = read;
        }
    }

    /// Fails when nobody needs a token, and a browser on this machine may ask for a page of another site without knowing.
    pub fn not_rebound(&self, peer: IpAddr, headers: &HeaderMap) -> Result<(), Denied> {
        if self.is_open() && is_rebound(peer, headers) { Err(Denied::Rebound) } else { Ok(()) }
    }

    /// Who presents `token` from the address `peer`.
    ///
    /// An address that sent too many wrong ones is refused for some seconds, right or wrong: otherwise the refusals
    /// themselves would tell which guess is right. Others may share it, a proxy's, and so whoever has a token that
    /// cannot be guessed is let in nevertheless.
    pub fn who(&self, token: Option<&str>, peer: IpAddr) -> Result<Who, Denied> {
        if self.is_open() {
            return Ok(Who::anybody());
        }
        let token = token.ok_or(Denied::NoToken)?;
        let holder = self.tokens().holder(token);
        let may_be_a_guess = holder.is_none() || token.len() < UNGUESSABLE;
        if may_be_a_guess && let Some(seconds) = self.failures.wait(peer) {
            return Err(Denied::TooMany(seconds));
        }
        holder.ok_or_else(|| {
            if self.failures.note(peer, token) {
                tracing::warn!(%peer, "a wrong token");
            }
            Denied::WrongToken
        })
    }
}

impl Access {
    /// Who opened a session, by the SHA-256 of the token that they did it with: they are and may what this token says today.
    /// `None` is a session that is over.
    pub fn of_session(&self, token: Option<&[u8; 32]>) -> Result<Who, Denied> {
        token.and_then(|token| self.tokens().holder_of(token)).ok_or(Denied::SessionOver)
    }

    /// Writes to the log that a request for `route` is refused, and whose it is, if that is known.
    pub fn note_refusal(
        &self,
        denied: Denied,
        who: Option<&Who>,
        peer: IpAddr,
        method: &Method,
        route: &str,
    ) {
        self.refusals.note(denied, who, peer, method, route);
    }
}

fn say(tokens: &Tokens) {
    if tokens.are_off() {
        tracing::warn!("AUTH_TOKENS is off: everybody who reaches this port can see and change everything");
    } else {
        tracing::info!(?tokens, "a token is needed for everything");
    }
}

/// Fails when a browser says that a page of another site sends this to change something.
pub fn not_from_other_site(method: &Method, headers: &HeaderMap) -> Result<(), Denied> {
    if method.is_safe() || is_from_here(headers) != Some(false) { Ok(()) } else { Err(Denied::OtherSite) }
}

/// Whether a page of ours sends this, as a browser says: a current one tells by itself, an older one names the page's
/// origin. Whoever has no browser says neither.
pub fn is_from_here(headers: &HeaderMap) -> Option<bool> {
    if let Some(site) = headers.get("sec-fetch-site") {
        return Some(site == "same-origin" || site == "none");
    }
    let origin = headers.get(ORIGIN)?.as_bytes();
    let rest = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    Some(rest.is_some() && rest == headers.get(HOST).map(|host| host.as_bytes()))
}

/// The token in the header `Authorization`, where programs send it. What cannot be a token counts as a wrong one.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().unwrap_or_default();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    Some(if scheme.eq_ignore_ascii_case("bearer") { token.trim_start() } else { "" })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::net::Ipv4Addr;

    use sha2::{Digest, Sha256};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// The tokens are `one` and `two`.
    fn access() -> Access {
        let tokens = "ada:viewer:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed,\
                      bob:admin:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
        Access::new(Source::parse(tokens).unwrap()).unwrap()
    }

    fn headers(name: axum::http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn without_tokens_everybody_may_do_everything() {
        let access = Access::new(Source::parse("off").unwrap()).unwrap();
        let who = access.who(None, HERE).unwrap();
        assert_eq!((&*who.name, who.needs(Role::Admin)), ("anybody", Ok(())));
    }

    #[test]
    fn a_token_has_a_name_and_a_role() {
        let access = access();
        let ada = access.who(Some("one"), HERE).unwrap();
        assert_eq!((&*ada.name, ada.role), ("ada", Role::Viewer));
        assert_eq!(access.who(Some("two"), HERE).unwrap().role, Role::Admin);
        assert_eq!(access.who(None, HERE), Err(Denied::NoToken));
        for wrong in ["", "One", "one ", "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"] {
            assert_eq!(access.who(Some(wrong), HERE), Err(Denied::WrongToken), "{wrong:?}");
        }
    }

    #[test]
    fn a_role_may_do_what_lesser_roles_may() {
        let who = |role| Who { name: "x".into(), role, searches: false };
        assert_eq!(who(Role::Editor).needs(Role::Viewer), Ok(()));
        assert_eq!(who(Role::Editor).needs(Role::Editor), Ok(()));
        let denied = who(Role::Editor).needs(Role::Admin).unwrap_err();
        assert_eq!(denied.status(), StatusCode::FORBIDDEN);
        assert_eq!(
            denied.to_string(),
            "this needs a token with the role admin, and this one has the role editor"
        );
    }

    #[test]
    fn an_admin_and_whoever_has_the_right_may_search() {
        let may = |role, searches| Who { name: "x".into(), role, searches }.may_search();
        assert_eq!((may(Role::Admin, false), may(Role::Viewer, true)), (Ok(()), Ok(())));
        assert_eq!(may(Role::Editor, false), Err(Denied::NoSearch));
        assert_eq!(
            (Denied::NoSearch.status(), Denied::NoSearch.reason()),
            (StatusCode::FORBIDDEN, "no_search")
        );
    }

    #[test]
    fn an_address_that_guesses_is_refused_even_with_the_right_token_and_others_are_not() {
        let access = access();
        let mut guesses = 0;
        let denied = loop {
            match access.who(Some(&format!("guess{guesses}")), HERE) {
                Err(Denied::WrongToken) => guesses += 1,
                other => break other.unwrap_err(),
            }
        };
        assert!((10..100).contains(&guesses), "{guesses} guesses");
        assert!(matches!(denied, Denied::TooMany(seconds) if seconds >= 1), "{denied:?}");
        assert!(matches!(access.who(Some("one"), HERE), Err(Denied::TooMany(_))));
        // One of them may share the bucket by chance; all of them do not.
        assert!((1..=9).any(|last| access.who(Some("one"), [10, 0, 0, last].into()).is_ok()));
    }

    #[test]
    fn a_revoked_token_that_a_browser_still_sends_is_one_wrong_token_and_no_more() {
        let access = access();
        for _ in 0..100 {
            assert_eq!(access.who(Some("revoked"), HERE), Err(Denied::WrongToken));
        }
        assert!(access.who(Some("one"), HERE).is_ok());
    }

    #[test]
    fn who_has_a_token_that_nobody_guesses_does_not_wait_for_those_who_guess() {
        let tokens = "ada:viewer:60e05bd1b195af2f94112fa7197a5c88289058840ce7c6df9693756bc6250f55";
        let long = "0".repeat(64);
        let access = Access::new(Source::parse(tokens).unwrap()).unwrap();
        assert!(access.who(Some(&long), HERE).is_ok());
        for guess in 0..100 {
            assert!(access.who(Some(&format!("{guess:064x}x")), HERE).is_err());
        }
        assert!(matches!(access.who(Some("guess"), HERE), Err(Denied::TooMany(_))));
        assert!(access.who(Some(&long), HERE).is_ok());
    }

    #[test]
    fn a_browser_tells_whether_a_page_of_ours_sends_something() {
        let is_from_here = |headers: &[(&'static str, &str)]| {
            let headers = headers
                .iter()
                .map(|&(name, value)| (axum::http::HeaderName::from_static(name), value.parse().unwrap()));
            is_from_here(&headers.collect())
        };
        assert_eq!(is_from_here(&[("host", "a")]), None);
        for ours in [
            &[("sec-fetch-site", "same-origin")][..],
            &[("origin", "http://a:8081"), ("host", "a:8081")],
            &[("origin", "https://a"), ("host", "a")],
        ] {
            assert_eq!(is_from_here(ours), Some(true), "{ours:?}");
        }
        for site in ["cross-site", "same-site", ""] {
            let theirs = [("sec-fetch-site", site), ("origin", "http://a"), ("host", "a")];
            assert_eq!(is_from_here(&theirs), Some(false), "{site:?}");
        }
        for origin in ["http://b", "http://a:1", "null"] {
            assert_eq!(is_from_here(&[("origin", origin), ("host", "a")]), Some(false), "{origin}");
        }
        assert_eq!(is_from_here(&[("origin", "null")]), Some(false));
    }

    #[test]
    fn a_token_comes_as_bearer() {
        for value in ["Bearer one", "bearer  one"] {
            assert_eq!(bearer(&headers(AUTHORIZATION, value)), Some("one"));
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
        for value in ["Basic b25l", "one", "Bearer"] {
            assert_eq!(
                bearer(&headers(AUTHORIZATION, value)),
                Some(""),
                "{value} is no token, and not nothing"
            );
        }
    }

    #[test]
    fn a_session_is_what_its_token_is_today() {
        let access = access();
        let hash = |token: &str| -> [u8; 32] { Sha256::digest(token).into() };
        assert_eq!(access.of_session(Some(&hash("two"))).unwrap().role, Role::Admin);
        for over in [None, Some(&hash("four"))] {
            assert_eq!(access.of_session(over), Err(Denied::SessionOver));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_of_tokens_is_read_again_and_one_that_turns_wrong_changes_nothing() {
        const HASH: &str = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        std::fs::write(&file, format!("ada:viewer:{HASH}")).unwrap();
        let access = Access::new(Source::parse(&format!("@{}", file.display())).unwrap()).unwrap();
        let role = || access.who(Some("one"), HERE).map(|who| who.role).ok();
        // Time passes here only while everything waits: each look is done when the next is due.
        let looked = || tokio::time::timeout(READ_AGAIN * 3, access.follow());
        for (text, expected) in [
            (format!("ada:admin:{HASH}"), Some(Role::Admin)),
            (String::new(), Some(Role::Admin)),
            ("ada:owner:x".to_owned(), Some(Role::Admin)),
            (format!("ada:viewer:{}", HASH.replace('7', "8")), None),
            (format!("ada:viewer:{HASH}"), Some(Role::Viewer)),
        ] {
            std::fs::write(&file, &text).unwrap();
            assert!(looked().await.is_err(), "it never returns");
            assert_eq!(role(), expected, "{text}");
        }
        std::fs::remove_file(&file).unwrap();
        assert!(looked().await.is_err());
        assert_eq!(role(), Some(Role::Viewer));
        std::fs::write(&file, "off").unwrap();
        assert!(looked().await.is_err());
        assert!(access.is_open());
    }
}
