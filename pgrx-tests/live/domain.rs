//! Words of the domain for tests.

use crate::server::{Server, as_postgres, wait_for};
use postgres::error::DbError;
use postgres::{Client, Error, GenericClient};
use serde_json::Value;
use std::thread;
use uuid::Uuid;

/// A schedule that no test lives to see fire by itself.
pub const YEARLY: &str = "0 0 1 1 *";

/// Makes workspace `acme` with endpoint `hook`.
pub fn make_acme(session: &mut Client) {
    session
        .batch_execute(
            "select kronos.create_workspace('acme'); select kronos.create_endpoint('acme', 'hook', 'HTTP', '{}');",
        )
        .unwrap();
}

pub fn try_create(session: &mut impl GenericClient, cron: &str) -> Result<Uuid, Error> {
    let row = session.query_one(
        "select job_id from kronos.create_cron_job('acme', 'hook', $1, catchup_policy => 'all', catchup_window => '1 year')",
        &[&cron],
    )?;
    Ok(row.get(0))
}

pub fn create(session: &mut impl GenericClient, cron: &str) -> Uuid {
    try_create(session, cron).unwrap()
}

/// Updates a job to another expression, or only to its next version.
pub fn try_update(
    session: &mut impl GenericClient,
    job_id: Uuid,
    cron: Option<&str>,
) -> Result<Uuid, Error> {
    let statement = "select job_id from kronos.update_cron_job('acme', $1, cron => $2)";
    Ok(session.query_one(statement, &[&job_id, &cron])?.get(0))
}

pub fn try_cancel(session: &mut impl GenericClient, job_id: Uuid) -> Result<(), Error> {
    session
        .query_one(
            "select job_id from kronos.cancel_cron_job('acme', $1)",
            &[&job_id],
        )
        .map(|_| ())
}

