//! The settings of the redeemer.

use std::time::Duration;

use clap::Parser;
use common::settings::{DatabaseSettings, ProcessSettings, ProducerSettings, count, duration};

/// Gives failed and abandoned pictures a second chance.
#[derive(Parser, Clone, Debug)]
#[command(name = "redeemer", version)]
pub struct Settings {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub process: ProcessSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub database: DatabaseSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub producer: ProducerSettings,
    /// Age at which a PROCESSING image without a lease, claimed by an original processor, counts as abandoned
    #[arg(long, env = "CLAIM_LEASE", value_name = "CLAIM_LEASE", default_value = "2m", value_parser = duration)]
    pub claim_lease: Duration,
    /// How often one image is brought back after it failed
    #[arg(long, env = "MAX_REDEEMS", value_name = "MAX_REDEEMS", default_value_t = 3, value_parser = count(0..=1_000_000))]
    pub max_redeems: u32,
    /// Only says what it would bring back
    #[arg(long)]
    pub dry_run: bool,
}
