//! The pages, one file for each. The template of each has the same name.

pub mod audit;
pub mod gallery;
pub mod image;
pub mod look_again;
pub mod people;
pub mod people_import;
pub mod review;
pub mod table;
pub mod unknown;
pub mod webhooks;
