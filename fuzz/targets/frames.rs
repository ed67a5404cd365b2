//! What nsqd, or whatever answers on its port, sends.

#![no_main]

use nsq_client::fuzzing::{check, seeds};

libfuzzer_sys::fuzz_target!(init: fuzz::sow("frames", &seeds()), |bytes: &[u8]| check(bytes));
