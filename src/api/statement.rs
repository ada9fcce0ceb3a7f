//! SQL statements on a schedule, by one call as in pg_cron.

use super::Result;
use crate::args::require;
use crate::authority::{Capability, authorise, authorise_or_create};
use crate::job::{self, JobRef, Scheduled};
use crate::named::Named;
use crate::pg_cron;
use crate::policy::{CatchupPolicy, OverlapPolicy};
use crate::sql::{self, Jsonb};
use pgrx::datum::Interval;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

/// Schedules a statement; see [`job::schedule`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
#[expect(clippy::too_many_arguments, reason = "SQL passes them by name")]
fn schedule(
    name: Option<&str>,
    cron: Option<&str>,
    statement: Option<&str>,
    timezone: default!(Option<&str>, "NULL"),
    mode: default!(Option<&str>, "NULL"),
    settings: default!(Option<Jsonb>, "NULL"),
    retry_policy: default!(Option<Jsonb>, "NULL"),
    attempt_timeout: default!(Option<Interval>, "NULL"),
    overlap_policy: default!(Option<&str>, "NULL"),
    catchup_policy: default!(Option<&str>, "NULL"),
    catchup_window: default!(Option<Interval>, "NULL"),
    jitter: default!(Option<Interval>, "NULL"),
    priority: default!(Option<i32>, "NULL"),
    on_failure: default!(Option<&str>, "NULL"),
    max_consecutive_failures: default!(Option<i32>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.jobs")> {
    let scheduled = Scheduled {
        name: require("name", name)?,
        cron: require("cron", cron)?,
        statement: require("statement", statement)?,
        timezone,
        mode,
        settings,
        retry_policy,
        attempt_timeout,
        overlap_policy: overlap_policy.map(OverlapPolicy::parse).transpose()?,
        catchup_policy: catchup_policy.map(CatchupPolicy::parse).transpose()?,
        catchup_window,
        jitter,
        priority,
        on_failure,
        max_consecutive_failures,
    };
    Ok(authorise_or_create(
        workspace,
        Capability::Admin,
        |workspace| job::short_row(job::schedule(workspace, scheduled)?),
    )?)
}

/// Removes a statement from its schedule; see [`job::unschedule`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn unschedule(
    name: Option<&str>,
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.jobs")> {
    let name = require("name", name)?;
    Ok(authorise(workspace, Capability::Admin, |workspace| {
        job::short_row(job::unschedule(workspace, name)?)
    })?)
}

/// Runs a job now; see [`job::trigger`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn run(
    name: Option<&str>,
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.enqueued_execution")> {
    let name = require("name", name)?;
    Ok(authorise(workspace, Capability::Producer, |workspace| {
        job::trigger(workspace, JobRef::Name(name), None)
    })?)
}

/// Moves entries of pg_cron into jobs; see [`job::import`]. The entries are read and removed with the caller's rights.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn import_pg_cron(
    filter: default!(Option<&str>, "'%'"),
    dry_run: default!(Option<bool>, "false"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(jobid, i64),
            name!(job_name, Option<String>),
            name!(cron, String),
            name!(role, String),
            name!(action, &'static str),
            name!(reason, Option<String>),
        ),
    >,
> {
    let filter = require("filter", filter)?;
    let dry_run = require("dry_run", dry_run)?;
    if !dry_run {
        sql::refuse_on_standby(c"SELECT");
    }
    authorise_or_create(workspace, Capability::Admin, |_| Ok(()))?;
    let entries = pg_cron::foreign_entries(filter)?;
    let imported = authorise_or_create(workspace, Capability::Admin, |workspace| {
        job::import(workspace, entries, dry_run)
    })?;
    if !dry_run {
        for moved in imported.iter().filter(|one| one.action == "MOVE") {
            pg_cron::remove_foreign(&moved.entry)?;
        }
    }
    Ok(TableIterator::new(imported.into_iter().map(|one| {
        (
            one.entry.jobid,
            one.job_name,
            one.entry.schedule,
            one.entry.role,
            one.action,
            one.reason,
        )
    })))
}
