//! Jobs.

use super::listing::{Page, page};
use super::{TableRow, fetch, needed};
use crate::error::{self, KronosError, Result, or_raise};
use crate::job::{self, Changes, JobRef, NewCronJob, NewOneShot, Policies};
use crate::sql;
use pgrx::datum::{Interval, TimestampWithTimeZone};
use pgrx::iter::{SetOfIterator, TableIterator};
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};
use serde_json::json;

/// Which job a caller means, by exactly one of its id and its name.
pub fn job_ref<'a>(job_id: Option<Uuid>, job_name: Option<&'a str>) -> Result<JobRef<'a>> {
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
    priority: default!(Option<i32>, "5"),
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
            priority: needed("priority", priority)?,
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
    priority: default!(Option<i32>, "NULL"),
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
        priority,
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

/// Cancels a job of any trigger; see [`job::cancel_any`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn cancel_job(
    workspace: Option<&str>,
    job_id: default!(Option<Uuid>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
    request_stop: default!(Option<bool>, "false"),
) -> pgrx::composite_type!('static, "kronos.job_details") {
    or_raise((|| {
        let job = job_ref(job_id, job_name)?;
        let request_stop = needed("request_stop", request_stop)?;
        job_row(job::cancel_any(
            needed("workspace", workspace)?,
            job,
            request_stop,
        )?)
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

/// Makes a one-shot job, and returns its row.
fn one_shot(workspace: Option<&str>, new: NewOneShot) -> Result<TableRow> {
    let made = job::create_once(needed("workspace", workspace)?, &[new])?;
    job_row(made[0].job_id)
}

/// Makes a job that runs once, at once; see [`job::create_once`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn create_immediate_job(
    workspace: Option<&str>,
    endpoint: Option<&str>,
    input: default!(Option<JsonB>, "'{}'"),
    idempotency_key: default!(Option<&str>, "NULL"),
    priority: default!(Option<i32>, "5"),
) -> pgrx::composite_type!('static, "kronos.job_details") {
    or_raise((|| {
        let new = NewOneShot {
            endpoint: needed("endpoint", endpoint)?,
            input: needed("input", input)?.0,
            run_at: None,
            priority: needed("priority", priority)?,
            idempotency_key,
        };
        one_shot(workspace, new)
    })())
}

/// Makes a job that runs once, at a time; see [`job::create_once`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn create_delayed_job(
    workspace: Option<&str>,
    endpoint: Option<&str>,
    run_at: Option<TimestampWithTimeZone>,
    input: default!(Option<JsonB>, "'{}'"),
    idempotency_key: default!(Option<&str>, "NULL"),
    priority: default!(Option<i32>, "5"),
) -> pgrx::composite_type!('static, "kronos.job_details") {
    or_raise((|| {
        let new = NewOneShot {
            endpoint: needed("endpoint", endpoint)?,
            input: needed("input", input)?.0,
            run_at: Some(needed("run_at", run_at)?),
            priority: needed("priority", priority)?,
            idempotency_key,
        };
        one_shot(workspace, new)
    })())
}

/// Makes many one-shot jobs; see [`job::create_listed`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn create_jobs(
    workspace: Option<&str>,
    jobs: Option<JsonB>,
) -> TableIterator<'static, (name!(job_id, Uuid), name!(created, bool))> {
    let made = or_raise((|| {
        job::create_listed(needed("workspace", workspace)?, needed("jobs", jobs)?)
    })());
    TableIterator::new(made.into_iter().map(|job| (job.job_id, job.created)))
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

const LIST: &str = "
select d
from kronos.job_details d
where d.workspace_id = $1 and ($2 is null or d.job_id < $2)
  and ($4 is null or d.status = $4)
  and ($5 is null or d.trigger = $5)
  and ($6 is null or d.endpoint_id in (select endpoint_id from kronos.endpoints where workspace_id = $1 and name = $6))
order by d.job_id desc
limit $3";

/// The jobs of a workspace, newest first.
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn list_jobs(
    workspace: Option<&str>,
    status: default!(Option<&str>, "NULL"),
    trigger: default!(Option<&str>, "NULL"),
    endpoint: default!(Option<&str>, "NULL"),
    max: default!(Option<i32>, "100"),
    after_cursor: default!(Option<&str>, "NULL"),
) -> SetOfIterator<'static, pgrx::composite_type!('static, "kronos.job_details")> {
    SetOfIterator::new(or_raise((|| {
        let workspace_id = job::find_workspace(needed("workspace", workspace)?)?;
        let Page { max, after } = page(max, after_cursor)?;
        let args = [
            workspace_id.into(),
            after.into(),
            max.into(),
            status.into(),
            trigger.into(),
            endpoint.into(),
        ];
        sql::composites(LIST, &args)
    })()))
}

const STATUS: &str = "
with day as materialized (
    select x.execution_id, x.status, x.finished_at, a.duration
    from kronos.executions x left join kronos.attempts a using (execution_id, attempt)
    where x.lineage_id = $2 and x.execution_id >= kronos.uuid_v7_at(now() - interval '1 day')
),
totals as (
    select count(*) filter (where status <> 'SKIPPED') as total,
           count(*) filter (where status = 'SUCCESS') as succeeded,
           count(*) filter (where status = 'FAILED') as failed,
           avg(duration) filter (where status in ('SUCCESS', 'FAILED')) as mean_duration,
           percentile_cont(0.99) within group (order by duration)
               filter (where status in ('SUCCESS', 'FAILED')) as p99_duration
    from day
),
latest as (
    select count(*) as ended, count(*) filter (where status = 'FAILED') as failed
    from (select status from day where status in ('SUCCESS', 'FAILED') order by finished_at desc limit 10) l
),
unfinished as (
    select count(*) filter (where status <> 'RUNNING') as waiting, count(*) filter (where status = 'RUNNING') as running
    from kronos.executions
    where lineage_id = $2 and status in ('PENDING', 'QUEUED', 'RUNNING', 'RETRYING')
)
select row(j.job_id, j.status,
           case when l.ended = 0 then 'IDLE'
                when l.failed = 0 then 'HEALTHY'
                when l.failed * 2 >= l.ended then 'FAILING'
                else 'DEGRADED' end,
           x.execution_id, x.status, x.finished_at, u.waiting, u.running, j.last_tick_at, j.next_tick_at,
           t.total, t.succeeded, t.failed, t.mean_duration, t.p99_duration)::kronos.job_status
from kronos.job_details j
cross join totals t
cross join latest l
cross join unfinished u
left join kronos.executions x on x.execution_id = j.last_execution_id
where j.job_id = $1";

/// How a job fares.
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn job_status(
    workspace: Option<&str>,
    job_id: default!(Option<Uuid>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
) -> pgrx::composite_type!('static, "kronos.job_status") {
    or_raise((|| {
        let job = job_ref(job_id, job_name)?;
        let (job_id, lineage_id) = job::find_job(needed("workspace", workspace)?, job)?;
        fetch(STATUS, &[job_id.into(), lineage_id.into()])
    })())
}
