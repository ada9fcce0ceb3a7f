//! Words of the domain for tests.

use crate::server::{Server, as_postgres, wait_for};
use postgres::error::DbError;
use postgres::{Client, Error, GenericClient, NoTls};
use serde_json::Value;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use uuid::Uuid;

/// A schedule that no test lives to see fire by itself.
pub const YEARLY: &str = "0 0 1 1 *";

/// Makes workspace `acme` with endpoint `hook`, and upkeep's pg_cron entry.
pub fn create_acme(session: &mut Client) {
    session
        .batch_execute(
            "select kronos.start();
             select kronos.create_workspace('acme');
             select kronos.create_endpoint('hook', 'HTTP', workspace => 'acme');",
        )
        .unwrap();
}

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

/// Updates a job to another expression, or only to its next version, and returns the version.
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

/// What a user sees of all that a call may touch: live jobs, schedules and pg_cron's entries.
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

/// The pg_cron entries of schedules (upkeep's own entry apart).
pub fn entries(session: &mut impl GenericClient) -> i64 {
    count(
        session,
        "select count(*) from cron.job where jobname like 'kronos schedule %'",
    )
}

/// A statement's only value.
pub fn count(session: &mut impl GenericClient, statement: &str) -> i64 {
    session.query_one(statement, &[]).unwrap().get(0)
}

pub fn executions(session: &mut impl GenericClient) -> i64 {
    count(session, "select count(*) from kronos.executions")
}

/// Pretends that all jobs and schedules were made long ago, that it is the first minute of this year, and that its tick has
/// not been handled: schedules of [`YEARLY`] are due, on time.
pub fn make_yearly_due(session: &mut impl GenericClient) {
    make_due_in_pass(session, "date_trunc('year', now()) + interval '1 minute'");
}

/// Pretends that the tick of this year's first second has been missed.
pub fn make_yearly_missed(session: &mut impl GenericClient) {
    make_due_in_pass(session, "null");
}

/// The two ways in which a pass handles a tick: one that is on time is written by one statement for all plain jobs.
pub const DUE_IN_BOTH_WAYS: [fn(&mut Client); 2] = [
    |session| make_yearly_due(session),
    |session| make_yearly_missed(session),
];

