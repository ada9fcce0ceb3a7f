//! Attempts that count towards max_concurrent although they started before their endpoint was gated.
//!
//! Such an attempt started from the common lane, for which there is no index of what runs: it would slow down every
//! claim. So claims on limited endpoints read all running executions, until the session knows that there are no
//! stragglers left, nor any to come from a claim that began before the endpoint was gated.

use crate::error::Result;
use crate::id::EndpointId;
use crate::sql;
use pgrx::datum::TimestampWithTimeZone;
use std::cell::RefCell;
use std::collections::HashMap;

/// What a session knows about a gated endpoint.
#[derive(Clone, Copy)]
struct Known {
    gated_at: TimestampWithTimeZone,
    /// Every claim that has seen the endpoint without a gate has a lower transaction id. It reads the endpoint after it
    /// has locked executions, and so after it got its id.
    horizon: i64,
    has_none: bool,
}

thread_local! {
    static KNOWN: RefCell<HashMap<EndpointId, Known>> = RefCell::default();
}

/// The most endpoints that a session remembers.
const MOST_KNOWN: usize = 10_000;

/// How many stragglers an endpoint has that has been gated since `gated_at`, by lane.
///
/// # Errors
/// Fails only if SQL does.
pub fn count(
    endpoint_id: EndpointId,
    gated_at: TimestampWithTimeZone,
) -> Result<HashMap<String, i64>> {
    let known = KNOWN
        .with_borrow(|known| known.get(&endpoint_id).copied())
        .filter(|known| known.gated_at == gated_at);
    if known.is_some_and(|known| known.has_none) {
        return Ok(HashMap::new());
    }
    let (mut xmin, mut xmax) = (0, 0);
    let mut stragglers = HashMap::new();
    let statement = include_str!("count_stragglers.sql");
    sql::newest(|| {
        sql::by_index(|| {
            sql::rows(statement, &[endpoint_id.into()], |row| {
                (xmin, xmax) = (sql::get(row, "xmin")?, sql::get(row, "xmax")?);
                if let Some(lane) = sql::get_opt(row, "lane")? {
                    stragglers.insert(lane, sql::get(row, "running")?);
                }
                Ok(())
            })
        })
    })?;
    let known = Known {
        gated_at,
        horizon: known.map_or(xmax, |known| known.horizon),
        has_none: stragglers.is_empty() && known.is_some_and(|known| xmin >= known.horizon),
    };
    KNOWN.with_borrow_mut(|all| {
        if all.len() >= MOST_KNOWN {
            all.clear();
        }
        all.insert(endpoint_id, known);
    });
    Ok(stragglers)
}
