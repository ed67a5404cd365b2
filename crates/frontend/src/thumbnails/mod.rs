//! `GET /thumbnails/…`: small pictures, made by face-recog, which alone opens pictures.
//!
//! ```text
//! /thumbnails/7?side=320      a picture     ┐
//! /thumbnails/7?face=77       one face      ├─▶ on disk? ─▶ else Faces.Crop, a few calls at a time ─▶ kept on disk
//! /thumbnails/known/grace.jpg a known one   ┘
//! ```
//!
//! Where there is no picture, or face-recog is away, a plain one stands for it.

pub mod cache;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, ETAG, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use common::db::images::picture::{self, Kind, Picture};
use rpc::{Area, CropRequest, faces_client::FacesClient};
use serde::Deserialize;
use sqlx::MySqlPool;
use tokio::{sync::Semaphore, time::Instant};
use tonic::{Code, transport::Channel};

use crate::{
    Frontend,
    assets::PLACEHOLDER,
    format::{etag, fingerprint, is_known},
    thumbnails::cache::{ThumbnailCache, is_unfinished},
};

/// Longest sides that can be asked for, in pixels: few, so that few are kept of each picture.
const SIDES: [u32; 4] = [160, 320, 640, 1280];

/// Calls of face-recog under way at once: recognition has its cores first.
const CALLS: usize = 4;

/// Thumbnails that are read from the disk at once.
const LOADS: usize = 16;

/// Longest wait for a thumbnail, for its turn included.
const PATIENCE: Duration = Duration::from_secs(20);

/// Longest wait of a page that asks whether a picture is there.
const SHORT_PATIENCE: Duration = Duration::from_millis(300);

/// Pause before a busy face-recog is asked again.
const BUSY_PAUSE: Duration = Duration::from_millis(250);

/// Pause between two looks at what is of no use any more.
const TIDY_PAUSE: Duration = Duration::from_secs(600);

/// The file of a known picture may be replaced by another under the same name: its thumbnail is made again after this.
const KNOWN_AGE: Duration = Duration::from_secs(3600);

/// How the names of those that are kept begin; the id of what they show is next.
const IMAGE: &str = "image-";
const KNOWN: &str = "known-";

/// Makes thumbnails, and keeps them.
#[derive(Clone, Debug)]
pub struct Thumbnails {
    kept: Arc<ThumbnailCache>,
    client: FacesClient<Channel>,
    calls: Arc<Semaphore>,
    loads: Arc<Semaphore>,
    /// Reference photos that were asked for and not there; few are asked for.
    missing: Arc<Mutex<HashSet<String>>>,
}

/// What is to be shown.
struct Wanted {
    /// The file's name among those that are kept.
    name: String,
    crop: CropRequest,
}

/// Why there is no thumbnail.
#[derive(Debug, PartialEq, Eq)]
enum Missing {
    /// There is no such picture, or it can be read by nobody.
    Gone,
    /// It may be there later.
    Away,
}

impl Thumbnails {
    /// Made by face-recog at `address` (`host:port`), kept in `kept`. Connects when the first is asked for.
    pub fn new(address: &str, kept: ThumbnailCache) -> Result<Self, tonic::transport::Error> {
        let client = rpc::faces_at(address)?;
        let (calls, loads) = (Semaphore::new(CALLS), Semaphore::new(LOADS));
        Ok(Self {
            kept: Arc::new(kept),
            client,
            calls: Arc::new(calls),
            loads: Arc::new(loads),
            missing: Arc::default(),
        })
    }

    /// Deletes, now and then, what is of no use any more: thumbnails of pictures that were deleted, so that nothing is left
    /// of somebody who was erased; and those of known pictures, which may have been replaced. Never returns.
    pub async fn tidy(&self, pool: &MySqlPool) {
        loop {
            let kept = self.kept.clone();
            let names = tokio::task::spawn_blocking(move || {
                kept.forget_older(KNOWN_AGE, |name| name.starts_with(KNOWN) || is_unfinished(name));
                kept.tidy();
                kept.names()
            });
            let names = names.await.unwrap_or_default();
            for (prefix, kind) in [(IMAGE, Kind::Image), (KNOWN, Kind::ReferencePhoto)] {
                if let Err(error) = self.forget_deleted(pool, &names, prefix, kind).await {
                    tracing::debug!(%error, "cannot tell which thumbnails are not needed any more");
                }
            }
            tokio::time::sleep(TIDY_PAUSE).await;
        }
    }

