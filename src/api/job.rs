//! Cron jobs.

use super::{TableRow, fetch, needed};
use crate::error::{Result, or_raise};
use crate::job::{self, Changes, NewCronJob};
use pgrx::datum::{Interval, TimestampWithTimeZone};
use pgrx::iter::SetOfIterator;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};

fn job_row(job_id: Uuid) -> Result<TableRow> {
    fetch(
        "select j from kronos.jobs j where job_id = $1",
        &[job_id.into()],
    )
}

/// Makes a cron job; see [`job::NewCronJob`].
#[pg_extern(security_definer, requires = ["tables"])]
#[search_path(pg_catalog, kronos, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn create_cron_job(
    workspace: Option<&str>,
    endpoint: Option<&str>,
    cron: Option<&str>,
    timezone: default!(Option<&str>, "'UTC'"),
    input: default!(Option<JsonB>, "'{}'"),
    starts_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    ends_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    idempotency_key: default!(Option<&str>, "NULL"),
    catchup_policy: default!(Option<&str>, "'last'"),
    catchup_window: default!(Option<Interval>, "'1 hour'"),
) -> pgrx::composite_type!('static, "kronos.jobs") {
    or_raise((|| {
        let job_id = job::create(NewCronJob {
            workspace: needed("workspace", workspace)?,
            endpoint: needed("endpoint", endpoint)?,
            cron: needed("cron", cron)?,
            timezone: needed("timezone", timezone)?,
            input: needed("input", input)?,
            starts_at,
            ends_at,
            catchup_policy: needed("catchup_policy", catchup_policy)?,
            catchup_window: needed("catchup_window", catchup_window)?,
            idempotency_key,
        })?;
        job_row(job_id)
    })())
}

/// Replaces a cron job by its next version; see [`job::update`].
#[pg_extern(security_definer, requires = ["tables"])]
#[search_path(pg_catalog, kronos, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn update_cron_job(
    workspace: Option<&str>,
    job_id: Option<Uuid>,
    cron: default!(Option<&str>, "NULL"),
    timezone: default!(Option<&str>, "NULL"),
    input: default!(Option<JsonB>, "NULL"),
    starts_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    ends_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    expected_version: default!(Option<i32>, "NULL"),
    catchup_policy: default!(Option<&str>, "NULL"),
    catchup_window: default!(Option<Interval>, "NULL"),
) -> pgrx::composite_type!('static, "kronos.jobs") {
    let changes = Changes {
        cron,
        timezone,
        input,
        starts_at,
        ends_at,
        catchup_policy,
        catchup_window,
        expected_version,
    };
    or_raise((|| {
        let new_id = job::update(
            needed("workspace", workspace)?,
            needed("job_id", job_id)?,
            changes,
        )?;
        job_row(new_id)
    })())
}

/// Retires a cron job; see [`job::cancel`].
#[pg_extern(security_definer, requires = ["tables"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn cancel_cron_job(
    workspace: Option<&str>,
    job_id: Option<Uuid>,
) -> pgrx::composite_type!('static, "kronos.jobs") {
    or_raise((|| {
        let job_id = needed("job_id", job_id)?;
        job::cancel(needed("workspace", workspace)?, job_id)?;
        job_row(job_id)
    })())
}

/// Pauses a cron job; see [`job::pause`].
#[pg_extern(security_definer, requires = ["tables"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn pause_cron_job(
    workspace: Option<&str>,
    job_id: Option<Uuid>,
    reason: default!(Option<&str>, "NULL"),
) -> pgrx::composite_type!('static, "kronos.jobs") {
    or_raise((|| {
        let job_id = needed("job_id", job_id)?;
        job::pause(needed("workspace", workspace)?, job_id, reason)?;
        job_row(job_id)
    })())
}

/// Lets a paused cron job go on; see [`job::resume`].
#[pg_extern(security_definer, requires = ["tables"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn resume_cron_job(
    workspace: Option<&str>,
    job_id: Option<Uuid>,
) -> pgrx::composite_type!('static, "kronos.jobs") {
    or_raise((|| {
        let job_id = needed("job_id", job_id)?;
        job::resume(needed("workspace", workspace)?, job_id)?;
        job_row(job_id)
    })())
}

/// Runs a cron job now; see [`job::trigger`].
#[pg_extern(security_definer, requires = ["tables"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn trigger_cron_job(
    workspace: Option<&str>,
    job_id: Option<Uuid>,
    idempotency_key: default!(Option<&str>, "NULL"),
) -> pgrx::composite_type!('static, "kronos.executions") {
    or_raise((|| {
        let execution_id = job::trigger(
            needed("workspace", workspace)?,
            needed("job_id", job_id)?,
            idempotency_key,
        )?;
        fetch(
            "select x from kronos.executions x where execution_id = $1",
            &[execution_id.into()],
        )
    })())
}

/// One version of a job.
#[pg_extern(security_definer, requires = ["tables"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn get_job(
    workspace: Option<&str>,
    job_id: Option<Uuid>,
) -> pgrx::composite_type!('static, "kronos.jobs") {
    or_raise((|| {
        let job_id = needed("job_id", job_id)?;
        job::lineage_of(needed("workspace", workspace)?, job_id)?;
        job_row(job_id)
    })())
}

/// All versions of the job that a version belongs to, oldest first.
#[pg_extern(security_definer, requires = ["tables"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn job_versions(
    workspace: Option<&str>,
    job_id: Option<Uuid>,
) -> SetOfIterator<'static, pgrx::composite_type!('static, "kronos.jobs")> {
    let versions: Vec<TableRow> = or_raise((|| {
        let lineage_id =
            job::lineage_of(needed("workspace", workspace)?, needed("job_id", job_id)?)?;
        job::version_ids(lineage_id)?
            .into_iter()
            .map(job_row)
            .collect()
    })());
    SetOfIterator::new(versions)
}