/// What a user sees of all that a call may touch: live jobs, schedules, alarms and pg_cron's entries.
pub fn state(session: &mut impl GenericClient) -> String {
    let rows = session
        .query(
            "select 'job ' || j.job_id || ' ' || j.status || ' v' || j.version || ' ' || coalesce(j.schedule_id::text, '') as line
             from kronos.jobs j
             union all select 'schedule ' || cron || ' ' || schedule_id || ' ' || alarm_id from kronos.schedules
             union all select 'alarm ' || cron || ' ' || alarm_id from kronos.alarms
             union all select 'entry ' || e::text from cron.job e
             order by 1",
            &[],
        )
        .unwrap();
    rows.iter()
        .map(|row| row.get::<_, String>(0))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Asserts that no invariant is violated, and that cron.job holds exactly the alarms.
pub fn assert_sound(session: &mut impl GenericClient) {
    let violations: Vec<String> = session
        .query(
            "select invariant || ': ' || problem || ' ' || detail from kronos.check()",
            &[],
        )
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(violations.is_empty(), "{violations:#?}");
    let differing = count(
        session,
        "select count(*) from (select schedule from cron.job where jobname like 'kronos %') e
         full join kronos.alarms a on a.cron = e.schedule where a.cron is null or e.schedule is null",
    );
    assert_eq!(differing, 0, "cron.job differs from kronos.alarms");
}

/// A statement's only value.
pub fn count(session: &mut impl GenericClient, statement: &str) -> i64 {
    session.query_one(statement, &[]).unwrap().get(0)
}

pub fn executions(session: &mut impl GenericClient) -> i64 {
    count(session, "select count(*) from kronos.executions")
}

/// Pretends that all jobs and schedules were made long ago and that the tick of this year's first second has not been
/// handled: schedules of [`YEARLY`] are due.
pub fn make_yearly_due(session: &mut impl GenericClient) {
    session
        .batch_execute(
            "set timezone = 'UTC';
             update kronos.jobs set created_at = date_trunc('year', now()) - interval '2 days', active_since = date_trunc('year', now()) - interval '2 days' where status = 'ACTIVE';
             update kronos.schedules set next_tick_at = date_trunc('year', now()), last_tick_at = null,
                                         settled_at = date_trunc('year', now()) - interval '1 day'
             where cron = '0 0 1 1 *';",
        )
        .unwrap();
}

pub fn run_due(session: &mut impl GenericClient) -> i64 {
    session
        .query_one("select executions from kronos.run_due()", &[])
        .unwrap()
        .get(0)
}

/// The error that the server raised.
pub fn db_error(error: &Error) -> &DbError {
    error
        .as_db_error()
        .unwrap_or_else(|| panic!("not an error of the server: {error}"))
}

/// Asserts that a call failed with a code of Kronos, and returns the SQLSTATE.
pub fn assert_code<T: std::fmt::Debug>(result: Result<T, Error>, code: &str) -> String {
    let error = result.expect_err("the call must fail");
    let error = db_error(&error);
    let detail: Value = serde_json::from_str(error.detail().unwrap_or("null")).unwrap_or_default();
    assert_eq!(detail["code"], code, "{error:?}");
    error.code().code().to_owned()
}

/// Whether a session waits for a lock.
pub fn is_waiting(session: &mut impl GenericClient, pid: i32) -> bool {
    let statement = "select wait_event_type = 'Lock' from pg_stat_activity where pid = $1";
    session
        .query_one(statement, &[&pid])
        .unwrap()
        .get::<_, Option<bool>>(0)
        .unwrap_or(false)
}

pub fn backend_pid(session: &mut impl GenericClient) -> i32 {
    session
        .query_one("select pg_backend_pid()", &[])
        .unwrap()
        .get(0)
}

/// Makes writing an execution wait until an advisory lock can be had.
pub fn hold_executions(session: &mut Client) {
    session
        .batch_execute(
            "create function public.hold() returns trigger language plpgsql as
               $$ begin perform pg_advisory_xact_lock_shared(77); return new; end $$;
             create trigger hold before insert on kronos.executions for each row execute function public.hold();
             select pg_advisory_lock(77);",
        )
        .unwrap();
}

/// Kills a run_due in the middle of its insert, so that the server crashes and recovers.
pub fn kill_run_due_midway(server: &Server, session: &mut Client) {
    hold_executions(session);
    let mut waker = server.session();
    let pid = backend_pid(&mut waker);
    let killed = thread::spawn(move || waker.query("select kronos.run_due()", &[]).map(|_| ()));
    wait_for("run_due to be in the middle of its insert", || {
        is_waiting(session, pid)
    });
    as_postgres("sh", ["-c", &format!("kill -9 {pid}")]);
    killed.join().unwrap().expect_err("its backend was killed");
}

/// A server on which one job with the only entry exists.
pub fn server_with_job() -> (Server, Client, Uuid) {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    let job_id = create(&mut session, YEARLY);
    (server, session, job_id)
}

/// Makes one-shot jobs on `hook`.
pub fn make_one_shots(session: &mut impl GenericClient, count: i32) {
    let statement = "select count(*) from kronos.create_jobs('acme',
                         (select jsonb_agg(jsonb_build_object('endpoint', 'hook', 'input', jsonb_build_object('n', n)))
                          from generate_series(1, $1::integer) n))";
    session.execute(statement, &[&count]).unwrap();
}

/// An execution in a worker's hand: its id and the attempt.
pub type Held = (Uuid, i32);

/// What a worker claims of workspace `acme`, for a minute.
pub fn claim(session: &mut impl GenericClient, worker: &str, max: i32) -> Vec<Held> {
    claim_for(session, worker, max, "1 minute")
}

pub fn claim_for(
    session: &mut impl GenericClient,
    worker: &str,
    max: i32,
    lease: &str,
) -> Vec<Held> {
    let statement = "select execution_id, attempt from kronos.claim_executions('acme', $1, $2, $3::text::interval)";
    let rows = session.query(statement, &[&worker, &max, &lease]).unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

pub fn complete(
    session: &mut impl GenericClient,
    worker: &str,
    (execution_id, attempt): Held,
) -> Result<String, Error> {
    let statement = "select status from kronos.complete_execution($1, $2, $3)";
    Ok(session
        .query_one(statement, &[&execution_id, &attempt, &worker])?
        .get(0))
}

pub fn fail(
    session: &mut impl GenericClient,
    worker: &str,
    (execution_id, attempt): Held,
) -> Result<String, Error> {
    let statement = "select status from kronos.fail_execution($1, $2, $3, 'it failed')";
    Ok(session
        .query_one(statement, &[&execution_id, &attempt, &worker])?
        .get(0))
}

/// The list of executions that batch functions take.
pub fn list_of(held: &[Held]) -> Value {
    held.iter()
        .map(|(execution_id, attempt)| {
            serde_json::json!({ "execution_id": execution_id.to_string(), "attempt": attempt })
        })
        .collect()
}
