//! Helpers of the live tests, in the words of the domain.

pub use crate::factory::*;
use crate::server::{Server, kill, wait_for};
use postgres::error::DbError;
use postgres::fallible_iterator::FallibleIterator;
use postgres::{Client, Error, GenericClient, NoTls};
use serde_json::Value;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use uuid::Uuid;

/// A schedule that does not fire by itself during a test.
pub const YEARLY: &str = "0 0 1 1 *";

/// Creates workspace `acme` with endpoint `hook`, and upkeep's pg_cron entry.
pub fn create_acme(session: &mut Client) {
    session
        .batch_execute(
            "select kronos.start();
             select kronos.create_workspace('acme');
             select kronos.create_endpoint('hook', 'HTTP', workspace => 'acme');",
        )
        .unwrap();
}

/// Creates a job that catches up all missed ticks.
pub fn try_create(session: &mut impl GenericClient, cron: &str) -> Result<Uuid, Error> {
    let row = session.query_one(
        "select job_id from kronos.create_cron_job('hook', $1, catchup_policy => 'all', catchup_window => '1 year',
                                                   workspace => 'acme')",
        &[&cron],
    )?;
    Ok(row.get(0))
}

pub fn create(session: &mut impl GenericClient, cron: &str) -> Uuid {
    try_create(session, cron).unwrap()
}

/// Updates a job to another expression if one is given, and returns the new version.
pub fn try_update(
    session: &mut impl GenericClient,
    job_id: Uuid,
    cron: Option<&str>,
) -> Result<i32, Error> {
    let statement =
        "select version from kronos.update_cron_job($1, cron => $2, workspace => 'acme')";
    Ok(session.query_one(statement, &[&job_id, &cron])?.get(0))
}

pub fn try_cancel(session: &mut impl GenericClient, job_id: Uuid) -> Result<(), Error> {
    session
        .query_one(
            "select job_id from kronos.cancel_cron_job($1, workspace => 'acme')",
            &[&job_id],
        )
        .map(|_| ())
}

/// Everything that a call may change: jobs, job versions, schedules and pg_cron's entries, one a line.
pub fn state(session: &mut impl GenericClient) -> String {
    let rows = session
        .query(
            "select 'job ' || job_id || ' ' || status || ' v' || version || ' ' || coalesce(schedule_id::text, '') as line
             from kronos_internal.jobs
             union all select 'version ' || job_id || ' v' || version from kronos_internal.job_versions
             union all select 'schedule ' || cron || ' ' || schedule_id || ' ' || coalesce(slot::text, '') from kronos_internal.schedules
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

/// Asserts that no invariant is violated.
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
}

/// The number of pg_cron entries of schedules, without upkeep's.
pub fn entries(session: &mut impl GenericClient) -> i64 {
    count(
        session,
        "select count(*) from cron.job where jobname like 'kronos schedule %'",
    )
}

/// The single number that a query returns.
pub fn count(session: &mut impl GenericClient, statement: &str) -> i64 {
    session.query_one(statement, &[]).unwrap().get(0)
}

/// How many rows of Kronos's tables the session has read, since the statistics were last sent at the latest.
pub fn rows_read(transaction: &mut impl GenericClient) -> i64 {
    let statement = "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint
                     from pg_stat_xact_user_tables where schemaname = 'kronos_internal'";
    count(transaction, statement)
}

pub fn executions(session: &mut impl GenericClient) -> i64 {
    count(session, "select count(*) from kronos.executions")
}

/// Calls run_due(), and returns the number of executions that it created.
pub fn run_due(session: &mut impl GenericClient) -> i64 {
    session
        .query_one("select executions from kronos.run_due()", &[])
        .unwrap()
        .get(0)
}

/// The server's error.
pub fn db_error(error: &Error) -> &DbError {
    error
        .as_db_error()
        .unwrap_or_else(|| panic!("not a server error: {error}"))
}

/// Asserts that a call failed with an error code of Kronos, and returns the SQLSTATE.
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

/// Blocks every insert of an execution until the session releases advisory lock 77.
pub fn block_execution_inserts(session: &mut Client) {
    session
        .batch_execute(
            "create function public.hold() returns trigger language plpgsql as
               $$ begin perform pg_advisory_xact_lock_shared(77); return new; end $$;
             create trigger hold before insert on kronos_internal.live_executions for each row execute function public.hold();
             select pg_advisory_lock(77);",
        )
        .unwrap();
}

/// Kills a wake-up in the middle of its insert. The server crashes and recovers.
pub fn kill_tick_midway(server: &Server, session: &mut Client) {
    block_execution_inserts(session);
    let mut waker = server.session();
    let pid = backend_pid(&mut waker);
    let killed = thread::spawn(move || waker.batch_execute("call kronos.tick()"));
    wait_for("the wake-up to be in the middle of its insert", || {
        is_waiting(session, pid)
    });
    assert!(kill(pid));
    killed.join().unwrap().expect_err("the backend was killed");
}

/// Starts a server with one job, whose schedule is the only one.
pub fn server_with_job() -> (Server, Client, Uuid) {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let job_id = create(&mut session, YEARLY);
    (server, session, job_id)
}

/// Starts a server with jobs of one schedule that are due, and returns their ids in the order of a pass.
pub fn server_with_due_jobs(jobs: usize) -> (Server, Client, Vec<Uuid>) {
    let (server, mut session, job_id) = server_with_job();
    copy_job(&mut session, job_id, jobs as i32 - 1);
    make_yearly_due(&mut session);
    let ids = "select job_id from kronos_internal.jobs order by job_id";
    let rows = session.query(ids, &[]).unwrap();
    let ids = rows.iter().map(|row| row.get(0)).collect();
    (server, session, ids)
}

/// Enqueues one-shots on `hook`.
pub fn enqueue(session: &mut impl GenericClient, count: i32) {
    let statement = "select count(*) from kronos.enqueue_many(
                         (select jsonb_agg(jsonb_build_object('endpoint', 'hook', 'input', jsonb_build_object('n', n)))
                          from generate_series(1, $1::integer) n), workspace => 'acme')";
    session.execute(statement, &[&count]).unwrap();
}

