//! Heartbeats: a worker extends its leases, and learns which executions it is asked to stop.

use super::held::{Report, list_length, report_all, translate_list_errors};
use crate::args;
use crate::authority::Scope;
use crate::error::Result;
use crate::sql::{self, Composite, Jsonb};
use pgrx::datum::Interval;

/// A lease that may be given.
///
/// # Errors
/// `INVALID_ARGUMENT` unless it is from 1 second to 1 day.
pub fn lease(lease: &Interval) -> Result<Interval> {
    let rule = "must be from 1 second to 1 day";
    args::duration("lease", lease, args::SECOND..=args::DAY, rule)
}

/// Extends the leases of the listed attempts that the worker holds, and returns a report about each listed attempt.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn heartbeat(
    scope: &Scope,
    worker_id: &str,
    executions: Jsonb,
    lease: Interval,
) -> Result<Vec<Composite>> {
    let length = list_length(executions)?;
    let args = [
        worker_id.into(),
        executions.into(),
        lease.into(),
        scope.ids().into(),
    ];
    let extended = translate_list_errors(|| {
        sql::by_index(|| sql::rows(include_str!("heartbeat.sql"), &args, Report::read))
    })?;
    report_all(scope, executions, length, extended)
}
