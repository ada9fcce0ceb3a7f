//! The log lines that workers append to the executions that they hold.

use super::finish::lock_held;
use super::held::AttemptKey;
use crate::args::{self, MAX_SPEC_BYTES};
use crate::authority::Scope;
use crate::error::{KronosError, Result};
use crate::sql::{self, Jsonb};

/// The levels of a line.
pub const LEVELS: [&str; 4] = ["DEBUG", "INFO", "WARNING", "ERROR"];

/// One line.
pub struct Line<'a> {
    pub level: &'a str,
    pub message: &'a str,
    pub data: Option<Jsonb>,
}

/// Appends a line to the log of an execution that the worker holds, and returns its number. The last 1000 are kept.
///
/// # Errors
/// `LEASE_LOST`, `EXECUTION_NOT_FOUND`, `INVALID_ARGUMENT`, `VALUE_TOO_LARGE`.
pub fn append_log(scope: &Scope, worker_id: &str, key: AttemptKey, line: Line) -> Result<i32> {
    args::length("message", line.message, 10_000)?;
    args::one_of("level", line.level, &LEVELS)?;
    if let Some(data) = line.data {
        args::json_size("data", data, MAX_SPEC_BYTES)?;
    }
    lock_held(scope, worker_id, key)?;
    write_line(key, line.level, line.message, line.data)
}

/// Appends a checked line to the log of an execution that the transaction has locked, and returns its number.
///
/// # Errors
/// Fails only if SQL does.
pub fn write_line(key: AttemptKey, level: &str, message: &str, data: Option<Jsonb>) -> Result<i32> {
    let args = [
        key.execution_id.into(),
        key.attempt.into(),
        level.into(),
        message.into(),
        data.into(),
    ];
    let number = sql::by_index(|| {
        sql::row(include_str!("append_log.sql"), &args, |row| {
            sql::get(row, "line")
        })
    })?;
    number.ok_or_else(|| KronosError::internal("a log line has vanished"))
}
