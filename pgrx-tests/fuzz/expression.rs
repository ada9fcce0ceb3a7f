//! The fuzz target. The script `run` builds and runs it.
#![no_main]

#[path = "exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
