//! `make bench`: what the system does beside what the machine allows, measured in the same run.
//!
//! Absolute numbers belong to the machine; the ratios travel. Each part starts what it needs (real servers, the
//! release binaries) and throws it away afterwards.

mod archive;
mod databases;
mod footprint;
mod frontend;
mod gallery;
mod growth;
mod kept;
mod load;
mod people;
mod plot;
mod processor;
mod receiver;
mod recognition;
mod report;
mod spread;
mod world;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use report::Report;

/// Measures parts of the system beside the limit that the machine sets.
#[derive(Parser)]
struct Arguments {
    /// What to measure; everything if nothing is named.
    parts: Vec<Part>,
    /// Folder for the plots of what was measured.
    #[arg(long)]
    plots: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Memory and start of the three small services. The first, because a process that has become large takes longer to
    /// start others.
    Footprint,
    /// The search among known faces, by their number; how soon a restart knows them again. Before those that use
    /// much memory and give it back: they would hide how much it takes.
    Gallery,
    /// One call beside the same work in a plain loop; time by picture size.
    Recognition,
    /// Posts, one by one and in bulk, beside bare INSERTs and PUBs.
    Receiver,
    /// From message to result, beside the bare statements.
    Processor,
    /// A page of a million rows, beside its query.
    Frontend,
    /// Import of 10,000 people by three pictures each.
    People,
    /// Two replicas of face-recog beside two whole systems.
    Spread,
    /// Rate and memory by what waits and by the number of processors.
    Growth,
    /// Intake, pipeline and fail-over on each database that is installed, beside one MariaDB.
    Databases,
    /// 100,000 and a million kept faces, most of them of people who were seen once; the export of all of it.
    Kept,
}

fn main() -> anyhow::Result<()> {
    // As face-recog does, so that both are compared with the same kernels.
    face_recog::engine::blas::choose_kernels();
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> anyhow::Result<()> {
    let Arguments { mut parts, plots } = Arguments::parse();
    if parts.is_empty() {
        parts = Part::value_variants().to_vec();
    }
    let mut report = Report::default();
    for part in parts {
        match part {
            Part::Footprint => footprint::measure(&mut report).await?,
            Part::Gallery => gallery::measure(&mut report).await?,
            Part::Recognition => recognition::measure(&mut report).await?,
            Part::Receiver => receiver::measure(&mut report).await?,
            Part::Processor => processor::measure(&mut report).await?,
            Part::Frontend => frontend::measure(&mut report).await?,
            Part::People => people::measure(&mut report).await?,
            Part::Spread => spread::measure(&mut report).await?,
            Part::Growth => growth::measure(&mut report).await?,
            Part::Databases => databases::measure(&mut report).await?,
            Part::Kept => kept::measure(&mut report).await?,
        }
    }
    println!("\n{report}");
    if let Some(folder) = plots {
        report.write_plots(&folder)?;
    }
    Ok(())
}
