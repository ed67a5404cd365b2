//! Runs: work on many pictures that goes on after a restart, until it is done or somebody stops it.

use serde::Serialize;
use utoipa::ToSchema;

/// How far along a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub enum RunState {
    /// Its pictures are being looked at.
    Running,
    /// Each of its pictures was looked at, or cannot be.
    Done,
    /// Somebody stopped it, or it cannot go on: what is in work is finished.
    Stopped,
}

impl RunState {
    /// The number in the column `state`.
    pub(super) fn code(self) -> i8 {
        match self {
            Self::Running => 0,
            Self::Done => 1,
            Self::Stopped => 2,
        }
    }

    /// What that number means.
    pub(super) fn from_code(code: i8) -> Self {
        match code {
            0 => Self::Running,
            1 => Self::Done,
            _ => Self::Stopped,
        }
    }
}
