//! Searches two images and two processors with everything at once, which takes minutes and some gigabytes:
//! `cargo run --release -p model --example everything`.

use std::process::ExitCode;

use model::{Bounds, Life, search};

fn main() -> ExitCode {
    let bounds = Bounds {
        images: 2,
        slots: 2,
        max_attempts: 2,
        max_redeems: 1,
        quarantine: true,
        look_again: true,
        run: true,
    };
    println!("searching {bounds:?}");
    let found = search::all(Life::real(bounds));
    println!("{} states\n{}", found.states, found.traces());
    if found.broken.is_empty() && found.impossible.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
