//! Leaving a schedule.

use crate::error::{Result, concurrent_change};
use crate::id::ScheduleId;
use crate::pg_cron::{self, Entry};
use crate::sql;
use pgrx::PgSqlErrorCode;

const LOCK_WITNESS: &str = "
select from kronos_internal.jobs where schedule_id = $1 limit 1 for share skip locked";

const LOCK: &str = "select from kronos_internal.schedules where schedule_id = $1 for update";

const IS_USED: &str = "select from kronos_internal.jobs where schedule_id = $1 limit 1";

const KEEP: &str =
    "update kronos_internal.schedules set revision = revision + 1 where schedule_id = $1";

const DELETE: &str = "delete from kronos_internal.schedules where schedule_id = $1";

/// Releases a schedule that a job has left. Deletes the schedule and its pg_cron entry if no other job uses the
/// schedule.
///
/// Two sessions may concurrently remove the last two jobs. Each first tries to lock another job. If it gets one, that
/// job cannot leave before this session commits, so the schedule stays. A session that gets none locks the schedule
/// itself and decides alone.
///
/// # Errors
/// Any error of pg_cron when it removes the entry; `CONCURRENT_CHANGE` if the snapshot is too old to show a job of the
/// schedule.
pub fn release(schedule_id: ScheduleId) -> Result<()> {
    // By index: a sequential scan would first read every job that has just left.
    sql::by_index(|| leave(schedule_id))
}

fn leave(schedule_id: ScheduleId) -> Result<()> {
    let id = [schedule_id.into()];
    if sql::exists(LOCK_WITNESS, &id)? {
        return Ok(());
    }
    sql::run(LOCK, &id)?;
    if sql::exists(IS_USED, &id)? {
        return sql::run(KEEP, &id).map(|_| ());
    }
    sql::convert_errors(
        || sql::run(DELETE, &id),
        |report| {
            (report.sql_error_code() == PgSqlErrorCode::ERRCODE_FOREIGN_KEY_VIOLATION)
                .then(concurrent_change)
        },
    )?;
    pg_cron::unregister(Entry::Schedule(schedule_id))
}
