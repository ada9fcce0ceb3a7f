//! When workers look for work: notifications, and until when an idle worker may sleep.

use super::next_start::next_start;
use crate::error::Result;
use crate::id::WorkspaceId;
use crate::sql::Row;
use crate::{settings, sql};
use chrono::{DateTime, Duration, Utc};
use pgrx::datum::TimestampWithTimeZone;
use std::collections::HashMap;

/// The longest that an idle worker sleeps without a notification.
const LONGEST_SLEEP: Duration = Duration::minutes(1);

/// How long before an SQL execution is due the SQL workers learn of it. Upkeep, every minute, is never too late.
pub const WAKE_AHEAD: Duration = Duration::minutes(2);

/// Tells the workers of a workspace, when the transaction commits, that an execution is due at `run_at`: at once or
/// within the minute that an idle worker may sleep. Later ones are found by its next poll.
pub fn notify_workers(workspace_id: WorkspaceId, run_at: DateTime<Utc>) {
    if settings::notify_workers() && run_at <= sql::now() + LONGEST_SLEEP {
        sql::notify(c"kronos_executions", &workspace_id.to_string());
    }
}

/// Wakes the SQL workers, when the transaction commits, for an SQL execution that is due at `run_at`. For one that is due
/// later upkeep does it.
pub fn wake_sql_workers(run_at: DateTime<Utc>) {
    if run_at <= sql::now() + WAKE_AHEAD {
        sql::processes::wake_at_commit();
    }
}

/// Notifies the workers of a workspace, when the transaction commits, that executions of an endpoint may start now.
pub fn notify_of_endpoint(workspace_id: WorkspaceId, is_sql: bool) {
    let mut startable = Startable::default();
    startable.note(workspace_id, sql::now(), is_sql);
    startable.notify();
}

/// The executions that a statement lets start, by workspace: when the first of them is due.
#[derive(Default)]
pub struct Startable(HashMap<WorkspaceId, DateTime<Utc>>);

impl Startable {
    /// Notes what a row says: the workspace_id, startable_at (null: nothing can start) and is_sql (whether an SQL execution
    /// can).
    ///
    /// # Errors
    /// Fails only if SQL does.
    pub fn add(&mut self, row: &Row) -> Result<()> {
        let workspace_id: WorkspaceId = sql::get(row, "workspace_id")?;
        let run_at: Option<TimestampWithTimeZone> = sql::get_opt(row, "startable_at")?;
        if let Some(run_at) = run_at.map(sql::from_pg) {
            self.note(workspace_id, run_at, sql::get(row, "is_sql")?);
        }
        Ok(())
    }

    /// Notes an execution that is due at `run_at`, and whether the server itself runs it.
    pub fn note(&mut self, workspace_id: WorkspaceId, run_at: DateTime<Utc>, is_sql: bool) {
        if is_sql {
            wake_sql_workers(run_at);
        }
        let earliest = self.0.entry(workspace_id).or_insert(run_at);
        *earliest = run_at.min(*earliest);
    }

    /// Notifies the workers of each workspace once.
    pub fn notify(self) {
        for (workspace_id, run_at) in self.0 {
            notify_workers(workspace_id, run_at);
        }
    }
}

/// When a worker of a workspace (of all, if None) that has found nothing should look again, if no notification comes
/// before; None if nothing is to come, or if kronos.enabled is off. Executions that wait for a running one count when its
/// lease ends: a notification comes when it finishes. Those of paused endpoints do not count.
///
/// # Errors
/// Fails only if SQL does.
pub fn next_wakeup(
    workspace_id: Option<WorkspaceId>,
    endpoint_types: Option<Vec<String>>,
) -> Result<Option<TimestampWithTimeZone>> {
    if !settings::enabled() {
        return Ok(None);
    }
    let first = workspace_id.unwrap_or(WorkspaceId::least());
    let last = workspace_id.unwrap_or(WorkspaceId::greatest());
    let args = [
        first.into(),
        last.into(),
        endpoint_types.into(),
        sql::now_pg().into(),
    ];
    let read = |row: &Row| {
        Ok((
            sql::get_opt(row, "wakeup_at")?,
            sql::get::<Vec<WorkspaceId>>(row, "workspace_ids")?,
            sql::get::<Vec<String>>(row, "endpoint_types")?,
        ))
    };
    let found = sql::by_index(|| sql::row(include_str!("next_wakeup.sql"), &args, read))?;
    let Some((at, workspaces, types)) = found else {
        return Ok(None);
    };
    let in_lanes = next_start(workspaces.into_iter().zip(types))?;
    Ok([at, in_lanes.map(sql::to_pg)].into_iter().flatten().min())
}