fn make_due_in_pass(session: &mut impl GenericClient, pass_until: &str) {
    session
        .batch_execute(&format!(
            "set timezone = 'UTC';
             update kronos_internal.jobs
             set created_at = date_trunc('year', now()) - interval '2 days',
                 version_since = date_trunc('year', now()) - interval '2 days',
                 active_since = date_trunc('year', now()) - interval '2 days'
             where status = 'ACTIVE';
             update kronos_internal.schedules
             set next_tick_at = date_trunc('year', now()), ticked_until = date_trunc('year', now()) - interval '1 day',
                 pass_until = {pass_until}, pass_job_id = null
             where cron = '0 0 1 1 *';"
        ))
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

/// Kills a wake-up in the middle of its insert, so that the server crashes and recovers.
pub fn kill_tick_midway(server: &Server, session: &mut Client) {
    block_execution_inserts(session);
    let mut waker = server.session();
    let pid = backend_pid(&mut waker);
    let killed = thread::spawn(move || waker.batch_execute("call kronos.tick()"));
    wait_for("the wake-up to be in the middle of its insert", || {
        is_waiting(session, pid)
    });
    as_postgres("sh", ["-c", &format!("kill -9 {pid}")]);
    killed.join().unwrap().expect_err("its backend was killed");
}

/// A server on which one job with the only entry exists.
pub fn server_with_job() -> (Server, Client, Uuid) {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let job_id = create(&mut session, YEARLY);
    (server, session, job_id)
}

/// A server on which so many jobs of one schedule are due, and their ids in the order of a pass.
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

/// An execution that a worker holds: its id and the attempt.
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

/// The list of executions that batch functions take.
pub fn list_of(held: &[Held]) -> Value {
    held.iter()
        .map(|(execution_id, attempt)| {
            serde_json::json!({ "execution_id": execution_id.to_string(), "attempt": attempt })
        })
        .collect()
}

/// Materialises all that is due, as pg_cron's entries do.
pub fn tick(session: &mut Client) {
    session.batch_execute("call kronos.tick()").unwrap();
}

pub fn upkeep(session: &mut Client) {
    session.batch_execute("call kronos.upkeep()").unwrap();
}

/// How long a call may take that must wait for nobody.
const PROMPT: Duration = Duration::from_secs(20);

/// Runs a statement in a session of its own, and fails if it waits for another session.
pub fn assert_does_not_wait(server: &Server, statement: &str) {
    let mut session = server.session();
    let cancel = session.cancel_token();
    let (over, is_over) = mpsc::channel();
    let text = statement.to_owned();
    let calling = thread::spawn(move || {
        let result = session.batch_execute(&text);
        let _ = over.send(());
        result
    });
    if is_over.recv_timeout(PROMPT).is_err() {
        cancel.cancel_query(NoTls).unwrap();
    }
    let result = calling.join().unwrap();
    result.unwrap_or_else(|error| panic!("{statement}: {:?}", error.as_db_error()));
}

/// Ticks while other sessions hold transactions open.
pub fn tick_without_waiting(server: &Server) {
    assert_does_not_wait(server, "call kronos.tick()");
}

/// How many ticks have an outcome: RUN, SKIPPED, OWED or DROPPED.
pub fn ticks(session: &mut impl GenericClient, outcome: &str) -> i64 {
    let statement = "select count(*) from kronos.ticks where outcome = $1";
    session.query_one(statement, &[&outcome]).unwrap().get(0)
}

/// The outcomes of a job's ticks, in their order.
pub fn outcomes(session: &mut impl GenericClient, job_id: Uuid) -> Vec<String> {
    let statement = "select outcome from kronos.ticks where job_id = $1 order by tick_at";
    let rows = session.query(statement, &[&job_id]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Why a job's only tick that did not run was skipped, dropped or is owed.
pub fn reason(session: &mut impl GenericClient, job_id: Uuid) -> String {
    let statement = "select reason from kronos.ticks where job_id = $1 and outcome <> 'RUN'";
    session.query_one(statement, &[&job_id]).unwrap().get(0)
}

pub fn executions_of(session: &mut impl GenericClient, job_id: Uuid) -> i64 {
    let statement = "select count(*) from kronos.executions where job_id = $1";
    session.query_one(statement, &[&job_id]).unwrap().get(0)
}

/// Asserts that every tick of the ledger that runs has its own execution, and every execution of a tick its ledger row.
pub fn assert_ledger_matches_executions(session: &mut impl GenericClient) {
    let odd = "with t as (select job_id, tick_at, execution_id from kronos.ticks where outcome = 'RUN'),
                    x as (select job_id, tick_at, execution_id from kronos.executions where tick_at is not null)
               select count(*)
               from ((table t except table x) union all (table x except table t)) d";
    assert_eq!(count(session, odd), 0, "ledger and executions differ");
    let twice = "select count(*) from (select from kronos.executions where tick_at is not null
                                       group by job_id, tick_at having count(*) > 1) d";
    assert_eq!(count(session, twice), 0, "a tick with two executions");
}

/// Forgets what ticks have left, so that the same ticks can come due again.
pub fn forget_ticks(session: &mut impl GenericClient) {
    session
        .batch_execute(
            "delete from kronos_internal.ticks;
             delete from kronos_internal.dropped_ticks;
             delete from kronos_internal.owed;
             delete from kronos_internal.live_executions;
             delete from kronos_internal.history;",
        )
        .unwrap();
}

/// Gives a job so many copies, by rows: quicker than so many calls.
pub fn copy_job(session: &mut impl GenericClient, job_id: Uuid, copies: i32) {
    let statement = "
        insert into kronos_internal.jobs (workspace_id, endpoint_id, endpoint_type, cron, timezone, schedule_id, catchup_policy,
                                          catchup_window, overlap_policy, jitter, priority, created_at, version_since, active_since)
        select j.workspace_id, j.endpoint_id, j.endpoint_type, j.cron, j.timezone, j.schedule_id, j.catchup_policy,
               j.catchup_window, j.overlap_policy, j.jitter, j.priority, j.created_at, j.version_since, j.active_since
        from kronos_internal.jobs j, generate_series(1, $2::integer)
        where j.job_id = $1";
    session.execute(statement, &[&job_id, &copies]).unwrap();
    session
        .batch_execute("analyze kronos_internal.jobs")
        .unwrap();
}

/// Makes writing an execution fail for the jobs in table `public.refused`.
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

/// Lets every owed tick be retried by the next wake-up.
pub fn make_owed_ticks_due(session: &mut impl GenericClient) {
    session
        .batch_execute("update kronos_internal.owed set next_try_at = now() - interval '1 second'")
        .unwrap();
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

/// A minute of the hour, so many minutes before this one.
pub fn minutes_ago(session: &mut Client, minutes: i32) -> i64 {
    let statement =
        format!("select extract(minute from now() - interval '{minutes} minutes')::bigint");
    count(session, &statement)
}

/// Pretends that jobs have been active for long, and that nothing has woken Kronos for so many hours.
pub fn lose_wake_ups(session: &mut impl GenericClient, hours: i64) {
    session
        .batch_execute(&format!(
            "update kronos_internal.schedules
             set next_tick_at = t.tick_at, ticked_until = t.since, pass_until = null, pass_job_id = null
             from (select s.schedule_id, p.since, (select kronos.next_ticks(s.cron, s.timezone, p.since, 1)) as tick_at
                   from kronos_internal.schedules s, (select now() - interval '{hours} hours' as since) p) t
             where schedules.schedule_id = t.schedule_id;
             update kronos_internal.jobs
             set created_at = now() - interval '{since} hours', version_since = now() - interval '{since} hours',
                 active_since = now() - interval '{since} hours'
             where status = 'ACTIVE'",
            since = hours + 2
        ))
        .unwrap();
}
