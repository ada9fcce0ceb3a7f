//! Tests of the example workers against a real server and an HTTP target that misbehaves on purpose.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::Client;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

/// The two example workers, which must behave alike.
const PROGRAMS: [Program; 2] = [Program::Rust, Program::Python];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Program {
    Rust,
    Python,
}

/// The path of the worker in Rust, which is built once.
fn rust_worker() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // Built beside this build, so that a build in the chroot and one outside do not disturb each other.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("examples");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--manifest-path"])
            .arg(example("worker/Cargo.toml"))
            .env("CARGO_TARGET_DIR", &target)
            .status()
            .unwrap();
        assert!(status.success(), "the build of the worker failed");
        target.join("debug/kronos-worker")
    })
}

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(path)
}

/// A worker process. Dropping it kills the process, and prints its log if the test has failed.
struct Worker {
    process: Child,
    log: PathBuf,
}

impl Worker {
    fn terminate(&self) {
        let pid = self.process.id().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(status.success());
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn wait_for_exit(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for("the worker to exit", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("log of the worker:\n{log}");
        }
    }
}

/// The target's answer to a request.
#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    /// A status with `Retry-After`, in seconds.
    Later(u16, u32),
    /// No response until the client gives up.
    Hang,
    /// The socket closes in the middle of the response.
    Die,
}

/// A request that the target has received.
#[derive(Clone, Debug)]
struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: Value,
    /// Whether the client closed the connection while the target hung.
    given_up: bool,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        &found.unwrap_or_else(|| panic!("no {name} in {self:?}")).1
    }
}

/// An HTTP server that gives the n-th answer to the n-th request, and the last answer to all further ones.
struct Target {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Target {
    fn start(answers: &'static [Answer]) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/run", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(vec![]));
        let seen = requests.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let seen = seen.clone();
                thread::spawn(move || respond(stream.unwrap(), answers, &seen));
            }
        });
        Target { url, requests }
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    fn wait_for_requests(&self, count: usize) {
        wait_for("the target to receive requests", || {
            self.requests().len() >= count
        });
    }
}

fn respond(mut stream: TcpStream, answers: &[Answer], seen: &Mutex<Vec<Request>>) {
    let request = read_request(&stream);
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(request);
        seen.len() - 1
    };
    let mut send = |status: u16, more: &str| {
        let body = r#"{"done": true}"#;
        let _ = write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{more}Connection: close\r\n\r\n{body}",
            body.len()
        );
    };
    match answers[number.min(answers.len() - 1)] {
        Answer::Status(status) => send(status, ""),
        Answer::Later(status, seconds) => send(status, &format!("Retry-After: {seconds}\r\n")),
        Answer::Die => {
            let _ = write!(
                stream,
                "HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n{{\"do"
            );
        }
        Answer::Hang => {
            let _ = stream.read(&mut [0]);
            seen.lock().unwrap()[number].given_up = true;
        }
    }
}

fn read_request(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut lines = vec![];
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            text => lines.push(text.to_owned()),
        }
    }
    let line = lines.remove(0);
    let headers = lines.iter().map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_lowercase(), value.trim().to_owned())
    });
    let mut request = Request {
        line,
        headers: headers.collect(),
        body: Value::Null,
        given_up: false,
    };
    let mut body = vec![0; request.header("content-length").parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    request.body = serde_json::from_slice(&body).unwrap();
    request
}

/// A server with one execution on endpoint `hook`, which sends to a target and is retried without delay.
struct Scene {
    program: Program,
    server: Server,
    session: Client,
    target: Target,
}

impl Scene {
    fn new(program: Program, answers: &'static [Answer]) -> Scene {
        let server = Server::start();
        let mut session = server.session();
        create_acme(&mut session);
        let target = Target::start(answers);
        let spec = json!({ "url": target.url, "headers": { "X-Team": "blue" } });
        let policy = json!({ "max_attempts": 3, "initial_delay_ms": 0 });
        let update = "select kronos.update_endpoint('hook', spec => $1, retry_policy => $2, workspace => 'acme')";
        session.execute(update, &[&spec, &policy]).unwrap();
        enqueue(&mut session, 1);
        Scene {
            program,
            server,
            session,
            target,
        }
    }

    /// Starts a worker with leases of 4 seconds. Only the Rust worker has a grace period for running requests.
    fn start_worker(&self, grace: u32) -> Worker {
        self.start_worker_for(Some("acme"), grace)
    }

