//! Cron jobs.

use super::{TableRow, fetch, needed};
use crate::error::{self, KronosError, Result, or_raise};
use crate::job::{self, Changes, JobRef, NewCronJob, Policies};
use crate::sql;
use pgrx::datum::{Interval, TimestampWithTimeZone};
use pgrx::iter::{SetOfIterator, TableIterator};
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};
use serde_json::json;

/// Which job a caller means, by exactly one of its id and its name.
fn job_ref<'a>(job_id: Option<Uuid>, job_name: Option<&'a str>) -> Result<JobRef<'a>> {
    match (job_id, job_name) {
        (Some(job_id), None) => Ok(JobRef::Id(job_id)),
        (None, Some(name)) => Ok(JobRef::Name(name)),
        (None, None) => Err(KronosError::null_argument("job_id (or job_name)")),
        (Some(_), Some(_)) => Err(KronosError::new(
            &error::INVALID_ARGUMENT,
            "give job_id or job_name, not both",
            json!({ "argument": "job_name" }),
        )),
    }
}

fn job_row(job_id: Uuid) -> Result<TableRow> {
    fetch(
        "select d from kronos.job_details d where job_id = $1",
        &[job_id.into()],
    )
}

/// Makes a cron job; see [`job::NewCronJob`].
#[pg_extern(security_definer, requires = ["views"])]
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
    name: default!(Option<&str>, "NULL"),
    overlap_policy: default!(Option<&str>, "'allow'"),
    jitter: default!(Option<Interval>, "'0'"),
) -> pgrx::composite_type!('static, "kronos.job_details") {
    or_raise((|| {
        let job_id = job::create(NewCronJob {
            workspace: needed("workspace", workspace)?,
            endpoint: needed("endpoint", endpoint)?,
            cron: needed("cron", cron)?,
            timezone: needed("timezone", timezone)?,
            input: needed("input", input)?,
            starts_at,
            ends_at,
            name,
            policies: Policies {
                catchup_policy: Some(needed("catchup_policy", catchup_policy)?),
                catchup_window: Some(needed("catchup_window", catchup_window)?),
                overlap_policy: Some(needed("overlap_policy", overlap_policy)?),
                jitter: Some(needed("jitter", jitter)?),
            },
            idempotency_key,
            declared: false,
        })?;
        job_row(job_id)
    })())
}

/// Replaces a cron job by its next version; see [`job::update`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn update_cron_job(
    workspace: Option<&str>,
    job_id: default!(Option<Uuid>, "NULL"),
    cron: default!(Option<&str>, "NULL"),
    timezone: default!(Option<&str>, "NULL"),
    input: default!(Option<JsonB>, "NULL"),
    starts_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    ends_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    expected_version: default!(Option<i32>, "NULL"),
    catchup_policy: default!(Option<&str>, "NULL"),
    catchup_window: default!(Option<Interval>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
    name: default!(Option<&str>, "NULL"),
    endpoint: default!(Option<&str>, "NULL"),
    overlap_policy: default!(Option<&str>, "NULL"),
    jitter: default!(Option<Interval>, "NULL"),
) -> pgrx::composite_type!('static, "kronos.job_details") {
    let changes = Changes {
        cron,
        timezone,
        input,
        starts_at,
        ends_at,
        name,
        endpoint,
        policies: Policies {
            catchup_policy,
            catchup_window,
            overlap_policy,
            jitter,
        },
        expected_version,
    };
    or_raise((|| {
        let new_id = job::update(
            needed("workspace", workspace)?,
            job_ref(job_id, job_name)?,
            changes,
        )?;
        job_row(new_id)
    })())
}

/// Retires a cron job; see [`job::cancel`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn cancel_cron_job(
    workspace: Option<&str>,
    job_id: default!(Option<Uuid>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
) -> pgrx::composite_type!('static, "kronos.job_details") {
    or_raise((|| {
        let job = job_ref(job_id, job_name)?;
        job_row(job::cancel(needed("workspace", workspace)?, job)?)
    })())
}

