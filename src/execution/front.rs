//! Where a session's claims begin to read.
//!
//! Without a vacuum, the dead index entries of what was claimed pile up in front of what waits: 500,000 of them cost 28 ms a
//! claim. So a session starts where its last claim ended, and from the very beginning once a second.

use crate::error::Result;
use crate::id::WorkspaceId;
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use pgrx::datum::TimestampWithTimeZone;
use std::cell::RefCell;
use std::collections::HashMap;

/// Executions that come late (a tick is written after its time, a transaction commits after others) lie at most so far
/// behind the front.
const SLACK: Duration = Duration::seconds(10);

/// Executions that come later still (a released one, say) are found by a claim that reads from the beginning.
const WHOLE_EVERY: Duration = Duration::seconds(1);

/// The most fronts that a session keeps.
const MOST_FRONTS: usize = 10_000;

/// A workspace, and the endpoint types that are claimed of it; None is any.
type Key = (WorkspaceId, Option<Vec<String>>);

/// How far the claims of a session have come in a workspace.
#[derive(Clone)]
pub struct Front {
    /// When a claim last read from the beginning.
    read_whole_at: DateTime<Utc>,
    /// The types that the workspace's endpoints had then.
    pub endpoint_types: Vec<String>,
    /// The last run_at that was claimed, by priority.
    claimed: [Option<DateTime<Utc>>; 10],
    /// Whether the front was there before this claim, so that the claim may miss executions.
    pub is_old: bool,
}

thread_local! {
    static FRONTS: RefCell<HashMap<Key, Front>> = RefCell::default();
}

impl Front {
    /// The front of the session's claims in a workspace; a new one, at the beginning, if there is none, if it is a second
    /// old, or with `whole`.
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
            && (Duration::zero()..WHOLE_EVERY).contains(&(now - front.read_whole_at))
        {
            return Ok(Front {
                is_old: true,
                ..front
            });
        }
        let endpoint_types = match endpoint_types {
            Some(types) => types.clone(),
            None => sql::by_index(|| {
                sql::rows(
                    include_str!("find_types.sql"),
                    &[workspace_id.into()],
                    |row| sql::get(row, "endpoint_type"),
                )
            })?,
        };
        Ok(Front {
            read_whole_at: now,
            endpoint_types,
            claimed: [None; 10],
            is_old: false,
        })
    }

    /// From which run_at on a claim reads, by priority; -infinity is the beginning.
    pub fn run_ats(&self) -> Vec<TimestampWithTimeZone> {
        let from = |claimed: &Option<DateTime<Utc>>| {
            let from = claimed.and_then(|claimed| claimed.checked_sub_signed(SLACK));
            sql::to_pg(from.unwrap_or(DateTime::<Utc>::MIN_UTC))
        };
        self.claimed.iter().map(from).collect()
    }

    /// Notes an execution that was claimed.
    pub fn advance(&mut self, priority: i32, run_at: DateTime<Utc>) {
        if let Some(claimed) = self.claimed.get_mut(priority as usize) {
            *claimed = (*claimed).max(Some(run_at));
        }
    }

    /// Keeps the front for the session's next claim. A claim that found less than it asked for does not: the next one
    /// reads from the beginning at once, rather than twice.
    pub fn keep(self, workspace_id: WorkspaceId, endpoint_types: &Option<Vec<String>>) {
        FRONTS.with_borrow_mut(|fronts| {
            if fronts.len() >= MOST_FRONTS {
                fronts.clear();
            }
            fronts.insert((workspace_id, endpoint_types.clone()), self);
        });
    }
}

/// Forgets all fronts: the session's next claims read from the beginning. For a claim that leaves what it has passed.
pub fn forget() {
    FRONTS.with_borrow_mut(HashMap::clear);
}
