//! Creates cron jobs.

use super::definition::{Definition, Request, Terms};
use super::error::{job_exists, job_not_found, job_retired, translate_constraints};
use super::find::find_named;
use super::job_ref::JobRef;
use crate::args;
use crate::authority::Authorised;
use crate::calendar::Tick;
use crate::endpoint;
use crate::error::{
    KronosError, Result, concurrent_change, endpoint_not_found, idempotency_conflict,
    invalid_argument,
};
use crate::id::{EndpointId, JobId};
use crate::idempotency::Expiry;
use crate::named::Named;
use crate::sql::{self, Composite, Jsonb};
use crate::{idempotency, schedule};
use chrono::{DateTime, Utc};
use pgrx::datum::TimestampWithTimeZone;

/// A cron job to create.
pub struct NewJob<'a> {
    pub endpoint: &'a str,
    pub input: Jsonb,
    pub metadata: Jsonb,
    pub request: Request<'a>,
    /// The name of the endpoint that handles failures.
    pub on_failure: Option<&'a str>,
    pub idempotency_key: Option<&'a str>,
    pub if_not_exists: bool,
}

/// The scope of the idempotency keys of create_cron_job().
pub const SCOPE: &str = "create_cron_job";

/// Creates a cron job, its schedule and its pg_cron entry. A repeated request with the same idempotency key and
/// arguments returns the job that the first one created. With `if_not_exists`, an existing live job of that name is
/// returned unchanged.
///
/// # Errors
/// Errors of the arguments; the errors of [`schedule::join`]; `JOB_EXISTS`; `IDEMPOTENCY_CONFLICT`; `JOB_RETIRED` if
/// the job that the first request created is retired.
pub fn create(workspace: &Authorised, new: NewJob) -> Result<Composite> {
    let endpoint = endpoint::find(workspace, new.endpoint)?;
    endpoint.require_use(workspace)?;
    args::metadata(new.metadata)?;
    let on_failure_id = new
        .on_failure
        .map(|name| endpoint::find_handler(workspace, name))
        .transpose()?;
    let terms = new.request.check(on_failure_id)?;
    if new.if_not_exists
        && let Some(job_id) = find_named(workspace, name_of(&terms)?)?
    {
        return existing(job_id);
    }
    let job_id = JobId::generate();
    if let Some(key) = new.idempotency_key
        && let Some(made_id) =
            idempotency::reserve(workspace.workspace_id, SCOPE, key, job_id, Expiry::Never)?
    {
        check_repeat(
            workspace,
            key,
            made_id,
            &terms,
            endpoint.endpoint_id,
            new.input,
            new.metadata,
        )?;
        return existing(made_id);
    }
    endpoint.check_input(new.input)?;
    let first_tick = terms.first_tick()?;
    let schedule_id = schedule::join(workspace.workspace_id, &terms.timing, &terms.timezone)?;
    let (instant, first_tick) = begin(&terms, first_tick)?;
    let args = [
        job_id.into(),
        workspace.workspace_id.into(),
        terms.name.into(),
        endpoint.endpoint_id.into(),
        endpoint.endpoint_type.as_str().into(),
        terms.cron().into(),
        terms.timezone.as_str().into(),
        schedule_id.into(),
        new.input.into(),
        new.metadata.into(),
        terms.window.starts_at.into(),
        terms.window.ends_at.into(),
        terms.catchup_policy.name().into(),
        terms.catchup_window.into(),
        terms.overlap_policy.name().into(),
        terms.jitter.into(),
        terms.priority.into(),
        terms.on_failure_id.into(),
        terms.max_consecutive_failures.into(),
        sql::to_pg(instant).into(),
        sql::to_pg(first_tick).into(),
        terms.concurrency_key.into(),
    ];
    let gone = || endpoint_not_found(&workspace.name, new.endpoint);
    let created = translate_endpoint_deleted(gone, || {
        sql::composite(include_str!("insert_job.sql"), &args)
    })?;
    match created {
        Some(job) => Ok(job),
        None if new.if_not_exists => {
            // Another session has created a job of that name meanwhile. An idempotency key must not refer to a job that
            // was not created.
            let found =
                find_named(workspace, name_of(&terms)?)?.filter(|_| new.idempotency_key.is_none());
            schedule::release(schedule_id)?;
            existing(found.ok_or_else(concurrent_change)?)
        }
        None => Err(job_exists(&workspace.name, terms.name.unwrap_or_default())),
    }
}

