//! The calls in SQL.

use super::history::{Answer, Call, Lease, Mark, Operation, Outcome, priority};
use crate::server::wait_for;
use chrono::{DateTime, Utc};
use postgres::{Client, Error, Transaction};
use serde_json::{Value, json};
use std::thread;
use std::time::Duration;

const LEASE: &str = "2 seconds";

/// How long a transaction that changes jobs stays open.
const TRANSACTION: Duration = Duration::from_millis(5);

/// Makes a call in the name of a client, and records it.
pub fn record(session: &mut Client, client: &str, call: Call) -> Operation {
    let invoked_at = Utc::now();
    let result = perform(session, client, &call);
    let returned_at = Utc::now();
    let outcome = match result {
        Ok(answer) => Outcome::Ok(answer),
        Err(error) => code(&error).map_or(Outcome::Unknown, Outcome::Failed),
    };
    Operation {
        client: client.to_owned(),
        call,
        invoked_at,
        returned_at,
        outcome,
    }
}

fn perform(session: &mut Client, client: &str, call: &Call) -> Result<Answer, Error> {
    match call {
        Call::Create { .. } | Call::Update { .. } | Call::Cancel { .. } | Call::Rewind { .. } => {
            let mut transaction = session.transaction()?;
            let answer = change_jobs(&mut transaction, call)?;
            // The job stays locked while other clients tick.
            thread::sleep(TRANSACTION);
            transaction.commit()?;
            Ok(answer)
        }
        Call::Enqueue { mark } => {
            let statement = "
                select execution_id from kronos.enqueue('hook', $1, priority => $2, idempotency_key => $3)";
            let row = session.query_one(
                statement,
                &[&input(*mark), &priority(*mark), &mark.to_string()],
            )?;
            Ok(Answer::Id(row.get(0)))
        }
        Call::Tick => {
            session.execute("call kronos.tick()", &[])?;
            Ok(Answer::Done)
        }
        Call::Settle => {
            let now = Utc::now();
            let mut unwritten = Ok(1);
            wait_for("all due ticks to be written", || {
                unwritten = tick_and_count_unwritten(session, now);
                !matches!(unwritten, Ok(1..))
            });
            unwritten.map(|_| Answer::Done)
        }
        Call::Claim { any } => {
            let function = if *any {
                "claim_any_executions"
            } else {
                "claim_executions"
            };
            let statement = format!(
                "select execution_id, attempt, lease_expires_at from kronos.{function}($1, 5, $2::text::interval)"
            );
            let rows = session.query(&statement, &[&client, &LEASE])?;
            let leases = rows.iter().map(|row| Lease {
                execution_id: row.get(0),
                attempt: row.get(1),
                expires_at: row.get(2),
            });
            Ok(Answer::Claimed(leases.collect()))
        }
        Call::Complete(lease) => {
            let statement = "select kronos.complete_execution($1, $2, $3)";
            session.execute(statement, &[&lease.execution_id, &lease.attempt, &client])?;
            Ok(Answer::Done)
        }
        Call::Fail(lease) => {
            let statement = "select kronos.fail_execution($1, $2, $3, 'it failed')";
            session.execute(statement, &[&lease.execution_id, &lease.attempt, &client])?;
            Ok(Answer::Done)
        }
    }
}

/// Ticks, and returns how many jobs are still due and how many ticks owed.
fn tick_and_count_unwritten(session: &mut Client, due_at: DateTime<Utc>) -> Result<i64, Error> {
    session.execute("call kronos.tick()", &[])?;
    let unwritten = "
        select (select count(*) from kronos.jobs where next_tick_at <= $1)
             + (select count(*) from kronos.ticks where outcome = 'OWED')";
    Ok(session.query_one(unwritten, &[&due_at])?.get(0))
}

fn change_jobs(transaction: &mut Transaction, call: &Call) -> Result<Answer, Error> {
    match call {
        Call::Create { mark, cron } => {
            let statement = "
                select job_id from kronos.create_cron_job('hook', $1, $2, priority => $3, idempotency_key => $4,
                                                          catchup_policy => 'all')";
            let row = transaction.query_one(
                statement,
                &[cron, &input(*mark), &priority(*mark), &mark.to_string()],
            )?;
            Ok(Answer::Id(row.get(0)))
        }
        Call::Update { job_id, mark, cron } => {
            let statement = "
                select version from kronos.update_cron_job($1, cron => $2, input => $3, priority => $4)";
            let row = transaction
                .query_one(statement, &[job_id, cron, &input(*mark), &priority(*mark)])?;
            Ok(Answer::Version(row.get(0)))
        }
        Call::Cancel { job_id } => {
            transaction.execute("select kronos.cancel_cron_job($1)", &[job_id])?;
            Ok(Answer::Done)
        }
        Call::Rewind { to } => {
            let age_jobs = "
                update kronos_internal.jobs set active_since = least(active_since, $1) where status = 'ACTIVE'";
            transaction.execute(age_jobs, &[to])?;
            let rewind = "
                update kronos_internal.schedules
                set next_tick_at = (select kronos.next_ticks(cron, timezone, $1, 1)), ticked_until = $1,
                    pass_until = null, pass_job_id = null";
            transaction.execute(rewind, &[to])?;
            Ok(Answer::Done)
        }
        _ => unreachable!("not a change of jobs"),
    }
}

fn input(mark: Mark) -> Value {
    json!({ "mark": mark })
}

/// The code of an error of the server. None if the connection broke, or the server ended the session (class 57P), which
/// it may do after the call has committed.
fn code(error: &Error) -> Option<String> {
    let error = error.as_db_error()?;
    let sqlstate = error.code().code();
    let detail: Value = serde_json::from_str(error.detail().unwrap_or("null")).unwrap_or_default();
    let code = detail["code"].as_str().unwrap_or(sqlstate);
    (!sqlstate.starts_with("57P")).then(|| code.to_owned())
}
