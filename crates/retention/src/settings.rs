//! The settings of retention.

use clap::Parser;
use common::settings::{DatabaseSettings, ProcessSettings, UploadSettings};

/// Deletes pictures that are older than somebody wants to keep them
#[derive(Parser, Clone, Debug)]
#[command(name = "retention", version)]
pub struct Settings {
    /// Of every service.
    #[command(flatten)]
    pub process: ProcessSettings,
    /// Where the rows are.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Where the files are.
    #[command(flatten)]
    pub uploads: UploadSettings,
    /// Days after which an image that is done is deleted; off keeps all for ever
    #[arg(long, env = "RETENTION", value_name = "RETENTION", default_value = "off", value_parser = keep_for)]
    pub retention: KeepFor,
    /// Only says what it would delete
    #[arg(long)]
    pub dry_run: bool,
}

/// How long images are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepFor {
    /// For ever.
    Ever,
    /// For so many days after they were posted.
    Days(u32),
}

/// At least a day, so that nothing can be deleted that is just being taken in; and no longer than a century.
fn keep_for(text: &str) -> Result<KeepFor, String> {
    match text.parse() {
        _ if text == "off" => Ok(KeepFor::Ever),
        Ok(days @ 1..=36_500) => Ok(KeepFor::Days(days)),
        _ => Err("off is needed, or a number of days from 1 to 36500".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_kept_for_ever_or_for_some_days() {
        assert_eq!(keep_for("off"), Ok(KeepFor::Ever));
        assert_eq!((keep_for("1"), keep_for("365")), (Ok(KeepFor::Days(1)), Ok(KeepFor::Days(365))));
        for wrong in ["", "0", "-1", "36501", "30d", "1.5", "OFF"] {
            assert!(keep_for(wrong).is_err(), "{wrong}");
        }
    }
}