/// Pauses a cron job; see [`job::pause`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn pause_cron_job(
    workspace: Option<&str>,
    job_id: default!(Option<Uuid>, "NULL"),
    reason: default!(Option<&str>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
) -> pgrx::composite_type!('static, "kronos.job_details") {
    or_raise((|| {
        let job = job_ref(job_id, job_name)?;
        job_row(job::pause(needed("workspace", workspace)?, job, reason)?)
    })())
}

/// Lets a paused cron job go on; see [`job::resume`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn resume_cron_job(
    workspace: Option<&str>,
    job_id: default!(Option<Uuid>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
) -> pgrx::composite_type!('static, "kronos.job_details") {
    or_raise((|| {
        let job = job_ref(job_id, job_name)?;
        job_row(job::resume(needed("workspace", workspace)?, job)?)
    })())
}

/// Runs a cron job now; see [`job::trigger`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn trigger_cron_job(
    workspace: Option<&str>,
    job_id: default!(Option<Uuid>, "NULL"),
    idempotency_key: default!(Option<&str>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
) -> pgrx::composite_type!('static, "kronos.executions") {
    or_raise((|| {
        let execution_id = job::trigger(
            needed("workspace", workspace)?,
            job_ref(job_id, job_name)?,
            idempotency_key,
        )?;
        fetch(
            "select x from kronos.executions x where execution_id = $1",
            &[execution_id.into()],
        )
    })())
}

/// Runs a cron job for past ticks; see [`job::backfill`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn backfill_cron_job(
    workspace: Option<&str>,
    job_id: default!(Option<Uuid>, "NULL"),
    from_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    to_at: default!(Option<TimestampWithTimeZone>, "now()"),
    dry_run: default!(Option<bool>, "false"),
    job_name: default!(Option<&str>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(tick_at, TimestampWithTimeZone),
        name!(action, &'static str),
        name!(execution_id, Option<Uuid>),
    ),
> {
    let ticks = or_raise((|| {
        job::backfill(
            needed("workspace", workspace)?,
            job_ref(job_id, job_name)?,
            needed("from_at", from_at)?,
            needed("to_at", to_at)?,
            needed("dry_run", dry_run)?,
        )
    })());
    TableIterator::new(
        ticks
            .into_iter()
            .map(|tick| (tick.tick_at, tick.action, tick.execution_id)),
    )
}

/// Makes the declared cron jobs of a workspace true; see [`job::apply`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn apply_crontab(
    workspace: Option<&str>,
    jobs: Option<JsonB>,
    dry_run: default!(Option<bool>, "false"),
) -> TableIterator<
    'static,
    (
        name!(name, String),
        name!(action, &'static str),
        name!(job_id, Option<Uuid>),
        name!(changed, Vec<String>),
    ),
> {
    let plan = or_raise((|| {
        job::apply(
            needed("workspace", workspace)?,
            needed("jobs", jobs)?,
            needed("dry_run", dry_run)?,
        )
    })());
    TableIterator::new(
        plan.into_iter()
            .map(|job| (job.name, job.action, job.job_id, job.changed)),
    )
}

/// One version of a job.
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn get_job(
    workspace: Option<&str>,
    job_id: default!(Option<Uuid>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
) -> pgrx::composite_type!('static, "kronos.job_details") {
    or_raise((|| {
        let job = job_ref(job_id, job_name)?;
        let (job_id, _) = job::find_job(needed("workspace", workspace)?, job)?;
        job_row(job_id)
    })())
}

/// All versions of the job that a version belongs to, oldest first.
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn job_versions(
    workspace: Option<&str>,
    job_id: default!(Option<Uuid>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
) -> SetOfIterator<'static, pgrx::composite_type!('static, "kronos.job_details")> {
    let versions: Vec<TableRow> = or_raise((|| {
        let job = job_ref(job_id, job_name)?;
        let (_, lineage_id) = job::find_job(needed("workspace", workspace)?, job)?;
        sql::composites(
            "select d from kronos.job_details d where lineage_id = $1 order by version",
            &[lineage_id.into()],
        )
    })());
    SetOfIterator::new(versions)
}
