//! What the processes of a schedule were told, in the order in which they were told it.

use std::sync::{Arc, Mutex, MutexGuard};

use common::{db::images::Fenced, models::ImageId};

/// Names one claim in a history: the place of the event that it was won.
pub type ClaimNumber = usize;

/// What somebody did, or was told.
#[derive(Clone, Debug)]
pub enum Event {
    /// A process has an image.
    Won {
        /// The image.
        image: ImageId,
        /// Its claim.
        claim: ClaimNumber,
        /// Whether it is looked at again.
        again: bool,
    },
    /// It begins to store what came of that.
    Finishing {
        /// Its claim.
        claim: ClaimNumber,
        /// What came of it.
        how: How,
    },
    /// It was told whether that counts.
    Finished {
        /// Its claim.
        claim: ClaimNumber,
        /// What it was told.
        fenced: Fenced,
    },
    /// All leases have ended.
    LeasesEnded,
    /// Somebody asks for an image to be looked at again.
    LookingAgain(ImageId),
    /// Somebody begins to delete an image.
    Deleting(ImageId),
    /// A path was stored with an id.
    Stored(String, ImageId),
    /// A correction counts; its entry in the audit.
    Corrected(u64),
    /// A statement failed though its connection was left alone.
    Failed(String),
}

/// What the work on an image came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Recognition ran.
    Recognised,
    /// A try that counts.
    Failed,
    /// The image was given back.
    GivenBack,
}

/// All events of a schedule; each process has a copy.
#[derive(Clone, Default)]
pub struct History(Arc<Mutex<Vec<Event>>>);

impl History {
    /// Adds an event.
    pub fn add(&self, event: Event) {
        self.locked().push(event);
    }

    /// Notes that a process has an image, and numbers its claim.
    pub fn won(&self, image: ImageId, again: bool) -> ClaimNumber {
        let mut events = self.locked();
        let claim = events.len();
        events.push(Event::Won { image, claim, again });
        claim
    }

    /// The events until now.
    pub fn events(&self) -> Vec<Event> {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Event>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
