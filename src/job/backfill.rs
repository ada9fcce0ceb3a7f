//! Running a cron job for past ticks.

use super::read::{JobRef, hold_live_job};
use super::rules::shown;
use crate::error::{self, KronosError, Result};
use crate::schedule::parse_timing;
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;
use serde_json::json;
use std::collections::{HashMap, HashSet};

/// The most ticks of one call.
const MAX_TICKS: usize = 10_000;

/// One tick of a backfill.
pub struct Backfilled {
    pub tick_at: TimestampWithTimeZone,
    /// `CREATE`, or `EXISTS` where the tick had an execution already (also one that was skipped).
    pub action: &'static str,
    /// None in a dry run, for one that would be made.
    pub execution_id: Option<Uuid>,
}

const INSERT_EXECUTIONS: &str = "
insert into kronos.executions (workspace_id, job_id, lineage_id, tick_at, origin, endpoint_type, priority, run_at)
select j.workspace_id, j.job_id, j.lineage_id, t.tick_at, 'BACKFILL', e.type, j.priority, clock_timestamp()
from kronos.jobs j join kronos.endpoints e using (endpoint_id),
     unnest($2::timestamptz[]) with ordinality as t (tick_at, nth)
where j.job_id = $1
order by t.nth
on conflict (lineage_id, tick_at) do nothing
returning execution_id";

const FIND_EXECUTIONS: &str = "
select x.execution_id, x.tick_at
from kronos.jobs j join kronos.executions x on x.lineage_id = j.lineage_id and x.tick_at = any ($2::timestamptz[])
where j.job_id = $1";

/// Writes the executions of a live cron job (also of a paused one) for the ticks `from <= tick < to` of its schedule and
/// within its window that have none, to be run now; in a dry run only says which. What overlaps is run, whatever the
/// job's overlap_policy: somebody asked for it.
///
/// # Errors
/// `JOB_NOT_FOUND`, `JOB_RETIRED`; `INVALID_ARGUMENT` for a range that is empty or not past; `TOO_MANY_TICKS`.
pub fn backfill(
    workspace: &str,
    job: JobRef,
    from: TimestampWithTimeZone,
    to: TimestampWithTimeZone,
    dry_run: bool,
) -> Result<Vec<Backfilled>> {
    let job = hold_live_job(workspace, job)?;
    let (timing, _) = parse_timing(&job.cron, &job.timezone)?;
    let bound = |bound: Option<TimestampWithTimeZone>, none| bound.map_or(none, sql::from_pg);
    let (start, end) = (sql::from_pg(from), sql::from_pg(to));
    if start == DateTime::<Utc>::MIN_UTC || start >= end || end > sql::now() {
        return Err(KronosError::new(
            &error::INVALID_ARGUMENT,
            "from_at must be finite and before to_at, and to_at must not be to come",
            json!({ "from_at": shown(Some(from)), "to_at": shown(Some(to)) }),
        ));
    }
    let start = start.max(bound(job.starts_at, start));
    let end = end.min(bound(job.ends_at, end));
    let microsecond = Duration::microseconds(1);
    let ticks: Vec<TimestampWithTimeZone> = timing
        .ticks(start - microsecond, end - microsecond)
        .take(MAX_TICKS + 1)
        .map(sql::to_pg)
        .collect();
    if ticks.len() > MAX_TICKS {
        return Err(KronosError::new(
            &error::TOO_MANY_TICKS,
            format!("the range has more than {MAX_TICKS} ticks; backfill it in parts"),
            json!({ "limit": MAX_TICKS, "limit_reached_at": shown(ticks.last().copied()) }),
        ));
    }
    let args = [job.job_id.into(), ticks.clone().into()];
    let mut created: HashSet<Uuid> = HashSet::new();
    if !dry_run {
        let written: Vec<Uuid> = sql::rows(INSERT_EXECUTIONS, &args, |row| {
            sql::get(row, "execution_id")
        })?;
        created.extend(written);
    }
    let found = sql::rows(FIND_EXECUTIONS, &args, |row| {
        let tick_at = sql::from_pg(sql::get(row, "tick_at")?);
        Ok((tick_at, sql::get::<Uuid>(row, "execution_id")?))
    })?;
    let found: HashMap<DateTime<Utc>, Uuid> = found.into_iter().collect();
    Ok(ticks
        .into_iter()
        .map(|tick_at| {
            let execution_id = found.get(&sql::from_pg(tick_at)).copied();
            let existed = execution_id.is_some_and(|id| !created.contains(&id));
            Backfilled {
                tick_at,
                action: if existed { "EXISTS" } else { "CREATE" },
                execution_id,
            }
        })
        .collect())
}
