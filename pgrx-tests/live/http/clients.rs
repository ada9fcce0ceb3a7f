//! Clients that others have written: schemathesis, which reads the document, and a browser with the console.
//!
//! `KRONOS_HTTP_TOOLS` names the virtual environment of Python in which scripts/test installs them.

use super::*;
use std::process::Output;

/// One of the installed programs.
fn tool(name: &str) -> Command {
    let tools = std::env::var("KRONOS_HTTP_TOOLS");
    let tools = tools.expect("KRONOS_HTTP_TOOLS names the tools; scripts/test installs them");
    Command::new(Path::new(&tools).join("bin").join(name))
}

fn assert_success(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
}

/// The last part of a path.
fn id(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

#[test]
fn every_answer_is_one_that_the_document_allows() {
    let api = Api::start();
    let config = format!(
        "[parameters]\n\"path.workspace\" = \"acme\"\n\"path.endpoint\" = \"hook\"\n\"path.job_id\" = \"{}\"\n\
         \"path.execution_id\" = \"{}\"\n\"path.payload_spec\" = \"letter\"\n",
        id(&api.create_job("report")),
        id(&api.enqueue()),
    );
    let spec = json!({ "name": "letter", "schema": true });
    api.post("operator", PAYLOAD_SPECS, spec).expect(201);
    // schemathesis reads its configuration, and keeps its cache, in the current directory.
    let dir = api.server.socket_dir().join("schemathesis");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("schemathesis.toml"), config).unwrap();
    let output = tool("schemathesis")
        .args(["run", &format!("http://{}/openapi.json", api.address)])
        .args([
            "--header",
            &format!("Authorization: Bearer {}", token("operator")),
        ])
        // No JSON Schema knows which endpoints and time zones exist.
        .args([
            "--checks",
            "all",
            "--exclude-checks",
            "positive_data_acceptance",
        ])
        // All paths name the rows above, so sequences of requests would tell nothing more. With a fixed seed, no run
        // fails by chance.
        .args(["--phases", "examples,coverage,fuzzing", "--seed", "1"])
        .args(["--max-examples", "20", "--no-color"])
        .current_dir(&dir)
        .output()
        .unwrap();
    assert_success(&output);
}

#[test]
fn console_shows_and_changes_what_an_operator_may() {
    let api = Api::start();
    let database = format!(
        "host={} user=postgres dbname=postgres",
        api.server.socket_dir().display()
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("pgrx-tests/live/http/console.py");
    let output = tool("python")
        .arg(script)
        .args(["--url", &format!("http://{}", api.address)])
        .args(["--workspace", "acme", "--database", &database])
        .args([
            "--token",
            &token("operator"),
            "--viewer-token",
            &token("reader"),
        ])
        .output()
        .unwrap();
    assert_success(&output);
}
