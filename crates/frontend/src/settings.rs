//! What can be set.

use std::path::PathBuf;

use clap::Parser;
use common::settings::{DatabaseSettings, OpsSettings, ProcessSettings, address, port};
use web::access::AccessSettings;

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
    /// Who may look.
    #[command(flatten)]
    pub access: AccessSettings,
    /// Port of the page
    #[arg(long, env = "FRONTEND_PORT", value_name = "FRONTEND_PORT", default_value_t = 8081, value_parser = port)]
    pub frontend_port: u16,
    /// Address of face-recog, which makes the thumbnails
    #[arg(long, env = "GRPC_ADDRESS", value_name = "GRPC_ADDRESS", default_value = "face-recog:50051", value_parser = address)]
    pub grpc_address: String,
    /// Folder that keeps thumbnails, if it exists
    #[arg(long, env = "THUMBNAILS", value_name = "THUMBNAILS", default_value = "/thumbnails")]
    pub thumbnails: PathBuf,
    /// Address of the receiver, which takes what is changed on a page; off shows pages that can only be read
    #[arg(long, env = "RECEIVER_ADDRESS", value_name = "RECEIVER_ADDRESS", default_value = "off", value_parser = receiver_address)]
    pub receiver_address: ReceiverAddress,
}

/// Who takes changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiverAddress {
    /// Nobody.
    Off,
    /// The receiver at this `host:port`.
    At(String),
}

fn receiver_address(text: &str) -> Result<ReceiverAddress, String> {
    if text == "off" { Ok(ReceiverAddress::Off) } else { address(text).map(ReceiverAddress::At) }
}
