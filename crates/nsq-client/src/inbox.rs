//! Where messages of all connections wait until the application takes them.
//!
//! Its length needs no limit of its own: it holds only messages that are in flight, and nsqd sends no
//! more than it was asked for.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::message::Message;

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Message>,
    closed: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message; once the inbox is closed it is handed back by being dropped.
    pub(crate) fn put(&self, message: Message) {
        let mut waiting = self.lock();
        if !waiting.closed {
            waiting.messages.push_back(message);
            self.changed.notify_one();
        }
    }

    /// Takes the oldest message that nsqd still waits for; `None` once the inbox is closed. Nothing is
    /// lost when the future is dropped. For one taker at a time.
    pub(crate) async fn take(&self) -> Option<Message> {
        loop {
            {
                let mut waiting = self.lock();
                while let Some(message) = waiting.messages.pop_front() {
                    if !message.is_lost() {
                        return Some(message);
                    }
                }
                if waiting.closed {
                    return None;
                }
            }
            // A message put since then has left a permit, so this returns at once.
            self.changed.notified().await;
        }
    }

    /// Drops what nsqd no longer waits for.
    pub(crate) fn forget_lost(&self) {
        self.lock().messages.retain(|message| !message.is_lost());
    }

    /// Hands back everything that was not taken, and whatever may still come.
    pub(crate) fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.messages.clear();
        self.changed.notify_one();
    }
}
