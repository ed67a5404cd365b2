//! What a job on the pages costs whoever does it: counted where a test does the job as its user does, printed in one line, and held
//! against its goal. docs/pages.md has the table.

use std::{
    fmt::{self, Display, Formatter},
    io::{Write, stdout},
    ops::Sub,
};

use crate::browser::Browser;

/// What somebody did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    pub clicks: u32,
    /// Keys that were pressed, beside those of names.
    pub keys: u32,
    /// Names that were typed.
    pub names: u32,
    pub drags: u32,
}

impl Effort {
    fn parts(self) -> [(u32, &'static str); 4] {
        [(self.clicks, "click"), (self.names, "name"), (self.keys, "key"), (self.drags, "drag")]
    }
}

impl Sub for Effort {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            clicks: self.clicks - before.clicks,
            keys: self.keys - before.keys,
            names: self.names - before.names,
            drags: self.drags - before.drags,
        }
    }
}

impl Display for Effort {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let done = self.parts().into_iter().filter(|(count, _)| *count > 0);
        let words = done.map(|(count, what)| format!("{count} {what}{}", if count == 1 { "" } else { "s" }));
        let words: Vec<_> = words.collect();
        f.write_str(if words.is_empty() { "nothing" } else { "" })?;
        f.write_str(&words.join(", "))
    }
}

/// Prints a row of the table. Not by `println!`, which shows nothing of tests that pass.
pub fn tell(job: &str, today: impl Display, goal: impl Display) {
    let row = format!("job: {job} | today {today} | goal {goal}\n");
    stdout().write_all(row.as_bytes()).unwrap();
}

impl Browser {
    /// Ends a job that began when so much had been done: it costs no more than its goal.
    pub fn finish(&self, job: &str, began: Effort, goal: Effort) {
        let today = self.effort() - began;
        tell(job, today, goal);
        let fits = today.parts().iter().zip(goal.parts()).all(|((today, _), (goal, _))| *today <= goal);
        assert!(fits, "{job}: {today}, which is more than {goal}");
    }
}
