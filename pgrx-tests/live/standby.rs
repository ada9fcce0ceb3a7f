//! A hot standby answers reads and refuses writes; promoted after the primary was killed, it carries on where the
//! primary stopped.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::error::SqlState;
use postgres::{Client, Error};
use std::collections::BTreeSet;
use std::thread;
use uuid::Uuid;

/// Calls that work on a standby. `$e` is an execution that worker `w` holds.
const READS: [&str; 27] = [
    "get_workspace('acme')",
    "list_workspaces()",
    "my_workspaces()",
    "get_payload_spec('amounts')",
    "list_payload_specs()",
    "get_endpoint('hook')",
    "list_endpoints()",
    "get_job(job_name => 'job')",
    "list_jobs()",
    "list_job_versions(job_name => 'job')",
    "list_ticks(job_name => 'job')",
    "job_status(job_name => 'job')",
    "next_wakeup()",
    "get_execution($e)",
    "list_executions()",
    "list_attempts($e)",
    "list_logs($e)",
    "next_ticks('0 9 * * mon', 'Europe/Berlin')",
    "describe_schedule('0 9 * * mon', 'Europe/Berlin')",
    "check()",
    "doctor()",
    "metrics()",
    // It returns each repair with the error.
    "reconcile()",
    "error_codes()",
    "retry_delay('FIXED', 1000, 60000, 1)",
    "uuid_v7()",
    "uuid_v7_at(now())",
];

/// Calls that write. `$l` is the list of executions that worker `w` holds.
const WRITES: [&str; 56] = [
    "start()",
    "create_workspace('other')",
    "delete_workspace('acme', cancel => true)",
    "set_owner('postgres')",
    "set_retention('1 day')",
    "grant_workspace('postgres', 'viewer')",
    "revoke_workspace('postgres', 'viewer')",
    "create_payload_spec('spec', '{}')",
    "update_payload_spec('amounts', '{}')",
    "delete_payload_spec('amounts')",
    "create_endpoint('other', 'HTTP')",
    "update_endpoint('hook', '{}')",
    "delete_endpoint('spare')",
    "pause_endpoint('spare')",
    "resume_endpoint('idle')",
    "create_cron_job('hook', '0 9 * * *')",
    "create_cron_job('hook', '0 0 1 1 *')",
    "create_cron_jobs('[{\"endpoint\": \"hook\", \"cron\": \"0 9 * * *\", \"name\": \"x\"}]')",
    "update_cron_job(job_name => 'job', priority => 1)",
    "pause_cron_job(job_name => 'job')",
    "resume_cron_job(job_name => 'paused')",
    "cancel_cron_job(job_name => 'job')",
    "trigger_cron_job(job_name => 'job')",
    "schedule('sweep', '0 3 * * *', 'select 1')",
    "unschedule('job')",
    "run('job')",
    "import_pg_cron()",
    "backfill_cron_job(job_name => 'job', tick_from => now() - interval '3 years')",
    "apply_crontab('[{\"endpoint\": \"hook\", \"cron\": \"0 9 * * *\", \"name\": \"x\"}]')",
    "enqueue('hook')",
    "enqueue('hook', idempotency_key => 'once')",
    "enqueue('hook', key => 'k', on_conflict => 'replace')",
    "enqueue_many('[{\"endpoint\": \"hook\"}]')",
    "claim_executions('w')",
    "claim_any_executions('w')",
    "heartbeat_executions('w', $l)",
    "log_execution($e, 1, 'w', 'hello')",
    "complete_execution($e, 1, 'w')",
    "fail_execution($e, 1, 'w', 'no')",
    "release_execution($e, 1, 'w')",
    "postpone_execution($e, 1, 'w', now())",
    "complete_executions('w', $l)",
    "fail_executions('w', $l)",
    "release_executions('w', $l)",
    "expire_leases()",
    "expire_worker_leases('w')",
    "cancel_execution($e)",
    "cancel_execution($e, request_stop => true)",
    "cancel_executions()",
    "reschedule_execution($e, now())",
    "retry_execution($e)",
    "retry_executions()",
    "run_due()",
    "prune()",
    "tick()",
    "upkeep()",
];