/// An execution that a worker holds: its id and attempt number.
pub type Held = (Uuid, i32);

/// Claims executions of workspace `acme` with a lease of one minute.
pub fn claim(session: &mut impl GenericClient, worker: &str, max: i32) -> Vec<Held> {
    claim_for(session, worker, max, "1 minute")
}

pub fn claim_for(
    session: &mut impl GenericClient,
    worker: &str,
    max: i32,
    lease: &str,
) -> Vec<Held> {
    let statement = "select execution_id, attempt from kronos.claim_executions($1, $2, $3::text::interval, workspace => 'acme')";
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

/// The JSON list of executions for the batch functions.
pub fn list_of(held: &[Held]) -> Value {
    held.iter()
        .map(|(execution_id, attempt)| {
            serde_json::json!({ "execution_id": execution_id.to_string(), "attempt": attempt })
        })
        .collect()
}

/// Handles all due ticks, as pg_cron's entries do.
pub fn tick(session: &mut Client) {
    session.batch_execute("call kronos.tick()").unwrap();
}

pub fn upkeep(session: &mut Client) {
    session.batch_execute("call kronos.upkeep()").unwrap();
}

/// The longest time for a call that must not wait for other sessions.
const PROMPT: Duration = Duration::from_secs(20);

/// Asserts that a statement does not wait for other sessions. Runs it in a session of its own.
pub fn assert_does_not_wait(server: &Server, statement: &str) {
    let mut session = server.session();
    let cancel = session.cancel_token();
    let (done, is_done) = mpsc::channel();
    let text = statement.to_owned();
    let calling = thread::spawn(move || {
        let result = session.batch_execute(&text);
        let _ = done.send(());
        result
    });
    if is_done.recv_timeout(PROMPT).is_err() {
        cancel.cancel_query(NoTls).unwrap();
    }
    let result = calling.join().unwrap();
    result.unwrap_or_else(|error| panic!("{statement}: {:?}", error.as_db_error()));
}

/// Handles all due ticks, and asserts that this does not wait for other sessions.
pub fn tick_without_waiting(server: &Server) {
    assert_does_not_wait(server, "call kronos.tick()");
}

/// The number of ticks with an outcome: RUN, SKIPPED, OWED or DROPPED.
pub fn ticks(session: &mut impl GenericClient, outcome: &str) -> i64 {
    let statement = "select count(*) from kronos.ticks where outcome = $1";
    session.query_one(statement, &[&outcome]).unwrap().get(0)
}

/// The outcomes of a job's ticks, oldest tick first.
pub fn outcomes(session: &mut impl GenericClient, job_id: Uuid) -> Vec<String> {
    let statement = "select outcome from kronos.ticks where job_id = $1 order by tick_at";
    let rows = session.query(statement, &[&job_id]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The reason of a job's only tick that did not run.
pub fn reason(session: &mut impl GenericClient, job_id: Uuid) -> String {
    let statement = "select reason from kronos.ticks where job_id = $1 and outcome <> 'RUN'";
    session.query_one(statement, &[&job_id]).unwrap().get(0)
}

pub fn executions_of(session: &mut impl GenericClient, job_id: Uuid) -> i64 {
    let statement = "select count(*) from kronos.execution_details where job_id = $1";
    session.query_one(statement, &[&job_id]).unwrap().get(0)
}

/// Asserts that every RUN row of the ledger has one execution, and every execution of a tick has a RUN row.
pub fn assert_ledger_matches_executions(session: &mut impl GenericClient) {
    let unmatched = "with t as (select job_id, tick_at, execution_id from kronos.ticks where outcome = 'RUN'),
                    x as (select job_id, tick_at, execution_id from kronos.execution_details where tick_at is not null)
               select count(*)
               from ((table t except table x) union all (table x except table t)) d";
    assert_eq!(count(session, unmatched), 0, "ledger and executions differ");
    let duplicated =
        "select count(*) from (select from kronos.execution_details where tick_at is not null
                                       group by job_id, tick_at having count(*) > 1) d";
    assert_eq!(count(session, duplicated), 0, "a tick has two executions");
}

/// Makes every insert of an execution fail for these jobs, until they are deleted from table `public.refused`.
pub fn refuse_executions(session: &mut Client, jobs: &[Uuid]) {
    session
        .batch_execute(
            "create table if not exists public.refused (job_id uuid primary key);
             create or replace function public.refuse() returns trigger language plpgsql as
               $$ begin
                    if exists (select from public.refused r where r.job_id = new.job_id) then
                        raise exception 'no room for %', new.job_id using errcode = '23514';
                    end if;
                    return new;
                  end $$;
             create or replace trigger refuse before insert on kronos_internal.live_executions
             for each row execute function public.refuse();",
        )
        .unwrap();
    let statement = "insert into public.refused select unnest($1::uuid[])";
    session.execute(statement, &[&jobs]).unwrap();
}

/// Creates a workspace with endpoint `hook`.
pub fn create_workspace(session: &mut Client, name: &str) {
    session
        .execute("select kronos.create_workspace($1)", &[&name])
        .unwrap();
    let endpoint = "select kronos.create_endpoint('hook', 'HTTP', workspace => $1)";
    session.execute(endpoint, &[&name]).unwrap();
}

/// Creates a named job in a workspace.
pub fn create_named(
    session: &mut impl GenericClient,
    workspace: &str,
    name: &str,
    cron: &str,
) -> Uuid {
    let statement = "select job_id from kronos.create_cron_job('hook', $3, name => $2, catchup_policy => 'all',
                                                               catchup_window => '1 year', workspace => $1)";
    session
        .query_one(statement, &[&workspace, &name, &cron])
        .unwrap()
        .get(0)
}

/// The minute of the hour, `minutes` minutes ago.
pub fn minutes_ago(session: &mut Client, minutes: i32) -> i64 {
    let statement =
        format!("select extract(minute from now() - interval '{minutes} minutes')::bigint");
    count(session, &statement)
}

/// The payloads of the notifications that a listening session has got.
pub fn notifications(listener: &mut Client) -> Vec<String> {
    listener.batch_execute("").unwrap();
    let mut pending = listener.notifications();
    let mut iterator = pending.timeout_iter(Duration::from_millis(200));
    let mut payloads = vec![];
    while let Some(notification) = iterator.next().unwrap() {
        payloads.push(notification.payload().to_owned());
    }
    payloads
}

/// A text of an execution's columns.
pub fn read(session: &mut impl GenericClient, execution_id: Uuid, columns: &str) -> String {
    let statement = format!(
        "select concat_ws(' ', {columns}) from kronos.execution_details where execution_id = $1"
    );
    session
        .query_one(&statement, &[&execution_id])
        .unwrap()
        .get(0)
}
