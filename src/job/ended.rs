//! Jobs whose `ends_at` is past.

use super::cancel::retire;
use crate::error::Result;
use crate::id::{JobId, ScheduleId};
use crate::{schedule, sql};
use pgrx::datum::TimestampWithTimeZone;

/// A live job that has ended: its `ends_at` is past, and every tick before `ends_at` is in the ledger.
pub struct Ended {
    pub workspace: String,
    pub job_id: JobId,
    pub job_name: Option<String>,
    pub ends_at: TimestampWithTimeZone,
}

/// Finds jobs that have ended, `max` at most.
///
/// # Errors
/// Fails only if SQL does.
pub fn find_ended(max: i64) -> Result<Vec<Ended>> {
    sql::by_index(|| {
        sql::rows(include_str!("find_ended.sql"), &[max.into()], |row| {
            Ok(Ended {
                workspace: sql::get(row, "workspace")?,
                job_id: sql::get(row, "job_id")?,
                job_name: sql::get_opt(row, "job_name")?,
                ends_at: sql::get(row, "ends_at")?,
            })
        })
    })
}

/// Retires a job that has ended, releases its schedule, and returns true; false if the job has not ended, or if another
/// session has locked it.
///
/// # Errors
/// Any error of pg_cron when it removes the entry.
pub fn retire_ended(job_id: JobId) -> Result<bool> {
    let locked = sql::by_index(|| {
        sql::row(include_str!("lock_ended.sql"), &[job_id.into()], |row| {
            sql::get_opt::<ScheduleId>(row, "schedule_id")
        })
    })?;
    let Some(schedule_id) = locked else {
        return Ok(false);
    };
    retire(vec![job_id], "ENDED")?;
    if let Some(schedule_id) = schedule_id {
        schedule::release(schedule_id)?;
    }
    Ok(true)
}
