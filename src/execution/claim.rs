//! Claiming: workers take executions that may start now.

use super::finish::reap;
use super::lease::Lease;
use crate::error::Result;
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use pgrx::Uuid;
use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pgbox::AllocatedByRust;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};

/// What a worker asks for.
pub struct Wanted<'a> {
    pub worker_id: &'a str,
    pub max: usize,
    /// How long it holds them without a heartbeat.
    pub lease: Lease,
    /// None is any.
    pub endpoint_types: Option<Vec<String>>,
}

/// A row of type kronos.claimed_execution.
pub type Claimed = PgHeapTuple<'static, AllocatedByRust>;

/// What may start, of executions `x` whose run_at has come: one that keeps the order of its job's ticks only behind the
/// earlier ones. Of several such the earliest alone is eligible, so that two sessions cannot start two of them.
pub const IN_TURN: &str = "
(not x.in_order
 or not exists (select from kronos.executions o
                where o.lineage_id = x.lineage_id
                  and o.status in ('PENDING', 'QUEUED', 'RUNNING', 'RETRYING')
                  and (o.status = 'RUNNING' or o.tick_at < x.tick_at)))";

/// The predicate of the index executions_waiting.
pub const WAITING: &str = "x.status in ('PENDING', 'QUEUED', 'RETRYING')";

/// Takes up to $2 executions of each workspace of $1, and $3 in all. Every queue (workspace, type, priority) is read in
/// the order of its index, no further than needed; rows that other sessions are taking are passed over.
const CLAIM: &str = "
with chosen as materialized (
    select c.execution_id, w.turn
    from unnest($1::uuid[]) with ordinality w (workspace_id, turn)
    cross join lateral (
        select q.execution_id
        from generate_series(0, 9) p (priority)
        cross join lateral (
            select x.execution_id
            from ({TYPES}) t (endpoint_type)
            cross join lateral (
                select x.execution_id, x.run_at
                from kronos.executions x
                where x.workspace_id = w.workspace_id and x.endpoint_type = t.endpoint_type
                  and x.priority = p.priority and x.run_at <= $4 and x.run_at >= ($7::timestamptz[])[(w.turn - 1) * 10 + p.priority + 1]
                  and {WAITING} and {IN_TURN}
                order by x.run_at
                limit $2
                for no key update skip locked) x
            order by x.run_at
            limit $2) q
        limit $2) c
    limit $3
),
claimed as (
    update kronos.executions x
    set status = 'RUNNING', attempt = x.attempt + 1, worker_id = $5,
        lease_expires_at = clock_timestamp() + make_interval(secs => least($6, extract(epoch from e.attempt_timeout)::float8))
    from chosen c, kronos.jobs j, kronos.endpoints e
    where x.execution_id = c.execution_id and j.job_id = x.job_id and e.endpoint_id = j.endpoint_id
    returning x.*, c.turn, j.input, e.name as endpoint, e.spec, e.retry_policy, e.attempt_timeout,
              x.lease_expires_at - make_interval(secs => least($6, extract(epoch from e.attempt_timeout)::float8)) as started_at
),
started as (
    insert into kronos.attempts (execution_id, attempt, worker_id, started_at, deadline_at)
    select execution_id, attempt, worker_id, started_at,
           started_at + make_interval(secs => extract(epoch from attempt_timeout)::float8)
    from claimed
    returning execution_id, deadline_at
)
select row(c.execution_id, c.attempt, w.name, c.job_id, c.tick_at, c.run_at, c.priority, c.input, c.endpoint,
           c.endpoint_type, c.spec, c.retry_policy, c.failed_attempts, c.lease_expires_at, s.deadline_at
       )::kronos.claimed_execution, c.turn, c.priority, c.run_at
from claimed c join started s using (execution_id) join kronos.workspaces w using (workspace_id)
order by c.priority, c.run_at";

/// The types that executions of a workspace `w` may wait for. (They are not looked for among the executions, where the
/// index entries of all that has been claimed since the last vacuum would be in the way.)
const ANY_TYPE: &str =
    "select distinct e.type from kronos.endpoints e where e.workspace_id = w.workspace_id";

