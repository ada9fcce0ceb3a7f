//! One-shot jobs: made together with their only execution, retired with it.

use super::create::{idempotency_conflict, keep_constraints};
use super::read::find_workspace;
use super::rules::{DEFAULT_PRIORITY, check_input, check_length, check_priority};
use crate::endpoint;
use crate::error::{self, KronosError, Result};
use crate::{schedule, sql};
use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use pgrx::{JsonB, Uuid};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;

/// A one-shot job to be made.
pub struct NewOneShot<'a> {
    pub endpoint: &'a str,
    pub input: Value,
    /// None is at once.
    pub run_at: Option<TimestampWithTimeZone>,
    pub priority: i32,
    pub idempotency_key: Option<&'a str>,
}

/// A one-shot job that is there.
pub struct OneShot {
    pub job_id: Uuid,
    /// Whether this call has made it, rather than one before with the same idempotency key.
    pub created: bool,
}

const ASKED: &str = "
select *
from unnest($2::uuid[], $3::uuid[], $4::jsonb[], $5::timestamptz[], $6::integer[], $7::text[]) with ordinality
    as a (job_id, endpoint_id, input, run_at, priority, idempotency_key, nth)";

const INSERT: &str = "
with made as (
    insert into kronos.jobs (job_id, lineage_id, workspace_id, endpoint_id, trigger, input, run_at, priority, idempotency_key)
    select job_id, job_id, $1, endpoint_id, case when run_at is null then 'IMMEDIATE' else 'DELAYED' end,
           input, run_at, priority, idempotency_key
    from ({ASKED}) a
    order by nth
    on conflict (endpoint_id, idempotency_key) do nothing
    returning job_id, endpoint_id, run_at, priority
),
executions as (
    insert into kronos.executions (workspace_id, job_id, lineage_id, origin, endpoint_type, priority, run_at, status)
    select $1, m.job_id, m.job_id, 'ONCE', e.type, m.priority, coalesce(m.run_at, clock_timestamp()),
           case when m.run_at > clock_timestamp() then 'PENDING' else 'QUEUED' end
    from made m join kronos.endpoints e using (endpoint_id)
    order by m.job_id
)
select job_id from made";

/// The jobs that were made before with the keys of those asked for, and how they differ.
const FIND_REPEATED: &str = "
select a.nth - 1 as nth, j.job_id,
       array_remove(array[
           case when j.trigger <> case when a.run_at is null then 'IMMEDIATE' else 'DELAYED' end then 'trigger' end,
           case when j.input <> a.input then 'input' end,
           case when j.run_at <> a.run_at then 'run_at' end,
           case when j.priority <> a.priority then 'priority' end
       ], null) as differing
from ({ASKED}) a
join kronos.jobs j on j.endpoint_id = a.endpoint_id and j.idempotency_key = a.idempotency_key and j.workspace_id = $1";

/// Makes one-shot jobs and their executions, all in one statement; returns them in the order asked. One whose idempotency
/// key was used before for the same is found, not made.
///
/// # Errors
/// `WORKSPACE_NOT_FOUND`, `ENDPOINT_NOT_FOUND`, `INVALID_ARGUMENT`, `INPUT_TOO_LARGE`, `INPUT_INVALID`,
/// `IDEMPOTENCY_CONFLICT`; with the place in the list in DETAIL, if there are several.
pub fn create_once(workspace: &str, new: &[NewOneShot]) -> Result<Vec<OneShot>> {
    let workspace_id = find_workspace(workspace)?;
    let mut names: Vec<&str> = new.iter().map(|job| job.endpoint).collect();
    names.sort_unstable();
    names.dedup();
    let endpoints = endpoint::find_many(workspace_id, &names)?;
    let at = |place: usize| {
        move |error: KronosError| match new.len() {
            1 => error,
            _ => error.with("place", &place.to_string()),
        }
    };
    let mut endpoint_ids = vec![];
    for (place, job) in new.iter().enumerate() {
        let endpoint = endpoints
            .iter()
            .find(|endpoint| endpoint.name == job.endpoint)
            .ok_or_else(|| endpoint::not_found(workspace, job.endpoint))
            .map_err(at(place))?;
        check(job)
            .and_then(|()| endpoint.check_input(&job.input))
            .map_err(at(place))?;
        endpoint_ids.push(endpoint.endpoint_id);
    }
    let ids: Vec<Uuid> = new.iter().map(|_| sql::uuid_v7()).collect();
    let args = || -> Vec<DatumWithOid> {
        let inputs: Vec<JsonB> = new.iter().map(|job| JsonB(job.input.clone())).collect();
        vec![
            workspace_id.into(),
            ids.clone().into(),
            endpoint_ids.clone().into(),
            inputs.into(),
            new.iter().map(|job| job.run_at).collect::<Vec<_>>().into(),
            new.iter()
                .map(|job| job.priority)
                .collect::<Vec<_>>()
                .into(),
            new.iter()
                .map(|job| job.idempotency_key)
                .collect::<Vec<_>>()
                .into(),
        ]
    };
    let made = keep_constraints(workspace, None, &names.join(", "), || {
        let statement = INSERT.replace("{ASKED}", ASKED);
        sql::rows(&statement, &args(), |row| sql::get::<Uuid>(row, "job_id"))
    })?;
    let mut jobs: Vec<OneShot> = ids
        .iter()
        .map(|id| OneShot {
            job_id: *id,
            created: true,
        })
        .collect();
    if made.len() == new.len() {
        return Ok(jobs);
    }
    let repeated = sql::rows(&FIND_REPEATED.replace("{ASKED}", ASKED), &args(), |row| {
        Ok((
            sql::get::<i64>(row, "nth")? as usize,
            (
                sql::get::<Uuid>(row, "job_id")?,
                sql::get::<Vec<String>>(row, "differing")?,
            ),
        ))
    })?;
    let mut repeated: HashMap<usize, (Uuid, Vec<String>)> = repeated.into_iter().collect();
    let made: std::collections::HashSet<Uuid> = made.into_iter().collect();
    for (place, job) in jobs.iter_mut().enumerate() {
        if made.contains(&job.job_id) {
            continue;
        }
        let (job_id, differing) = repeated
            .remove(&place)
            .ok_or_else(schedule::concurrent_change)?;
        if !differing.is_empty() {
            let key = new[place].idempotency_key.unwrap_or_default();
            return Err(at(place)(idempotency_conflict(key, job_id, &differing)));
        }
        *job = OneShot {
            job_id,
            created: false,
        };
    }
    Ok(jobs)
}