    fn start_worker_for(&self, workspace: Option<&str>, grace: u32) -> Worker {
        let socket = self.server.socket_dir().display();
        let database = format!("host={socket} user=postgres dbname=postgres");
        let mut command = match self.program {
            Program::Rust => {
                let mut command = Command::new(rust_worker());
                command.args(["--database", &database, "--lease", "4"]);
                command.args(["--grace", &grace.to_string()]);
                command.args(workspace.iter().flat_map(|name| ["--workspace", name]));
                command
            }
            Program::Python => {
                // Debian packages psycopg2 for its own Python.
                let debian = Path::new("/usr/bin/python3");
                let python = if debian.exists() {
                    debian
                } else {
                    Path::new("python3")
                };
                let mut command = Command::new(python);
                command
                    .arg(example("worker.py"))
                    .args([&database, workspace.unwrap()]);
                command.env("KRONOS_LEASE", "4");
                command
            }
        };
        let log = self.server.socket_dir().join("worker.log");
        let file = File::options().create(true).append(true).open(&log);
        let process = command
            .env("NO_PROXY", "127.0.0.1")
            .stderr(file.unwrap())
            .spawn()
            .unwrap();
        Worker { process, log }
    }

    fn set_timeout(&mut self, timeout: &str) {
        let update = format!(
            "select kronos.update_endpoint('hook', attempt_timeout => '{timeout}', workspace => 'acme')"
        );
        self.session.batch_execute(&update).unwrap();
    }

    /// The status of the execution, its failed attempts, and the outcomes of all attempts.
    fn execution(&mut self) -> (String, i32, String) {
        let statement = "select x.status, x.failed_attempts, coalesce(string_agg(a.outcome, ' ' order by a.attempt), '')
                         from kronos.execution_details x left join kronos.attempts a using (execution_id)
                         group by x.execution_id, x.status, x.failed_attempts";
        let row = self.session.query_one(statement, &[]).unwrap();
        (row.get(0), row.get(1), row.get(2))
    }

    fn wait_for_status(&mut self, status: &str) {
        wait_for(status, || self.execution().0 == status);
    }

    fn assert_ended(&mut self, status: &str, failed_attempts: i32, outcomes: &str) {
        let program = self.program;
        self.wait_for_status(status);
        let expected = (status.to_owned(), failed_attempts, outcomes.to_owned());
        assert_eq!(self.execution(), expected, "{program:?}");
        assert_sound(&mut self.session);
    }

    /// The error of the last attempt.
    fn error(&mut self) -> String {
        let statement = "select error from kronos.attempts order by attempt desc limit 1";
        self.session.query_one(statement, &[]).unwrap().get(0)
    }
}

#[test]
fn worker_retries_after_a_server_error_with_the_same_key() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Status(500), Answer::Status(200)]);
        let _worker = scene.start_worker(0);
        scene.assert_ended("SUCCEEDED", 1, "FAILED SUCCEEDED");
        let row = scene
            .session
            .query_one(
                "select execution_id::text, output from kronos.attempts where attempt = 2",
                &[],
            )
            .unwrap();
        let id: String = row.get(0);
        let output = json!({ "status": 200, "body": "{\"done\": true}" });
        assert_eq!(row.get::<_, Value>(1), output);
        let requests = scene.target.requests();
        assert_eq!(requests.len(), 2);
        for (request, attempt) in requests.iter().zip(["1", "2"]) {
            assert_eq!(request.line, "POST /run HTTP/1.1");
            assert_eq!(request.header("idempotency-key"), id);
            assert_eq!(request.header("kronos-execution-id"), id);
            assert_eq!(request.header("kronos-attempt"), attempt);
            assert_eq!(request.header("content-type"), "application/json");
            assert_eq!(request.header("x-team"), "blue");
            assert_eq!(request.body, json!({ "n": 1 }));
        }
    }
}

#[test]
fn worker_does_not_retry_a_request_that_the_target_rejects() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Status(404)]);
        let _worker = scene.start_worker(0);
        scene.assert_ended("FAILED", 1, "FAILED");
        let error = scene.error();
        assert!(error.starts_with("HTTP status 404"), "{error}");
        assert_eq!(scene.target.requests().len(), 1);
    }
}

#[test]
fn worker_does_not_retry_an_execution_with_a_bad_spec() {
    for program in PROGRAMS {
        for spec in [
            json!({}),
            json!({ "url": "file:///etc/hostname" }),
            json!({ "url": "http://localhost", "headers": ["X"] }),
        ] {
            let mut scene = Scene::new(program, &[Answer::Status(200)]);
            let update = "select kronos.update_endpoint('hook', spec => $1, workspace => 'acme')";
            scene.session.execute(update, &[&spec]).unwrap();
            let _worker = scene.start_worker(0);
            scene.assert_ended("FAILED", 1, "FAILED");
            let error = scene.error();
            assert!(error.starts_with("bad endpoint spec: "), "{error}");
        }
    }
}

