//! Leases: how long a worker holds an execution without a heartbeat.

use super::finish::{HELD, Report, reports};
use crate::error::{self, KronosError, Result};
use crate::sql;
use pgrx::JsonB;
use pgrx::datum::Interval;
use serde_json::json;

/// A lease that may be given: 1 second to 1 day.
#[derive(Clone, Copy)]
pub struct Lease(f64);

impl Lease {
    /// # Errors
    /// `INVALID_ARGUMENT`.
    pub fn new(lease: Interval) -> Result<Lease> {
        let seconds = sql::row(
            "select extract(epoch from $1)::float8 as seconds",
            &[lease.into()],
            |row| sql::get::<f64>(row, "seconds"),
        )?
        .unwrap_or_default();
        if (1.0..=86_400.0).contains(&seconds) {
            return Ok(Lease(seconds));
        }
        Err(KronosError::new(
            &error::INVALID_ARGUMENT,
            "lease must be from 1 second to 1 day",
            json!({ "argument": "lease", "seconds": seconds }),
        ))
    }

    pub fn seconds(self) -> f64 {
        self.0
    }
}

/// Extends the leases of what the caller holds, never beyond the end of an attempt's time.
const EXTEND: &str = "
with {HELD},
extended as (
    update kronos.executions x
    set lease_expires_at = least(clock_timestamp() + make_interval(secs => $3), a.deadline_at)
    from held h join kronos.attempts a using (execution_id, attempt)
    where x.execution_id = h.execution_id
    returning x.*
)
select row(execution_id, attempt, true, status, run_at, lease_expires_at, stop_requested_at is not null, worker_id, attempt
       )::kronos.execution_report as report, execution_id, attempt
from extended";

/// Extends leases by heartbeat; tells of each execution whether the caller still holds it, and is asked to stop.
///
/// # Errors
/// `INVALID_ARGUMENT` for a list that is none.
pub fn heartbeat(worker_id: &str, executions: JsonB, lease: Lease) -> Result<Vec<Report>> {
    let statement = EXTEND.replace("{HELD}", HELD);
    reports(
        &statement,
        worker_id,
        executions,
        vec![lease.seconds().into()],
    )
}
