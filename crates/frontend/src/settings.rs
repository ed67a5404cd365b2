//! What can be set.

use clap::Parser;
use common::settings::{DatabaseSettings, OpsSettings, ProcessSettings, port};

/// Shows in the browser who is on which picture
#[derive(Clone, Debug, Parser)]
#[command(name = "frontend", version)]
pub struct Settings {
    /// Of every service.
    #[command(flatten)]
    pub process: ProcessSettings,
    /// Of every service that keeps running.
    #[command(flatten)]
    pub ops: OpsSettings,
    /// Where the pictures and the people are stored.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Port of the page
    #[arg(long, env = "FRONTEND_PORT", value_name = "FRONTEND_PORT", default_value_t = 8081, value_parser = port)]
    pub frontend_port: u16,
}