#[test]
fn worker_ends_a_hanging_request_at_the_deadline_and_retries() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Hang, Answer::Status(200)]);
        scene.set_timeout("5 seconds");
        let _worker = scene.start_worker(0);
        scene.assert_ended("SUCCEEDED", 1, "FAILED SUCCEEDED");
        wait_for("the request to be given up", || {
            scene.target.requests()[0].given_up
        });
    }
}

#[test]
fn worker_retries_if_the_target_dies_in_the_middle_of_its_response() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Die, Answer::Status(200)]);
        let _worker = scene.start_worker(0);
        scene.assert_ended("SUCCEEDED", 1, "FAILED SUCCEEDED");
    }
}

#[test]
fn worker_waits_as_long_as_the_target_asks() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Later(429, 3600)]);
        let _worker = scene.start_worker(0);
        scene.assert_ended("RETRYING", 1, "FAILED");
        let late = "select count(*) from kronos.execution_details
                    where run_at - now() between interval '59 minutes' and interval '60 minutes'";
        assert_eq!(count(&mut scene.session, late), 1);
    }
}

#[test]
fn worker_extends_the_lease_of_a_long_execution() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Hang]);
        scene.set_timeout("10 seconds");
        let _worker = scene.start_worker(0);
        scene.target.wait_for_requests(1);
        wait_for("a lease to be extended", || {
            let extended = "select count(*) from kronos.execution_details x join kronos.attempts a using (execution_id)
                            where x.lease_expires_at > a.started_at + interval '6 seconds'";
            count(&mut scene.session, extended) == 1
        });
        assert_eq!(scene.execution(), ("RUNNING".into(), 0, "RUNNING".into()));
    }
}

#[test]
fn terminated_worker_releases_its_executions_and_exits_cleanly() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Hang, Answer::Status(200)]);
        let mut worker = scene.start_worker(1);
        scene.target.wait_for_requests(1);
        worker.terminate();
        assert_eq!(worker.wait_for_exit().code(), Some(0), "{program:?}");
        assert_eq!(scene.execution(), ("QUEUED".into(), 0, "RELEASED".into()));
        let _other = scene.start_worker(0);
        scene.assert_ended("SUCCEEDED", 0, "RELEASED SUCCEEDED");
    }
}

#[test]
fn terminated_rust_worker_waits_for_a_request_that_ends_in_time() {
    let mut scene = Scene::new(Program::Rust, &[Answer::Hang]);
    scene.set_timeout("5 seconds");
    let mut worker = scene.start_worker(60);
    scene.target.wait_for_requests(1);
    worker.terminate();
    assert_eq!(worker.wait_for_exit().code(), Some(0));
    assert_eq!(scene.execution(), ("RETRYING".into(), 1, "FAILED".into()));
    assert_eq!(
        scene.target.requests().len(),
        1,
        "it claims no further execution"
    );
}

#[test]
fn worker_releases_an_execution_that_it_is_asked_to_stop() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Hang]);
        let _worker = scene.start_worker(0);
        scene.target.wait_for_requests(1);
        scene
            .session
            .batch_execute(
                "select kronos.cancel_execution(execution_id, request_stop => true, workspace => 'acme') from kronos.execution_details",
            )
            .unwrap();
        scene.assert_ended("CANCELLED", 0, "RELEASED");
        if program == Program::Rust {
            wait_for("the request to be aborted", || {
                scene.target.requests()[0].given_up
            });
        }
    }
}

#[test]
fn executions_of_a_killed_worker_run_on_another_after_the_lease_expires() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Hang, Answer::Status(200)]);
        let mut killed = scene.start_worker(0);
        scene.target.wait_for_requests(1);
        let _other = scene.start_worker(0);
        killed.kill();
        scene.assert_ended("SUCCEEDED", 1, "LOST SUCCEEDED");
        let requests = scene.target.requests();
        let keys = requests.iter().map(|r| r.header("idempotency-key"));
        assert_eq!(keys.collect::<std::collections::HashSet<_>>().len(), 1);
    }
}

#[test]
fn rust_worker_serves_all_workspaces_and_survives_a_lost_connection() {
    let mut scene = Scene::new(Program::Rust, &[Answer::Status(200)]);
    let mut worker = scene.start_worker_for(None, 0);
    scene.assert_ended("SUCCEEDED", 0, "SUCCEEDED");
    let ended = "select count(*) from (select pg_terminate_backend(pid) from pg_stat_activity
                 where query like '%next_wakeup%' and pid <> pg_backend_pid()) t";
    wait_for("the worker to sleep", || {
        count(&mut scene.session, ended) == 1
    });
    enqueue(&mut scene.session, 1);
    let succeeded = "select count(*) from kronos.executions where status = 'SUCCEEDED'";
    wait_for("the second execution", || {
        count(&mut scene.session, succeeded) == 2
    });
    worker.terminate();
    assert_eq!(worker.wait_for_exit().code(), Some(0));
}
