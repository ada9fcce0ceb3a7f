//! Functions for pg_cron and operators.

use super::Result;
use crate::args::{range, require};
use crate::tick::{self, Procedure};
use crate::{error, execution, sql, upkeep};
use pgrx::JsonB;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

/// Creates the rows that CREATE EXTENSION cannot create; see [`upkeep::start`].
#[pg_extern(schema = "kronos", security_definer, requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn start() -> Result<()> {
    Ok(upkeep::start()?)
}

/// Writes every due tick; see [`tick::tick`].
#[pg_extern(
    requires = ["views"],
    sql = "create procedure kronos.tick() language c as 'MODULE_PATHNAME', 'tick_wrapper';"
)]
fn tick(fcinfo: pg_sys::FunctionCallInfo) -> Result<()> {
    // SAFETY: CALL has invoked this function.
    let procedure = unsafe { Procedure::of_call(fcinfo) }?;
    Ok(procedure.run(|| tick::tick(&procedure))?)
}

/// Maintains Kronos; see [`upkeep::upkeep`].
#[pg_extern(
    name = "upkeep",
    requires = ["views"],
    sql = "create procedure kronos.upkeep() language c as 'MODULE_PATHNAME', 'run_upkeep_wrapper';"
)]
fn run_upkeep(fcinfo: pg_sys::FunctionCallInfo) -> Result<()> {
    // SAFETY: CALL has invoked this function.
    let procedure = unsafe { Procedure::of_call(fcinfo) }?;
    Ok(procedure.run(|| upkeep::upkeep(&procedure))?)
}

/// Runs one batch of due ticks; see [`tick::run_due`].
#[pg_extern(schema = "kronos", security_definer, requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn run_due() -> Result<
    TableIterator<
        'static,
        (
            name!(schedules, i64),
            name!(executions, i64),
            name!(skipped, i64),
        ),
    >,
> {
    let outcome = tick::run_due()?;
    let written = outcome.written;
    Ok(TableIterator::once((
        outcome.schedules,
        written.executions,
        written.skipped,
    )))
}

/// Fails the attempts of expired leases; see [`execution::expire_leases`].
#[pg_extern(schema = "kronos", security_definer, requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn expire_leases(max: default!(Option<i64>, "1000")) -> Result<i64> {
    let max = require("max", max)?;
    range("max", max, 1..=1_000_000)?;
    Ok(execution::expire_leases(max)?)
}

/// Deletes rows past their retention; see [`upkeep::prune`].
#[pg_extern(schema = "kronos", security_definer, requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn prune(
    max: default!(Option<i64>, "10000"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(executions, i64),
            name!(ticks, i64),
            name!(jobs, i64),
            name!(endpoints, i64),
            name!(idempotency_keys, i64),
            name!(pg_cron_runs, i64),
        ),
    >,
> {
    let pruned = upkeep::prune(require("max", max)?, None)?;
    Ok(TableIterator::once((
        pruned.executions,
        pruned.ticks,
        pruned.jobs,
        pruned.endpoints,
        pruned.idempotency_keys,
        pruned.pg_cron_runs,
    )))
}

/// One row per violated invariant; see [`upkeep::check`].
#[pg_extern(schema = "kronos", security_definer, requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn check() -> Result<
    TableIterator<
        'static,
        (
            name!(invariant, i32),
            name!(problem, String),
            name!(detail, JsonB),
        ),
    >,
> {
    let violations = upkeep::check()?;
    Ok(TableIterator::new(violations.into_iter().map(|found| {
        (found.invariant, found.problem, found.detail)
    })))
}

/// Kronos's error codes.
#[pg_extern(schema = "kronos", immutable, parallel_safe)]
fn error_codes() -> TableIterator<
    'static,
    (
        name!(code, &'static str),
        name!(sqlstate, String),
        name!(http_status, i32),
        name!(meaning, &'static str),
    ),
> {
    TableIterator::new(error::ALL.iter().map(|kind| {
        (
            kind.code,
            sql::sqlstate_text(kind.sqlstate),
            kind.http_status,
            kind.meaning,
        )
    }))
}
