//! Tests of the example workers against a real server and an HTTP target that misbehaves on purpose.

mod certificates;
mod database;
mod limits;
mod protocol;
mod receivers;
mod secrets;
mod target;

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::Client;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;
use target::{Answer, Target};

/// The two example workers, which must behave alike.
const PROGRAMS: [Program; 2] = [Program::Rust, Program::Python];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Program {
    Rust,
    Python,
}

impl Program {
    /// The worker with a connection string, serving workspace `acme`. It may not reach targets.
    fn command(self, database: &str) -> Command {
        let mut command = match self {
            Program::Rust => Command::new(rust_worker()),
            Program::Python => {
                let mut command = Command::new(python());
                command.arg(example("worker.py"));
                command
            }
        };
        command
            .args(["--workspace", "acme"])
            .env("DATABASE_URL", database)
            // No worker may use a proxy, which would connect to addresses that the worker has not checked.
            .env("http_proxy", "http://127.0.0.1:9");
        command
    }
}

/// The Python for which Debian packages psycopg2, or else the usual one.
fn python() -> &'static str {
    let debian = "/usr/bin/python3";
    if Path::new(debian).exists() {
        debian
    } else {
        "python3"
    }
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
    /// Starts a worker. Its messages go to a file in `dir`, after those of earlier workers.
    fn start(mut command: Command, dir: &Path) -> Worker {
        let log = dir.join("worker.log");
        let file = File::options().create(true).append(true).open(&log);
        let process = command.stderr(file.unwrap()).spawn().unwrap();
        Worker { process, log }
    }

    /// What the worker has printed.
    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

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
            eprintln!("log of the worker:\n{}", self.log());
        }
    }
}

/// A server in Python, which prints its port once it is ready.
struct PythonServer {
    process: Child,
    port: u16,
}

impl PythonServer {
    fn start(program: &str, args: &[&Path]) -> PythonServer {
        let mut process = Command::new(python())
            .args(["-c", program])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = process.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap();
        PythonServer { process, port }
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server with one execution on endpoint `hook`, which sends to a target and is retried without delay.
struct Scene {
    program: Program,
    server: Server,
    session: Client,
    target: Target,
}

impl Scene {
    fn new(program: Program, answers: &[Answer]) -> Scene {
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

    /// The connection string of the server's socket.
    fn database(&self) -> String {
        let socket = self.server.socket_dir().display();
        format!("host={socket} user=postgres dbname=postgres")
    }

    /// The worker, which may not reach the target.
    fn command(&self) -> Command {
        self.program.command(&self.database())
    }

    fn start(&self, command: Command) -> Worker {
        Worker::start(command, self.server.socket_dir())
    }

    /// Starts a worker with leases of 4 seconds that may reach the target.
    fn start_worker(&self) -> Worker {
        self.start_worker_with(&["--lease", "4"])
    }

    fn start_worker_with(&self, args: &[&str]) -> Worker {
        let mut command = self.command();
        command.args(["--allow-host", "127.0.0.1"]).args(args);
        self.start(command)
    }

    fn set_spec(&mut self, spec: Value) {
        let update = "select kronos.update_endpoint('hook', spec => $1, workspace => 'acme')";
        self.session.execute(update, &[&spec]).unwrap();
    }

    /// Runs an execution for each spec, with two attempts at most. Returns for each its status, its failed attempts, and
    /// its last error.
    fn run_specs(&mut self, specs: &[Value]) -> Vec<(String, i32, String)> {
        let create = "select kronos.create_endpoint($1, 'HTTP', $2, '{\"max_attempts\": 2, \"initial_delay_ms\": 0}',
                                                    workspace => 'acme')";
        let enqueue = "select kronos.enqueue($1, workspace => 'acme')";
        let first = count(&mut self.session, "select count(*) from kronos.endpoints");
        let names: Vec<String> = (first..)
            .take(specs.len())
            .map(|number| format!("spec {number:03}"))
            .collect();
        for (name, spec) in names.iter().zip(specs) {
            self.session.execute(create, &[name, spec]).unwrap();
            self.session.execute(enqueue, &[name]).unwrap();
        }
        let ended = "select x.status, x.failed_attempts, coalesce(x.error, '') from kronos.execution_details x
                     where x.endpoint = any ($1) and x.status in ('SUCCEEDED', 'FAILED') order by x.endpoint";
        let mut rows = vec![];
        wait_for("the executions of all specs", || {
            rows = self.session.query(ended, &[&names]).unwrap();
            rows.len() == specs.len()
        });
        let fields = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2)));
        fields.collect()
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

    /// The errors of all attempts, in order.
    fn errors(&mut self) -> Vec<String> {
        let statement = "select error from kronos.attempts where error is not null order by attempt, execution_id";
        let rows = self.session.query(statement, &[]).unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The error of the last attempt.
    fn error(&mut self) -> String {
        self.errors().pop().unwrap()
    }
}
