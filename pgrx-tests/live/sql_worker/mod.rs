//! Executions of endpoints of type SQL, which background workers run in the server.

mod access;
mod bounds;
mod crashes;
mod dispatch;
mod gates;
mod import;
mod modes;
mod one_line;
mod privileges;
mod sessions;
mod settings;

use crate::domain::{
    assert_code, assert_sound, backend_pid, count, executions, is_waiting, state, upkeep,
};
use crate::server::{Server, wait_for};
use postgres::Client;
use serde_json::{Value, json};
use uuid::Uuid;

/// The setting that gives SQL workers room beside pg_cron.
const ROOM: &str = "max_worker_processes = 30";

/// Starts a server, and returns a session of its superuser.
fn start_server(settings: &[&str]) -> (Server, Client) {
    let server = Server::start_with(&[&[ROOM], settings].concat());
    let mut session = server.session();
    session
        .batch_execute(
            "select kronos.start(); create table public.ledger (n integer, by text default current_user);
             grant usage on schema kronos to public; grant all on schema public to public;
             grant all on public.ledger to public",
        )
        .unwrap();
    (server, session)
}

/// Creates a role that is an admin of workspace `default`, and opens a session of it.
fn create_admin(server: &Server, session: &mut Client, role: &str) -> Client {
    session
        .batch_execute(&format!(
            "create role {role} login; select kronos.grant_workspace('{role}', 'admin')"
        ))
        .unwrap();
    server.session_as(role)
}

/// Writes an SQL endpoint whose executions are tried once. The session's role becomes its run_as.
fn write_endpoint(session: &mut Client, name: &str, spec: &Value) {
    let statement =
        "select kronos.create_endpoint($1, 'SQL', $2, retry_policy => '{\"max_attempts\": 1}')";
    session.execute(statement, &[&name, spec]).unwrap();
}

fn enqueue(session: &mut Client, endpoint: &str, input: &Value) -> Uuid {
    let statement = "select execution_id from kronos.enqueue($1, $2)";
    session
        .query_one(statement, &[&endpoint, input])
        .unwrap()
        .get(0)
}

/// A finished execution.
#[derive(Debug)]
struct Ended {
    execution_id: Uuid,
    status: String,
    output: Value,
    error: String,
}

fn find_ended(session: &mut Client, execution_id: Uuid) -> Option<Ended> {
    let statement =
        "select status, coalesce(output, 'null'), coalesce(error, '') from kronos.execution_details
                     where execution_id = $1 and finished_at is not null";
    let row = session.query_opt(statement, &[&execution_id]).unwrap()?;
    Some(Ended {
        execution_id,
        status: row.get(0),
        output: row.get(1),
        error: row.get(2),
    })
}

fn wait_for_end(session: &mut Client, execution_id: Uuid) -> Ended {
    let mut ended = None;
    wait_for("the execution to end", || {
        ended = find_ended(session, execution_id);
        ended.is_some()
    });
    ended.unwrap()
}

/// Runs an execution of a new endpoint with this spec, and returns how it ended.
fn run_spec(session: &mut Client, spec: &Value) -> Ended {
    let name = format!("endpoint {}", Uuid::now_v7());
    write_endpoint(session, &name, spec);
    let execution_id = enqueue(session, &name, &json!({ "n": 7 }));
    wait_for_end(session, execution_id)
}

/// Runs a statement of mode transaction.
fn run_in_transaction(session: &mut Client, statement: &str) -> Ended {
    run_spec(
        session,
        &json!({ "statement": statement, "mode": "transaction" }),
    )
}

/// Runs statements of mode autocommit.
fn run_in_autocommit(session: &mut Client, statement: &str) -> Ended {
    run_spec(
        session,
        &json!({ "statement": statement, "mode": "autocommit" }),
    )
}

impl Ended {
    fn assert_succeeded(self) -> Value {
        assert_eq!(self.status, "SUCCEEDED", "{}", self.error);
        self.output
    }

    /// Asserts that the execution failed with an error that contains each of the texts.
    fn assert_failed(&self, texts: &[&str]) {
        assert_eq!(self.status, "FAILED", "{self:?}");
        for text in texts {
            assert!(self.error.contains(text), "no {text:?} in {}", self.error);
        }
    }
}

/// The first value of the first row of the last statement of an output.
fn value_of(output: &Value) -> Value {
    let row = &output.as_array().unwrap().last().unwrap()["first_rows"][0];
    row.as_object().unwrap().values().next().unwrap().clone()
}

fn status(session: &mut Client, execution_id: Uuid) -> String {
    let statement = "select status from kronos.execution_details where execution_id = $1";
    session
        .query_one(statement, &[&execution_id])
        .unwrap()
        .get(0)
}
