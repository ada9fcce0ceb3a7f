//! Ticks that could not be materialised with the others of their schedule, and how they are made good.

use super::materialise::{DueTick, due_args, interrupted, with_owed};
use crate::error::Result;
use crate::schedule::stored_timing;
use crate::sql;
use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;
use std::time::Duration;

/// The most pending ticks that one call tries.
const BATCH: i64 = 1000;

/// How often, and after what pause, one call comes back to jobs whose rows another session is changing. Most such
/// sessions commit within milliseconds; for one that does not, the next wake-up does it.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

const RECORD_LOCKED: &str = "
insert into kronos.pending_ticks (lineage_id, tick_at, job_id)
select o.lineage_id, o.tick_at, o.job_id
from ({OWED}) o
where not exists (select from unnest($4::uuid[]) as locked (job_id) where locked.job_id = o.job_id)
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

const LOCK_PENDING: &str = "
select lineage_id, tick_at
from kronos.pending_ticks
where error is null or (not $1 and tried_at < now() - interval '30 seconds')
order by tried_at
limit $2
for update skip locked";

struct Pending {
    lineage_id: Uuid,
    tick_at: TimestampWithTimeZone,
}

/// Tries pending ticks again, and returns how many executions came of it.
pub fn retry_pending() -> Result<u64> {
    let mut count = 0;
    for attempt in 0..ATTEMPTS {
        let only_locked = attempt > 0;
        let pending = sql::rows(LOCK_PENDING, &[only_locked.into(), BATCH.into()], |row| {
            Ok(Pending {
                lineage_id: sql::get(row, "lineage_id")?,
                tick_at: sql::get(row, "tick_at")?,
            })
        })?;
        let mut locked = false;
        for tick in &pending {
            match retry(tick)? {
                Retried::Materialised => count += 1,
                Retried::Locked => locked = true,
                Retried::Settled => {}
            }
        }
        if !locked {
            break;
        }
        if attempt + 1 < ATTEMPTS {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(count)
}

enum Retried {
    Materialised,
    Locked,
    Settled,
}

const LOCK_LIVE_VERSION: &str = "
select from kronos.jobs where lineage_id = $1 and status <> 'RETIRED' for share skip locked";

const FIND_LIVE_VERSION: &str =
    "select from kronos.jobs where lineage_id = $1 and status <> 'RETIRED'";

/// The version that a tick belongs to: the one in force at that instant.
const FIND_VERSION_AT: &str = "
select job_id, cron, timezone
from kronos.jobs
where lineage_id = $1
  and created_at < $2
  and (retired_at is null or $2 <= retired_at)
  and (starts_at is null or starts_at <= $2)
  and (ends_at is null or $2 < ends_at)";

const INSERT_EXECUTION: &str = "
insert into kronos.executions (workspace_id, job_id, lineage_id, tick_at, run_at)
select workspace_id, job_id, lineage_id, $2, $2 from kronos.jobs where job_id = $1
on conflict (lineage_id, tick_at) do nothing";

const RECORD_RETRY: &str = "
update kronos.pending_ticks
set tries = tries + 1, tried_at = clock_timestamp(), sqlstate = $3, error = $4
where lineage_id = $1 and tick_at = $2";

fn retry(tick: &Pending) -> Result<Retried> {
    let Pending {
        lineage_id,
        tick_at,
    } = *tick;
    // Holding the live version keeps it live until this transaction ends: no execution comes after a cancel.
    if !sql::exists(LOCK_LIVE_VERSION, &[lineage_id.into()])? {
        if sql::exists(FIND_LIVE_VERSION, &[lineage_id.into()])? {
            return Ok(Retried::Locked);
        }
        return settle(tick);
    }
    let version = sql::row(
        FIND_VERSION_AT,
        &[lineage_id.into(), tick_at.into()],
        |row| {
            Ok((
                sql::get::<Uuid>(row, "job_id")?,
                sql::get::<String>(row, "cron")?,
                sql::get::<String>(row, "timezone")?,
            ))
        },
    )?;
    let owes = |cron: &str, timezone: &str| {
        stored_timing(cron, timezone).is_some_and(|timing| timing.is_tick(sql::from_pg(tick_at)))
    };
    let Some((job_id, _, _)) = version.filter(|(_, cron, timezone)| owes(cron, timezone)) else {
        return settle(tick);
    };
    match sql::in_subtransaction(|| sql::run(INSERT_EXECUTION, &[job_id.into(), tick_at.into()])) {
        Ok(0) => settle(tick),
        Ok(_) => settle(tick).map(|_| Retried::Materialised),
        Err(failure) if failure.is_interruption() => interrupted(failure),
        Err(failure) => {
            let error = failure.to_record();
            let in_the_way = error.is_none();
            let args = [
                lineage_id.into(),
                tick_at.into(),
                failure.sqlstate().into(),
                error.into(),
            ];
            sql::run(RECORD_RETRY, &args)?;
            Ok(if in_the_way {
                Retried::Locked
            } else {
                Retried::Settled
            })
        }
    }
}

/// Nothing is owed for the tick any more.
fn settle(tick: &Pending) -> Result<Retried> {
    sql::run(
        "delete from kronos.pending_ticks where lineage_id = $1 and tick_at = $2",
        &[tick.lineage_id.into(), tick.tick_at.into()],
    )?;
    Ok(Retried::Settled)
}