    /// Deletes the thumbnails of this kind whose row is gone.
    async fn forget_deleted(
        &self,
        pool: &MySqlPool,
        names: &[String],
        prefix: &str,
        kind: Kind,
    ) -> sqlx::Result<()> {
        let id = |name: &str| name.strip_prefix(prefix)?.split_once('-')?.0.parse::<u64>().ok();
        let (ids, shown): (Vec<u64>, Vec<&String>) =
            names.iter().filter_map(|name| Some((id(name)?, name))).unzip();
        for (ids, shown) in ids.chunks(1024).zip(shown.chunks(1024)) {
            let there = picture::still_there(pool, kind, ids).await?;
            for (_, name) in ids.iter().zip(shown).filter(|(id, _)| there.binary_search(id).is_err()) {
                self.kept.forget(name);
            }
        }
        Ok(())
    }

    async fn get(&self, wanted: Wanted) -> Result<Vec<u8>, Missing> {
        if let Some(jpeg) = self.load(&wanted.name).await {
            return Ok(jpeg);
        }
        let made = async {
            let _turn = self.calls.acquire().await.map_err(|_| Missing::Away)?;
            // Somebody else who waited may have had it made.
            if let Some(jpeg) = self.load(&wanted.name).await {
                return Ok(jpeg);
            }
            let jpeg = self.make(wanted.crop).await?;
            metrics::counter!("frontend_thumbnails_made_total").increment(1);
            let (kept, name, copy) = (self.kept.clone(), wanted.name, jpeg.clone());
            let _ = tokio::task::spawn_blocking(move || kept.store(&name, &copy)).await;
            Ok(jpeg)
        };
        tokio::time::timeout(PATIENCE, made).await.unwrap_or(Err(Missing::Away))
    }

    fn missing(&self) -> MutexGuard<'_, HashSet<String>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load(&self, name: &str) -> Option<Vec<u8>> {
        let (kept, name) = (self.kept.clone(), name.to_owned());
        let _turn = self.loads.acquire().await;
        tokio::task::spawn_blocking(move || kept.load(&name)).await.ok()?
    }

    async fn make(&self, crop: CropRequest) -> Result<Vec<u8>, Missing> {
        let end = Instant::now() + PATIENCE;
        loop {
            let request = rpc::request(crop.clone(), end.saturating_duration_since(Instant::now()));
            let status = match self.client.clone().crop(request).await {
                Ok(answer) => return Ok(answer.into_inner().jpeg),
                Err(status) => status,
            };
            match status.code() {
                Code::ResourceExhausted => tokio::time::sleep(BUSY_PAUSE).await,
                Code::NotFound | Code::InvalidArgument | Code::PermissionDenied | Code::OutOfRange => {
                    return Err(Missing::Gone);
                }
                _ => {
                    tracing::debug!(%status, "face-recog makes no thumbnails now");
                    return Err(Missing::Away);
                }
            }
        }
    }
}

/// What is asked for of a picture.
#[derive(Deserialize)]
pub struct Asked {
    face: Option<u64>,
    side: Option<u32>,
}

/// `GET /thumbnails/{image}?face=…` and `?side=…`
pub async fn of_image(
    State(frontend): State<Frontend>,
    headers: HeaderMap,
    Path(image): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let jpeg = async {
        let Query(asked) = asked.map_err(|_| Missing::Gone)?;
        let image = image.parse().map_err(|_| Missing::Gone)?;
        let side = asked.side.unwrap_or(SIDES[0]);
        if !SIDES.contains(&side) {
            return Err(Missing::Gone);
        }
        let wanted = frontend.read(wanted(&frontend.pool, image, asked.face, side)).await;
        frontend.thumbnails.get(wanted.map_err(|_| Missing::Away)?.ok_or(Missing::Gone)?).await
    };
    answer(&headers, jpeg.await)
}

