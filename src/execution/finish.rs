//! Workers' reports, which end the attempts that they hold.

use super::ending::{Ended, end};
use super::held::{AttemptKey, Report, list_length, not_held, report_all, translate_list_errors};
use super::wakeup::Startable;
use crate::args::{self, MAX_INPUT_BYTES};
use crate::authority::Scope;
use crate::endpoint;
use crate::error::{self, Result};
use crate::id::{ExecutionId, WorkspaceId};
use crate::sql::{self, Composite, Jsonb, Row};
use crate::status::Outcome;
use pgrx::datum::TimestampWithTimeZone;
use std::collections::BTreeSet;

/// The ways in which a worker ends an attempt that did not succeed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Fail,
    Release,
}

impl Ending {
    fn outcome(self) -> Outcome {
        match self {
            Ending::Fail => Outcome::Failed,
            Ending::Release => Outcome::Released,
        }
    }
}

/// Completes an attempt, and returns the report about its execution.
///
/// # Errors
/// `LEASE_LOST`, `EXECUTION_NOT_FOUND`, `VALUE_TOO_LARGE`.
pub fn complete(
    scope: &Scope,
    worker_id: &str,
    key: AttemptKey,
    output: Option<Jsonb>,
) -> Result<Composite> {
    if let Some(output) = output {
        args::json_size("output", output, MAX_INPUT_BYTES)?;
    }
    let args = [
        key.execution_id.into(),
        key.attempt.into(),
        worker_id.into(),
        output.into(),
        scope.ids().into(),
    ];
    let mut freed = Freed::default();
    let completed =
        sql::by_index(|| sql::row(include_str!("complete.sql"), &args, |row| freed.read(row)))?;
    freed.notify()?;
    completed
        .map(|report| report.row)
        .ok_or_else(|| not_held(scope, key, worker_id))
}

/// What completed executions let start.
#[derive(Default)]
struct Freed {
    startable: Startable,
    /// Lanes of limited endpoints: workspace, endpoint type, lane.
    lanes: BTreeSet<(WorkspaceId, String, String)>,
}

impl Freed {
    /// Reads the row of a completed execution.
    fn read(&mut self, row: &Row) -> Result<Report> {
        let workspace_id = sql::get(row, "workspace_id")?;
        self.startable.add(row)?;
        if let Some(lane) = sql::get_opt(row, "lane")? {
            let endpoint_type = sql::get(row, "endpoint_type")?;
            self.lanes.insert((workspace_id, endpoint_type, lane));
        }
        Report::read(row)
    }

    /// Notifies workers of executions of ordered jobs, and of those that wait in the lanes.
    fn notify(mut self) -> Result<()> {
        for (workspace_id, endpoint_type, lane) in self.lanes {
            let is_sql = endpoint_type == endpoint::SQL;
            let args = [workspace_id.into(), endpoint_type.into(), lane.into()];
            if sql::by_index(|| sql::exists(WAITS_IN_LANE, &args))? {
                self.startable.note(workspace_id, sql::now(), is_sql);
            }
        }
        self.startable.notify();
        Ok(())
    }
}

const WAITS_IN_LANE: &str = "
select
from kronos_internal.live_executions
where workspace_id = $1 and endpoint_type = $2 and lane = $3 and lane <> '' and status <> 'RUNNING'
limit 1";

/// Completes the listed attempts that the worker holds, and returns a report about each listed attempt.
///
/// # Errors
/// `INVALID_ARGUMENT`, `VALUE_TOO_LARGE`.
pub fn complete_many(scope: &Scope, worker_id: &str, executions: Jsonb) -> Result<Vec<Composite>> {
    let length = list_length(executions)?;
    let mut freed = Freed::default();
    let completed = translate_list_errors(|| {
        let args = [worker_id.into(), executions.into(), scope.ids().into()];
        sql::by_index(|| {
            sql::rows(include_str!("complete_many.sql"), &args, |row| {
                let bytes = sql::get_opt::<i32>(row, "output_bytes")?.unwrap_or(0) as usize;
                let report = freed.read(row)?;
                if bytes <= MAX_INPUT_BYTES {
                    return Ok(report);
                }
                let id = report.key.execution_id.to_string();
                Err(error::value_too_large("output", bytes, MAX_INPUT_BYTES)
                    .with("execution_id", id))
            })
        })
    })?;
    freed.notify()?;
    report_all(scope, executions, length, completed)
}

const LOCK_HELD: &str = "
select from kronos_internal.live_executions
where execution_id = $1 and attempt = $2 and worker_id = $3
  and lease_expires_at > statement_timestamp() and ($4::uuid[] is null or workspace_id = any ($4))
for no key update";

/// Locks an execution that the worker holds.
///
/// # Errors
/// `LEASE_LOST`, `EXECUTION_NOT_FOUND`.
pub fn lock_held(scope: &Scope, worker_id: &str, key: AttemptKey) -> Result<()> {
    let args = [
        key.execution_id.into(),
        key.attempt.into(),
        worker_id.into(),
        scope.ids().into(),
    ];
    if sql::by_index(|| sql::exists(LOCK_HELD, &args))? {
        Ok(())
    } else {
        Err(not_held(scope, key, worker_id))
    }
}

