//! Logs: structured lines on standard error, filtered by `RUST_LOG` (default `info`).

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Starts logging for this process. A `RUST_LOG` that cannot be read counts as `info`, and is named.
pub fn init() {
    let wish = std::env::var("RUST_LOG").unwrap_or_default();
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    let (filter, refused) = match builder.parse(&wish) {
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
