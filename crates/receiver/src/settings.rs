//! What can be set.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use clap::Parser;
use common::settings::{
    DatabaseSettings, OpsSettings, ProcessSettings, ProducerSettings, UploadSettings, address, duration, port,
};
use web::access::AccessSettings;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The largest `MAX_BODY`, for bodies are held in memory; and far more than face-recog takes of a picture.
const LARGEST_BODY: u64 = 256 * MIB;

/// Stores the paths of pictures and announces them on the queue
#[derive(Parser, Clone, Debug)]
#[command(version)]
pub struct Settings {
    /// What every service has.
    #[command(flatten)]
    pub process: ProcessSettings,
    /// The operations port.
    #[command(flatten)]
    pub ops: OpsSettings,
    /// Where the rows go.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Where the messages go.
    #[command(flatten)]
    pub producer: ProducerSettings,
    /// Who may do what.
    #[command(flatten)]
    pub access: AccessSettings,
    /// Port of its routes
    #[arg(long, env = "RECEIVER_PORT", value_name = "RECEIVER_PORT", default_value_t = 8000, value_parser = port)]
    pub receiver_port: u16,
    /// Largest body of a request, like 2097152, 500KiB or 2MiB
    #[arg(long, env = "MAX_BODY", value_name = "MAX_BODY", default_value = "2MiB", value_parser = size)]
    pub max_body: usize,
    /// Longest time that a request's body may take to arrive
    #[arg(long, env = "BODY_TIMEOUT", value_name = "BODY_TIMEOUT", default_value = "20s", value_parser = duration)]
    pub body_timeout: Duration,
    /// Where uploads go.
    #[command(flatten)]
    pub uploads: UploadSettings,
    /// Room that all uploads may take together, like 20GiB; off leaves it to the volume
    #[arg(long, env = "UPLOADS_QUOTA", value_name = "UPLOADS_QUOTA", default_value = "off", value_parser = quota)]
    pub uploads_quota: Quota,
    /// Largest uploaded picture
    #[arg(long, env = "MAX_UPLOAD", value_name = "MAX_UPLOAD", default_value = "32MiB", value_parser = size)]
    pub max_upload: usize,
    /// Address of face-recog, which cuts faces out of pictures
    #[arg(long, env = "GRPC_ADDRESS", value_name = "GRPC_ADDRESS", default_value = "face-recog:50051", value_parser = address)]
    pub grpc_address: String,
    /// Folder of the known people's pictures, to enrol people by faces, if it exists
    #[arg(long, env = "KNOWN_PEOPLE", value_name = "KNOWN_PEOPLE", default_value = "/known_people")]
    pub known_people: PathBuf,
    /// The only folder that pictures to recognise are read from
    #[arg(long, env = "UNKNOWN_PEOPLE", value_name = "UNKNOWN_PEOPLE", default_value = "/unknown_people")]
    pub unknown_people: PathBuf,
    /// How often to look into UNKNOWN_PEOPLE for new pictures, like 5s; off leaves it to those who post
    #[arg(long, env = "WATCH", value_name = "WATCH", default_value = "off", value_parser = watch)]
    pub watch: Watch,
    /// Requests a minute that one token may send to /recognise, /verify and /search, like 60; off allows any number
    #[arg(long, env = "STATELESS_RATE", value_name = "STATELESS_RATE", default_value = "off", value_parser = rate)]
    pub stateless_rate: Rate,
}

/// How often one token may ask about pictures that are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// As often as there is room.
    Off,
    /// So many times a minute.
    PerMinute(NonZeroU32),
}

impl Rate {
    /// The requests a minute, if they are limited.
    pub fn per_minute(self) -> Option<NonZeroU32> {
        match self {
            Self::Off => None,
            Self::PerMinute(requests) => Some(requests),
        }
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    match text {
        "off" => Ok(Rate::Off),
        _ => text
            .parse()
            .map(Rate::PerMinute)
            .map_err(|_| "off is needed, or requests a minute, like 60".to_owned()),
    }
}

/// How often the folder of unknown people is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Never.
    Off,
    /// Each time that this has passed.
    Every(Duration),
}

fn watch(text: &str) -> Result<Watch, String> {
    if text == "off" {
        return Ok(Watch::Off);
    }
    duration(text).map(Watch::Every).map_err(|problem| format!("off is needed, or {problem}"))
}

/// How much room uploads may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// As much as there is.
    Off,
    /// So many bytes.
    Bytes(u64),
}

impl Quota {
    /// The bytes, if there is a quota.
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::Off => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

fn quota(text: &str) -> Result<Quota, String> {
    match text {
        "off" => Ok(Quota::Off),
        _ => bytes(text)
            .map(Quota::Bytes)
            .ok_or_else(|| "off is needed, or a size like 500MiB, 20GiB or 1TiB".to_owned()),
    }
}

/// Reads a size in bytes, with or without a unit.
fn bytes(text: &str) -> Option<u64> {
    let units = [("KiB", KIB), ("MiB", MIB), ("GiB", 1024 * MIB), ("TiB", 1024 * 1024 * MIB)];
    let with_unit = units.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, unit) = with_unit.unwrap_or((text, 1));
    number.trim_end().parse::<u64>().ok()?.checked_mul(unit)
}

/// Reads the size of a body or a file.
fn size(text: &str) -> Result<usize, String> {
    bytes(text)
        .filter(|bytes| (1..=LARGEST_BODY).contains(bytes))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| "a size from 1 byte to 256MiB is needed, like 2097152, 500KiB or 2MiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_a_valid_command_line() {
        use clap::CommandFactory;
        Settings::command().debug_assert();
    }

    #[test]
    fn a_rate_is_a_number_of_requests_a_minute_or_off() {
        assert_eq!((rate("off"), rate("60").map(Rate::per_minute)), (Ok(Rate::Off), Ok(NonZeroU32::new(60))));
        for wrong in ["", "0", "-1", "1/s", "4294967296"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_quota_may_be_larger_than_the_memory_or_off() {
        assert_eq!((quota("off"), quota("2TiB")), (Ok(Quota::Off), Ok(Quota::Bytes(1 << 41))));
        for wrong in ["", "20GB", "-1GiB", "none", "99999999TiB"] {
            assert!(quota(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_size_is_a_number_of_bytes_or_has_a_unit() {
        assert_eq!(size("100"), Ok(100));
        assert_eq!(size("500KiB"), Ok(512_000));
        assert_eq!(size("2 MiB"), Ok(2_097_152));
        assert_eq!(size("256MiB"), Ok(268_435_456));
        for wrong in ["", "0", "-1", "MiB", "2MB", "257MiB", "18446744073709551615MiB", "é"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
