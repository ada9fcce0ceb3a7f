//! Ticks that could not be materialised with the others of their schedule, and how they are made good.

use super::due::DueTick;
use super::materialise::{Written, busy, due_args, with_owed, write};
use crate::calendar::timing;
use crate::error::Result;
use crate::sql;
use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;

/// The most pending ticks that one call tries.
const BATCH: i64 = 1000;

const RECORD_LOCKED: &str = "
insert into kronos.pending_ticks (lineage_id, tick_at, job_id)
select o.lineage_id, o.tick_at, o.job_id
from ({OWED}) o
where not exists (select from unnest($5::uuid[]) as locked (job_id) where locked.job_id = o.job_id)
on conflict (lineage_id, tick_at) do nothing";

/// Makes pending what is owed by jobs other than `locked`: those whose rows another session was changing.
pub fn record_locked(due: &[DueTick], locked: &[Uuid]) -> Result<()> {
    if due.is_empty() {
        return Ok(());
    }
    let mut args = due_args(due);
    args.push(locked.to_vec().into());
    sql::run(&with_owed(RECORD_LOCKED), &args).map(|_| ())
}

/// Ticks of jobs that are not active any more are owed no longer.
const DROP_OF_INACTIVE: &str = "
delete from kronos.pending_ticks
where (lineage_id, tick_at) in (
    select p.lineage_id, p.tick_at
    from kronos.pending_ticks p
    where not exists (select from kronos.jobs j where j.lineage_id = p.lineage_id and j.status = 'ACTIVE')
    for update skip locked
)";

/// Pending ticks whose job no other session is changing. Holding the active version keeps it active until this
/// transaction ends: no execution comes after a cancel or a pause. It is held against all others, so that no two sessions
/// decide at once about the overlap of two ticks of one job.
const LOCK_PENDING: &str = "
select p.lineage_id, p.tick_at
from kronos.pending_ticks p
join kronos.jobs j on j.lineage_id = p.lineage_id and j.status = 'ACTIVE'
where p.error is null or ($1 and p.tried_at < now() - interval '30 seconds')
order by p.tried_at, p.tick_at
limit $2
for update of p skip locked
for no key update of j skip locked";

struct Pending {
    lineage_id: Uuid,
    tick_at: TimestampWithTimeZone,
}

/// Tries pending ticks again (`also_failed`: also those that failed, some time ago).
pub fn retry_pending(also_failed: bool) -> Result<Written> {
    sql::run(DROP_OF_INACTIVE, &[])?;
    let pending = sql::rows(LOCK_PENDING, &[also_failed.into(), BATCH.into()], |row| {
        Ok(Pending {
            lineage_id: sql::get(row, "lineage_id")?,
            tick_at: sql::get(row, "tick_at")?,
        })
    })?;
    let mut written = Written::default();
    for tick in &pending {
        written += retry(tick)?;
    }
    Ok(written)
}

/// The version that a tick belongs to: the one in force at that instant.
const FIND_VERSION_AT: &str = "
select job_id, cron, timezone
from kronos.jobs
where lineage_id = $1
  and active_since < $2
  and (retired_at is null or $2 <= retired_at)
  and (starts_at is null or starts_at <= $2)
  and (ends_at is null or $2 < ends_at)";

const OWED_FOR_ONE: &str = "
select j.workspace_id, j.job_id, j.lineage_id, $2::timestamptz as tick_at, j.overlap_policy, j.jitter, j.priority,
       e.type as endpoint_type
from kronos.jobs j join kronos.endpoints e using (endpoint_id)
where j.job_id = $1";

const RECORD_FAILURE: &str = "
update kronos.pending_ticks
set tries = tries + 1, tried_at = clock_timestamp(), sqlstate = $3, error = $4
where lineage_id = $1 and tick_at = $2";

const SETTLE: &str = "delete from kronos.pending_ticks where lineage_id = $1 and tick_at = $2";

/// Tries one tick.
fn retry(tick: &Pending) -> Result<Written> {
    let key = [tick.lineage_id.into(), tick.tick_at.into()];
    let version = sql::row(FIND_VERSION_AT, &key, |row| {
        let cron: String = sql::get(row, "cron")?;
        let timezone: String = sql::get(row, "timezone")?;
        Ok((
            sql::get::<Uuid>(row, "job_id")?,
            timing(&cron, &timezone).ok(),
        ))
    })?;
    let tick_at = sql::from_pg(tick.tick_at);
    let written = match version {
        Some((job_id, Some(timing))) if timing.is_tick(tick_at) => {
            let args = [job_id.into(), tick.tick_at.into()];
            if !busy(&[job_id])?.is_empty() {
                return Ok(Written::default());
            }
            sql::in_subtransaction(|| write(OWED_FOR_ONE, &args))
        }
        _ => Ok(Written::default()),
    };
    match written {
        Ok(written) => sql::run(SETTLE, &key).map(|_| written),
        Err(failure) if failure.is_interruption() => failure.rethrow(),
        Err(failure) => {
            let [lineage_id, tick_at] = key;
            let args = [
                lineage_id,
                tick_at,
                failure.sqlstate().into(),
                failure.to_record().into(),
            ];
            sql::run(RECORD_FAILURE, &args).map(|_| Written::default())
        }
    }
}
