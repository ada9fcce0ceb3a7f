//! How attempts end, and what becomes of their executions: one statement for workers' reports and expired leases alike.

use super::claim::WAITING;
use crate::error::{self, KronosError, Result};
use crate::{settings, sql};
use pgrx::datum::DatumWithOid;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pgbox::AllocatedByRust;
use pgrx::{JsonB, Uuid};
use serde_json::{Value, json};
use std::collections::HashSet;

/// A row of type kronos.execution_report.
pub type Report = PgHeapTuple<'static, AllocatedByRust>;

/// How a worker ends its attempts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Complete,
    Fail,
    Release,
}

impl Ending {
    fn outcome(self) -> &'static str {
        match self {
            Ending::Complete => "SUCCEEDED",
            Ending::Fail => "FAILED",
            Ending::Release => "RELEASED",
        }
    }
}

/// Of the executions that worker $1 names in $2, those that it holds: it is the one who claimed this attempt, and its lease
/// has not run out. They stay so until the transaction ends.
pub const HELD: &str = "
asked as materialized (
    select distinct on (execution_id, attempt) *
    from jsonb_to_recordset($2) as a (execution_id uuid, attempt integer, output jsonb, error text,
                                      retryable boolean, retry_at timestamptz)
),
held as materialized (
    select x.execution_id, x.attempt, x.lease_expires_at, a.output, a.error, a.retryable, a.retry_at
    from asked a join kronos.executions x using (execution_id)
    where x.status = 'RUNNING' and x.attempt = a.attempt and x.worker_id = $1
      and x.lease_expires_at > clock_timestamp()
    order by x.execution_id
    for no key update of x
)";

/// Those whose lease has run out: at most $1, and none that another session has in hand.
const EXPIRED: &str = "
held as materialized (
    select x.execution_id, x.attempt, x.lease_expires_at, null::jsonb as output,
           'the lease of worker ' || x.worker_id || ' ran out' as error, true as retryable, null::timestamptz as retry_at
    from kronos.executions x
    where x.status = 'RUNNING' and x.lease_expires_at <= clock_timestamp()
    order by x.lease_expires_at
    limit $1
    for no key update skip locked
)";

/// Ends the attempts of `held` with {OUTCOME}, and moves their executions on by their endpoints' retry policies. One-shot
/// jobs retire with their execution. {NOTIFY} says whether workers are told of what may start by it.
const FINISH: &str = "
with {HELD},
ending as materialized (
    select h.*, x.lineage_id, x.workspace_id, x.stop_requested_at, clock_timestamp() as at, {OUTCOME} as outcome,
           x.failed_attempts + ({OUTCOME} in ('FAILED', 'LOST', 'TIMED_OUT'))::integer as failed_attempts,
           e.retry_policy, (e.retry_policy ->> 'max_attempts')::integer as max_attempts
    from held h
    join kronos.executions x using (execution_id)
    join kronos.attempts a on (a.execution_id, a.attempt) = (h.execution_id, h.attempt)
    join kronos.jobs j using (job_id)
    join kronos.endpoints e on e.endpoint_id = j.endpoint_id
),
decided as materialized (
    select *,
           case when outcome = 'SUCCEEDED' then 'SUCCESS'
                when stop_requested_at is not null then 'CANCELLED'
                when outcome = 'RELEASED' then 'QUEUED'
                when not coalesce(retryable, true) or failed_attempts >= max_attempts then 'FAILED'
                else 'RETRYING' end as status
    from ending
),
ended as (
    update kronos.executions x
    set status = d.status,
        status_reason = case when d.status = 'CANCELLED' then coalesce(x.status_reason, 'its worker was asked to stop')
                             when d.status = 'FAILED' and d.failed_attempts < d.max_attempts then 'not retryable'
                             when d.status = 'FAILED' then 'attempt ' || d.failed_attempts || ' of ' || d.max_attempts || ' failed' end,
        failed_attempts = d.failed_attempts,
        worker_id = null,
        lease_expires_at = null,
        run_at = case when d.status = 'RETRYING'
                      then coalesce(d.retry_at,
                                    d.at + kronos.retry_delay(d.retry_policy, d.failed_attempts)
                                           * (1 - (d.retry_policy ->> 'jitter')::float8 * random()))
                      else x.run_at end,
        finished_at = case when d.status in ('SUCCESS', 'FAILED', 'CANCELLED') then d.at end
    from decided d
    where x.execution_id = d.execution_id
    returning x.*
),
closed as (
    update kronos.attempts a
    set outcome = d.outcome, finished_at = least(d.at, d.lease_expires_at), output = d.output,
        error = case when length(d.error) > {MAX_ERROR} then left(d.error, {MAX_ERROR}) || ' … (cut)' else d.error end
    from decided d
    where (a.execution_id, a.attempt) = (d.execution_id, d.attempt)
),
retired as (
    update kronos.jobs j
    set status = 'RETIRED', retired_at = e.finished_at,
        retired_reason = case e.status when 'CANCELLED' then 'CANCELLED' else 'FINISHED' end
    from ended e
    where j.job_id = e.job_id and e.origin = 'ONCE' and e.finished_at is not null
),
notified as (
    select pg_notify('kronos_executions', w.name)
    from (select distinct e.workspace_id from ended e where {STARTABLE}) e join kronos.workspaces w using (workspace_id)
    where {NOTIFY}
)
select row(execution_id, attempt, true, status, run_at, null, stop_requested_at is not null, null, null
       )::kronos.execution_report as report, execution_id, attempt, (select count(*) from notified)
