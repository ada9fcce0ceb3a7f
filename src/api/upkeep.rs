//! Functions for pg_cron and operators.

use super::worker::check_worker_id;
use super::{Result, run_or_rehearse};
use crate::args::{page_size, range, require};
use crate::authority::{self, Capability, authorise, authorise_instance, authorise_scope};
use crate::tick::{self, Procedure};
use crate::{error, execution, sql, upkeep};
use pgrx::JsonB;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::{SetOfIterator, TableIterator};
use pgrx::prelude::*;

/// Creates the rows that CREATE EXTENSION cannot create; see [`upkeep::start`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn start() -> Result<()> {
    Ok(authorise_instance(Capability::Admin, upkeep::start)?)
}

/// Writes every due tick; see [`upkeep::tick`].
#[pg_extern(
    requires = ["views"],
    sql = "create procedure kronos.tick() language c as 'MODULE_PATHNAME', 'tick_wrapper';"
)]
fn tick(fcinfo: pg_sys::FunctionCallInfo) -> Result<()> {
    // SAFETY: CALL has invoked this function.
    let procedure = unsafe { Procedure::of_call(fcinfo) };
    Ok(procedure.run(|| upkeep::tick(&procedure))?)
}

/// Maintains Kronos; see [`upkeep::upkeep`].
#[pg_extern(
    name = "upkeep",
    requires = ["views"],
    sql = "create procedure kronos.upkeep() language c as 'MODULE_PATHNAME', 'run_upkeep_wrapper';"
)]
fn run_upkeep(fcinfo: pg_sys::FunctionCallInfo) -> Result<()> {
    // SAFETY: CALL has invoked this function.
    let procedure = unsafe { Procedure::of_call(fcinfo) };
    Ok(procedure.run(|| upkeep::upkeep(&procedure))?)
}

/// Runs one batch of due ticks; see [`tick::run_due`].
#[pg_extern(schema = "kronos", requires = ["views"])]
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
    let outcome = authorise_instance(Capability::Admin, tick::run_due)?;
    let written = outcome.written;
    Ok(TableIterator::once((
        outcome.schedules,
        written.executions,
        written.skipped,
    )))
}

/// Fails the attempts of expired leases; see [`execution::expire_leases`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn expire_leases(max: default!(Option<i64>, "1000")) -> Result<i64> {
    let max = require("max", max)?;
    range("max", max, 1..=1_000_000)?;
    Ok(authorise_instance(Capability::Admin, || {
        execution::expire_leases(max)
    })?)
}

/// Ends the leases of a dead worker; see [`execution::expire_worker_leases`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn expire_worker_leases(
    worker_id: Option<&str>,
    max: default!(Option<i32>, "1000"),
    all_workspaces: default!(Option<bool>, "false"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.execution_report")>> {
    let worker_id = check_worker_id(worker_id)?;
    let max = page_size(max)?;
    let ended_by = authority::caller();
    let end =
        |workspace_id| execution::expire_worker_leases(worker_id, workspace_id, max, ended_by);
    let ended = if require("all_workspaces", all_workspaces)? {
        authorise_instance(Capability::Admin, || end(None))?
    } else {
        authorise(workspace, Capability::Admin, |workspace| {
            end(Some(workspace.workspace_id))
        })?
    };
    Ok(SetOfIterator::new(ended))
}

/// Deletes rows past their retention; see [`upkeep::prune`].
#[pg_extern(schema = "kronos", requires = ["views"])]
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
            name!(workspaces, i64),
            name!(pg_cron_runs, i64),
        ),
    >,
> {
    let max = require("max", max)?;
    let pruned = authorise_instance(Capability::Admin, || upkeep::prune(max, None))?;
    Ok(TableIterator::once((
        pruned.executions,
        pruned.ticks,
        pruned.jobs,
        pruned.endpoints,
        pruned.idempotency_keys,
        pruned.workspaces,
        pruned.pg_cron_runs,
    )))
}

/// Repairs what has drifted; see [`upkeep::reconcile`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn reconcile(
    dry_run: default!(Option<bool>, "false"),
    max: default!(Option<i32>, "1000"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(workspace, Option<String>),
            name!(subject, String),
            name!(problem, String),
            name!(repair, &'static str),
            name!(error, Option<String>),
        ),
    >,
> {
    let dry_run = require("dry_run", dry_run)?;
    let max = page_size(max)? as usize;
    let repairs = authorise_instance(Capability::Admin, || {
        run_or_rehearse(dry_run, || upkeep::reconcile(max))
    })?;
    Ok(TableIterator::new(repairs.into_iter().map(|repair| {
        (
            repair.workspace,
            repair.subject,
            repair.problem,
            repair.action,
            repair.error,
        )
    })))
}

/// One row per violated invariant; see [`upkeep::check`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn check() -> Result<
    TableIterator<
        'static,
        (
            name!(invariant, i32),
            name!(problem, String),
            name!(detail, JsonB),
            name!(since, Option<TimestampWithTimeZone>),
            name!(remedy, Option<String>),
        ),
    >,
> {
    let violations = authorise_instance(Capability::Viewer, upkeep::check)?;
    Ok(TableIterator::new(violations.into_iter().map(|found| {
        (
            found.invariant,
            found.problem,
            found.detail,
            found.since,
            found.remedy,
        )
    })))
}

/// What works against Kronos on this server; see [`upkeep::doctor`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn doctor() -> Result<
    TableIterator<
        'static,
        (
            name!(severity, String),
            name!(finding, String),
            name!(detail, JsonB),
            name!(advice, String),
        ),
    >,
> {
    let findings = authorise_instance(Capability::Viewer, upkeep::doctor)?;
    Ok(TableIterator::new(findings.into_iter().map(|found| {
        (found.severity, found.finding, found.detail, found.advice)
    })))
}

/// The numbers that a monitoring system stores; see [`upkeep::metrics`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn metrics() -> Result<
    TableIterator<
        'static,
        (
            name!(name, String),
            name!(labels, JsonB),
            name!(value, f64),
            name!(help, String),
        ),
    >,
> {
    let metrics = authorise_scope(Capability::Viewer, upkeep::metrics)?;
    Ok(TableIterator::new(metrics.into_iter().map(|metric| {
        (metric.name, metric.labels, metric.value, metric.help)
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
