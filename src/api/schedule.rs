//! Schedules: what pg_cron calls, and what a person asks before creating.

use super::needed;
use crate::error::{self, KronosError, Result, or_raise};
use crate::{execution, schedule, sql};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::{SetOfIterator, TableIterator};
use pgrx::prelude::*;
use serde_json::json;

/// Materialises every tick that has come due; see [`schedule::run_due`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn run_due() -> TableIterator<
    'static,
    (
        name!(schedules, i64),
        name!(executions, i64),
        name!(skipped, i64),
    ),
> {
    let outcome = or_raise(schedule::run_due());
    match sql::in_subtransaction(|| execution::reap(REAP_AT_WAKE_UP)) {
        Err(failure) if failure.is_interruption() => failure.rethrow(),
        // Ticks do not depend on it, and whoever claims next has the error.
        Err(failure) => warning!("expired leases: {}", failure.report.message()),
        Ok(_) => {}
    }
    let written = outcome.written;
    TableIterator::once((outcome.schedules, written.executions, written.skipped))
}

/// The most expired leases that one wake-up takes up.
const REAP_AT_WAKE_UP: i64 = 1000;

/// Moves schedules to alarms that cover them; see [`schedule::realign`].
#[pg_extern(security_definer, requires = ["tables"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn realign_alarms() -> i64 {
    or_raise(schedule::realign())
}

/// A schedule in plain English.
#[pg_extern(stable)]
fn describe_schedule(cron: Option<&str>, timezone: default!(Option<&str>, "'UTC'")) -> String {
    or_raise((|| {
        schedule::describe(needed("cron", cron)?, needed("timezone", timezone)?)
    })())
}

/// The next ticks of a schedule.
#[pg_extern(stable)]
pub fn next_ticks(
    cron: Option<&str>,
    timezone: default!(Option<&str>, "'UTC'"),
    after: default!(Option<TimestampWithTimeZone>, "now()"),
    count: default!(Option<i32>, "5"),
) -> SetOfIterator<'static, TimestampWithTimeZone> {
    SetOfIterator::new(or_raise(ticks(cron, timezone, after, count)))
}

/// The most ticks that one call computes.
const MAX_TICKS: i32 = 10_000;

fn ticks(
    cron: Option<&str>,
    timezone: Option<&str>,
    after: Option<TimestampWithTimeZone>,
    count: Option<i32>,
) -> Result<Vec<TimestampWithTimeZone>> {
    let (timing, _) = schedule::parse_timing(needed("cron", cron)?, needed("timezone", timezone)?)?;
    let after = sql::from_pg(needed("after", after)?);
    let count = needed("count", count)?;
    if !(0..=MAX_TICKS).contains(&count) {
        return Err(KronosError::new(
            &error::INVALID_ARGUMENT,
            format!("count must be from 0 to {MAX_TICKS}"),
            json!({ "argument": "count", "count": count }),
        ));
    }
    let ticks = std::iter::successors(timing.next_after(after), |tick| timing.next_after(*tick));
    Ok(ticks.take(count as usize).map(sql::to_pg).collect())
}
