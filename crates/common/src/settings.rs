//! Settings: the environment in Kubernetes, a `.env` file in development (the environment wins), flags by hand.
//!
//! Each service has one clap struct of its own that flattens the groups below. Names are the original's
//! where it has them. A setting that is wrong ends the process at once and is named with its value and what
//! is allowed; only passwords are never shown.

use std::{
    ffi::OsString,
    fmt,
    net::IpAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{
    Args, Command, Parser,
    builder::{NonEmptyStringValueParser, TypedValueParser},
    error::ErrorKind,
};

use crate::db::tls::TlsSettings;

/// Reads a service's settings, or ends the process with a message that says what to change (exit code 2).
///
/// Call it first in `main`: it may set environment variables from `.env`, so no thread may run yet.
pub fn load<S: Parser>() -> S {
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        // dotenvy quotes the line, which may hold a password.
        let place = match error {
            dotenvy::Error::LineParse(_, index) => format!("near character {index} of a line"),
            other => other.to_string(),
        };
        eprintln!("error: cannot read the file .env: {place}; values with blanks, # or $ need single quotes");
        std::process::exit(2);
    }
    S::try_parse().unwrap_or_else(|error| {
        let hint = match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => String::new(),
            // clap does not say which one.
            ErrorKind::InvalidUtf8 => not_utf8(&S::command(), |name| std::env::var_os(name)),
            _ => {
                "\nEach flag is also an environment variable, named in angle brackets: see --help.".to_owned()
            }
        };
        let code = error.exit_code();
        // Nothing can be done about a closed terminal.
        let _ = error.print();
        eprintln!("{hint}");
        std::process::exit(code)
    })
}

/// Names the settings whose values are no UTF-8; the values themselves could not be shown.
fn not_utf8(command: &Command, value: impl Fn(&str) -> Option<OsString>) -> String {
    let names = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
    names
        .filter(|name| value(name).is_some_and(|value| value.to_str().is_none()))
        .map(|name| format!("\nThe value of {name} is not UTF-8: set it anew."))
        .collect()
}

/// Ends the process because two settings do not fit together; `problem` says which and how.
pub fn refuse(problem: &str) -> ! {
    eprintln!("error: {problem}");
    std::process::exit(2)
}

/// Every duration that can be set lies between these: far longer ones would leave the range of clocks and of
/// the database's timestamps.
const DURATIONS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);

/// Reads a duration such as `500ms`, `30s` or `5m`, of at least a millisecond and at most a day.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).ok().filter(|duration| DURATIONS.contains(duration));
    duration.ok_or_else(|| "a duration from 1ms to 24h is needed, like 500ms, 30s or 5m".to_owned())
}

/// Reads `host:port`.
pub fn address(text: &str) -> Result<String, String> {
    let valid = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains("://") && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if valid { Ok(text.to_owned()) } else { Err("an address is needed in the form host:port".to_owned()) }
}

/// Reads the number of a port that is listened on; 0 takes one that is free.
pub fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "a port is needed: a number from 0 (any free one) to 65535".to_owned())
}

/// Reads a whole number within `range`.
pub fn count(range: RangeInclusive<u32>) -> impl Fn(&str) -> Result<u32, String> + Clone {
    move |text| {
        let count = text.parse().ok().filter(|count| range.contains(count));
        count.ok_or_else(|| format!("a whole number from {} to {} is needed", range.start(), range.end()))
    }
}

fn port_of_peer(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| "a port is needed: a number from 1 to 65535".to_owned())
}

fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse()
        .map_err(|_| "an IP address of this machine is needed, like 127.0.0.1, 0.0.0.0 or ::".to_owned())
}

/// What every service has.
#[derive(Args, Clone, Debug)]
pub struct ProcessSettings {
    /// Address that every port of the service binds; :: is all of them, of IPv4 as well
    #[arg(long, env = "BIND_HOST", value_name = "BIND_HOST", default_value = "::", value_parser = ip)]
    pub bind_host: IpAddr,
    /// Longest drain after SIGTERM
    #[arg(long, env = "SHUTDOWN_TIMEOUT", value_name = "SHUTDOWN_TIMEOUT", default_value = "25s", value_parser = duration)]
    pub shutdown_timeout: Duration,
}

/// What every service that keeps running has.
#[derive(Args, Clone, Debug)]
pub struct OpsSettings {
    /// Port of /livez, /readyz and /metrics
    #[arg(long, env = "OPS_PORT", value_name = "OPS_PORT", default_value_t = 9090, value_parser = port)]
    pub ops_port: u16,
    /// Only ask the service that runs with these settings whether it is ready: a container's health check
    #[arg(long)]
    pub healthy: bool,
}

