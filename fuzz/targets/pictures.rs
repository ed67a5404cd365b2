//! What lies in the folder of unknown people.

#![no_main]

use face_recog::fuzzing::{check, seeds};

libfuzzer_sys::fuzz_target!(
    init: {
        fuzz::allow_caught_panics(); // those of decoders
        fuzz::sow("pictures", &seeds());
    },
    |bytes: &[u8]| check(bytes)
);
