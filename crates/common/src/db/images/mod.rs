//! The life of an image: one state machine, and all its SQL.
//!
//! ```text
//!            store                 claim                      complete
//!  (nothing) ─────▶ PENDING ─────────────────▶ PROCESSING ─────────────────▶ PROCESSED
//!                    ▲   ▲                      │      │ fail, tries used up
//!                    │   └─ give back, fail ────┘      └───────────────────▶ FAILEDPROCESSING
//!                    └───────────────────────── redeem ─────────────────────────┘
//! ```
//!
//! A PROCESSED image may be [looked at again](crate::db::images::look_again): it takes the same way once more, and shows its earlier faces
//! until the new result is stored. If that fails for good it is PROCESSED as before.
//!
//! A claim is a compare-and-set that leaves a token and the end of a lease in the row. Whatever a processor
//! writes afterwards is fenced: it counts only while its token stands there. A lease that is over may be
//! claimed by another; its former owner then finds its token gone and its result is dropped. When the work ends the
//! token stays until the next claim, so a write that is repeated because its answer was lost counts again
//! and changes nothing, nor what people said since. All times are the database's, so no process needs a right clock.

mod claim;
pub mod delete;
pub mod expire;
mod finish;
pub(crate) mod image;
pub mod look_again;
pub mod page;
pub mod photos;
pub mod picture;
mod place;
pub mod query;
mod redeem;
mod store;

pub use claim::*;
pub use finish::*;
pub use image::{Area, FaceCorrection, FaceOfImage, FaceStatus, ImageName, ImageStatus};
pub use place::{NoPlace, Place};
pub use redeem::*;
pub use store::*;
