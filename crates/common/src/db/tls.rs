//! How the connection to the database is encrypted, and whose certificate is taken: the modes that every MySQL client has.

use std::{fmt, path::PathBuf};

use clap::{Args, ValueEnum};
use sqlx::{
    Error,
    mysql::{MySqlConnectOptions, MySqlSslMode},
};

/// What has to be true of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Nothing is encrypted
    Disabled,
    /// Encrypted if the server can; its certificate may be anything
    #[default]
    Preferred,
    /// Encrypted; its certificate may be anything
    Required,
    /// Its certificate is from the CA
    VerifyCa,
    /// Its certificate is from the CA, and for the name that it is reached by
    VerifyIdentity,
}

/// How the connection to the database is encrypted.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsSettings {
    /// Encryption of connections to MySQL: disabled, preferred, required, verify-ca or verify-identity
    #[arg(
        long = "db-tls", env = "MYSQL_TLS", value_name = "MYSQL_TLS", default_value = "preferred", value_enum,
        hide_possible_values = true, requires_ifs = [("verify-ca", "ca"), ("verify-identity", "ca")]
    )]
    pub mode: Mode,
    /// The CA's certificates (PEM), by which MySQL's is verified, or a file with them
    #[arg(id = "ca", long = "db-tls-ca", env = "MYSQL_TLS_CA", value_name = "MYSQL_TLS_CA", default_value = "off", hide_env_values = true, value_parser = pem)]
    pub ca: Pem,
    /// A private key and then its certificate (PEM), for a MySQL that wants to see one, or a file with them
    #[arg(long = "db-tls-cert", env = "MYSQL_TLS_CERT", value_name = "MYSQL_TLS_CERT", default_value = "off", hide_env_values = true, value_parser = pem)]
    pub certificate: Pem,
}

/// Keys or certificates.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Pem {
    /// None.
    #[default]
    Off,
    /// These.
    Text(String),
    /// Those in this file. Each connection reads it anew.
    File(PathBuf),
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            // It may be a private key.
            Self::Text(_) => f.write_str("…"),
            Self::File(path) => path.fmt(f),
        }
    }
}

/// How PEM begins (RFC 7468).
const BEGIN: &str = "-----BEGIN ";

/// PEM itself, or the name of a file with it that can be read now. What may be a key is never refused here: the refusal would
/// show it.
fn pem(text: &str) -> Result<Pem, String> {
    if text == "off" {
        return Ok(Pem::Off);
    }
    if text.contains(BEGIN) || text.contains('\n') {
        let begin = text.find(BEGIN).unwrap_or_default();
        return Ok(Pem::Text(text[begin..].to_owned()));
    }
    match std::fs::read(text) {
        Ok(bytes) if bytes.starts_with(BEGIN.as_bytes()) => Ok(Pem::File(text.into())),
        Ok(_) => Err("expected off, PEM text, or a file that begins with -----BEGIN".to_owned()),
        Err(error) => Err(format!("expected off, PEM text, or a readable PEM file: {error}")),
    }
}

impl TlsSettings {
    /// What does not fit together in the settings.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let verifies = matches!(self.mode, Mode::VerifyCa | Mode::VerifyIdentity);
        (verifies && self.ca == Pem::Off)
            .then_some("MYSQL_TLS verifies the server's certificate, and so needs MYSQL_TLS_CA")
    }

    pub(crate) fn apply(&self, options: MySqlConnectOptions) -> MySqlConnectOptions {
        let mut options = options.ssl_mode(match self.mode {
            Mode::Disabled => MySqlSslMode::Disabled,
            Mode::Preferred => MySqlSslMode::Preferred,
            Mode::Required => MySqlSslMode::Required,
            Mode::VerifyCa => MySqlSslMode::VerifyCa,
            Mode::VerifyIdentity => MySqlSslMode::VerifyIdentity,
        });
        options = match &self.ca {
            Pem::Off => options,
            Pem::Text(ca) => options.ssl_ca_from_pem(ca.clone().into_bytes()),
            Pem::File(ca) => options.ssl_ca(ca),
        };
        match &self.certificate {
            Pem::Off => options,
            Pem::Text(both) => options.ssl_client_cert_from_pem(both).ssl_client_key_from_pem(both),
            Pem::File(both) => options.ssl_client_cert(both).ssl_client_key(both),
        }
    }
}

/// What is wrong with the certificate of the server, if that is why there is no connection.
pub(crate) fn refused(error: &Error, host: &str) -> Option<String> {
    let Error::Tls(why) = error else { return None };
    let why = format!("{why:?}").to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| why.contains(words));
    if says(&["hostname mismatch", "ip address mismatch"]) {
        Some(format!(
            "its certificate is not for the name {host}, and MYSQL_TLS=verify-identity wants that; reach it by a name in \
             the certificate, or take verify-ca"
        ))
    } else if says(&["expired", "not yet valid"]) {
        Some("its certificate has expired, or is not valid yet".to_owned())
    } else if says(&["certificate verify failed"]) {
        Some("its certificate is not from the CA in MYSQL_TLS_CA".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Settings {
        #[command(flatten)]
        tls: TlsSettings,
    }

    fn read(flags: &[&str]) -> Result<TlsSettings, String> {
        let settings = Settings::try_parse_from(["service"].iter().chain(flags));
        settings.map(|settings| settings.tls).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_verified_without_a_ca_to_verify_by() {
        assert!(read(&[]).is_ok_and(|tls| tls.mode == Mode::Preferred));
        for mode in ["verify-ca", "verify-identity"] {
            let refused = read(&["--db-tls", mode]).unwrap_err();
            assert!(refused.contains("--db-tls-ca"), "{refused}");
            let off = read(&["--db-tls", mode, "--db-tls-ca", "off"]).unwrap();
            assert!(off.problem().is_some_and(|words| words.contains("needs MYSQL_TLS_CA")));
        }
        let refused = read(&["--db-tls", "yes"]).unwrap_err();
        assert!(refused.contains("invalid value 'yes' for '--db-tls"), "{refused}");
    }

    #[test]
    fn a_key_is_never_shown_however_it_is_written() {
        for key in
            ["\n-----BEGIN PRIVATE KEY-----\nx", "Bag Attributes\n-----BEGIN PRIVATE KEY-----\nx", "x\ny"]
        {
            let read = read(&["--db-tls-cert", key]).unwrap();
            assert!(
                matches!(&read.certificate, Pem::Text(text) if text.starts_with("-----") || *text == "x\ny")
            );
            assert_eq!(format!("{:?}", read.certificate), "…");
        }
    }

    #[test]
    fn a_file_that_is_missing_or_no_pem_is_refused_at_the_start() {
        let missing = read(&["--db-tls-ca", "/nowhere/ca.pem"]).unwrap_err();
        assert!(missing.contains("a readable PEM file: No such file"), "{missing}");
        let other = read(&["--db-tls-cert", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]).unwrap_err();
        assert!(other.contains("begins with -----BEGIN"), "{other}");
    }
}
