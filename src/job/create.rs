//! Creating a cron job.

use super::read::find_workspace;
use super::rules::{Policies, Window, check_fires, check_input, check_length, check_priority};
use crate::endpoint;
use crate::error::{self, KronosError, Result};
use crate::schedule::{self, parse_timing};
use crate::sql;
use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use pgrx::{JsonB, Uuid};
use serde_json::json;

/// A cron job to be made.
pub struct NewCronJob<'a> {
    pub workspace: &'a str,
    pub endpoint: &'a str,
    pub name: Option<&'a str>,
    pub cron: &'a str,
    pub timezone: &'a str,
    pub input: JsonB,
    pub starts_at: Option<TimestampWithTimeZone>,
    pub ends_at: Option<TimestampWithTimeZone>,
    /// All given.
    pub policies: Policies<'a>,
    /// 0 (most urgent) to 9.
    pub priority: i32,
    pub idempotency_key: Option<&'a str>,
    /// Whether apply_crontab makes it.
    pub declared: bool,
}

const INSERT_JOB: &str = "
insert into kronos.jobs (job_id, lineage_id, workspace_id, endpoint_id, trigger, cron, timezone, schedule_id,
                         input, starts_at, ends_at, catchup_policy, catchup_window, overlap_policy, jitter, name,
                         idempotency_key, declared, priority)
select id, id, $1, $2, 'CRON', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16 from kronos.uuid_v7() as id
on conflict (endpoint_id, idempotency_key) do nothing
returning job_id";

/// Makes a cron job, its schedule and its alarm, and returns the job's id; with an idempotency key that was used
/// before for the same arguments, the id of the job that it made.
///
/// # Errors
/// All of [`schedule::join`] and the checks of arguments; `IDEMPOTENCY_CONFLICT`, `JOB_EXISTS`.
pub fn create(new: NewCronJob) -> Result<Uuid> {
    let workspace_id = find_workspace(new.workspace)?;
    let endpoint = endpoint::find(workspace_id, new.workspace, new.endpoint)?;
    let endpoint_id = endpoint.endpoint_id;
    let (timing, timezone) = parse_timing(new.cron, new.timezone)?;
    check_input(&new.input.0)?;
    new.policies.check()?;
    check_priority(new.priority)?;
    if let Some(name) = new.name {
        check_length("name", name, 200)?;
    }
    if let Some(key) = new.idempotency_key {
        check_length("idempotency_key", key, 200)?;
        // Sessions with the same key come one after the other; the later ones find what the first has made.
        schedule::lock_name(&format!("idempotency key {endpoint_id} {key}"))?;
        if let Some(job_id) = find_repeated(endpoint_id, key, timing.expr.text(), &timezone, &new)?
        {
            return Ok(job_id);
        }
    }
    endpoint.check_input(&new.input.0)?;
    let window = Window::new(new.starts_at, new.ends_at)?;
    check_fires(&timing, &window)?;
    let schedule_id = schedule::join(&timing, &timezone)?;
    let args = [
        workspace_id.into(),
        endpoint_id.into(),
        timing.expr.text().into(),
        timezone.as_str().into(),
        schedule_id.into(),
        new.input.into(),
        window.starts_at.into(),
        window.ends_at.into(),
        new.policies.catchup_policy.into(),
        new.policies.catchup_window.into(),
        new.policies.overlap_policy.into(),
        new.policies.jitter.into(),
        new.name.into(),
        new.idempotency_key.into(),
        new.declared.into(),
        new.priority.into(),
    ];
    keep_constraints(new.workspace, new.name, new.endpoint, || {
        sql::row(INSERT_JOB, &args, |row| sql::get(row, "job_id"))
    })?
    .ok_or_else(schedule::concurrent_change)
}

/// The names of the arguments ([`differing_args`], $1 to $11) in which a row of kronos.jobs differs from a request.
pub const DIFFERING: &str = "
array_remove(array[
    case when trigger <> 'CRON' then 'trigger' end,
    case when cron <> $1 then 'cron' end,
    case when timezone <> $2 then 'timezone' end,
    case when input <> $3 then 'input' end,
    case when starts_at is distinct from nullif($4, '-infinity') then 'starts_at' end,
    case when ends_at is distinct from nullif($5, 'infinity') then 'ends_at' end,
    case when catchup_policy <> $6 then 'catchup_policy' end,
    case when catchup_window <> $7 then 'catchup_window' end,
    case when overlap_policy <> $8 then 'overlap_policy' end,
    case when jitter <> $9 then 'jitter' end,
    case when name is distinct from $10 then 'name' end,
    case when priority <> $11 then 'priority' end
], null)";

/// The arguments of [`DIFFERING`]; `cron` and `timezone` as they are stored.
pub fn differing_args<'a>(
    new: &NewCronJob<'a>,
    cron: &'a str,
    timezone: &'a str,
) -> Vec<DatumWithOid<'a>> {
    vec![
        cron.into(),
        timezone.into(),
        JsonB(new.input.0.clone()).into(),
        new.starts_at.into(),
        new.ends_at.into(),
        new.policies.catchup_policy.into(),
        new.policies.catchup_window.into(),
        new.policies.overlap_policy.into(),
        new.policies.jitter.into(),
        new.name.into(),
        new.priority.into(),
    ]
}

/// The job that a request with the same key has made before, if it asked for the same.
fn find_repeated(
    endpoint_id: Uuid,
    key: &str,
    cron: &str,
    timezone: &str,
    new: &NewCronJob,
) -> Result<Option<Uuid>> {
    let mut args = differing_args(new, cron, timezone);
    args.extend([endpoint_id.into(), key.into()]);
    let statement = format!(
        "select job_id, {DIFFERING} as differing
         from kronos.jobs where endpoint_id = $12 and idempotency_key = $13"
    );
    let found = sql::row(&statement, &args, |row| {
        Ok((
            sql::get::<Uuid>(row, "job_id")?,
            sql::get::<Vec<String>>(row, "differing")?,
        ))
    })?;
    match found {
        Some((job_id, differing)) if !differing.is_empty() => {
            Err(idempotency_conflict(key, job_id, &differing))
        }
        found => Ok(found.map(|(job_id, _)| job_id)),
    }
}

/// The error for a key that was used for a job with other arguments.
pub fn idempotency_conflict(key: &str, job_id: Uuid, differing: &[String]) -> KronosError {
    KronosError::new(
        &error::IDEMPOTENCY_CONFLICT,
        format!(
            "idempotency key {key:?} was used for job {job_id} with another {}",
            differing.join(", ")
        ),
        json!({ "idempotency_key": key, "job_id": job_id.to_string(), "differing": differing }),
    )
}

/// Runs the statement that writes a job; constraints decide whether its name is free and its endpoint still there.
///
/// # Errors
/// `JOB_EXISTS`, `ENDPOINT_NOT_FOUND`.
pub fn keep_constraints<T>(
    workspace: &str,
    name: Option<&str>,
    endpoint: &str,
    write: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let [workspace, name, endpoint] =
        [workspace, name.unwrap_or_default(), endpoint].map(str::to_owned);
    sql::convert_errors(write, move |report| {
        let violates = |constraint: &str| report.message().contains(constraint);
        if violates("jobs_one_live_job_per_name") {
            return Some(KronosError::new(
                &error::JOB_EXISTS,
                format!("job {name:?} exists already in workspace {workspace:?}"),
                json!({ "workspace": workspace, "job_name": name }),
            ));
        }
        // It was deleted while this session waited for its row.
        violates("jobs_live_job_has_live_endpoint")
            .then(|| endpoint::not_found(&workspace, &endpoint))
    })
}
