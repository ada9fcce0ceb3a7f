//! Cron jobs.

use super::Result;
use crate::args::{page_size, require};
use crate::authority::{Capability, authorise, authorise_or_create};
use crate::id::{ExecutionId, JobId};
use crate::job::{self, Changes, JobRef, NewJob, Request, TickFilter};
use crate::named::Named;
use crate::policy::{CatchupPolicy, OverlapPolicy};
use crate::sql::Jsonb;
use crate::status::JobStatus;
use pgrx::datum::{Interval, TimestampWithTimeZone};
use pgrx::iter::{SetOfIterator, TableIterator};
use pgrx::prelude::*;

/// Creates a cron job; see [`job::create`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
#[expect(clippy::too_many_arguments, reason = "SQL passes them by name")]
fn create_cron_job(
    endpoint: Option<&str>,
    cron: Option<&str>,
    input: default!(Option<Jsonb>, "'{}'"),
    name: default!(Option<&str>, "NULL"),
    timezone: default!(Option<&str>, "'UTC'"),
    starts_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    ends_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    catchup_policy: default!(Option<&str>, "'last'"),
    catchup_window: default!(Option<Interval>, "'1 hour'"),
    overlap_policy: default!(Option<&str>, "'allow'"),
    jitter: default!(Option<Interval>, "'0'"),
    priority: default!(Option<i32>, "5"),
    metadata: default!(Option<Jsonb>, "'{}'"),
    on_failure: default!(Option<&str>, "NULL"),
    max_consecutive_failures: default!(Option<i32>, "NULL"),
    concurrency_key: default!(Option<&str>, "NULL"),
    idempotency_key: default!(Option<&str>, "NULL"),
    if_not_exists: default!(Option<bool>, "false"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.created_job")> {
    let new = NewJob {
        endpoint: require("endpoint", endpoint)?,
        input: require("input", input)?,
        metadata: require("metadata", metadata)?,
        request: Request {
            name,
            cron: require("cron", cron)?,
            timezone: require("timezone", timezone)?,
            starts_at,
            ends_at,
            catchup_policy: CatchupPolicy::parse(require("catchup_policy", catchup_policy)?)?,
            catchup_window: require("catchup_window", catchup_window)?,
            overlap_policy: OverlapPolicy::parse(require("overlap_policy", overlap_policy)?)?,
            jitter: require("jitter", jitter)?,
            priority: require("priority", priority)?,
            max_consecutive_failures,
            concurrency_key,
        },
        on_failure,
        idempotency_key,
        if_not_exists: require("if_not_exists", if_not_exists)?,
    };
    Ok(authorise_or_create(
        workspace,
        Capability::Producer,
        |workspace| job::create(workspace, new),
    )?)
}

/// Creates many cron jobs; see [`job::create_many`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn create_cron_jobs(
    jobs: Option<Jsonb>,
    workspace: default!(Option<&str>, "NULL"),
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.created_job")>> {
    let jobs = require("jobs", jobs)?;
    let rows = authorise_or_create(workspace, Capability::Producer, |workspace| {
        job::create_many(workspace, jobs)
    })?;
    Ok(SetOfIterator::new(rows))
}

