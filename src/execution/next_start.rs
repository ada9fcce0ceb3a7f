//! When executions in lanes may start, for workers that have found nothing.

use super::gated::{Gated, Queue, column, find_gated};
use crate::endpoint;
use crate::error::Result;
use crate::id::WorkspaceId;
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use pgrx::pg_sys;

/// How long next_wakeup() reads lanes, and when it says to look again if that was too short.
const READS_FOR: Duration = Duration::milliseconds(100);
const READ_AGAIN_AFTER: Duration = Duration::seconds(1);

/// When the first execution in lanes of the given workspaces and endpoint types may start, unless max_concurrent holds
/// it back. If there are too many lanes to read, this is in a second at the latest.
///
/// # Errors
/// Fails only if SQL does.
pub fn next_start(
    queues: impl Iterator<Item = (WorkspaceId, String)>,
) -> Result<Option<DateTime<Utc>>> {
    let now = sql::now();
    let mut earliest: Option<DateTime<Utc>> = None;
    for (workspace_id, endpoint_type) in queues {
        for endpoint in find_gated(workspace_id, &[endpoint_type])? {
            sql::check_for_interrupts();
            if sql::now() - now > READS_FOR {
                let again = now + READ_AGAIN_AFTER;
                return Ok(Some(earliest.map_or(again, |at| at.min(again))));
            }
            let at = endpoint.next_start(workspace_id, now)?;
            earliest = [earliest, at].into_iter().flatten().min();
        }
    }
    Ok(earliest)
}

const FIND_SQL: &str = "
select distinct e.workspace_id
from kronos_internal.endpoints e
where e.run_as is not null
  and exists (select
              from kronos_internal.live_executions x
              where x.workspace_id = e.workspace_id and x.endpoint_type = 'SQL' and x.lane <> '' and x.status <> 'RUNNING')";

/// The roles of SQL endpoints with executions in lanes that may start now.
///
/// # Errors
/// Fails only if SQL does.
pub fn roles_due_in_lanes(now: DateTime<Utc>) -> Result<Vec<pg_sys::Oid>> {
    let workspaces: Vec<WorkspaceId> =
        sql::by_index(|| sql::rows(FIND_SQL, &[], |row| sql::get(row, "workspace_id")))?;
    let mut roles = vec![];
    for workspace_id in workspaces {
        for endpoint in find_gated(workspace_id, &[endpoint::SQL.to_owned()])? {
            let at = endpoint.next_start(workspace_id, now)?;
            if at.is_some_and(|at| at <= now) {
                roles.extend(endpoint.run_as);
            }
        }
    }
    Ok(roles)
}

impl Gated {
    fn next_start(
        &self,
        workspace_id: WorkspaceId,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>> {
        if self.gated_at.is_none() {
            // The next claim moves the executions to the common lane.
            return Ok(Some(now));
        }
        if self.is_paused {
            return Ok(None);
        }
        let stragglers = self.stragglers()?;
        let mut earliest = None;
        let mut place = Some(self.beginning());
        while let Some(after) = place.take() {
            sql::check_for_interrupts();
            let (mut queues, more) = self.queues(workspace_id, &stragglers, &after, now)?;
            queues.retain(|queue| !queue.is_full);
            let at = self.next_in(workspace_id, &queues, now)?;
            earliest = [earliest, at].into_iter().flatten().min();
            if more.is_some() && sql::now() - now > READS_FOR {
                return Ok([earliest, Some(now + READ_AGAIN_AFTER)]
                    .into_iter()
                    .flatten()
                    .min());
            }
            place = more;
        }
        Ok(earliest)
    }

    fn next_in(
        &self,
        workspace_id: WorkspaceId,
        queues: &[Queue],
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>> {
        let args = [
            workspace_id.into(),
            self.endpoint_type.as_str().into(),
            column(queues, |queue| queue.lane.as_str()).into(),
            column(queues, |queue| queue.priority).into(),
            column(queues, |queue| queue.opens_at).into(),
            sql::to_pg(now).into(),
        ];
        let at = sql::by_index(|| {
            sql::row(include_str!("next_in_queues.sql"), &args, |row| {
                sql::get_opt(row, "startable_at")
            })
        })?;
        Ok(at.flatten().map(sql::from_pg))
    }
}
