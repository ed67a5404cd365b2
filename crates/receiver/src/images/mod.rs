//! Routes of images: one, a list, a batch, deletion, another try, and looking again.

pub mod delete;
pub mod get;
pub mod list;
pub mod look_again;
pub mod ranges;
