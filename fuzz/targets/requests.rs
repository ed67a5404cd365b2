//! What a client posts to the receiver.

#![no_main]

use receiver::fuzzing::{check, seeds};

libfuzzer_sys::fuzz_target!(init: fuzz::sow("requests", &seeds()), |bytes: &[u8]| check(bytes));
