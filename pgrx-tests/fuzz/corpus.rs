//! Runs the fuzzer's corpus as a test.

#[path = "exercise.rs"]
mod exercise;

#[test]
fn no_corpus_input_makes_the_calendar_panic() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/pgrx-tests/fuzz/corpus");
    let mut count = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        exercise::exercise(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 100, "{dir} has only {count} files");
}
