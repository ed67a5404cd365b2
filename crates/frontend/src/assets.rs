//! The style sheet, the script and the icon: inside the binary, and kept by browsers for as long as they stay the same.

use axum::{
    extract::{Path, RawQuery},
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG},
    },
    response::{IntoResponse, Response},
};

use crate::{
    error::Problem,
    format::{Format, etag, fingerprint, is_known},
};

/// The design.
pub static STYLE: Asset =
    Asset::new("style.css", "text/css; charset=utf-8", include_str!("../assets/style.css"));
/// What changes a page into its new version, part by part: the file of the npm package, as it is.
pub static IDIOMORPH: Asset = Asset::new(
    "idiomorph-0.8.0.min.js",
    "text/javascript; charset=utf-8",
    include_str!("../assets/idiomorph/idiomorph-0.8.0.min.js"),
);
/// What keeps an open page up to date.
pub static SCRIPT: Asset =
    Asset::new("app.js", "text/javascript; charset=utf-8", include_str!("../assets/app.js"));
/// What sends changes: buttons, dialogs and keys.
pub static ACTIONS: Asset =
    Asset::new("actions.js", "text/javascript; charset=utf-8", include_str!("../assets/actions.js"));
/// What selects faces and corrects many at once.
pub static SELECTION: Asset =
    Asset::new("selection.js", "text/javascript; charset=utf-8", include_str!("../assets/selection.js"));
/// What sends pictures.
pub static UPLOAD: Asset =
    Asset::new("upload.js", "text/javascript; charset=utf-8", include_str!("../assets/upload.js"));
/// What answers questions by keys.
pub static REVIEW: Asset =
    Asset::new("review.js", "text/javascript; charset=utf-8", include_str!("../assets/review.js"));
/// What draws the box of a face.
pub static DRAW: Asset =
    Asset::new("draw.js", "text/javascript; charset=utf-8", include_str!("../assets/draw.js"));
/// What opens a picture over the page.
pub static LIGHTBOX: Asset =
    Asset::new("lightbox.js", "text/javascript; charset=utf-8", include_str!("../assets/lightbox.js"));
/// What stands for a picture that cannot be shown.
pub static PLACEHOLDER: Asset =
    Asset::new("placeholder.svg", "image/svg+xml", include_str!("../assets/placeholder.svg"));
/// The icons that pages use: of the npm package lucide-static, each as it is, in one file.
static ICONS: Asset =
    Asset::new("lucide-1.62.0.svg", "image/svg+xml", include_str!("../assets/lucide/lucide-1.62.0.svg"));
/// The picture in the browser's tab.
pub static ICON: Asset = Asset::new("favicon.svg", "image/svg+xml", include_str!("../assets/favicon.svg"));

static ALL: &[&Asset] = &[
    &STYLE,
    &IDIOMORPH,
    &SCRIPT,
    &ACTIONS,
    &SELECTION,
    &UPLOAD,
    &REVIEW,
    &DRAW,
    &LIGHTBOX,
    &PLACEHOLDER,
    &ICONS,
    &ICON,
];

/// One of the icons, beside words that say the same.
pub fn icon(name: &'static str) -> String {
    format!(r#"<svg class="icon" aria-hidden="true"><use href="{}#{name}"/></svg>"#, ICONS.url())
}

/// A file that pages refer to.
pub struct Asset {
    name: &'static str,
    kind: &'static str,
    body: &'static str,
    version: u64,
}

impl Asset {
    const fn new(name: &'static str, kind: &'static str, body: &'static str) -> Self {
        Self { name, kind, body, version: fingerprint(body.as_bytes()) }
    }

    /// What is in it, and of which kind.
    pub fn content(&self) -> (&'static str, &'static str) {
        (self.kind, self.body)
    }

    /// Where it is; another content has another address.
    pub fn url(&self) -> String {
        format!("/assets/{}?{}", self.name, self.query())
    }

    fn query(&self) -> String {
        format!("v={:016x}", self.version)
    }
}

/// `GET /assets/{name}`
pub async fn send(
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    format: Format,
    headers: HeaderMap,
) -> Response {
    let Some(asset) = ALL.iter().find(|asset| asset.name == name) else {
        return Problem::NoSuchPage.answer(format);
    };
    // Another version's address: two releases run side by side, and this content must not be kept for that one.
    let keep = if query == Some(asset.query()) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let etag = etag(asset.body.as_bytes());
    let kept = [(CACHE_CONTROL, keep), (ETAG, etag.as_str())];
    if is_known(&headers, &etag) {
        (StatusCode::NOT_MODIFIED, kept).into_response()
    } else {
        (kept, [(CONTENT_TYPE, asset.kind)], asset.body).into_response()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::view::frame::PARTS;

    #[test]
    fn every_icon_of_a_page_is_there() {
        let there = |name: &str| ICONS.body.contains(&format!(r#"<symbol id="{name}""#));
        assert!(PARTS.iter().all(|(.., name)| there(name)));
        let templates = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/templates")).unwrap();
        for template in templates {
            let template = fs::read_to_string(template.unwrap().path()).unwrap();
            for used in template.split(r#"icon(""#).skip(1) {
                let name = used.split('"').next().unwrap();
                assert!(there(name), "{name}");
            }
        }
    }

    #[test]
    fn idiomorph_is_the_file_of_its_package() {
        let hash = hex::encode(Sha256::digest(IDIOMORPH.body));
        assert_eq!(hash, "4cbd535caf7663a51eda9bce6595371c384fc430d54b8d414e29a61167f19f96");
    }
}