/// Starts a server with rows of every kind, and a standby of it.
fn primary_and_standby() -> (Server, Server, Held) {
    let primary = Server::start();
    let mut session = open_session(&primary);
    create_acme(&mut session);
    session
        .batch_execute(
            "select kronos.create_payload_spec('amounts', '{}');
             select kronos.create_endpoint('spare', 'HTTP', payload_spec => 'amounts');
             select kronos.create_endpoint('idle', 'HTTP'), kronos.pause_endpoint('idle');
             select kronos.create_cron_job('hook', '0 0 1 1 *', name => 'job');
             select kronos.create_cron_job('hook', '0 0 1 1 *', name => 'paused');
             select kronos.pause_cron_job(job_name => 'paused');",
        )
        .unwrap();
    make_yearly_due(&mut session);
    tick(&mut session);
    enqueue(&mut session, 2);
    let held = claim(&mut session, "w", 2);
    complete(&mut session, "w", held[0]).unwrap();
    session
        .execute(
            "select kronos.log_execution($1, $2, 'w', 'hello')",
            &[&held[1].0, &held[1].1],
        )
        .unwrap();
    let standby = primary.start_standby(&[]);
    (primary, standby, held[1])
}

fn open_session(server: &Server) -> Client {
    let mut session = server.session();
    session
        .batch_execute("set kronos.workspace = 'acme'")
        .unwrap();
    session
}

/// Calls a function of READS or WRITES.
fn call(session: &mut Client, call: &str, held: Held) -> Result<(), Error> {
    let execution = format!("'{}'", held.0);
    let list = format!("'{}'", list_of(&[held]));
    let call = call.replace("$e", &execution).replace("$l", &list);
    match call.as_str() {
        "tick()" | "upkeep()" => session.batch_execute(&format!("call kronos.{call}")),
        _ => session.batch_execute(&format!("select kronos.{call}")),
    }
}

#[test]
fn hot_standby_answers_reads_refuses_writes_and_repairs_its_entries_once_promoted() {
    let (_primary, standby, held) = primary_and_standby();
    let mut session = open_session(&standby);
    for read in READS {
        call(&mut session, read, held).unwrap_or_else(|error| panic!("{read}: {error:?}"));
    }
    let views = "select array_agg(viewname::text) from pg_views where schemaname = 'kronos'";
    let views: Vec<String> = session.query_one(views, &[]).unwrap().get(0);
    for view in views {
        let rows = format!("select count(*) from (select * from kronos.{view}) r");
        count(&mut session, &rows);
    }
    assert_eq!(ticks(&mut session, "RUN"), 1);
    for write in WRITES {
        let error = call(&mut session, write, held).expect_err(write);
        let code = SqlState::READ_ONLY_SQL_TRANSACTION;
        assert_eq!(*db_error(&error).code(), code, "{write}: {error}");
    }
    // The entries have the host of the primary.
    let repairs = "select count(*) from kronos.reconcile() where error is null";
    assert_eq!(count(&mut session, repairs), 0);
    session.batch_execute("select pg_promote()").unwrap();
    assert_eq!(count(&mut session, repairs), 2);
    assert_sound(&mut session);
    // No function is missing from the lists.
    let known = READS.iter().chain(&WRITES);
    let known: BTreeSet<&str> = known.map(|it| it.split('(').next().unwrap()).collect();
    let functions =
        "select distinct proname::text from pg_proc where pronamespace = 'kronos'::regnamespace";
    let functions = session.query(functions, &[]).unwrap();
    let functions: Vec<String> = functions.iter().map(|row| row.get(0)).collect();
    assert_eq!(known, functions.iter().map(String::as_str).collect());
}

/// Executions that a worker handled until the server died, as far as the server had answered.
#[derive(Default)]
struct Handled {
    completed: Vec<Uuid>,
    held: Vec<Held>,
}

/// Enqueues, claims and completes executions until the server dies. Leaves every third execution unfinished.
fn work_until_the_server_dies(mut session: Client) -> Handled {
    let mut handled = Handled::default();
    let mut work = || -> Result<(), Error> {
        session.execute(
            "select kronos.enqueue('hook') from generate_series(1, 3)",
            &[],
        )?;
        let claim = "select execution_id, attempt from kronos.claim_executions('w', 3, '1 hour')";
        let rows = session.query(claim, &[])?;
        let mut claimed: Vec<Held> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        handled.held.extend(claimed.pop());
        for held in claimed {
            complete(&mut session, "w", held)?;
            handled.completed.push(held.0);
        }
        Ok(())
    };
    while work().is_ok() {}
    handled
}

