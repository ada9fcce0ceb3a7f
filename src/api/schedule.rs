//! Schedules and time.

use super::Result;
use crate::args::{range, require};
use crate::{schedule, sql};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::SetOfIterator;
use pgrx::prelude::*;

/// Describes a schedule in plain English.
#[pg_extern(schema = "kronos", stable)]
fn describe_schedule(
    cron: Option<&str>,
    timezone: default!(Option<&str>, "'UTC'"),
) -> Result<String> {
    Ok(schedule::describe(
        require("cron", cron)?,
        require("timezone", timezone)?,
    )?)
}

/// The next tick of a stored schedule, or null if this server no longer knows its time zone: one such job must not fail
/// a view of many jobs.
#[pg_extern(
    requires = ["tenants"],
    sql = "
create function kronos_internal.next_tick(cron text, timezone text, after timestamptz) returns timestamptz
language c stable strict as 'MODULE_PATHNAME', 'next_tick_wrapper';"
)]
pub fn next_tick(
    cron: &str,
    timezone: &str,
    after: TimestampWithTimeZone,
) -> Option<TimestampWithTimeZone> {
    let (timing, _) = schedule::parse_timing(cron, timezone).ok()?;
    timing.next_after(sql::from_pg(after)).map(sql::to_pg)
}

/// The most ticks that one call returns.
const MAX_TICKS: i64 = 10_000;

/// The next ticks of a schedule.
#[pg_extern(schema = "kronos", stable)]
pub fn next_ticks(
    cron: Option<&str>,
    timezone: default!(Option<&str>, "'UTC'"),
    after: default!(Option<TimestampWithTimeZone>, "now()"),
    max: default!(Option<i32>, "5"),
) -> Result<SetOfIterator<'static, TimestampWithTimeZone>> {
    let (timing, _) =
        schedule::parse_timing(require("cron", cron)?, require("timezone", timezone)?)?;
    // Ticks before PostgreSQL's first timestamp would all be -infinity.
    let after = sql::from_pg(require("after", after)?).max(sql::FIRST_TIMESTAMP);
    let max = require("max", max)?;
    range("max", max.into(), 0..=MAX_TICKS)?;
    let ticks = std::iter::successors(timing.next_after(after), |tick| {
        sql::check_for_interrupts();
        timing.next_after(*tick)
    });
    let ticks: Vec<_> = ticks.take(max as usize).map(sql::to_pg).collect();
    Ok(SetOfIterator::new(ticks))
}
