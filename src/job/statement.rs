//! Cron jobs that run a SQL statement in the server, by one call as in pg_cron: a job, and an SQL endpoint of the same
//! name.

use super::find::find_named;
use super::job_ref::JobRef;
use super::{Changes, NewJob, Request, cancel, create, update};
use crate::authority::Authorised;
use crate::endpoint::{self, Limits, NewEndpoint};
use crate::error::{Result, concurrent_change};
use crate::id::JobId;
use crate::policy::{CatchupPolicy, OverlapPolicy};
use crate::sql::{self, Composite, Jsonb};
use chrono::Duration;
use pgrx::datum::Interval;
use pgrx::pg_sys;
use serde_json::json;

/// A statement to schedule. None keeps the old value of an existing job; a new job gets the default.
pub struct Scheduled<'a> {
    pub name: &'a str,
    pub cron: &'a str,
    pub statement: &'a str,
    pub timezone: Option<&'a str>,
    pub mode: Option<&'a str>,
    pub settings: Option<Jsonb>,
    pub retry_policy: Option<Jsonb>,
    pub attempt_timeout: Option<Interval>,
    pub overlap_policy: Option<OverlapPolicy>,
    pub catchup_policy: Option<CatchupPolicy>,
    pub catchup_window: Option<Interval>,
    pub jitter: Option<Interval>,
    pub priority: Option<i32>,
    /// The name of the endpoint that handles failures; the empty name clears it.
    pub on_failure: Option<&'a str>,
    pub max_consecutive_failures: Option<i32>,
}

/// Creates a job that runs a statement, or begins the next version of the live job of that name, and returns its id.
///
/// # Errors
/// Those of creating or updating an endpoint and a job; `ENDPOINT_EXISTS` if an endpoint of the name exists that is not of
/// type SQL, or not the job's.
pub fn schedule(workspace: &Authorised, new: Scheduled) -> Result<JobId> {
    let job_id = match find_named(workspace, new.name)? {
        Some(job_id) => {
            change(workspace, job_id, &new)?;
            job_id
        }
        None => {
            make(workspace, &new, None)?;
            find_named(workspace, new.name)?.ok_or_else(concurrent_change)?
        }
    };
    Ok(job_id)
}

fn spec_of(new: &Scheduled) -> Result<Jsonb> {
    let mut spec = json!({ "statement": new.statement });
    if let Some(mode) = new.mode {
        spec["mode"] = mode.into();
    }
    if let Some(settings) = new.settings {
        spec["settings"] = settings.parse("settings")?;
    }
    Jsonb::from_text("statement", &spec.to_string())
}

/// Creates the endpoint and the job. `run_as` is the role of the statement; None for the caller.
pub(super) fn make(
    workspace: &Authorised,
    new: &Scheduled,
    run_as: Option<pg_sys::Oid>,
) -> Result<()> {
    let endpoint = NewEndpoint {
        name: new.name,
        endpoint_type: endpoint::SQL,
        spec: spec_of(new)?,
        retry_policy: match new.retry_policy {
            Some(policy) => policy,
            None => empty()?,
        },
        attempt_timeout: new.attempt_timeout,
        payload_spec: None,
        on_failure: None,
        limits: Limits::default(),
        run_as,
    };
    endpoint::create(workspace, endpoint, false)?;
    let job = NewJob {
        endpoint: new.name,
        input: empty()?,
        metadata: empty()?,
        request: Request {
            name: Some(new.name),
            cron: new.cron,
            timezone: new.timezone.unwrap_or("UTC"),
            starts_at: None,
            ends_at: None,
            catchup_policy: new.catchup_policy.unwrap_or(CatchupPolicy::Last),
            catchup_window: new
                .catchup_window
                .unwrap_or_else(|| sql::interval(Duration::hours(1))),
            // As in pg_cron: a tick that comes due during an execution runs right after it.
            overlap_policy: new.overlap_policy.unwrap_or(OverlapPolicy::QueueOne),
            jitter: new
                .jitter
                .unwrap_or_else(|| sql::interval(Duration::zero())),
            priority: new.priority.unwrap_or(crate::args::DEFAULT_PRIORITY),
            max_consecutive_failures: new.max_consecutive_failures,
            concurrency_key: None,
        },
        on_failure: new.on_failure.filter(|name| !name.is_empty()),
        idempotency_key: None,
        if_not_exists: false,
    };
    create(workspace, job).map(|_| ())
}

fn empty() -> Result<Jsonb> {
    Jsonb::from_text("input", "{}")
}

const ENDPOINT_OF: &str = "
select e.name
from kronos_internal.jobs j
join kronos_internal.endpoints e using (endpoint_id)
where j.job_id = $1 and e.run_as is not null";

fn change(workspace: &Authorised, job_id: JobId, new: &Scheduled) -> Result<()> {
    let endpoint: Option<String> =
        sql::row(ENDPOINT_OF, &[job_id.into()], |row| sql::get(row, "name"))?;
    // A job of another kind with this name stays as it is.
    let Some(endpoint) = endpoint else {
        return Err(super::error::job_exists(&workspace.name, new.name));
    };
    let changes = endpoint::Changes {
        name: None,
        spec: Some(spec_of(new)?),
        retry_policy: new.retry_policy,
        attempt_timeout: new.attempt_timeout,
        payload_spec: None,
        on_failure: None,
        limits: Limits::default(),
    };
    endpoint::update(workspace, &endpoint, changes)?;
    let changes = Changes {
        endpoint: None,
        cron: Some(new.cron),
        input: None,
        new_name: None,
        timezone: new.timezone,
        starts_at: None,
        ends_at: None,
        catchup_policy: new.catchup_policy,
        catchup_window: new.catchup_window,
        overlap_policy: new.overlap_policy,
        jitter: new.jitter,
        priority: new.priority,
        max_consecutive_failures: new.max_consecutive_failures,
        on_failure: new.on_failure,
        metadata: None,
        concurrency_key: None,
        expected_version: None,
    };
    update(workspace, JobRef::Id(job_id), changes).map(|_| ())
}

const IS_UNUSED: &str = "
select e.name
from kronos_internal.jobs c
join kronos_internal.endpoints e using (endpoint_id)
where c.job_id = $1 and e.run_as is not null and e.deleted_at is null and e.name = c.name
  and not exists (select from kronos_internal.jobs j where j.endpoint_id = e.endpoint_id and j.status <> 'RETIRED')";

/// Retires the job of a name, and deletes the SQL endpoint of the same name unless another job uses it. Returns the job's
/// id.
///
/// # Errors
/// `JOB_NOT_FOUND`; `PERMISSION_DENIED` unless the caller has the privileges of the statement's role.
pub fn unschedule(workspace: &Authorised, name: &str) -> Result<JobId> {
    let job_id = cancel(workspace, JobRef::Name(name))?;
    let unused: Option<String> =
        sql::row(IS_UNUSED, &[job_id.into()], |row| sql::get(row, "name"))?;
    if let Some(endpoint) = unused {
        endpoint::delete(workspace, &endpoint)?;
    }
    Ok(job_id)
}

/// The row of a job in the view `kronos.jobs`.
///
/// # Errors
/// Fails only if SQL does.
pub fn short_row(job_id: JobId) -> Result<Composite> {
    const ROW: &str = "select v from kronos.jobs v where v.job_id = $1";
    sql::by_index(|| sql::composite(ROW, &[job_id.into()]))?.ok_or_else(concurrent_change)
}
