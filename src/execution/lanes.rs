//! Claiming from the lanes of limited endpoints.
//!
//! The executions of a paused or limited endpoint wait in lanes of their own, one for each concurrency key, so that no
//! claim reads past them. A claim takes the lock of a limited endpoint, counts what runs and what has started in a later
//! statement, and starts as many executions as there is room for. It holds the lock until it commits, so no two claims
//! count the same room. The lock is conditional: a claim that does not get it passes over the endpoint.

use super::candidate::{Candidate, Lane};
use super::gated::{Gated, Place, Queue, column, find_gated};
use super::set_aside;
use crate::error::Result;
use crate::id::{EndpointId, WorkspaceId};
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use pgrx::pg_sys;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// How long a claim looks for executions past those of paused and limited endpoints.
const LOOKS_FOR: Duration = Duration::milliseconds(100);

/// Whether a claim that began at `now` may still look for executions past those of paused and limited endpoints.
pub fn has_time(now: DateTime<Utc>) -> bool {
    (Duration::zero()..LOOKS_FOR).contains(&(sql::now() - now))
}

/// The most endpoints that one claim locks in a workspace: the server's table of locks has a fixed size.
const MOST_LOCKS: usize = 20;

/// The most endpoints whose place a session remembers.
const MOST_PLACES: usize = 10_000;

thread_local! {
    /// The places that the session's claims have reached in endpoints with very many queues.
    static PLACES: RefCell<HashMap<EndpointId, Place>> = RefCell::default();
    /// How many claims of the session have read lanes. Each begins with another endpoint.
    static TURN: Cell<usize> = const { Cell::new(0) };
}

/// What a claim found in lanes.
#[derive(Default)]
pub struct Found {
    pub candidates: Vec<Candidate>,
    /// Whether executions were moved to the common lane.
    pub has_moved: bool,
    /// Whether lanes were left out that another reading would reach.
    pub has_skipped: bool,
}

/// Locks up to `max` executions of each limited endpoint of a workspace that may start now, as long as the claim has
/// time. It reads only endpoints that run as `run_as`: a role for those of type SQL, None for all others. Moves the
/// executions of endpoints that are no longer gated back to the common lane.
///
/// # Errors
/// Fails only if SQL does.
pub fn choose(
    workspace_id: WorkspaceId,
    endpoint_types: &[String],
    run_as: Option<pg_sys::Oid>,
    max: usize,
    now: DateTime<Utc>,
) -> Result<Found> {
    let mut gated = find_gated(workspace_id, endpoint_types)?;
    gated.retain(|endpoint| endpoint.run_as == run_as);
    let turn = TURN.replace(TURN.get().wrapping_add(1));
    let length = gated.len().max(1);
    gated.rotate_left(turn % length);
    let mut found = Found::default();
    let mut locks = 0;
    for (nth, endpoint) in gated.into_iter().enumerate() {
        sql::check_for_interrupts();
        if locks == MOST_LOCKS || nth > 0 && !has_time(now) {
            break;
        }
        if endpoint.gated_at.is_none() {
            found.has_moved |= set_aside::return_to_common_lane(
                workspace_id,
                &endpoint.endpoint_type,
                endpoint.endpoint_id,
            )?;
            continue;
        }
        let lock = endpoint.endpoint_id.uuid();
        if endpoint.is_paused || !sql::try_lock_id(lock)? {
            continue;
        }
        let before = found.candidates.len();
        choose_of(&mut found, workspace_id, &endpoint, max, now)?;
        if found.candidates.len() == before {
            sql::unlock_id(lock)?;
        } else {
            locks += 1;
        }
    }
    Ok(found)
}

/// Locks up to `max` executions of a limited endpoint whose lock the session holds.
fn choose_of(
    found: &mut Found,
    workspace_id: WorkspaceId,
    endpoint: &Gated,
    max: usize,
    now: DateTime<Utc>,
) -> Result<()> {
    let stragglers = endpoint.stragglers()?;
    let known = PLACES.with_borrow_mut(|places| places.remove(&endpoint.endpoint_id));
    found.has_skipped |= known.is_some();
    let mut place = Some(known.unwrap_or_else(|| endpoint.beginning()));
    let mut missing = max;
    let mut taken: HashMap<String, i64> = HashMap::new();
    while let Some(after) = place.take() {
        sql::check_for_interrupts();
        let (mut queues, more) = endpoint.queues(workspace_id, &stragglers, &after, now)?;
        // The queues of one lane may be read by two statements.
        for queue in &mut queues {
            queue.free -= taken.get(&queue.lane).copied().unwrap_or(0);
        }
        queues.retain(|queue| queue.free > 0);
        for (lane, candidate) in choose_in(workspace_id, endpoint, &queues, missing, now)? {
            *taken.entry(lane).or_default() += 1;
            found.candidates.push(candidate);
            missing -= 1;
        }
        if missing > 0 && has_time(now) {
            place = more;
        } else if let Some(more) = more {
            PLACES.with_borrow_mut(|places| {
                if places.len() >= MOST_PLACES {
                    places.clear();
                }
                places.insert(endpoint.endpoint_id, more);
            });
        }
    }
    Ok(())
}

fn choose_in(
    workspace_id: WorkspaceId,
    endpoint: &Gated,
    queues: &[Queue],
    max: usize,
    now: DateTime<Utc>,
) -> Result<Vec<(String, Candidate)>> {
    if queues.is_empty() {
        return Ok(vec![]);
    }
    let args = [
        workspace_id.into(),
        endpoint.endpoint_type.as_str().into(),
        column(queues, |queue| queue.lane.as_str()).into(),
        column(queues, |queue| queue.priority).into(),
        column(queues, |queue| queue.free).into(),
        sql::to_pg(now).into(),
        (max as i64).into(),
    ];
    sql::newest(|| {
        sql::by_index(|| {
            sql::rows(include_str!("choose_in_lanes.sql"), &args, |row| {
                let name: String = sql::get(row, "lane")?;
                let lane = Lane {
                    name: name.clone(),
                    rate_interval: endpoint.rate.map(|rate| rate.interval),
                };
                let candidate = Candidate::read(row, sql::get(row, "execution_id")?, Some(lane))?;
                Ok((name, candidate))
            })
        })
    })
}