const LOCK_ATTEMPT: &str = "
select from kronos_internal.live_executions
where execution_id = $1 and attempt = $2 and worker_id = $3
for no key update";

/// Locks an execution that one of the server's own workers holds, and returns whether it still does. Its lease may have
/// expired: the server itself knows whether the worker lives.
///
/// # Errors
/// Fails only if SQL does.
pub fn lock_attempt(worker_id: &str, key: AttemptKey) -> Result<bool> {
    let args = [
        key.execution_id.into(),
        key.attempt.into(),
        worker_id.into(),
    ];
    sql::by_index(|| sql::exists(LOCK_ATTEMPT, &args))
}

/// Fails an attempt, and returns the report about its execution.
///
/// # Errors
/// `LEASE_LOST`, `EXECUTION_NOT_FOUND`, `INVALID_ARGUMENT`.
pub fn fail(
    scope: &Scope,
    worker_id: &str,
    key: AttemptKey,
    error: &str,
    is_retryable: bool,
    retry_at: Option<TimestampWithTimeZone>,
) -> Result<Composite> {
    if let Some(retry_at) = retry_at {
        args::instant("retry_at", retry_at)?;
    }
    lock_held(scope, worker_id, key)?;
    end_one(Ended {
        execution_id: key.execution_id,
        outcome: Outcome::Failed,
        error: Some(error.to_owned()),
        is_retryable,
        retry_at,
    })
}

/// Releases an attempt, which then does not count against max_attempts, and returns the report about its execution.
///
/// # Errors
/// `LEASE_LOST`, `EXECUTION_NOT_FOUND`.
pub fn release(scope: &Scope, worker_id: &str, key: AttemptKey) -> Result<Composite> {
    release_until(scope, worker_id, key, None)
}

/// Like [`release`], but the execution does not start again before `until`.
///
/// # Errors
/// `LEASE_LOST`, `EXECUTION_NOT_FOUND`, `INVALID_ARGUMENT`.
pub fn postpone(
    scope: &Scope,
    worker_id: &str,
    key: AttemptKey,
    until: TimestampWithTimeZone,
) -> Result<Composite> {
    let until = args::instant("until", until)?;
    release_until(scope, worker_id, key, Some(until))
}

fn release_until(
    scope: &Scope,
    worker_id: &str,
    key: AttemptKey,
    until: Option<TimestampWithTimeZone>,
) -> Result<Composite> {
    lock_held(scope, worker_id, key)?;
    end_one(Ended {
        execution_id: key.execution_id,
        outcome: Outcome::Released,
        error: None,
        is_retryable: true,
        retry_at: until,
    })
}

fn end_one(ended: Ended) -> Result<Composite> {
    match end(&[ended])?.pop() {
        Some(report) => Ok(report.row),
        None => Err(error::concurrent_change()),
    }
}

/// Fails or releases the listed attempts that the worker holds, and returns a report about each listed attempt.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn end_many(
    scope: &Scope,
    ending: Ending,
    worker_id: &str,
    executions: Jsonb,
) -> Result<Vec<Composite>> {
    let length = list_length(executions)?;
    if ending == Ending::Fail {
        check_retry_ats(executions)?;
    }
    let ended = translate_list_errors(|| {
        let args = [worker_id.into(), executions.into(), scope.ids().into()];
        sql::by_index(|| {
            sql::rows(include_str!("lock_held.sql"), &args, |row| {
                read_ended(ending, row)
            })
        })
    })?;
    let reports = if ended.is_empty() {
        vec![]
    } else {
        end(&ended)?
    };
    report_all(scope, executions, length, reports)
}

fn read_ended(ending: Ending, row: &Row) -> Result<Ended> {
    let execution_id: ExecutionId = sql::get(row, "execution_id")?;
    let outcome = ending.outcome();
    Ok(match ending {
        Ending::Release => Ended {
            execution_id,
            outcome,
            error: None,
            is_retryable: true,
            retry_at: None,
        },
        Ending::Fail => Ended {
            execution_id,
            outcome,
            error: sql::get_opt(row, "error")?,
            is_retryable: sql::get(row, "retryable")?,
            retry_at: match sql::get_opt::<String>(row, "retry_at")? {
                Some(text) => Some(read_retry_at(&text)?),
                None => None,
            },
        },
    })
}

fn read_retry_at(text: &str) -> Result<TimestampWithTimeZone> {
    args::instant("retry_at", args::iso_instant("retry_at", text)?)
}

const RETRY_ATS: &str = "
select r.retry_at from pg_catalog.jsonb_to_recordset($1) r (retry_at text) where r.retry_at is not null";

/// Fails unless each retry_at of a list is ISO 8601 with an offset, in the years 1970 to 2199.
fn check_retry_ats(executions: Jsonb) -> Result<()> {
    translate_list_errors(|| {
        sql::rows(RETRY_ATS, &[executions.into()], |row| {
            read_retry_at(&sql::get::<String>(row, "retry_at")?).map(|_| ())
        })
    })
    .map(|_| ())
}