fn check(job: &NewOneShot) -> Result<()> {
    check_input(&job.input)?;
    check_priority(job.priority)?;
    if let Some(key) = job.idempotency_key {
        check_length("idempotency_key", key, 200)?;
    }
    let is_finite = |at: TimestampWithTimeZone| ![i64::MIN, i64::MAX].contains(&at.into_inner());
    if job.run_at.is_none_or(is_finite) {
        return Ok(());
    }
    Err(KronosError::new(
        &error::INVALID_ARGUMENT,
        "run_at must be finite",
        json!({ "argument": "run_at" }),
    ))
}

/// A one-shot job in a list: what is left out has its default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    endpoint: String,
    input: Option<Value>,
    run_at: Option<String>,
    priority: Option<i32>,
    idempotency_key: Option<String>,
}

/// The same for a JSON array of jobs.
///
/// # Errors
/// Those of [`create_once`]; `INVALID_ARGUMENT` for what is no list of jobs.
pub fn create_listed(workspace: &str, jobs: JsonB) -> Result<Vec<OneShot>> {
    let refuse = |problem: String| {
        KronosError::new(
            &error::INVALID_ARGUMENT,
            problem,
            json!({ "argument": "jobs" }),
        )
    };
    let Value::Array(jobs) = jobs.0 else {
        return Err(refuse("jobs must be a JSON array".into()));
    };
    let read = |(place, job)| {
        serde_json::from_value(job).map_err(|problem| refuse(format!("jobs[{place}]: {problem}")))
    };
    let listed: Vec<Listed> = jobs
        .into_iter()
        .enumerate()
        .map(read)
        .collect::<Result<_>>()?;
    let run_ats = instants(listed.iter().map(|job| job.run_at.as_deref()).collect())?;
    let new: Vec<NewOneShot> = listed
        .iter()
        .zip(run_ats)
        .map(|(job, run_at)| NewOneShot {
            endpoint: &job.endpoint,
            input: job.input.clone().unwrap_or_else(|| json!({})),
            run_at,
            priority: job.priority.unwrap_or(DEFAULT_PRIORITY),
            idempotency_key: job.idempotency_key.as_deref(),
        })
        .collect();
    create_once(workspace, &new)
}

/// Instants that PostgreSQL reads from text.
fn instants(texts: Vec<Option<&str>>) -> Result<Vec<Option<TimestampWithTimeZone>>> {
    let args: [DatumWithOid; 1] = [texts.into()];
    let read = || {
        sql::rows(
            "select t::timestamptz as instant from unnest($1::text[]) with ordinality u (t, nth) order by nth",
            &args,
            |row| sql::get_opt(row, "instant"),
        )
    };
    sql::convert_errors(read, |report| {
        Some(KronosError::new(
            &error::INVALID_ARGUMENT,
            format!("run_at: {}", report.message()),
            json!({ "argument": "run_at" }),
        ))
    })
}
