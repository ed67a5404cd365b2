//! What can be set.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Parser;
use common::settings::{DatabaseSettings, OpsSettings, ProcessSettings, ProducerSettings, duration, port};

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
    /// Port of its routes
    #[arg(long, env = "RECEIVER_PORT", value_name = "RECEIVER_PORT", default_value_t = 8000, value_parser = port)]
    pub receiver_port: u16,
    /// Largest body of a request, like 2097152, 500KiB or 2MiB
    #[arg(long, env = "MAX_BODY", value_name = "MAX_BODY", default_value = "2MiB", value_parser = size)]
    pub max_body: usize,
    /// Longest time that a request's body may take to arrive
    #[arg(long, env = "BODY_TIMEOUT", value_name = "BODY_TIMEOUT", default_value = "20s", value_parser = duration)]
    pub body_timeout: Duration,
    /// Folder that pictures are uploaded to, which must be the folder uploads of UNKNOWN_PEOPLE; off takes none
    #[arg(long, env = "UPLOADS", value_name = "UPLOADS", default_value = "off", value_parser = upload_folder)]
    pub uploads: UploadFolder,
    /// Largest uploaded picture
    #[arg(long, env = "MAX_UPLOAD", value_name = "MAX_UPLOAD", default_value = "32MiB", value_parser = size)]
    pub max_upload: usize,
}

/// Where uploads go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadFolder {
    /// Nowhere: paths are posted, and no pictures.
    Off,
    /// Into this folder.
    At(PathBuf),
}

/// Its files are posted as `/unknown_people/uploads/…`, and so its name is given.
fn upload_folder(text: &str) -> Result<UploadFolder, String> {
    match Path::new(text) {
        _ if text == "off" => Ok(UploadFolder::Off),
        path if path.file_name() == Some("uploads".as_ref()) => Ok(UploadFolder::At(path.to_owned())),
        _ => Err("off is needed, or a folder whose name is uploads, like /unknown_people/uploads".to_owned()),
    }
}

/// Reads a size in bytes.
fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = match text {
        _ if text.ends_with("KiB") => (&text[..text.len() - 3], KIB),
        _ if text.ends_with("MiB") => (&text[..text.len() - 3], MIB),
        _ => (text, 1),
    };
    let bytes = number.trim_end().parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes
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
    fn uploads_have_a_folder_of_a_given_name_or_are_off() {
        assert_eq!(upload_folder("off"), Ok(UploadFolder::Off));
        for folder in ["/unknown_people/uploads", "uploads", "/a/uploads/"] {
            assert_eq!(upload_folder(folder), Ok(UploadFolder::At(folder.into())));
        }
        for wrong in ["", "/", "/unknown_people", "/uploads/..", "on"] {
            assert!(upload_folder(wrong).is_err(), "{wrong}");
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
