//! What a process tells of itself: logs, as structured lines on standard error, from `info` up wherever `RUST_LOG` does not say
//! otherwise; and, where the environment names a collector, [`traces`].
//!
//! Each event is one line, whatever names and errors say: a line break in one of them is escaped.

mod fields;
mod traces;

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{LevelFilter, ParseError},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::telemetry::{fields::WithoutOtelFields, traces::Traces};

/// What has to be ended with the process.
#[must_use = "the last spans are sent at its end"]
pub struct Telemetry(Option<Traces>);

impl Telemetry {
    /// Sends the last spans, where any are sent. Blocks, for at most 2 s.
    pub fn end(self) {
        if let Some(traces) = self.0 {
            traces.end();
        }
    }
}

/// Starts logs and traces of this process, which is an instance of `service`. A `RUST_LOG` that cannot be read counts as
/// `info`, and is named. A collector that cannot be sent to is named, too: the service does without it.
pub fn init(service: &'static str) -> Telemetry {
    let wish = std::env::var("RUST_LOG").unwrap_or_default();
    let (filter, refused) = match filter(&wish) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let (traces, not_sent) = match Traces::from_env(service) {
        Ok(traces) => (traces, None),
        Err(error) => (None, Some(error)),
    };
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(WithoutOtelFields)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(|| OneLine(io::stderr()))
        .with_filter(filter);
    let spans = traces.as_ref().map(|traces| traces.layer().with_filter(LevelFilter::INFO));
    if tracing_subscriber::registry().with(lines).with(spans).try_init().is_err() {
        return Telemetry(None); // a test has started it already
    }
    if let Some(error) = refused {
        tracing::warn!(RUST_LOG = wish, %error, "cannot read RUST_LOG, using info");
    }
    if let Some(error) = not_sent {
        tracing::warn!("no traces are sent: {error:#}");
    }
    Telemetry(traces)
}

/// Writes each event as one line. It comes as a whole, with its end.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = event.strip_suffix(b"\n").unwrap_or(event);
        if text.iter().any(|byte| b"\r\n".contains(byte)) {
            let mut line = Vec::with_capacity(event.len() + 16);
            for &byte in text {
                match byte {
                    b'\n' => line.extend(b"\\n"),
                    b'\r' => line.extend(b"\\r"),
                    other => line.push(other),
                }
            }
            line.push(b'\n');
            self.0.write_all(&line)?;
        } else {
            self.0.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
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
    fn an_event_is_one_line_whatever_is_in_it() {
        let mut written = Vec::new();
        for event in ["INFO plain\n", "WARN error=a\r\n2030 INFO forged\n", "no end"] {
            OneLine(&mut written).write_all(event.as_bytes()).unwrap();
        }
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written, "INFO plain\nWARN error=a\\r\\n2030 INFO forged\nno end");
    }

    #[test]
    fn what_is_no_level_silences_nothing() {
        assert_eq!(shown("inof"), "inof=trace,info");
        assert_eq!(shown("sqlx=warn"), "sqlx=warn,info");
        assert_eq!(shown("off,sqlx=warn"), "sqlx=warn,off");
    }
}
