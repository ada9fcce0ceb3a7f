//! Creating a cron job.

use super::read::{find_endpoint, find_workspace};
use super::rules::{Window, check_catchup, check_fires, check_input, check_length};
use crate::error::{self, KronosError, Result};
use crate::schedule::{self, parse_timing};
use crate::sql;
use pgrx::datum::{Interval, TimestampWithTimeZone};
use pgrx::{JsonB, Uuid};
use serde_json::json;

/// A cron job to be made.
pub struct NewCronJob<'a> {
    pub workspace: &'a str,
    pub endpoint: &'a str,
    pub cron: &'a str,
    pub timezone: &'a str,
    pub input: JsonB,
    pub starts_at: Option<TimestampWithTimeZone>,
    pub ends_at: Option<TimestampWithTimeZone>,
    pub catchup_policy: &'a str,
    pub catchup_window: Interval,
    pub idempotency_key: Option<&'a str>,
}

const INSERT_JOB: &str = "
insert into kronos.jobs (job_id, lineage_id, workspace_id, endpoint_id, trigger, cron, timezone, schedule_id,
                         input, starts_at, ends_at, catchup_policy, catchup_window, idempotency_key)
select id, id, $1, $2, 'CRON', $3, $4, $5, $6, $7, $8, $9, $10, $11 from kronos.uuid_v7() as id
on conflict (endpoint_id, idempotency_key) do nothing
returning job_id";

/// Makes a cron job, its schedule and its alarm, and returns the job's id; with an idempotency key that was used
/// before for the same arguments, the id of the job that it made.
///
/// # Errors
/// All of [`schedule::join`] and the checks of arguments; `IDEMPOTENCY_CONFLICT`.
pub fn create(new: NewCronJob) -> Result<Uuid> {
    let workspace_id = find_workspace(new.workspace)?;
    let endpoint_id = find_endpoint(workspace_id, new.workspace, new.endpoint)?;
    let (timing, timezone) = parse_timing(new.cron, new.timezone)?;
    check_input(&new.input)?;
    check_catchup(Some(new.catchup_policy), Some(new.catchup_window))?;
    if let Some(key) = new.idempotency_key {
        check_length("idempotency_key", key, 200)?;
        // Sessions with the same key come one after the other; the later ones find what the first has made.
        schedule::lock_name(&format!("idempotency key {endpoint_id} {key}"))?;
        if let Some(job_id) = find_repeated(endpoint_id, key, timing.expr.text(), &timezone, &new)?
        {
            return Ok(job_id);
        }
    }
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
        new.catchup_policy.into(),
        new.catchup_window.into(),
        new.idempotency_key.into(),
    ];
    sql::row(INSERT_JOB, &args, |row| sql::get(row, "job_id"))?
        .ok_or_else(schedule::concurrent_change)
}

const FIND_REPEATED: &str = "
select job_id,
       array_remove(array[
           case when cron <> $3 then 'cron' end,
           case when timezone <> $4 then 'timezone' end,
           case when input <> $5 then 'input' end,
           case when starts_at is distinct from nullif($6, '-infinity') then 'starts_at' end,
           case when ends_at is distinct from nullif($7, 'infinity') then 'ends_at' end,
           case when catchup_policy <> $8 then 'catchup_policy' end,
           case when catchup_window <> $9 then 'catchup_window' end
       ], null) as differing
from kronos.jobs
where endpoint_id = $1 and idempotency_key = $2";

/// The job that a request with the same key has made before, if it asked for the same.
fn find_repeated(
    endpoint_id: Uuid,
    key: &str,
    cron: &str,
    timezone: &str,
    new: &NewCronJob,
) -> Result<Option<Uuid>> {
    let args = [
        endpoint_id.into(),
        key.into(),
        cron.into(),
        timezone.into(),
        JsonB(new.input.0.clone()).into(),
        new.starts_at.into(),
        new.ends_at.into(),
        new.catchup_policy.into(),
        new.catchup_window.into(),
    ];
    let found = sql::row(FIND_REPEATED, &args, |row| {
        Ok((
            sql::get::<Uuid>(row, "job_id")?,
            sql::get::<Vec<String>>(row, "differing")?,
        ))
    })?;
    match found {
        Some((job_id, differing)) if !differing.is_empty() => Err(KronosError::new(
            &error::IDEMPOTENCY_CONFLICT,
            format!(
                "idempotency key {key:?} was used for job {job_id} with another {}",
                differing.join(", ")
            ),
            json!({ "idempotency_key": key, "job_id": job_id.to_string(), "differing": differing }),
        )),
        found => Ok(found.map(|(job_id, _)| job_id)),
    }
}
