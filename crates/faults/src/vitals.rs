//! Memory and open files of a process, as the kernel counts them.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

/// How often a watched process is looked at.
const SAMPLE: Duration = Duration::from_millis(200);

/// What a process holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Resident memory, in bytes.
    pub memory: u64,
    /// Open files, sockets among them.
    pub files: u64,
}

impl Vitals {
    /// Of the process `pid` now; `None` when it is gone.
    pub fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let memory = line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024;
        let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
        Some(Self { memory, files })
    }
}

/// Samples a process until it is asked for the result.
pub struct Watch {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<Vitals>>,
}

impl Watch {
    /// Begins to watch the process `pid`.
    pub fn of(pid: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut samples = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                samples.extend(Vitals::of(pid));
                tokio::time::sleep(SAMPLE).await;
            }
            samples
        });
        Self { stop, task }
    }

    /// Ends, and returns every sample in order.
    pub async fn samples(self) -> Vec<Vitals> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }

    /// Ends, and returns the most memory that was seen, in bytes.
    pub async fn peak_memory(self) -> u64 {
        self.samples().await.iter().map(|sample| sample.memory).max().unwrap_or_default()
    }
}
