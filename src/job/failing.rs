//! Jobs whose executions have failed too often in a row.
//!
//! The failures are rows of history, so a worker that reports one locks no job, and a crash loses none. From the last
//! failure on, `write_ticks.sql` skips the ticks of the job. Upkeep pauses the job soon after.

use super::pause::write_paused;
use crate::error::Result;
use crate::id::{JobId, ScheduleId};
use crate::sql;

/// An active job whose last executions have failed.
pub struct Failing {
    pub workspace: String,
    pub job_id: JobId,
    pub job_name: Option<String>,
    /// How many executions: the job's max_consecutive_failures.
    pub times: i32,
}

/// Finds jobs that have failed too often in a row, `max` at most.
///
/// # Errors
/// Fails only if SQL does.
pub fn find_failing(max: i64) -> Result<Vec<Failing>> {
    sql::by_index(|| {
        sql::rows(include_str!("find_failing.sql"), &[max.into()], |row| {
            Ok(Failing {
                workspace: sql::get(row, "workspace")?,
                job_id: sql::get(row, "job_id")?,
                job_name: sql::get_opt(row, "job_name")?,
                times: sql::get(row, "max_consecutive_failures")?,
            })
        })
    })
}

/// Pauses a job that has failed too often in a row, releases its schedule, and returns true; false if it has not, or if
/// another session has locked it.
///
/// # Errors
/// Any error of pg_cron when it removes the entry.
pub fn pause_failing(job_id: JobId) -> Result<bool> {
    let locked = sql::by_index(|| {
        sql::row(include_str!("lock_failing.sql"), &[job_id.into()], |row| {
            let times: i32 = sql::get(row, "max_consecutive_failures")?;
            Ok((sql::get::<ScheduleId>(row, "schedule_id")?, times))
        })
    })?;
    let Some((schedule_id, times)) = locked else {
        return Ok(false);
    };
    let reason = match times {
        1 => "paused after a failure".to_owned(),
        _ => format!("paused after {times} consecutive failures"),
    };
    write_paused(job_id, schedule_id, Some(&reason))?;
    Ok(true)
}
