//! What a worker writes about the executions that it runs. It acts as the owner of Kronos, in the worker's transaction.

use super::messages::Message;
use super::statement::Done;
use crate::authority::as_server;
use crate::endpoint::SQL;
use crate::error::{KronosError, Result};
use crate::execution::{self, AttemptKey, Ended, Wanted};
use crate::sql::{self, Composite, Jsonb, Row};
use crate::status::Outcome;
use chrono::Duration;
use pgrx::datum::{Interval, TimestampWithTimeZone, TryFromDatumError};
use pgrx::pg_sys;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How long a claim lasts. The dispatcher extends it.
pub fn lease() -> Interval {
    sql::interval(Duration::minutes(1))
}

/// An execution that a worker has claimed.
pub struct Claimed {
    pub key: AttemptKey,
    /// The job's name; the endpoint's for a one-shot.
    pub name: String,
    pub spec: Spec,
    /// The value of $1, as JSON.
    pub input: String,
    pub deadline_at: Option<TimestampWithTimeZone>,
}

/// The spec of an SQL endpoint, as [`crate::endpoint`] has checked it.
#[derive(Deserialize)]
pub struct Spec {
    pub statement: String,
    pub mode: Mode,
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// How a statement is run.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Transaction,
    Autocommit,
}

/// Claims an execution of an endpoint that runs as a role.
///
/// # Errors
/// Fails only if SQL does.
pub fn claim(worker_id: &str, role: pg_sys::Oid) -> Result<Option<Claimed>> {
    as_server(|_| match claim_many(worker_id, role, 1)?.pop() {
        Some(key) => {
            let args = [key.execution_id.into()];
            sql::by_index(|| {
                sql::row(include_str!("find_claimed.sql"), &args, |row| {
                    read(key, row)
                })
            })
        }
        None => Ok(None),
    })
}

/// Claims executions of endpoints that run as a role, and fails their attempts: no worker can run as the role.
///
/// # Errors
/// Fails only if SQL does.
pub fn refuse(worker_id: &str, role: pg_sys::Oid, problem: &str) -> Result<()> {
    as_server(|_| {
        let refused = claim_many(worker_id, role, 100)?;
        let ended: Vec<Ended> = refused
            .into_iter()
            .map(|key| failed(key, Outcome::Failed, problem))
            .collect();
        execution::end(&ended).map(|_| ())
    })
}

/// A transaction that holds an execution open must not hold a worker's place for ever. The worker ends, and its attempt is
/// lost.
const LOCK_TIMEOUT: &str = "10s";

fn claim_many(worker_id: &str, role: pg_sys::Oid, max: usize) -> Result<Vec<AttemptKey>> {
    sql::set_timeouts(LOCK_TIMEOUT)?;
    let claimed = execution::claim(
        None,
        &Wanted {
            worker_id,
            max,
            lease: lease(),
            endpoint_types: Some(vec![SQL.to_owned()]),
            run_as: Some(role),
        },
    )?;
    claimed.iter().map(key_of).collect()
}

fn key_of(row: &Composite) -> Result<AttemptKey> {
    let unreadable = |problem: TryFromDatumError| KronosError::internal(problem.to_string());
    let missing = || KronosError::internal("a claimed execution has no id");
    Ok(AttemptKey {
        execution_id: row
            .get_by_name("execution_id")
            .map_err(unreadable)?
            .ok_or_else(missing)?,
        attempt: row
            .get_by_name("attempt")
            .map_err(unreadable)?
            .ok_or_else(missing)?,
    })
}

fn read(key: AttemptKey, row: &Row) -> Result<Claimed> {
    let spec: Jsonb = sql::get(row, "spec")?;
    Ok(Claimed {
        key,
        name: sql::get(row, "name")?,
        spec: serde_json::from_str(&spec.text()).map_err(|problem| {
            KronosError::internal(format!("spec of an SQL endpoint: {problem}"))
        })?,
        input: sql::get::<Jsonb>(row, "input")?.text(),
        deadline_at: sql::get_opt(row, "deadline_at")?,
    })
}

/// Ends an attempt in success. In the transaction of its statement, both commit together.
///
/// # Errors
/// `LEASE_LOST`: the statement took too long, or was asked to stop and given up; whatever it did rolls back.
pub fn complete(
    worker_id: &str,
    key: AttemptKey,
    done: Vec<Done>,
    messages: Vec<Message>,
) -> Result<()> {
    let as_owner = || {
        as_server(|scope| {
            sql::set_timeouts(LOCK_TIMEOUT)?;
            write_log(key, messages)?;
            let output = output(done)?;
            execution::complete(scope, worker_id, key, Some(output)).map(|_| ())
        })
    };
    sql::without_read_only(as_owner)
}

/// What an execution keeps of its statements. A row that is JSON but that jsonb cannot hold, such as one with \u0000, must
/// not fail the statement: then no rows are kept.
fn output(done: Vec<Done>) -> Result<Jsonb> {
    let text = |done: &[Done]| serde_json::to_string(done).unwrap_or_else(|_| "[]".into());
    let read = sql::in_subtransaction(|| Jsonb::from_text("output", &text(&done)));
    match read {
        Ok(output) => Ok(output),
        Err(failure) if failure.is_interruption() => failure.rethrow(),
        Err(_) => {
            let done: Vec<Done> = done.into_iter().map(Done::without_rows).collect();
            Jsonb::from_text("output", &text(&done))
        }
    }
}

/// Ends an attempt that did not succeed, if the worker still holds it.
///
/// # Errors
/// Fails only if SQL does.
pub fn fail(
    worker_id: &str,
    key: AttemptKey,
    outcome: Outcome,
    error: &str,
    messages: Vec<Message>,
) -> Result<()> {
    as_server(|_| {
        sql::set_timeouts(LOCK_TIMEOUT)?;
        if !execution::lock_attempt(worker_id, key)? {
            return Ok(());
        }
        write_log(key, messages)?;
        execution::end(&[failed(key, outcome, error)]).map(|_| ())
    })
}

fn failed(key: AttemptKey, outcome: Outcome, error: &str) -> Ended {
    Ended {
        execution_id: key.execution_id,
        outcome,
        error: Some(error.to_owned()),
        is_retryable: true,
        retry_at: None,
    }
}

fn write_log(key: AttemptKey, messages: Vec<Message>) -> Result<()> {
    for message in messages {
        execution::write_line(key, message.level, &message.text, Some(message.data()?))?;
    }
    Ok(())
}
