//! The settings of the redeemer.

use std::time::Duration;

use clap::Parser;
use common::settings::{DatabaseSettings, ProcessSettings, ProducerSettings, duration};

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
}
