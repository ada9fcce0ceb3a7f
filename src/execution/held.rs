//! The attempts that a worker holds, and reports about the ones that it names.

use crate::authority::Scope;
use crate::error::{self, KronosError, Result};
use crate::id::ExecutionId;
use crate::sql::{self, Composite, Jsonb, Row};
use serde_json::json;
use std::collections::HashSet;

/// The result of a worker's report about one execution: a row of type kronos.execution_report and its key.
pub struct Report {
    pub row: Composite,
    pub key: AttemptKey,
}

/// An attempt as a worker names it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttemptKey {
    pub execution_id: ExecutionId,
    pub attempt: i32,
}

impl Report {
    /// Reads a row whose columns are the report, execution_id and attempt.
    pub fn read(row: &Row) -> Result<Report> {
        Ok(Report {
            row: sql::first(row)?,
            key: AttemptKey {
                execution_id: sql::get(row, "execution_id")?,
                attempt: sql::get(row, "attempt")?,
            },
        })
    }
}

/// The length of a worker's list.
///
/// # Errors
/// `INVALID_ARGUMENT` unless it is a JSON array of at most 10,000 elements.
pub fn list_length(executions: Jsonb) -> Result<usize> {
    match executions.array_length() {
        Some(length) if length <= 10_000 => Ok(length),
        Some(length) => Err(error::invalid_argument(
            "executions",
            &format!("must have at most 10000 elements, not {length}"),
        )),
        None => Err(invalid_list("it is not an array")),
    }
}

fn invalid_list(problem: &str) -> KronosError {
    error::invalid_argument(
        "executions",
        &format!("must be a JSON array of objects with execution_id and attempt: {problem}"),
    )
}

/// Runs a statement that reads a worker's list, and translates PostgreSQL's error about a value that it cannot read.
pub fn translate_list_errors<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    sql::convert_errors(work, |report| {
        sql::sqlstate_text(report.sql_error_code())
            .starts_with("22")
            .then(|| invalid_list(report.message()))
    })
}

/// A report about each listed attempt: `changed` for the attempts that the call has changed, and the current state for
/// the others, which is read only if there are any.
///
/// # Errors
/// `INVALID_ARGUMENT` for an element without execution_id or attempt.
pub fn report_all(
    scope: &Scope,
    executions: Jsonb,
    length: usize,
    changed: Vec<Report>,
) -> Result<Vec<Composite>> {
    let mut rows = Vec::with_capacity(length);
    let mut seen = HashSet::with_capacity(length);
    for report in changed {
        seen.insert(report.key);
        rows.push(report.row);
    }
    if rows.len() == length {
        return Ok(rows);
    }
    let holders = sql::by_index(|| {
        sql::rows(
            include_str!("find_holders.sql"),
            &[executions.into(), scope.ids().into()],
            |row| {
                let execution_id = sql::get_opt(row, "execution_id")?;
                let attempt = sql::get_opt(row, "attempt")?;
                match (execution_id, attempt) {
                    (Some(execution_id), Some(attempt)) => Ok((
                        AttemptKey {
                            execution_id,
                            attempt,
                        },
                        sql::first(row)?,
                    )),
                    _ => Err(invalid_list("one of them is null or missing")),
                }
            },
        )
    })?;
    for (key, row) in holders {
        if seen.insert(key) {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The error of a worker that does not hold an execution, with the execution's current state. An execution outside the
/// scope does not exist for the worker.
pub fn not_held(scope: &Scope, key: AttemptKey, worker_id: &str) -> KronosError {
    let AttemptKey {
        execution_id,
        attempt,
    } = key;
    let read = |row: &Row| {
        let lease = sql::get_opt(row, "lease_expires_at")?;
        Ok(json!({
            "execution_id": execution_id.to_string(), "attempt": attempt, "worker_id": worker_id,
            "status": sql::get::<String>(row, "status")?,
            "held_attempt": sql::get::<i32>(row, "attempt")?,
            "held_by": sql::get_opt::<String>(row, "worker_id")?,
            "lease_expires_at": lease.map(sql::iso),
        }))
    };
    let holder = sql::by_index(|| {
        sql::row(
            include_str!("find_holder.sql"),
            &[execution_id.into(), scope.ids().into()],
            read,
        )
    });
    match holder {
        Err(error) => error,
        Ok(None) => error::execution_not_found(execution_id),
        Ok(Some(detail)) => {
            let holder = match detail["held_by"].as_str() {
                Some(holder) => format!("held by {holder:?}, attempt {}", detail["held_attempt"]),
                None => detail["status"].as_str().unwrap_or_default().to_owned(),
            };
            let message = format!(
                "worker {worker_id:?} does not hold attempt {attempt} of execution {execution_id}: it is {holder}"
            );
            KronosError::new(&error::LEASE_LOST, message, detail)
        }
    }
}
