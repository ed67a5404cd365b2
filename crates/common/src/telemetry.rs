//! Logs: structured lines on standard error, from `info` up wherever `RUST_LOG` does not say otherwise.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, filter::ParseError};

/// Starts logging for this process. A `RUST_LOG` that cannot be read counts as `info`, and is named.
pub fn init() {
    let wish = std::env::var("RUST_LOG").unwrap_or_default();
    let (filter, refused) = match filter(&wish) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if subscriber.try_init().is_err() {
        return; // a test has started it already
    }
    if let Some(error) = refused {
        tracing::warn!(RUST_LOG = wish, %error, "cannot read RUST_LOG, using info");
    }
}

/// Begins with `info`, so that what is said of one module, or a misspelt level, which reads like a module's
/// name, does not silence all the others.
fn filter(wish: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(format!("info,{wish}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(wish: &str) -> String {
        filter(wish).map_or_else(|error| error.to_string(), |filter| filter.to_string())
    }

    #[test]
    fn a_level_replaces_info() {
        assert_eq!(shown(""), "info");
        assert_eq!(shown("debug"), "debug");
        assert_eq!(shown("off"), "off");
    }

    #[test]
    fn what_is_no_level_silences_nothing() {
        assert_eq!(shown("inof"), "inof=trace,info");
        assert_eq!(shown("sqlx=warn"), "sqlx=warn,info");
        assert_eq!(shown("off,sqlx=warn"), "sqlx=warn,off");
    }
}