/// Where the executions of a workspace begin that a session has not taken yet, so that it does not step over the dead
/// index entries of those that it and others have: without a vacuum, they pile up in front of what waits.
struct Front {
    /// When a claim has last read from the beginning.
    read_whole_at: DateTime<Utc>,
    /// The last run_at that was claimed, by priority.
    claimed: [Option<DateTime<Utc>>; 10],
}

/// What comes late (a tick is written after its time, a transaction commits after others) lies so far behind the front.
const SLACK: Duration = Duration::seconds(10);

/// What comes still later (it was released, say) is seen by a claim that reads from the beginning: one in so long a time,
/// and each that finds less than it asked for.
const WHOLE_EVERY: Duration = Duration::seconds(1);

/// The most fronts that a session keeps.
const MOST_FRONTS: usize = 10_000;

/// A workspace, and the types that are wanted of it.
type Reading = (Uuid, Option<Vec<String>>);

thread_local! {
    static FRONTS: RefCell<HashMap<Reading, Front>> = RefCell::default();
}

/// From which run_at on workspaces are read, by place and priority; -infinity is from the beginning.
fn fronts(workspaces: &[Uuid], wanted: &Wanted, whole: bool) -> Vec<TimestampWithTimeZone> {
    let now = sql::now();
    FRONTS.with_borrow_mut(|fronts| {
        if fronts.len() > MOST_FRONTS {
            fronts.clear();
        }
        let mut from = vec![];
        for workspace_id in workspaces {
            let key = (*workspace_id, wanted.endpoint_types.clone());
            let known = fronts.remove(&key);
            let front = known
                .filter(|front| !whole && now - front.read_whole_at < WHOLE_EVERY)
                .unwrap_or(Front {
                    read_whole_at: now,
                    claimed: [None; 10],
                });
            from.extend(front.claimed.map(|claimed| {
                sql::to_pg(claimed.map_or(DateTime::<Utc>::MIN_UTC, |claimed| claimed - SLACK))
            }));
            fronts.insert(key, front);
        }
        from
    })
}

/// Notes what was claimed of a workspace.
fn advance(workspace_id: Uuid, wanted: &Wanted, priority: i32, run_at: DateTime<Utc>) {
    FRONTS.with_borrow_mut(|fronts| {
        if let Some(front) = fronts.get_mut(&(workspace_id, wanted.endpoint_types.clone()))
            && let Some(claimed) = front.claimed.get_mut(priority as usize)
        {
            *claimed = (*claimed).max(Some(run_at));
        }
    });
}

/// Takes up to `each` executions of each workspace and `max` in all; with each, the place of its workspace in the list.
fn claim_from(
    workspaces: &[Uuid],
    each: usize,
    max: usize,
    wanted: &Wanted,
    whole: bool,
) -> Result<Vec<(Claimed, usize)>> {
    let types = match wanted.endpoint_types {
        Some(_) => "select distinct unnest($8::text[])",
        None => ANY_TYPE,
    };
    let statement = CLAIM
        .replace("{TYPES}", types)
        .replace("{WAITING}", WAITING)
        .replace("{IN_TURN}", IN_TURN);
    let mut args: Vec<DatumWithOid> = vec![
        workspaces.to_vec().into(),
        (each as i64).into(),
        (max as i64).into(),
        sql::to_pg(sql::now()).into(),
        wanted.worker_id.into(),
        wanted.lease.seconds().into(),
        fronts(workspaces, wanted, whole).into(),
    ];
    if let Some(types) = &wanted.endpoint_types {
        args.push(types.clone().into());
    }
    sql::rows(&statement, &args, |row| {
        let claimed = row.get(1)?.ok_or(pgrx::spi::Error::InvalidPosition)?;
        let place = sql::get::<i64>(row, "turn")? as usize - 1;
        let run_at = sql::from_pg(sql::get(row, "run_at")?);
        advance(
            workspaces[place],
            wanted,
            sql::get(row, "priority")?,
            run_at,
        );
        Ok((claimed, place))
    })
}

/// The most expired leases that one claim takes up.
const REAP_AT_CLAIM: i64 = 100;

