//! Tests of the HTTP service against a real server.

mod clients;
mod endpoints;
mod executions;
mod failures;
mod jobs;
mod lost;
mod problems;
mod service;
mod shared_pool;

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::Client;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{HeaderMap, Request};

const JOBS: &str = "/workspaces/acme/jobs";
const EXECUTIONS: &str = "/workspaces/acme/executions";
const ENDPOINTS: &str = "/workspaces/acme/endpoints";
const PAYLOAD_SPECS: &str = "/workspaces/acme/payload-specs";

/// The roles of the tokens. The token of role `app` is `secret of app`.
const ROLES: [&str; 4] = ["operator", "app", "reader", "stranger"];

/// The path of the service, which is built once.
fn http_api() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("examples");
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/http-api/Cargo.toml");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--manifest-path"])
            .arg(manifest)
            .env("CARGO_TARGET_DIR", &target)
            .status()
            .unwrap();
        assert!(status.success(), "the build of the HTTP service failed");
        target.join("debug/kronos-http-api")
    })
}

/// The line of the tokens file for a token.
fn token_line(token: &str, role: &str) -> String {
    let mut process = Command::new(http_api())
        .args(["hash-token", role])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = process.stdin.take().unwrap();
    writeln!(&input, "{token}").unwrap();
    drop(input);
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// A server with workspace `acme` and endpoint `hook`, and the service. Dropping it ends the service, and prints its log
/// if the test has failed.
struct Api {
    server: Server,
    session: Client,
    process: Child,
    log: PathBuf,
    http: Http,
}

impl Deref for Api {
    type Target = Http;

    fn deref(&self) -> &Http {
        &self.http
    }
}

/// A client of the service, which threads can share.
#[derive(Clone, Default)]
struct Http {
    address: String,
}

/// An answer of the service.
struct Reply {
    status: u16,
    headers: HeaderMap,
    text: String,
    /// null unless the answer is JSON.
    body: Value,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts on the status, and returns the body.
    fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }

    /// Asserts that the answer is a problem with a status and a code, and returns it.
    fn expect_problem(self, status: u16, code: &str) -> Value {
        let (content_type, request_id) = (self.header("content-type"), self.header("x-request-id"));
        assert_eq!(content_type, "application/problem+json", "{}", self.text);
        assert_eq!(self.body["request_id"], request_id);
        assert_eq!(self.body["code"], code, "{}", self.text);
        assert_eq!(self.body["status"], status, "{}", self.text);
        assert_eq!(self.header("retry-after").is_empty(), status != 503);
        self.expect(status)
    }
}

impl Api {
    fn start() -> Api {
        Api::start_with(&[])
    }

    fn start_with(args: &[&str]) -> Api {
        let server = Server::start();
        let mut session = server.session();
        create_acme(&mut session);
        session
            .batch_execute(
                "create role api login noinherit;
                 create role operator; create role app; create role reader; create role stranger;
                 grant operator, app, reader, stranger to api;
                 grant usage on schema kronos to operator, app, reader, stranger;
                 select kronos.grant_workspace('operator', 'admin', all_workspaces => true);
                 select kronos.grant_workspace('app', 'producer', workspace => 'acme');
                 select kronos.grant_workspace('reader', 'viewer', workspace => 'acme');",
            )
            .unwrap();
        let log = server.socket_dir().join("api.log");
        let process = Api::spawn(&server, &log, args);
        let mut api = Api {
            server,
            session,
            process,
            log,
            http: Http::default(),
        };
        api.wait_for_address();
        api
    }

    fn spawn(server: &Server, log: &Path, args: &[&str]) -> Child {
        let tokens: String = ROLES
            .iter()
            .map(|role| token_line(&token(role), role))
            .collect();
        let database = format!(
            "host={} user=api dbname=postgres",
            server.socket_dir().display()
        );
        Command::new(http_api())
            .args(["--listen", "127.0.0.1:0", "--monitor-role", "operator"])
            .args(args)
            .env("DATABASE_URL", database)
            .env("KRONOS_API_TOKENS", tokens)
            .stderr(File::create(log).unwrap())
            .spawn()
            .unwrap()
    }

    fn wait_for_address(&mut self) {
        wait_for("the service to listen", || {
            let log = self.log();
            let lines = log
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            let listening = lines
                .into_iter()
                .find(|line: &Value| line["message"] == "listening");
            self.http.address = listening.map_or(String::new(), |line| {
                line["address"].as_str().unwrap().to_owned()
            });
            !self.http.address.is_empty()
        });
    }

    /// What the service has logged.
    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Http {
    fn get(&self, role: &str, path: &str) -> Reply {
        self.send(role, "GET", path, None, &[])
    }

    fn delete(&self, role: &str, path: &str) -> Reply {
        self.send(role, "DELETE", path, None, &[])
    }

    fn post(&self, role: &str, path: &str, body: Value) -> Reply {
        self.send(role, "POST", path, Some(body), &[])
    }

    /// A POST without a body.
    fn command(&self, role: &str, path: &str) -> Reply {
        self.send(role, "POST", path, None, &[])
    }

    fn patch(&self, role: &str, path: &str, body: Value) -> Reply {
        self.send(role, "PATCH", path, Some(body), &[])
    }

    /// Sends a request with the token of a role.
    fn send(
        &self,
        role: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let authorization = format!("Bearer {}", token(role));
        let mut headers = headers.to_vec();
        headers.push(("authorization", &authorization));
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let body = body.map(|body| body.to_string().into_bytes());
        self.send_raw(method, path, body, &headers)
    }

    fn send_raw(
        &self,
        method: &str,
        path: &str,
        body: Option<Vec<u8>>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let agent: Agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let uri = format!("http://{}{path}", self.address);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = match body {
            Some(body) => agent.run(request.body(body).unwrap()).unwrap(),
            None => agent.run(request.body(()).unwrap()).unwrap(),
        };
        let text = response.body_mut().read_to_string().unwrap();
        Reply {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }

    /// Creates a job that does not fire by itself, and returns its path.
    fn create_job(&self, name: &str) -> String {
        let job = json!({ "endpoint": "hook", "cron": YEARLY, "name": name });
        let job = self.post("app", JOBS, job).expect(201);
        format!("{JOBS}/{}", job["job_id"].as_str().unwrap())
    }

    /// Enqueues an execution, and returns its path.
    fn enqueue(&self) -> String {
        let execution = self
            .post("app", EXECUTIONS, json!({ "endpoint": "hook" }))
            .expect(201);
        format!(
            "{EXECUTIONS}/{}",
            execution["execution_id"].as_str().unwrap()
        )
    }
}

fn token(role: &str) -> String {
    format!("secret of {role}")
}

/// The values of a field in an array of rows.
fn fields<'a>(rows: &'a Value, name: &str) -> Vec<&'a Value> {
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| &row[name])
        .collect()
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("log of the service:\n{}", self.log());
        }
    }
}
