//! Tests of the lock protocols: specs for PostgreSQL's isolationtester, in pgrx-tests/isolation.
//!
//! With `KRONOS_WRITE_EXPECTED=1` the test writes the actual output to the expected files, for review.

use crate::server::{Server, pg_config};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[test]
fn every_isolation_spec_gives_its_expected_output() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("pgrx-tests/isolation");
    let server = Server::start();
    let mut names: Vec<String> = std::fs::read_dir(dir.join("specs"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    assert!(!names.is_empty());
    for name in names {
        let spec = std::fs::read(dir.join("specs").join(format!("{name}.spec"))).unwrap();
        let actual = run_spec(&server, &spec);
        let expected_file = dir.join("expected").join(format!("{name}.out"));
        if std::env::var_os("KRONOS_WRITE_EXPECTED").is_some() {
            std::fs::write(&expected_file, &actual).unwrap();
        }
        let expected = std::fs::read_to_string(expected_file).unwrap_or_default();
        assert!(
            actual == expected,
            "{name}: expected\n{expected}\ngot\n{actual}"
        );
    }
}

fn run_spec(server: &Server, spec: &[u8]) -> String {
    let tester =
        PathBuf::from(pg_config("--pgxs")).with_file_name("../test/isolation/isolationtester");
    let connection = format!(
        "host={} user=postgres dbname=postgres",
        server.socket_dir().display()
    );
    let mut child = Command::new(tester)
        .arg(connection)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("isolationtester comes with the server's development package");
    child.stdin.take().unwrap().write_all(spec).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