/// Takes up to `max` executions that may start now: of a workspace, by priority, then run_at; or of all workspaces in turn,
/// an equal share of `max` of each that has something waiting, beginning behind the last one that this session served.
/// A worker that finds less than it asked for has time, and takes up leases that have run out.
pub fn claim(workspace_id: Option<Uuid>, wanted: &Wanted) -> Result<Vec<Claimed>> {
    let take = |max: usize, whole: bool| match workspace_id {
        Some(workspace_id) => claim_from(&[workspace_id], max, max, wanted, whole),
        None => claim_in_turn(max, wanted, whole),
    };
    let mut claimed = take(wanted.max, false)?;
    if claimed.len() < wanted.max {
        reap(REAP_AT_CLAIM)?;
        claimed.extend(take(wanted.max - claimed.len(), true)?);
    }
    Ok(claimed.into_iter().map(|(claimed, _)| claimed).collect())
}

thread_local! {
    /// The workspace that this session served last, when it claimed from all.
    static SERVED_LAST: Cell<Option<Uuid>> = const { Cell::new(None) };
}

/// The least workspaces that are looked at together.
const TOGETHER: usize = 64;

/// Goes round the workspaces until there is enough: once round all of them, then on among those that had something.
fn claim_in_turn(max: usize, wanted: &Wanted, whole: bool) -> Result<Vec<(Claimed, usize)>> {
    let Some(start) = SERVED_LAST
        .get()
        .map_or_else(any_workspace, |last| Ok(Some(last)))?
    else {
        return Ok(vec![]);
    };
    let mut claimed: Vec<(Claimed, usize)> = vec![];
    let serve = |workspaces: &[Uuid], claimed: &mut Vec<(Claimed, usize)>| -> Result<Vec<Uuid>> {
        let missing = max - claimed.len();
        let each = missing.div_ceil(workspaces.len());
        let taken = claim_from(workspaces, each, missing, wanted, whole)?;
        let turns: BTreeSet<usize> = taken.iter().map(|(_, turn)| *turn).collect();
        claimed.extend(taken);
        let served: Vec<Uuid> = turns.into_iter().map(|turn| workspaces[turn]).collect();
        SERVED_LAST.set(served.last().copied().or(SERVED_LAST.get()).or(Some(start)));
        Ok(served)
    };
    let mut served = vec![];
    let (mut after, mut up_to) = (start, None);
    while claimed.len() < max {
        let count = (max - claimed.len()).max(TOGETHER);
        let mut part = next_workspaces(after, up_to, count)?;
        if up_to.is_none() && part.len() < count {
            up_to = Some(start);
            part.extend(next_workspaces(nil(), up_to, count - part.len())?);
        }
        let Some(last) = part.last() else { break };
        after = *last;
        served.extend(serve(&part, &mut claimed)?);
    }
    while claimed.len() < max && !served.is_empty() {
        served = serve(&served, &mut claimed)?;
    }
    Ok(claimed)
}

/// Before all workspaces.
fn nil() -> Uuid {
    Uuid::from_bytes([0; 16])
}

/// The workspaces after $1, and up to $2 where given, that have something waiting, each found by one step in the index.
const NEXT_WORKSPACES: &str = "
with recursive walk (workspace_id) as (
    (select x.workspace_id
     from kronos.executions x
     where x.workspace_id > $1 and ($2::uuid is null or x.workspace_id <= $2) and {WAITING}
     order by x.workspace_id
     limit 1)
    union all
    select (select x.workspace_id
            from kronos.executions x
            where x.workspace_id > w.workspace_id and ($2::uuid is null or x.workspace_id <= $2) and {WAITING}
            order by x.workspace_id
            limit 1)
    from walk w
    where w.workspace_id is not null
)
select workspace_id from walk where workspace_id is not null";

fn next_workspaces(after: Uuid, up_to: Option<Uuid>, count: usize) -> Result<Vec<Uuid>> {
    let statement = format!("{NEXT_WORKSPACES} limit $3").replace("{WAITING}", WAITING);
    let args = [after.into(), up_to.into(), (count as i64).into()];
    sql::rows(&statement, &args, |row| sql::get(row, "workspace_id"))
}

/// Where a session begins that has served none yet: anywhere, so that sessions which claim only once are fair too.
fn any_workspace() -> Result<Option<Uuid>> {
    let statement =
        format!("select w.workspace_id from ({NEXT_WORKSPACES}) w order by random() limit 1");
    sql::row(
        &statement.replace("{WAITING}", WAITING),
        &[nil().into(), None::<Uuid>.into()],
        |row| sql::get(row, "workspace_id"),
    )
}
