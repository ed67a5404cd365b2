//! The books of one connection: which messages nsqd waits for an answer to.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::Terms;
use crate::message::Answer;
use crate::protocol::MessageId;

/// The messages in flight on one connection. Dropping it, as happens when the connection ends, marks
/// them all as lost.
#[derive(Debug)]
pub(crate) struct InFlight {
    entries: HashMap<MessageId, Entry>,
    deliveries: u64,
    touch_after: Option<Duration>,
    max_msg_timeout: Duration,
}

#[derive(Debug)]
struct Entry {
    delivery: u64,
    lost: Arc<AtomicBool>,
    touch_at: Option<Instant>,
    expires_at: Instant,
}

impl Drop for Entry {
    /// A holder of the message holds it in vain; an answered one has none.
    fn drop(&mut self) {
        self.lost.store(true, Ordering::Release);
    }
}

impl InFlight {
    pub(crate) fn new(terms: &Terms, touch: bool) -> Self {
        Self {
            entries: HashMap::new(),
            deliveries: 0,
            touch_after: touch.then_some(terms.msg_timeout / 2),
            max_msg_timeout: terms.max_msg_timeout,
        }
    }

    /// Enters a delivery. Returns its number and the flag that says when it is lost.
    ///
    /// If the message was in flight here before, then it timed out and nsqd counts this delivery only.
    pub(crate) fn add(&mut self, id: MessageId, now: Instant) -> (u64, Arc<AtomicBool>) {
        self.deliveries += 1;
        let lost = Arc::new(AtomicBool::new(false));
        let entry = Entry {
            delivery: self.deliveries,
            lost: Arc::clone(&lost),
            touch_at: self.touch_after.map(|time| now + time),
            expires_at: now + self.max_msg_timeout,
        };
        self.entries.insert(id, entry);
        (self.deliveries, lost)
    }

    /// Removes the delivery that `answer` is about; false when nsqd no longer waits for it.
    pub(crate) fn settle(&mut self, answer: &Answer) -> bool {
        match self.entries.entry(answer.id) {
            MapEntry::Occupied(entry) if entry.get().delivery == answer.delivery => {
                entry.remove();
                true
            }
            _ => false,
        }
    }

    /// Gives up a message that nsqd says is not in flight.
    pub(crate) fn lose(&mut self, id: MessageId) {
        self.entries.remove(&id);
    }

    /// Gives up what nsqd cannot be asked to wait for any longer. Returns how many.
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.expires_at > now);
        before - self.entries.len()
    }

    /// The messages that half of their time has passed for; their time starts again.
    pub(crate) fn due_for_touch(&mut self, now: Instant) -> Vec<MessageId> {
        let Some(touch_after) = self.touch_after else { return Vec::new() };
        let due = self.entries.iter_mut().filter(|(_, entry)| entry.touch_at.is_some_and(|at| at <= now));
        due.map(|(id, entry)| {
            entry.touch_at = Some(now + touch_after);
            *id
        })
        .collect()
    }

    /// Removes all that are left.
    pub(crate) fn take_all(&mut self) -> Vec<MessageId> {
        self.entries.drain().map(|(id, _)| id).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