from ended";

/// Whether ending, releasing or cancelling an execution `e` lets one start: itself, or one that was behind it.
pub const STARTABLE: &str = "
(e.status = 'QUEUED'
 or e.status = 'RETRYING' and e.run_at <= clock_timestamp()
 or e.finished_at is not null
    and exists (select from kronos.executions x where x.lineage_id = e.lineage_id and x.in_order and {WAITING}))";

/// The longest error of an attempt, in characters; what is longer is cut.
const MAX_ERROR: &str = "10000";

fn finish_statement(held: &str, outcome: &str) -> String {
    FINISH
        .replace("{HELD}", held)
        .replace("{OUTCOME}", outcome)
        .replace("{STARTABLE}", STARTABLE)
        .replace("{WAITING}", WAITING)
        .replace(
            "{NOTIFY}",
            if settings::notify_workers() {
                "true"
            } else {
                "false"
            },
        )
        .replace("{MAX_ERROR}", MAX_ERROR)
}

/// Ends one attempt that the caller holds.
///
/// # Errors
/// `LEASE_LOST` if it does not, `EXECUTION_NOT_FOUND`, `OUTPUT_TOO_LARGE`.
pub fn finish_one(
    ending: Ending,
    worker_id: &str,
    mut execution: Value,
    key: (Uuid, i32),
) -> Result<()> {
    execution["execution_id"] = json!(key.0.to_string());
    execution["attempt"] = json!(key.1);
    match finish(ending, worker_id, JsonB(json!([execution])))?.pop() {
        Some(report) if report.get_by_name("accepted").ok().flatten() == Some(true) => Ok(()),
        _ => Err(not_held(key, worker_id)),
    }
}

const HOLDER: &str = "
select status, attempt, worker_id, lease_expires_at::text from kronos.executions where execution_id = $1";

/// The error of a worker that does not hold an execution: how it stands with it now.
pub fn not_held((execution_id, attempt): (Uuid, i32), worker_id: &str) -> KronosError {
    let id = execution_id.to_string();
    let holder = sql::row(HOLDER, &[execution_id.into()], |row| {
        Ok(json!({
            "execution_id": id, "attempt": attempt, "worker_id": worker_id,
            "status": sql::get::<String>(row, "status")?,
            "held_attempt": sql::get::<i32>(row, "attempt")?,
            "held_by": sql::get_opt::<String>(row, "worker_id")?,
            "lease_expires_at": sql::get_opt::<String>(row, "lease_expires_at")?,
        }))
    });
    match holder {
        Err(error) => error,
        Ok(None) => execution_not_found(execution_id),
        Ok(Some(detail)) => KronosError::new(
            &error::LEASE_LOST,
            format!(
                "worker {worker_id:?} does not hold attempt {attempt} of execution {id}: it is {}",
                match detail["held_by"].as_str() {
                    Some(holder) =>
                        format!("held by {holder:?}, attempt {}", detail["held_attempt"]),
                    None => detail["status"].as_str().unwrap_or_default().to_owned(),
                }
            ),
            detail,
        ),
    }
}

pub fn execution_not_found(execution_id: Uuid) -> KronosError {
    KronosError::new(
        &error::EXECUTION_NOT_FOUND,
        format!("execution {execution_id} does not exist"),
        json!({ "execution_id": execution_id.to_string() }),
    )
}

