//! What pg_cron calls.

use crate::error::or_raise;
use crate::schedule;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

/// Materialises every tick that has come due; see [`schedule::run_due`].
#[pg_extern(security_definer, requires = ["tables"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn run_due() -> TableIterator<'static, (name!(schedules, i64), name!(executions, i64))> {
    let outcome = or_raise(schedule::run_due());
    TableIterator::once((outcome.schedules, outcome.executions))
}
