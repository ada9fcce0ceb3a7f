//! Until when an idle worker may sleep.

use super::claim::{IN_TURN, WAITING};
use crate::error::Result;
use crate::sql;
use pgrx::Uuid;
use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};

/// The earliest of: now, if something may start now; the run_at of what waits for it; the end of a lease. The first two
/// are one step in the index for each queue (workspace, type, priority).
const NEXT_WAKEUP: &str = "
with recursive queues (workspace_id, endpoint_type, priority) as (
    (select x.workspace_id, x.endpoint_type, x.priority
     from kronos.executions x
     where {SCOPE} and {WAITING}
     order by x.workspace_id, x.endpoint_type, x.priority
     limit 1)
    union all
    select n.*
    from queues q
    cross join lateral (
        select x.workspace_id, x.endpoint_type, x.priority
        from kronos.executions x
        where (x.workspace_id, x.endpoint_type, x.priority) > (q.workspace_id, q.endpoint_type, q.priority)
          and {SCOPE} and {WAITING}
        order by x.workspace_id, x.endpoint_type, x.priority
        limit 1) n
)
select least(
    (select min(n.run_at)
     from queues q
     cross join lateral (
         (select x.run_at
          from kronos.executions x
          where (x.workspace_id, x.endpoint_type, x.priority) = (q.workspace_id, q.endpoint_type, q.priority)
            and x.run_at > $3 and {WAITING}
          order by x.run_at
          limit 1)
         union all
         (select $3
          from kronos.executions x
          where (x.workspace_id, x.endpoint_type, x.priority) = (q.workspace_id, q.endpoint_type, q.priority)
            and x.run_at <= $3 and {WAITING} and {IN_TURN}
          limit 1)) n (run_at)
     where $2::text[] is null or q.endpoint_type = any ($2)),
    (select min(x.lease_expires_at)
     from kronos.executions x
     where {SCOPE} and x.status = 'RUNNING' and ($2::text[] is null or x.endpoint_type = any ($2)))
) as wakeup_at";

/// When a worker of a workspace (of all, if None) that has found nothing should look again, if no notification comes
/// before; None if nothing is to come.
pub fn next_wakeup(
    workspace_id: Option<Uuid>,
    endpoint_types: Option<Vec<String>>,
) -> Result<Option<TimestampWithTimeZone>> {
    let scope = match workspace_id {
        Some(_) => "x.workspace_id = $1",
        None => "$1::uuid is null",
    };
    let statement = NEXT_WAKEUP
        .replace("{SCOPE}", scope)
        .replace("{WAITING}", WAITING)
        .replace("{IN_TURN}", IN_TURN);
    let args: Vec<DatumWithOid> = vec![
        workspace_id.into(),
        endpoint_types.into(),
        sql::to_pg(sql::now()).into(),
    ];
    let at = sql::row(&statement, &args, |row| sql::get_opt(row, "wakeup_at"))?;
    Ok(at.flatten())
}
