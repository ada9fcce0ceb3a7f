//! Sharing a claim among workspaces: equal shares, in turn.

use super::choose::{Claim, Reading};
use crate::error::Result;
use crate::id::WorkspaceId;
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use std::cell::{Cell, RefCell};

/// The workspaces that had waiting executions when the session last looked, in the order of their ids.
struct Ring {
    workspaces: Vec<WorkspaceId>,
    seen_at: DateTime<Utc>,
}

thread_local! {
    static RING: RefCell<Ring> = const {
        RefCell::new(Ring { workspaces: vec![], seen_at: DateTime::<Utc>::MIN_UTC })
    };
    /// The workspace that this session served last.
    static SERVED_LAST: Cell<Option<WorkspaceId>> = const { Cell::new(None) };
}

/// How long a ring is used.
const RING_LASTS: Duration = Duration::seconds(1);

/// The most workspaces in a ring. The next ring begins after the last one served, and so reaches the others.
const MOST_WORKSPACES: i64 = 100_000;

/// Takes equal shares of every workspace in turn. Then it continues with the workspaces that had enough for their share,
/// until the claim is full.
///
/// # Errors
/// Fails only if SQL does.
pub fn choose(claim: &mut Claim, reading: Reading) -> Result<()> {
    let mut workspaces = ring(claim, reading)?;
    let mut reading = reading;
    while claim.missing() > 0 && !workspaces.is_empty() {
        let mut more = vec![];
        let share = claim.missing().div_ceil(workspaces.len());
        for workspace_id in workspaces {
            sql::check_for_interrupts();
            let share = share.min(claim.missing());
            if share == 0 {
                return Ok(());
            }
            let found = claim.choose(workspace_id, share, reading)?;
            if found > 0 {
                SERVED_LAST.set(Some(workspace_id));
            }
            if found == share {
                more.push(workspace_id);
            }
        }
        claim.start()?;
        workspaces = more;
        reading = Reading::On;
    }
    Ok(())
}

/// The ring, starting after the workspace that was served last. A session that has served none starts at a random place,
/// so that sessions which claim only once are fair too.
fn ring(claim: &mut Claim, reading: Reading) -> Result<Vec<WorkspaceId>> {
    let age = claim.now - RING.with_borrow(|ring| ring.seen_at.max(DateTime::<Utc>::UNIX_EPOCH));
    if reading == Reading::Whole || age >= RING_LASTS || age < Duration::zero() {
        let found = sql::by_index(|| {
            sql::rows(
                include_str!("next_workspaces.sql"),
                &[MOST_WORKSPACES.into()],
                |row| sql::get::<WorkspaceId>(row, "workspace_id"),
            )
        })?;
        RING.with_borrow_mut(|ring| {
            ring.workspaces = found;
            ring.seen_at = claim.now;
        });
    } else {
        claim.skipped = true;
    }
    let mut workspaces = RING.with_borrow(|ring| ring.workspaces.clone());
    let turned = match SERVED_LAST.get() {
        Some(last) => workspaces.partition_point(|workspace_id| *workspace_id <= last),
        None => random_place(workspaces.len()),
    };
    let turned = turned.min(workspaces.len());
    workspaces.rotate_left(turned);
    Ok(workspaces)
}

/// A random place in a list. The last bytes of a new id are random enough.
fn random_place(length: usize) -> usize {
    let id = sql::uuid_v7();
    let random = id.as_bytes()[12..]
        .iter()
        .fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
    random % length.max(1)
}
