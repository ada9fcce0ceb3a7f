//! Claiming: a worker takes executions that may start now.

use super::choose::{Claim, Reading, Wanted};
use super::{expire, fair_turns, lanes};
use crate::authority::Authorised;
use crate::error::Result;
use crate::id::WorkspaceId;
use crate::settings;
use crate::sql::Composite;
use chrono::{DateTime, Duration, Utc};
use std::cell::RefCell;
use std::collections::HashMap;

/// How many expired leases one claim ends at most.
const EXPIRE_AT_CLAIM: i64 = 100;

/// How often a session looks for expired leases when its claims come up short.
const EXPIRE_EVERY: Duration = Duration::seconds(1);

thread_local! {
    /// When the session last looked, by workspace; None for all.
    static EXPIRED_AT: RefCell<HashMap<Option<WorkspaceId>, DateTime<Utc>>> = RefCell::default();
}

/// Claims up to `max` executions that may start now. From one workspace it takes them by priority, then run_at. From all
/// workspaces it takes equal shares in turn, continuing after the workspace that this session served last.
///
/// A claim that comes up short reads again from the beginning, unless it has done so, and ends expired leases. It also
/// reads again after executions have changed their lanes. Claims nothing if kronos.enabled is off.
///
/// # Errors
/// Fails only if SQL does.
pub fn claim(workspace: Option<&Authorised>, wanted: &Wanted) -> Result<Vec<Composite>> {
    if !settings::enabled() {
        return Ok(vec![]);
    }
    let mut claim = Claim::new(workspace, wanted);
    choose_all(&mut claim, Reading::On)?;
    claim.start()?;
    if claim.missing() > 0 && (claim.skipped | expire_if_due(workspace, claim.now)?) {
        choose_all(&mut claim, Reading::Whole)?;
        claim.start()?;
    }
    while claim.missing() > 0 && std::mem::take(&mut claim.has_moved) && lanes::has_time(claim.now)
    {
        choose_all(&mut claim, Reading::Whole)?;
        claim.start()?;
    }
    Ok(claim.claimed)
}

fn choose_all(claim: &mut Claim, reading: Reading) -> Result<()> {
    match claim.workspace {
        Some(workspace) => claim
            .choose(workspace.workspace_id, claim.missing(), reading)
            .map(|_| ()),
        None => fair_turns::choose(claim, reading),
    }
}

/// Ends expired leases of the claim's workspaces unless this session has just done so. Returns whether there were any.
fn expire_if_due(workspace: Option<&Authorised>, now: DateTime<Utc>) -> Result<bool> {
    let is_due = EXPIRED_AT.with_borrow_mut(|expired_at| {
        expired_at.retain(|_, at| (Duration::zero()..EXPIRE_EVERY).contains(&(now - *at)));
        let of_claim = workspace.map(|workspace| workspace.workspace_id);
        let is_due = !expired_at.contains_key(&of_claim);
        if is_due {
            expired_at.insert(of_claim, now);
        }
        is_due
    });
    if !is_due {
        return Ok(false);
    }
    let expired = match workspace {
        Some(workspace) => expire::expire_leases_of(workspace, EXPIRE_AT_CLAIM)?,
        None => expire::expire_leases(EXPIRE_AT_CLAIM)?,
    };
    Ok(expired > 0)
}