impl Terms<'_> {
    /// The first tick from now on.
    ///
    /// # Errors
    /// `INVALID_WINDOW` for a window that is past, `NEVER_FIRES`.
    pub fn first_tick(&self) -> Result<Tick> {
        self.window.first_tick(&self.timing, sql::now())
    }
}

/// The instant at which a job begins, read after every wait for a lock, and the job's first tick after it.
pub fn begin(terms: &Terms, first_tick: Tick) -> Result<(DateTime<Utc>, Tick)> {
    let instant = sql::now();
    if first_tick > instant {
        return Ok((instant, first_tick));
    }
    Ok((instant, terms.window.first_tick(&terms.timing, instant)?))
}

/// Runs a statement that inserts jobs. Fails with `gone` if another session has deleted an endpoint meanwhile.
pub fn translate_endpoint_deleted<T>(
    gone: impl Fn() -> KronosError,
    write: impl FnOnce() -> Result<T>,
) -> Result<T> {
    // A taken name does not violate a constraint here: the statements do not insert a job whose name is taken.
    translate_constraints(write, concurrent_change, gone)
}

/// The name that a request with `if_not_exists` needs.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn name_of<'a>(terms: &Terms<'a>) -> Result<&'a str> {
    terms
        .name
        .ok_or_else(|| invalid_argument("if_not_exists", "needs a name"))
}

const EXISTING: &str = "
select row(j.job_name, j.job_id, j.version, j.status, j.cron, j.timezone, j.next_tick_at, false)::kronos.created_job
from kronos.job_details j
where j.job_id = $1";

/// The row of a job that already exists.
fn existing(job_id: JobId) -> Result<Composite> {
    sql::by_index(|| sql::composite(EXISTING, &[job_id.into()]))?.ok_or_else(concurrent_change)
}

/// Checks a repeated request with an idempotency key. Fails unless its arguments are those of the first request, and
/// the job that the first request created is live.
///
/// # Errors
/// `IDEMPOTENCY_CONFLICT`, `JOB_RETIRED`; `JOB_NOT_FOUND` for a retired job that prune() has deleted.
pub fn check_repeat(
    workspace: &Authorised,
    key: &str,
    made_id: JobId,
    terms: &Terms,
    endpoint_id: EndpointId,
    input: Jsonb,
    metadata: Jsonb,
) -> Result<()> {
    struct First {
        differing: Vec<String>,
        retired: Option<KronosError>,
    }
    let args = [made_id.into(), input.into(), metadata.into()];
    let first = sql::by_index(|| {
        sql::row(include_str!("find_first_version.sql"), &args, |row| {
            let same_input = sql::get(row, "same_input")?;
            let same_metadata = sql::get(row, "same_metadata")?;
            let retired_at: Option<TimestampWithTimeZone> = sql::get_opt(row, "retired_at")?;
            Ok(First {
                differing: Definition::read(row)?.differences(
                    terms,
                    endpoint_id,
                    same_input,
                    same_metadata,
                ),
                retired: match retired_at {
                    Some(at) => Some(job_retired(
                        made_id,
                        at,
                        &sql::get::<String>(row, "retired_reason")?,
                    )),
                    None => None,
                },
            })
        })
    })?;
    match first {
        None => Err(job_not_found(workspace, JobRef::Id(made_id))),
        Some(first) if !first.differing.is_empty() => {
            Err(idempotency_conflict(key, made_id, &first.differing))
        }
        Some(First {
            retired: Some(retired),
            ..
        }) => Err(retired),
        Some(_) => Ok(()),
    }
}
