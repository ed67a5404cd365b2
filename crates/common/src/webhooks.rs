//! Webhooks: which events there are, where they are sent to, and the secret that signs them.

use std::{fmt, io};

use base64::{Engine, prelude::BASE64_STANDARD};
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

/// What a webhook reports. Only a test reports nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookEvent)]
pub enum Event {
    /// An image was processed.
    #[serde(rename = "image.processed")]
    ImageProcessed,
    /// An image failed for good.
    #[serde(rename = "image.failed")]
    ImageFailed,
    /// A known person is on an image that was processed.
    #[serde(rename = "person.seen")]
    PersonSeen,
    /// An image that was processed has unknown faces, seen well enough to be grouped.
    #[serde(rename = "face.new")]
    FaceNew,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ImageProcessed, Self::ImageFailed, Self::PersonSeen, Self::FaceNew];

    /// As it is sent in `type`, and stands in the columns `event` and `events`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ImageProcessed => "image.processed",
            Self::ImageFailed => "image.failed",
            Self::PersonSeen => "person.seen",
            Self::FaceNew => "face.new",
        }
    }

    /// The event of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }
}

/// Where webhooks are sent to. What stands behind the host may be a secret, so it is never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct TargetUrl(String);

impl TargetUrl {
    /// Longest URL, in bytes, written as the URL standard does: with a path and escapes.
    pub const LONGEST: usize = 2000;

    /// Reads an http or https URL with a host and without a user; `None` when the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let is_target = url.as_str().len() <= Self::LONGEST
            && ["http", "https"].contains(&url.scheme())
            && url.username().is_empty()
            && url.password().is_none();
        is_target.then(|| Self(url.into()))
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The key that signs webhooks, as the Standard Webhooks specification writes it: `whsec_` and 24 to 64 bytes in Base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// What it begins with.
    const PREFIX: &str = "whsec_";

    /// Reads a secret; `None` when the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(text.strip_prefix(Self::PREFIX)?).ok()?;
        (24..=64).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// A new one, of 32 random bytes.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn random() -> io::Result<Self> {
        let mut bytes = vec![0; 32];
        SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(bytes))
    }

    /// The key.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As it is written down. It is secret: with it anybody can sign webhooks.
    pub fn text(&self) -> String {
        format!("{}{}", Self::PREFIX, BASE64_STANDARD.encode(&self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_http_url_with_a_host_and_no_password() {
        for right in ["https://example.org/", "http://10.0.0.1:9000/hook?key=1", "http://[::1]:9000/"] {
            assert_eq!(TargetUrl::parse(right).unwrap().as_str(), right);
        }
        let long = format!("https://example.org/{}", "a".repeat(TargetUrl::LONGEST));
        for wrong in [
            "",
            "on",
            "example.org",
            "ftp://example.org",
            "http://",
            "https://a:b@example.org",
            "http://a b/",
            &long,
        ] {
            assert_eq!(TargetUrl::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_read_as_it_is_written_and_debug_shows_neither_it_nor_the_url() {
        let secret = Secret::random().unwrap();
        assert_eq!(Secret::parse(&secret.text()).unwrap(), secret);
        assert_ne!(Secret::random().unwrap(), secret);
        assert_eq!(format!("{secret:?}{:?}", TargetUrl::parse("http://a/b")), "…Some(…)");
        for wrong in ["", "whsec_", "whsec_c2hvcnQ=", "s3cret"] {
            assert_eq!(Secret::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn events_are_read_by_their_names() {
        for event in Event::ALL {
            assert_eq!(Event::parse(event.name()), Some(event));
            assert_eq!(serde_json::to_value(event).unwrap(), event.name());
        }
        assert_eq!(Event::parse("image.deleted"), None);
    }
}
