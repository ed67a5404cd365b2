//! docs/reliability.md names every test of a fault, and no other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;

use devstack::paths;

/// Every word that begins with `fault_`.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("fault_"))
}

#[test]
fn every_fault_in_the_table_has_its_tests_and_every_test_is_in_the_table() {
    let mut written = BTreeSet::new();
    for file in fs::read_dir(paths::workspace().join("crates/faults/tests/faults")).unwrap() {
        let source = fs::read_to_string(file.unwrap().path()).unwrap();
        written.extend(names(&source).map(str::to_owned));
    }

    let document = fs::read_to_string(paths::workspace().join("docs/reliability.md")).unwrap();
    let mut named = BTreeSet::new();
    for row in document.lines().filter(|line| line.starts_with("| ")) {
        let number = row[2..].split(' ').next().unwrap();
        for name in names(row) {
            assert!(name.contains(&format!("_{number}_")), "{name} is in the row {number}");
            named.insert(name.to_owned());
        }
    }
    assert_eq!(named, written);
}
