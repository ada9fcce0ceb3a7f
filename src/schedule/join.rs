//! Joining a schedule.

use super::entry::{self, Schedule};
use super::timing::check_supported;
use crate::calendar::Timing;
use crate::error::{Result, concurrent_change};
use crate::id::{ScheduleId, WorkspaceId};
use crate::{pg_cron, sql};
use chrono::{DateTime, Utc};
use pgrx::datum::TimestampWithTimeZone;

const FIND: &str = "
select schedule_id, entry_cron, ticked_until
from kronos_internal.schedules
where workspace_id = $1 and cron = $2 and timezone = $3
for key share";

const INSERT: &str = "
insert into kronos_internal.schedules (workspace_id, cron, timezone, next_tick_at, ticked_until)
values ($1, $2, $3, $4, $5)
on conflict (workspace_id, cron, timezone) do nothing
returning schedule_id";

/// How many times a session looks for a schedule that other sessions keep creating and deleting, before it gives up.
const ATTEMPTS: u32 = 10;

/// Locks the workspace's schedule of a timing until the transaction ends, and returns its id. If no active job uses the
/// schedule yet, creates the schedule and its pg_cron entry. The caller can rely on a live entry: the schedule's own or
/// upkeep's.
///
/// # Errors
/// Any error of pg_cron; `CRON_NOT_SUPPORTED` if the server's pg_cron is too old for the expression;
/// `TOO_MANY_ENTRIES`; `CONCURRENT_CHANGE` if the snapshot is too old to show what another session did.
pub fn join(workspace_id: WorkspaceId, timing: &Timing, timezone: &str) -> Result<ScheduleId> {
    pg_cron::require()?;
    let key = [
        workspace_id.into(),
        timing.expr.text().into(),
        timezone.into(),
    ];
    for _ in 0..ATTEMPTS {
        let found = sql::row(FIND, &key, |row| {
            let schedule = Schedule {
                schedule_id: sql::get(row, "schedule_id")?,
                entry_cron: sql::get_opt(row, "entry_cron")?,
            };
            let ticked_until = sql::get::<TimestampWithTimeZone>(row, "ticked_until")?;
            Ok((schedule, sql::from_pg(ticked_until)))
        })?;
        if let Some((schedule, ticked_until)) = found {
            entry::verify(&schedule)?;
            if ticked_until > sql::now() + sql::CLOCK_TOLERANCE {
                set_back(schedule.schedule_id, timing)?;
            }
            return Ok(schedule.schedule_id);
        }
        check_supported(timing)?;
        if let Some(schedule_id) = insert(workspace_id, timing, timezone)? {
            entry::create(schedule_id, timing)?;
            return Ok(schedule_id);
        }
    }
    Err(concurrent_change())
}

const SET_BACK: &str = "
update kronos_internal.schedules
set next_tick_at = $2, ticked_until = $3, pass_until = null, pass_job_id = null
where schedule_id = $1";

/// Sets a schedule back that was handled while the clock was ahead. The next wake-up would do it too, but the ticks up
/// to then would be lost to the job that joins.
fn set_back(schedule_id: ScheduleId, timing: &Timing) -> Result<()> {
    let now = sql::now();
    let next_tick_at = timing.next_after(now).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let args = [
        schedule_id.into(),
        sql::to_pg(next_tick_at).into(),
        sql::to_pg(now).into(),
    ];
    sql::run(SET_BACK, &args).map(|_| ())
}

fn insert(
    workspace_id: WorkspaceId,
    timing: &Timing,
    timezone: &str,
) -> Result<Option<ScheduleId>> {
    let now = sql::now();
    let next_tick_at = timing.next_after(now).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let args = [
        workspace_id.into(),
        timing.expr.text().into(),
        timezone.into(),
        sql::to_pg(next_tick_at).into(),
        sql::to_pg(now).into(),
    ];
    sql::row(INSERT, &args, |row| sql::get(row, "schedule_id"))
}