/// Ends attempts that the caller holds; the others are reported with who holds them.
///
/// # Errors
/// `INVALID_ARGUMENT` for a list that is none, `OUTPUT_TOO_LARGE`.
pub fn finish(ending: Ending, worker_id: &str, executions: JsonB) -> Result<Vec<Report>> {
    if ending == Ending::Complete {
        let given = executions
            .0
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for execution in given {
            check_size(&execution["output"], "output", settings::MAX_INPUT_BYTES)?;
        }
    }
    let statement = finish_statement(HELD, &format!("'{}'", ending.outcome()));
    reports(&statement, worker_id, executions, vec![])
}

/// Takes up executions whose lease has run out: a failed attempt each, by which the old holder can change nothing any more.
/// Returns how many there were, `max` at the most.
pub fn reap(max: i64) -> Result<i64> {
    let outcome = "case when h.lease_expires_at >= a.deadline_at then 'TIMED_OUT' else 'LOST' end";
    let expired = sql::rows(&finish_statement(EXPIRED, outcome), &[max.into()], |_| {
        Ok(())
    })?;
    Ok(expired.len() as i64)
}

/// Fails if a JSON value is longer than Kronos keeps.
///
/// # Errors
/// `OUTPUT_TOO_LARGE`.
pub fn check_size(value: &Value, argument: &str, limit: usize) -> Result<()> {
    let bytes = serde_json::to_string(value).map_or(usize::MAX, |text| text.len());
    if bytes <= limit {
        return Ok(());
    }
    Err(KronosError::new(
        &error::OUTPUT_TOO_LARGE,
        format!("{argument} has {bytes} bytes; at most {limit} are allowed"),
        json!({ "argument": argument, "bytes": bytes, "limit": limit }),
    )
    .with_hint("Store large data in a table of your own, and report its key."))
}

/// How it stands with those of $1 and $2 that the caller does not hold.
const NOT_HELD: &str = "
select row(a.execution_id, a.attempt, false, x.status, x.run_at, x.lease_expires_at, x.stop_requested_at is not null,
           x.worker_id, x.attempt)::kronos.execution_report
from unnest($1::uuid[], $2::integer[]) a (execution_id, attempt) left join kronos.executions x using (execution_id)";

/// Runs a statement for what a worker holds of a list, and reports on each of the list: what the statement says of those
/// held, and how it stands with the others.
pub fn reports(
    statement: &str,
    worker_id: &str,
    executions: JsonB,
    more_args: Vec<DatumWithOid>,
) -> Result<Vec<Report>> {
    let asked = read_list(&executions.0)?;
    let mut args: Vec<DatumWithOid> = vec![worker_id.into(), executions.into()];
    args.extend(more_args);
    let read = || {
        sql::rows(statement, &args, |row| {
            let report: Report = row.get(1)?.ok_or(pgrx::spi::Error::InvalidPosition)?;
            let key: (Uuid, i32) = (sql::get(row, "execution_id")?, sql::get(row, "attempt")?);
            Ok((report, key))
        })
    };
    let held = sql::convert_errors(read, |error| {
        // What PostgreSQL says of a value in the list that it cannot read, or not take.
        let unreadable = sql::sqlstate_text(error.sql_error_code()).starts_with("22");
        let infinite = error.message().contains("executions_run_at_finite");
        match (unreadable, infinite) {
            (true, _) => Some(invalid_list(error.message())),
            (_, true) => Some(invalid_list("retry_at must be finite")),
            _ => None,
        }
    })?;
    let keys: HashSet<(Uuid, i32)> = held.iter().map(|(_, key)| *key).collect();
    let (ids, attempts): (Vec<Uuid>, Vec<i32>) =
        asked.into_iter().filter(|key| !keys.contains(key)).unzip();
    let mut all: Vec<Report> = held.into_iter().map(|(report, _)| report).collect();
    if !ids.is_empty() {
        all.extend(sql::composites(NOT_HELD, &[ids.into(), attempts.into()])?);
    }
    Ok(all)
}

fn read_list(executions: &Value) -> Result<HashSet<(Uuid, i32)>> {
    let read = |execution: &Value| {
        let id = uuid::Uuid::parse_str(execution["execution_id"].as_str()?).ok()?;
        let attempt = i32::try_from(execution["attempt"].as_i64()?).ok()?;
        Some((Uuid::from_bytes(*id.as_bytes()), attempt))
    };
    let list = executions
        .as_array()
        .and_then(|list| list.iter().map(read).collect());
    list.ok_or_else(|| invalid_list("each must be an object with execution_id and attempt"))
}

fn invalid_list(problem: &str) -> KronosError {
    KronosError::new(
        &error::INVALID_ARGUMENT,
        format!("executions must be a JSON array: {problem}"),
        json!({ "argument": "executions" }),
    )
}