/// Where the database is.
#[derive(Args, Clone, Debug)]
pub struct DatabaseSettings {
    /// Host of MySQL
    #[arg(long = "db-host", env = "MYSQL_CONNECTION", value_name = "MYSQL_CONNECTION", default_value = "mysql", value_parser = NonEmptyStringValueParser::new())]
    pub host: String,
    /// Port of MySQL
    #[arg(long = "db-port", env = "MYSQL_PORT", value_name = "MYSQL_PORT", default_value_t = 3306, value_parser = port_of_peer)]
    pub port: u16,
    /// User and password, as user:password
    #[arg(
        long = "db-username-password",
        env = "MYSQL_USERPASSWORD",
        value_name = "MYSQL_USERPASSWORD",
        hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new().map(Credentials::from)
    )]
    pub credentials: Credentials,
    /// Name of the database
    #[arg(long = "db-dbname", env = "MYSQL_DBNAME", value_name = "MYSQL_DBNAME", default_value = "kube", value_parser = NonEmptyStringValueParser::new())]
    pub name: String,
    /// How connections to it are encrypted.
    #[command(flatten)]
    pub tls: TlsSettings,
}

/// Where messages are published.
#[derive(Args, Clone, Debug)]
pub struct ProducerSettings {
    /// TCP address of the nsqd that messages are published to
    #[arg(long, env = "PRODUCER_ADDRESS", value_name = "PRODUCER_ADDRESS", default_value = "nsqd-srv:4150", value_parser = address)]
    pub producer_address: String,
}

/// Where uploaded pictures are.
#[derive(Args, Clone, Debug)]
pub struct UploadSettings {
    /// Folder that pictures are uploaded to, which must be the folder uploads of UNKNOWN_PEOPLE; off takes none
    #[arg(long, env = "UPLOADS", value_name = "UPLOADS", default_value = "off", value_parser = upload_folder)]
    pub uploads: UploadFolder,
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

/// A database user and its password, read from `user:password`; the first colon separates them.
///
/// Text without a colon is a user without a password, so that reading it never fails and never has to show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password; may hold any character.
    pub password: String,
}

impl From<&str> for Credentials {
    fn from(text: &str) -> Self {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        Self { user: user.to_owned(), password: password.to_owned() }
    }
}

impl From<String> for Credentials {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:…", self.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_hold_any_character() {
        let credentials = Credentials::from("kube:a=b:c@d#e%f");
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("kube", "a=b:c@d#e%f"));
    }

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(format!("{:?}", Credentials::from("kube:secret")), "kube:…");
    }

    #[test]
    fn durations_are_written_as_people_write_them() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        for wrong in ["", "0s", "999us", "25h", "500000000000y", "5", "soon", "-1s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_port_is_a_number_of_sixteen_bits() {
        assert_eq!((port("0"), port("65535")), (Ok(0), Ok(65535)));
        for wrong in ["", "-1", "65536", "http"] {
            assert!(port(wrong).is_err() && port_of_peer(wrong).is_err(), "{wrong}");
        }
        assert!(port_of_peer("0").is_err(), "no peer listens there");
    }

    #[test]
    fn a_count_is_refused_with_its_bounds() {
        let count = count(1..=1024);
        assert_eq!((count("1"), count("1024")), (Ok(1), Ok(1024)));
        for wrong in ["", "0", "1025", "many", "1.5", "-1"] {
            let problem = count(wrong).unwrap_err();
            assert!(problem.contains("from 1 to 1024"), "{wrong}: {problem}");
        }
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
    fn an_address_has_a_host_and_a_port() {
        for right in ["nsqd-srv:4150", "127.0.0.1:1", "[::1]:65535"] {
            assert_eq!(address(right).as_deref(), Ok(right));
        }
        for wrong in ["", "nsqd", ":4150", "nsqd:", "nsqd:0", "nsqd:70000", "http://nsqd:4161"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_value_that_is_not_utf8_is_told_by_the_name_of_its_setting() {
        use clap::CommandFactory;
        use std::os::unix::ffi::OsStringExt;
        #[derive(Parser)]
        struct Settings {
            #[command(flatten)]
            _producer: ProducerSettings,
            #[command(flatten)]
            _ops: OpsSettings,
        }
        let hint = not_utf8(&Settings::command(), |name| {
            Some(if name == "OPS_PORT" { OsString::from_vec(vec![b'9', 0xff]) } else { "nsqd:4150".into() })
        });
        assert_eq!(hint, "\nThe value of OPS_PORT is not UTF-8: set it anew.");
    }
}
