//! Medians, ratios, and the table of them.

use std::{fmt, fs, io, path::Path};

use crate::plot::Plot;

/// What was measured, line by line, and what is to be drawn of it.
#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
    plots: Vec<Plot>,
}

struct Line {
    what: String,
    ours: String,
    beside: String,
    limit: String,
    ratio: f64,
}

impl Report {
    /// Adds a line, and prints it at once: a run takes minutes. `ratio` is ours by the limit.
    pub(crate) fn add(&mut self, what: &str, unit: Unit, ours: f64, beside: &str, limit: f64) {
        let line = Line {
            what: what.to_owned(),
            ours: unit.show(ours),
            beside: beside.to_owned(),
            limit: unit.show(limit),
            ratio: ours / limit,
        };
        println!("{line}");
        self.lines.push(line);
    }

    /// Adds a picture.
    pub(crate) fn plot(&mut self, plot: Plot) {
        self.plots.push(plot);
    }

    /// Writes all pictures to files.
    pub(crate) fn write_plots(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        self.plots
            .iter()
            .try_for_each(|plot| fs::write(folder.join(plot.name).with_extension("svg"), plot.svg()))
    }
}

/// What a number counts.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Seconds.
    Time,
    /// Things per second.
    Rate,
    /// Memory.
    Bytes,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Time if value < 0.000_1 => format!("{:.1} µs", value * 1e6),
            Self::Time if value < 0.1 => format!("{:.2} ms", value * 1e3),
            Self::Time => format!("{:.0} ms", value * 1e3),
            Self::Rate if value < 100.0 => format!("{value:.1}/s"),
            Self::Rate => format!("{value:.0}/s"),
            Self::Bytes => format!("{:.1} MB", value / 1e6),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, ours, beside, limit, ratio } = self;
        write!(f, "| {what:<52} | {ours:>10} | {beside:<44} | {limit:>10} | {ratio:>6.2} |")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| {:<52} | {:>10} | {:<44} | {:>10} | {:>6} |",
            "what", "median", "beside", "median", "ratio"
        )?;
        writeln!(f, "| {:-<52} | {:->9}: | {:-<44} | {:->9}: | {:->5}: |", "", "", "", "", "")?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// The middle one of `values`.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures two things in turn, so that whatever else the machine does befalls both, and returns the median
/// of each.
pub(crate) async fn in_turn(
    rounds: usize,
    mut ours: impl AsyncFnMut() -> anyhow::Result<f64>,
    mut limit: impl AsyncFnMut() -> anyhow::Result<f64>,
) -> anyhow::Result<(f64, f64)> {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        a.push(ours().await?);
        b.push(limit().await?);
    }
    Ok((median(&mut a), median(&mut b)))
}