/// Begins the next version of a cron job; see [`job::update`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
#[expect(clippy::too_many_arguments, reason = "SQL passes them by name")]
fn update_cron_job(
    job_id: default!(Option<JobId>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
    cron: default!(Option<&str>, "NULL"),
    timezone: default!(Option<&str>, "NULL"),
    input: default!(Option<Jsonb>, "NULL"),
    new_name: default!(Option<&str>, "NULL"),
    endpoint: default!(Option<&str>, "NULL"),
    starts_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    ends_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    catchup_policy: default!(Option<&str>, "NULL"),
    catchup_window: default!(Option<Interval>, "NULL"),
    overlap_policy: default!(Option<&str>, "NULL"),
    jitter: default!(Option<Interval>, "NULL"),
    priority: default!(Option<i32>, "NULL"),
    metadata: default!(Option<Jsonb>, "NULL"),
    on_failure: default!(Option<&str>, "NULL"),
    max_consecutive_failures: default!(Option<i32>, "NULL"),
    concurrency_key: default!(Option<&str>, "NULL"),
    expected_version: default!(Option<i32>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.job_details")> {
    let job = JobRef::new(job_id, job_name)?;
    let changes = Changes {
        endpoint,
        cron,
        input,
        new_name,
        timezone,
        starts_at,
        ends_at,
        catchup_policy: catchup_policy.map(CatchupPolicy::parse).transpose()?,
        catchup_window,
        overlap_policy: overlap_policy.map(OverlapPolicy::parse).transpose()?,
        jitter,
        priority,
        metadata,
        on_failure,
        max_consecutive_failures,
        concurrency_key,
        expected_version,
    };
    Ok(authorise(workspace, Capability::Producer, |workspace| {
        job::row(job::update(workspace, job, changes)?)
    })?)
}

/// Retires a cron job; see [`job::cancel`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn cancel_cron_job(
    job_id: default!(Option<JobId>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.job_details")> {
    let job = JobRef::new(job_id, job_name)?;
    Ok(authorise(workspace, Capability::Producer, |workspace| {
        job::row(job::cancel(workspace, job)?)
    })?)
}

/// Pauses a cron job; see [`job::pause`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn pause_cron_job(
    job_id: default!(Option<JobId>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
    reason: default!(Option<&str>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.job_details")> {
    let job = JobRef::new(job_id, job_name)?;
    Ok(authorise(workspace, Capability::Producer, |workspace| {
        job::row(job::pause(workspace, job, reason)?)
    })?)
}

/// Resumes a paused cron job; see [`job::resume`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn resume_cron_job(
    job_id: default!(Option<JobId>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.job_details")> {
    let job = JobRef::new(job_id, job_name)?;
    Ok(authorise(workspace, Capability::Producer, |workspace| {
        job::row(job::resume(workspace, job)?)
    })?)
}

/// Runs a cron job now; see [`job::trigger`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn trigger_cron_job(
    job_id: default!(Option<JobId>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
    idempotency_key: default!(Option<&str>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.enqueued_execution")> {
    let job = JobRef::new(job_id, job_name)?;
    Ok(authorise(workspace, Capability::Producer, |workspace| {
        job::trigger(workspace, job, idempotency_key)
    })?)
}

/// Runs a cron job for past ticks; see [`job::backfill`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn backfill_cron_job(
    job_id: default!(Option<JobId>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
    tick_from: default!(Option<TimestampWithTimeZone>, "NULL"),
    tick_before: default!(Option<TimestampWithTimeZone>, "now()"),
    dry_run: default!(Option<bool>, "false"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(tick_at, TimestampWithTimeZone),
            name!(action, &'static str),
            name!(execution_id, Option<ExecutionId>),
        ),
    >,
> {
    let job = JobRef::new(job_id, job_name)?;
    let from = require("tick_from", tick_from)?;
    let before = require("tick_before", tick_before)?;
    let dry_run = require("dry_run", dry_run)?;
    let ticks = authorise(workspace, Capability::Producer, |workspace| {
        job::backfill(workspace, job, from, before, dry_run)
    })?;
    let rows = ticks
        .into_iter()
        .map(|tick| (tick.tick_at, tick.action, tick.execution_id));
    Ok(TableIterator::new(rows))
}

/// Makes the cron jobs of a declared set match an array; see [`job::apply`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn apply_crontab(
    jobs: Option<Jsonb>,
    set_name: default!(Option<&str>, "'default'"),
    dry_run: default!(Option<bool>, "false"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(job_name, String),
            name!(action, &'static str),
            name!(job_id, Option<JobId>),
            name!(changed, Vec<String>),
        ),
    >,
> {
    let jobs = require("jobs", jobs)?;
    let set_name = require("set_name", set_name)?;
    let dry_run = require("dry_run", dry_run)?;
    let plan = authorise_or_create(workspace, Capability::Producer, |workspace| {
        job::apply(workspace, jobs, set_name, dry_run)
    })?;
    let rows = plan
        .into_iter()
        .map(|job| (job.name, job.action, job.job_id, job.changed));
    Ok(TableIterator::new(rows))
}

/// One cron job.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn get_job(
    job_id: default!(Option<JobId>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.job_details")> {
    let job = JobRef::new(job_id, job_name)?;
    Ok(authorise(workspace, Capability::Viewer, |workspace| {
        job::row(job::find(workspace, job)?)
    })?)
}

/// The cron jobs of a workspace, newest first.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn list_jobs(
    status: default!(Option<&str>, "NULL"),
    endpoint: default!(Option<&str>, "NULL"),
    max: default!(Option<i32>, "100"),
    after: default!(Option<JobId>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.job_details")>> {
    let status = status.map(JobStatus::parse).transpose()?;
    let max = page_size(max)?;
    let listed = authorise(workspace, Capability::Viewer, |workspace| {
        job::list(workspace, status, endpoint, max, after)
    })?;
    Ok(SetOfIterator::new(listed))
}

/// The versions of a cron job, newest first.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn list_job_versions(
    job_id: default!(Option<JobId>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
    max: default!(Option<i32>, "100"),
    after: default!(Option<i32>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.job_versions")>> {
    let job = JobRef::new(job_id, job_name)?;
    let max = page_size(max)?;
    let listed = authorise(workspace, Capability::Viewer, |workspace| {
        job::list_versions(workspace, job, max, after)
    })?;
    Ok(SetOfIterator::new(listed))
}

/// The ticks of a cron job and their outcomes, newest first.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
#[expect(clippy::too_many_arguments, reason = "SQL passes them by name")]
fn list_ticks(
    job_id: default!(Option<JobId>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
    outcome: default!(Option<&str>, "NULL"),
    tick_from: default!(Option<TimestampWithTimeZone>, "NULL"),
    tick_before: default!(Option<TimestampWithTimeZone>, "NULL"),
    max: default!(Option<i32>, "100"),
    after: default!(Option<TimestampWithTimeZone>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.ticks")>> {
    let job = JobRef::new(job_id, job_name)?;
    let filter = TickFilter {
        outcome,
        tick_from,
        tick_before,
    };
    let max = page_size(max)?;
    let listed = authorise(workspace, Capability::Viewer, |workspace| {
        job::list_ticks(workspace, job, &filter, max, after)
    })?;
    Ok(SetOfIterator::new(listed))
}

/// The health and recent results of a cron job.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn job_status(
    job_id: default!(Option<JobId>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.job_status")> {
    let job = JobRef::new(job_id, job_name)?;
    Ok(authorise(workspace, Capability::Viewer, |workspace| {
        job::status(workspace, job)
    })?)
}
