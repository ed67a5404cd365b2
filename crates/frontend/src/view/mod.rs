//! What several pages show: the frame around each, images, faces, and lists in portions.

pub mod face;
pub mod filter;
pub mod frame;
pub mod image;
pub mod layout;
pub mod paging;
