//! Joining a schedule.

use super::entry::{self, Schedule};
use super::timing::check_supported;
use crate::calendar::Timing;
use crate::error::{Result, concurrent_change};
use crate::id::{ScheduleId, WorkspaceId};
use crate::{pg_cron, sql};
use chrono::{DateTime, Utc};

const FIND: &str = "
select schedule_id, entry_cron
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
            Ok(Schedule {
                schedule_id: sql::get(row, "schedule_id")?,
                entry_cron: sql::get_opt(row, "entry_cron")?,
            })
        })?;
        if let Some(schedule) = found {
            entry::verify(&schedule)?;
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
