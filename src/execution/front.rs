//! Where a session's claims start to read.
//!
//! Until VACUUM, claimed executions leave dead index entries in front of the waiting ones: 500,000 of them cost 28 ms a
//! claim. So a session starts where its last claim ended, and once a second from the very beginning. While a transaction
//! holds an old snapshot, no index entry is removed, and reading from the beginning takes longer and longer. So a session
//! whose claims are full does it less often then, and spends at most a twentieth of its time on it.

use crate::error::Result;
use crate::id::WorkspaceId;
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use pgrx::datum::TimestampWithTimeZone;
use std::cell::RefCell;
use std::collections::HashMap;

/// How often a session reads from the beginning, for executions behind the front: released ones, ticks that were written
/// after their time, and executions whose transaction committed after others.
const WHOLE_EVERY: Duration = Duration::seconds(1);

/// How often it does so at least, however long a reading takes.
const WHOLE_AT_LEAST_EVERY: Duration = Duration::minutes(1);

/// The least ratio of the time between two readings from the beginning to the time that one takes.
const WHOLE_RATIO: i32 = 20;

/// How many fronts a session keeps at most.
const MOST_FRONTS: usize = 10_000;

/// A workspace, and the endpoint types to claim from it; None for any.
type Key = (WorkspaceId, Option<Vec<String>>);

/// The place that a session's claims have reached in a workspace.
#[derive(Clone)]
pub struct Front {
    /// When a claim last read from the beginning, and how long the front lasts from then on.
    read_whole_at: DateTime<Utc>,
    lasts: Duration,
    /// The types of the workspace's endpoints at that time.
    pub endpoint_types: Vec<String>,
    /// The last run_at that was claimed, by priority.
    claimed: [Option<DateTime<Utc>>; 10],
    /// Whether executions waited in other lanes than the common one at that time.
    pub has_lanes: bool,
    /// Whether the front is older than this claim, so that the claim may miss executions.
    pub is_old: bool,
}

thread_local! {
    static FRONTS: RefCell<HashMap<Key, Front>> = RefCell::default();
}

const HAS_LANES: &str = "
select
from pg_catalog.unnest($2::text[]) t (endpoint_type)
where exists (select
              from kronos_internal.live_executions x
              where x.workspace_id = $1 and x.endpoint_type = t.endpoint_type and x.lane <> '' and x.status <> 'RUNNING')";

/// The types of a workspace's endpoints, and whether executions wait in lanes.
fn find_types(workspace_id: WorkspaceId) -> Result<(Vec<String>, bool)> {
    let mut has_lanes = false;
    let types = sql::by_index(|| {
        sql::rows(
            include_str!("find_types.sql"),
            &[workspace_id.into()],
            |row| {
                has_lanes |= sql::get::<bool>(row, "has_lanes")?;
                sql::get(row, "endpoint_type")
            },
        )
    })?;
    Ok((types, has_lanes))
}

impl Front {
    /// The front of the session's claims in a workspace. It is a new one at the beginning if the session has none, if that
    /// one no longer lasts, or with `whole`.
    ///
    /// # Errors
    /// Fails only if SQL does.
    pub fn find(
        workspace_id: WorkspaceId,
        endpoint_types: &Option<Vec<String>>,
        now: DateTime<Utc>,
        whole: bool,
    ) -> Result<Front> {
        let key = (workspace_id, endpoint_types.clone());
        let known = FRONTS.with_borrow_mut(|fronts| fronts.remove(&key));
        if let Some(front) = known
            && !whole
            && (Duration::zero()..front.lasts).contains(&(now - front.read_whole_at))
        {
            return Ok(Front {
                is_old: true,
                ..front
            });
        }
        let (found, has_lanes) = match endpoint_types {
            Some(types) => {
                let args = [workspace_id.into(), types.clone().into()];
                let has_lanes = sql::by_index(|| sql::exists(HAS_LANES, &args))?;
                (types.clone(), has_lanes)
            }
            None => find_types(workspace_id)?,
        };
        Ok(Front {
            read_whole_at: now,
            lasts: WHOLE_EVERY,
            endpoint_types: found,
            claimed: [None; 10],
            has_lanes,
            is_old: false,
        })
    }

    /// The run_at from which a claim reads, by priority; -infinity for the beginning.
    pub fn run_ats(&self) -> Vec<TimestampWithTimeZone> {
        let from = |claimed: &Option<DateTime<Utc>>| {
            sql::to_pg(claimed.unwrap_or(DateTime::<Utc>::MIN_UTC))
        };
        self.claimed.iter().map(from).collect()
    }

    /// Records how long a reading took. Only a reading from the beginning decides how long the front lasts.
    pub fn record_reading(&mut self, took: Duration) {
        if !self.is_old {
            self.lasts = WHOLE_EVERY
                .max(took * WHOLE_RATIO)
                .min(WHOLE_AT_LEAST_EVERY);
        }
    }

    /// Moves the front past a claimed execution.
    pub fn advance(&mut self, priority: i32, run_at: DateTime<Utc>) {
        if let Some(claimed) = self.claimed.get_mut(priority as usize) {
            *claimed = (*claimed).max(Some(run_at));
        }
    }

    /// Keeps the front for the session's next claim. A claim that came up short does not keep it, so that the next claim
    /// reads from the beginning once instead of twice.
    pub fn keep(self, workspace_id: WorkspaceId, endpoint_types: &Option<Vec<String>>) {
        FRONTS.with_borrow_mut(|fronts| {
            if fronts.len() >= MOST_FRONTS {
                fronts.clear();
            }
            fronts.insert((workspace_id, endpoint_types.clone()), self);
        });
    }
}

/// Forgets all fronts, after a claim that passed executions without taking them. The next claims read from the beginning.
pub fn forget() {
    FRONTS.with_borrow_mut(HashMap::clear);
}