// Invariants 4 and 8.
#[test]
fn promoted_standby_carries_on_after_the_primary_was_killed() {
    // The entries of the primary do not fire, so that only the test handles ticks there.
    let primary = Server::start_with(&["cron.host = '/nonexistent'"]);
    let mut session = open_session(&primary);
    create_acme(&mut session);
    let standby = primary.start_standby(&[
        "cron.use_background_workers = on",
        "max_worker_processes = 20",
    ]);
    // What the primary has answered, the standby has received.
    session
        .batch_execute("alter system set synchronous_standby_names = '*'")
        .unwrap();
    session.batch_execute("select pg_reload_conf()").unwrap();
    wait_for("replication to be synchronous", || {
        let synchronous = "select count(*) from pg_stat_replication where sync_state = 'sync'";
        count(&mut session, synchronous) == 1
    });

    let [received, missed] = [20, 25].map(|minutes| {
        let minute = minutes_ago(&mut session, minutes);
        format!("{minute} * * * *")
    });
    let received_by = create(&mut session, &received);
    let policies = [("none", 0), ("last", 1), ("all", 4)];
    let missed_by = policies.map(|(policy, _)| {
        let statement = "select job_id from kronos.create_cron_job('hook', $1, catchup_policy => $2, catchup_window => '4 hours')";
        let row = session.query_one(statement, &[&missed, &policy]);
        row.unwrap().get::<_, Uuid>(0)
    });
    lose_wake_ups(&mut session, 9);
    let mut locking = primary.session();
    let mut lock = locking.transaction().unwrap();
    let lock_schedule = "select from kronos_internal.schedules where cron = $1 for share";
    lock.query(lock_schedule, &[&missed]).unwrap();
    tick(&mut session);
    lock.rollback().unwrap();
    assert_eq!(ticks(&mut session, "RUN"), 9);
    let every_minute = create(&mut session, "* * * * *");
    let lost = claim_for(&mut session, "lost", 1, "1 second")[0];
    let worker = open_session(&primary);
    let worker = thread::spawn(move || work_until_the_server_dies(worker));
    wait_for("some executions to finish", || {
        count(
            &mut session,
            "select count(*) from kronos.executions where status = 'SUCCEEDED'",
        ) > 100
    });
    primary.kill();
    let handled = worker.join().unwrap();

    let mut session = open_session(&standby);
    session.batch_execute("select pg_promote()").unwrap();
    let promoted = "select clock_timestamp()::text";
    let promoted_at: String = session.query_one(promoted, &[]).unwrap().get(0);
    let succeeded = "select count(*) from kronos.execution_details
                     where execution_id = any ($1) and status = 'SUCCEEDED' and attempt = 1";
    let finished = session.query_one(succeeded, &[&handled.completed]).unwrap();
    assert_eq!(finished.get::<_, i64>(0), handled.completed.len() as i64);
    for held in &handled.held {
        assert_eq!(complete(&mut session, "w", *held).unwrap(), "SUCCEEDED");
    }

    wait_for("pg_cron to fire on the new primary", || {
        let fired = "select count(*) from kronos.ticks where job_id = $1 and tick_at > $2::text::timestamptz";
        let fired = session.query_one(fired, &[&every_minute, &promoted_at]);
        fired.unwrap().get::<_, i64>(0) > 0
    });
    assert_eq!(executions_of(&mut session, received_by), 9);
    for (job_id, (policy, expected)) in missed_by.into_iter().zip(policies) {
        assert_eq!(executions_of(&mut session, job_id), expected, "{policy}");
        let has_dropped = outcomes(&mut session, job_id).contains(&"DROPPED".to_owned());
        assert!(has_dropped, "{policy}");
    }
    assert_ledger_matches_executions(&mut session);
    wait_for("upkeep to expire the lease", || {
        count(
            &mut session,
            "select count(*) from kronos.attempts where outcome = 'LOST'",
        ) == 1
    });
    assert_code(complete(&mut session, "lost", lost), "LEASE_LOST");
    let claimed = claim(&mut session, "w", 10);
    assert_eq!(claimed.len(), 10);
    for held in claimed {
        complete(&mut session, "w", held).unwrap();
    }
    create(&mut session, "5 5 5 5 *");
    assert_sound(&mut session);
}
