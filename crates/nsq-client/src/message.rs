//! A message in the hands of the application.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::protocol::{Delivery, MessageId};

/// A delivered message. It belongs to its holder until [`Message::finish`] or [`Message::requeue`];
/// dropped without either it is handed back to nsqd at once.
///
/// While it lives it is kept from timing out, wherever it is held. That ends with nsqd's
/// `--max-msg-timeout` (15 minutes unless set), counted from the delivery, and with the connection
/// that it came on: nsqd then delivers it again, here or elsewhere, and an answer has no effect.
pub struct Message {
    /// The name nsqd gave it.
    pub id: MessageId,
    /// When nsqd received it from its publisher.
    pub timestamp: SystemTime,
    /// How often it was delivered, this time included.
    pub attempts: u16,
    /// What was published.
    pub body: Bytes,
    /// Room for the answer, reserved when the message came: so answering neither waits nor fails,
    /// and the answers that can gather are as many as the messages in flight. Gone once answered.
    answer: Option<mpsc::OwnedPermit<Answer>>,
    delivery: u64,
    lost: Arc<AtomicBool>,
}

impl Message {
    pub(crate) fn new(
        received: Delivery,
        delivery: u64,
        lost: Arc<AtomicBool>,
        answer: mpsc::OwnedPermit<Answer>,
    ) -> Self {
        let Delivery { timestamp, attempts, id, body } = received;
        Self { id, timestamp, attempts, body, answer: Some(answer), delivery, lost }
    }

    /// Tells nsqd that the message was dealt with and does not have to come again (FIN).
    pub fn finish(mut self) {
        self.answer(Verdict::Finish);
    }

    /// Tells nsqd to deliver the message again after `delay` (REQ), at most an hour: longer ones are
    /// cut, since nsqd would cut or refuse them.
    pub fn requeue(mut self, delay: Duration) {
        self.answer(Verdict::Requeue(delay));
    }

    /// True once nsqd no longer waits for this message's answer, as far as is known here.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    fn answer(&mut self, verdict: Verdict) {
        if let Some(permit) = self.answer.take() {
            permit.send(Answer { id: self.id, delivery: self.delivery, verdict });
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.answer(Verdict::Requeue(Duration::ZERO));
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("timestamp", &self.timestamp)
            .field("attempts", &self.attempts)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

/// What becomes of a message, on its way to the connection that it came on.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) id: MessageId,
    /// Tells this delivery from an earlier one of the same message.
    pub(crate) delivery: u64,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    Finish,
    Requeue(Duration),
}
