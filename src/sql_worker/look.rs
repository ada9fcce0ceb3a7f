//! What the dispatcher reads and writes in each of its looks.

use super::bookkeeping::lease;
use crate::authority::as_server;
use crate::endpoint::SQL;
use crate::error::Result;
use crate::execution::{self, WAKE_AHEAD};
use crate::settings;
use crate::sql::{self, processes};
use chrono::{DateTime, Utc};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use std::collections::HashSet;

/// What the dispatcher sees.
pub struct Look {
    /// The roles of the executions that may start now, by fair turns of their workspaces.
    pub due: Vec<Due>,
    /// The workers that run an execution.
    pub busy: HashSet<String>,
    /// Those whose statement should have been cancelled seconds ago.
    pub overdue: Vec<String>,
    /// When the next execution is due, after this look; None if none is within [`WAKE_AHEAD`].
    pub next_at: Option<DateTime<Utc>>,
}

/// An execution that may start now.
pub struct Due {
    pub role: pg_sys::Oid,
    /// Why no worker can run as the role.
    pub problem: Option<String>,
}

/// Ends the attempts of workers that have died, extends the leases of the others, and looks at what is due. `workers` are
/// the ids of the workers that live.
///
/// # Errors
/// Fails only if SQL does.
pub fn look(workers: &[&str], max: usize) -> Result<Look> {
    as_server(|_| {
        sql::set_timeouts("2s")?;
        execution::expire_lost(workers)?;
        let now = sql::now();
        let busy = sql::rows(
            include_str!("extend_leases.sql"),
            &[
                workers.to_vec().into(),
                lease().into(),
                sql::to_pg(now).into(),
            ],
            |row| {
                Ok((
                    sql::get::<String>(row, "worker_id")?,
                    sql::get::<bool>(row, "is_overdue")?,
                ))
            },
        )?;
        let overdue = busy.iter().filter(|(_, is_overdue)| *is_overdue);
        let due = if settings::enabled() {
            find_due(now, max)?
        } else {
            vec![]
        };
        let next_at = execution::next_wakeup(None, Some(vec![SQL.to_owned()]))?
            .map(sql::from_pg)
            .filter(|at| *at > now && *at <= now + WAKE_AHEAD);
        Ok(Look {
            due,
            overdue: overdue.map(|(worker_id, _)| worker_id.clone()).collect(),
            busy: busy.into_iter().map(|(worker_id, _)| worker_id).collect(),
            next_at,
        })
    })
}

fn find_due(now: DateTime<Utc>, max: usize) -> Result<Vec<Due>> {
    let in_lanes = execution::roles_due_in_lanes(now)?;
    let args = [sql::to_pg(now).into(), (max as i64).into(), in_lanes.into()];
    sql::by_index(|| {
        sql::rows(include_str!("find_due.sql"), &args, |row| {
            Ok(Due {
                role: sql::get(row, "role")?,
                problem: sql::get_opt(row, "problem")?,
            })
        })
    })
}

const LOCK_STOPPED: &str = "
select x.worker_id, x.stop_requested_at < clock_timestamp() - interval '10 seconds' as is_overdue
from kronos_internal.live_executions x
where x.status = 'RUNNING' and x.endpoint_type = 'SQL' and x.stop_requested_at is not null
for no key update skip locked";

/// Calls `stop` with each worker whose execution was asked to stop, and with whether that was ten seconds ago, and returns
/// whether there is one. The executions are locked meanwhile, so that no worker goes on to its next execution before it is
/// stopped.
///
/// # Errors
/// Fails only if SQL does.
pub fn stop_requested(stop: impl Fn(&str, bool)) -> Result<bool> {
    as_server(|_| {
        let workers: Vec<(String, bool)> = sql::rows(LOCK_STOPPED, &[], |row| {
            Ok((sql::get(row, "worker_id")?, sql::get(row, "is_overdue")?))
        })?;
        for (worker_id, is_overdue) in &workers {
            stop(worker_id, *is_overdue);
        }
        Ok(!workers.is_empty())
    })
}

const EXISTS: &str = "select from pg_catalog.pg_extension where extname = 'kronos'";

/// Whether the database has Kronos.
///
/// # Errors
/// Fails only if SQL does.
pub fn is_installed() -> Result<bool> {
    sql::with_snapshot(|| sql::exists(EXISTS, &[]))
}

/// The number of the lock that the dispatcher of a database holds. The numbers of schedules' slots are smaller, those of
/// crontab sets larger.
const DISPATCHER_LOCK: u32 = 1 << 30;

/// Whether this process is the only dispatcher of the database, from now on until it ends.
///
/// # Errors
/// Fails only if SQL does.
pub fn become_dispatcher() -> Result<bool> {
    sql::with_snapshot(|| sql::try_lock_for_session(DISPATCHER_LOCK))
}

/// Lets another process become the dispatcher.
///
/// # Errors
/// Fails only if SQL does.
pub fn resign() -> Result<()> {
    sql::with_snapshot(|| sql::unlock_for_session(DISPATCHER_LOCK))
}

/// Wakes the SQL workers at the end of the transaction if an SQL execution is due soon, or runs. Upkeep calls it, in case
/// a wake-up was lost.
///
/// # Errors
/// Fails only if SQL does.
pub fn wake_if_due() -> Result<()> {
    let until: TimestampWithTimeZone = sql::to_pg(sql::now() + WAKE_AHEAD);
    if sql::by_index(|| sql::exists(include_str!("is_due.sql"), &[until.into()]))? {
        processes::wake_at_commit();
    }
    Ok(())
}