async fn wanted(pool: &MySqlPool, image: u64, face: Option<u64>, side: u32) -> sqlx::Result<Option<Wanted>> {
    let Some(Picture { path, size, face: on_it }) = picture::of_image(pool, image, face).await? else {
        return Ok(None);
    };
    if face.is_some() && on_it.is_none() {
        return Ok(None);
    }
    let area = on_it.map(|face| Area {
        left: face.x,
        top: face.y,
        width: face.width.try_into().unwrap_or_default(),
        height: face.height.try_into().unwrap_or_default(),
    });
    // Another picture at the same path was recognised anew, and most likely has another size.
    let key = format!("{path}\0{size:?} {area:?} {side}");
    let name = format!("{IMAGE}{image}-{:016x}", fingerprint(key.as_bytes()));
    Ok(Some(Wanted { name, crop: CropRequest { image_path: path, area, side, known: false } }))
}

/// `GET /thumbnails/known/{picture}`
pub async fn of_known(
    State(frontend): State<Frontend>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Response {
    let jpeg = async {
        // Others lead to the same picture, or to none, and each would be kept.
        if !is_base_name(&name) {
            return Err(Missing::Gone);
        }
        let wanted = known(&frontend, name).await.ok_or(Missing::Away)?;
        frontend.thumbnails.get(wanted).await
    };
    answer(&headers, jpeg.await)
}

async fn known(frontend: &Frontend, name: String) -> Option<Wanted> {
    let named = frontend.read(picture::of_person(&frontend.pool, &name)).await;
    // Nobody's picture has no row: its thumbnail goes at the next look for what is of no use.
    let id = named.ok()?.unwrap_or_default();
    let kept = format!("{KNOWN}{id}-{:016x}", fingerprint(name.as_bytes()));
    let crop = CropRequest { image_path: name, area: None, side: SIDES[1], known: true };
    Some(Wanted { name: kept, crop })
}

/// Whether there is no such picture in the folder of known people, as far as face-recog says without delay. While it is busy or
/// away its last answer counts.
pub async fn is_missing(frontend: &Frontend, name: &str) -> bool {
    let Some(wanted) = known(frontend, name.to_owned()).await else { return false };
    let thumbnails = &frontend.thumbnails;
    let made = tokio::time::timeout(SHORT_PATIENCE, thumbnails.get(wanted)).await;
    let mut missing = thumbnails.missing();
    match made {
        Ok(Ok(_)) => {
            missing.remove(name);
            false
        }
        Ok(Err(Missing::Gone)) => {
            missing.insert(name.to_owned());
            true
        }
        Ok(Err(Missing::Away)) | Err(_) => missing.contains(name),
    }
}

/// Whether this is one part of a path, and so the only name of what it names.
fn is_base_name(name: &str) -> bool {
    !name.contains(['/', '\0']) && !["", ".", ".."].contains(&name)
}

/// A picture, or one that stands for it.
fn answer(request: &HeaderMap, jpeg: Result<Vec<u8>, Missing>) -> Response {
    let result = match jpeg {
        Ok(_) => "shown",
        Err(Missing::Gone) => "gone",
        Err(Missing::Away) => "away",
    };
    metrics::counter!("frontend_thumbnails_total", "result" => result).increment(1);
    let (kind, placeholder) = PLACEHOLDER.content();
    match jpeg {
        Ok(jpeg) => {
            let etag = etag(&jpeg);
            let headers = [(ETAG, etag.as_str())];
            if is_known(request, &etag) {
                (StatusCode::NOT_MODIFIED, headers).into_response()
            } else {
                (headers, [(CONTENT_TYPE, "image/jpeg")], jpeg).into_response()
            }
        }
        Err(Missing::Gone) => (StatusCode::NOT_FOUND, [(CONTENT_TYPE, kind)], placeholder).into_response(),
        Err(Missing::Away) => {
            let headers = [(CONTENT_TYPE, kind), (RETRY_AFTER, "5")];
            (StatusCode::SERVICE_UNAVAILABLE, headers, placeholder).into_response()
        }
    }
}
