//! One budget of memory for all decoders together, whatever the number of workers, and one for the files that they read.
//!
//! A decoder tells from the header what it will need, and waits until the others leave as much. So the service needs no
//! more memory when every worker meets the worst picture at once than when one does. Who waits for it may have a file in
//! hand; who has some of it waits for nothing, so it is always given back.

use std::sync::{Condvar, Mutex, PoisonError};

use super::{MAX_FILE, PictureError};

/// For all decoders together, in bytes: a photograph of 36 megapixels in the greediest kind of JPEG, or of 64 in any
/// that cameras write, or three of 12 megapixels at once.
const BUDGET: u64 = 256 << 20;

static DECODERS: Budget = Budget::new(BUDGET);

/// As much as the largest file: others are read beside it only as far as they fit.
static FILES: Budget = Budget::new(MAX_FILE);

/// Takes `bytes` of the budget, and waits for them if others have them. Blocks.
pub(super) fn hold(bytes: u64) -> Result<Held<'static>, PictureError> {
    if bytes > BUDGET {
        return Err(PictureError::TooMuchMemory { needed: bytes.div_ceil(1 << 20), most: BUDGET >> 20 });
    }
    Ok(DECODERS.hold(bytes))
}

/// Takes the memory of a file of at most [`MAX_FILE`] bytes, and waits for it if others have it. Blocks.
pub(crate) fn hold_file(bytes: u64) -> Held<'static> {
    FILES.hold(bytes.min(MAX_FILE))
}

/// So many bytes, and no more at once.
#[derive(Debug)]
struct Budget {
    /// Held by who is next: one who needs much is not overtaken by all who need little.
    turn: Mutex<()>,
    left: Mutex<u64>,
    given_back: Condvar,
}

impl Budget {
    const fn new(bytes: u64) -> Self {
        Self { turn: Mutex::new(()), left: Mutex::new(bytes), given_back: Condvar::new() }
    }

    /// `bytes` must not be more than the whole.
    fn hold(&self, bytes: u64) -> Held<'_> {
        // Nothing in here panics.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.given_back.wait_while(left, |left| *left < bytes);
        *left.unwrap_or_else(PoisonError::into_inner) -= bytes;
        Held { budget: self, bytes }
    }
}

/// Bytes of the budget, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.budget.left.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.budget.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn who_finds_too_little_waits_until_it_is_given_back() {
        let budget = Budget::new(10);
        let (one, other) = (budget.hold(3), budget.hold(4));
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _all = budget.hold(10);
                tell.send(()).unwrap();
            });
            drop(one);
            assert!(told.try_recv().is_err(), "the rest is still held");
            drop(other);
            told.recv().unwrap();
        });
        assert_eq!(*budget.left.lock().unwrap(), 10);
    }

    #[test]
    fn what_can_never_be_had_is_refused_at_once() {
        let words = hold(BUDGET + 1).unwrap_err().to_string();
        assert!(words.contains("takes 257 MiB of memory to open, and 256 are allowed"), "{words}");
        assert!(hold(BUDGET).is_ok());
    }
}
