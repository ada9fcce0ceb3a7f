//! What workers log about the executions that they hold.

use super::finish::{check_size, not_held};
use crate::error::{self, KronosError, Result};
use crate::job::check_length;
use crate::sql;
use pgrx::{JsonB, Uuid};
use serde_json::json;

/// One line.
pub struct Line<'a> {
    pub level: &'a str,
    pub message: &'a str,
    pub data: Option<JsonB>,
}

const MAX_DATA_BYTES: usize = 64 * 1024;

const HOLD: &str = "
select from kronos.executions
where execution_id = $1 and attempt = $2 and worker_id = $3 and status = 'RUNNING'
  and lease_expires_at > clock_timestamp()
for no key update";

const APPEND: &str = "
with appended as (
    insert into kronos.execution_logs (execution_id, line, attempt, level, message, data)
    select $1, coalesce(max(line), 0) + 1, $2, $3, $4, $5 from kronos.execution_logs where execution_id = $1
    returning line
),
dropped as (
    delete from kronos.execution_logs l using appended a where l.execution_id = $1 and l.line <= a.line - 1000
)
select line from appended";

/// Appends a line to the log of an execution that the caller holds, and returns its number. The last 1000 are kept.
///
/// # Errors
/// `LEASE_LOST`, `EXECUTION_NOT_FOUND`, `INVALID_ARGUMENT`, `OUTPUT_TOO_LARGE`.
pub fn append(worker_id: &str, key: (Uuid, i32), line: Line) -> Result<i32> {
    check_length("message", line.message, 10_000)?;
    let levels = ["DEBUG", "INFO", "WARNING", "ERROR"];
    if !levels.contains(&line.level) {
        return Err(KronosError::new(
            &error::INVALID_ARGUMENT,
            format!("level must be one of {}", levels.join(", ")),
            json!({ "argument": "level", "value": line.level, "allowed": levels }),
        ));
    }
    if let Some(data) = &line.data {
        check_size(&data.0, "data", MAX_DATA_BYTES)?;
    }
    let (execution_id, attempt) = key;
    if !sql::exists(
        HOLD,
        &[execution_id.into(), attempt.into(), worker_id.into()],
    )? {
        return Err(not_held(key, worker_id));
    }
    let args = [
        execution_id.into(),
        attempt.into(),
        line.level.into(),
        line.message.into(),
        line.data.into(),
    ];
    let number = sql::row(APPEND, &args, |row| sql::get(row, "line"))?;
    number.ok_or_else(|| pgrx::spi::Error::InvalidPosition.into())
}
