//! What tests compare with a file that is committed, so that a reviewer sees how it changes.

use std::{env, fs};

use crate::paths;

/// Fails unless `today` is what `file` holds, a path in the checkout. With `RENEW` in the environment it is written there.
#[allow(clippy::panic, reason = "a test fails by panicking")]
pub fn snapshot(file: &str, today: &str) {
    let path = paths::workspace().join(file);
    if env::var_os("RENEW").is_some()
        && let Err(error) = fs::write(&path, today)
    {
        panic!("cannot write {file}: {error}");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    if written != today {
        let same = written.lines().zip(today.lines()).take_while(|(written, today)| written == today).count();
        let [written, today] = [&written, today].map(|text| text.lines().nth(same).unwrap_or("(its end)"));
        panic!(
            "{file} is another from line {} on; `make snapshots` renews it\nwritten: {written}\ntoday:   {today}",
            same + 1
        );
    }
}
