//! Invariant 9: an open transaction of one workspace does not block another workspace.

use crate::domain::*;
use crate::server::Server;
use postgres::{Client, Transaction};
use std::sync::Barrier;
use std::thread;

/// Replaced in statements by an hourly expression whose next tick does not come during the test.
const HOURLY: &str = "17 * * * *";

/// Starts a server with workspaces a and b. Each has three jobs on the same hourly expression, which is returned, one
/// job on another expression, and five waiting executions.
fn server_with_two_tenants() -> (Server, Client, String) {
    let server = Server::start();
    let mut session = server.session();
    session.batch_execute("select kronos.start()").unwrap();
    let hourly = format!("{} * * * *", minutes_ago(&mut session, 30));
    for workspace in ["a", "b"] {
        create_workspace(&mut session, workspace);
        for name in ["first", "second", "third"] {
            create_named(&mut session, workspace, name, &hourly);
        }
        create_named(&mut session, workspace, "alone", "5 5 5 5 *");
        let enqueue = "select kronos.enqueue('hook', workspace => $1) from generate_series(1, 5)";
        session.query(enqueue, &[&workspace]).unwrap();
        let keyed = "select kronos.enqueue('hook', key => 'used', workspace => $1)";
        session.query(keyed, &[&workspace]).unwrap();
    }
    (server, session, hourly)
}

/// Calls of workspace a whose transaction stays open.
const OPEN_CALLS: [(&str, &str); 13] = [
    (
        "a create on an expression that b uses",
        "select kronos.create_cron_job('hook', '17 * * * *', workspace => 'a')",
    ),
    (
        "a create on a new expression",
        "select kronos.create_cron_job('hook', '18 * * * *', workspace => 'a')",
    ),
    (
        "a cancel",
        "select kronos.cancel_cron_job(job_name => 'first', workspace => 'a')",
    ),
    (
        "the cancel of all jobs",
        "select kronos.apply_crontab('[]', workspace => 'a'),
                kronos.cancel_cron_job(job_name => 'first', workspace => 'a'),
                kronos.cancel_cron_job(job_name => 'second', workspace => 'a'),
                kronos.cancel_cron_job(job_name => 'third', workspace => 'a'),
                kronos.cancel_cron_job(job_name => 'alone', workspace => 'a')",
    ),
    (
        "an update",
        "select kronos.update_cron_job(job_name => 'first', priority => 3, workspace => 'a')",
    ),
    (
        "an update to another expression",
        "select kronos.update_cron_job(job_name => 'first', cron => '5 5 5 5 *', workspace => 'a')",
    ),
    (
        "a pause",
        "select kronos.pause_cron_job(job_name => 'alone', workspace => 'a')",
    ),
    (
        "a backfill",
        "select kronos.backfill_cron_job(job_name => 'first', tick_from => now() - interval '3 hours', workspace => 'a')",
    ),
    (
        "a rename of the workspace",
        "update kronos_internal.workspaces set name = 'x' where name = 'a'",
    ),
    (
        "a change of the endpoint",
        "select kronos.update_endpoint('hook', new_name => 'other', workspace => 'a')",
    ),
    (
        "a claim",
        "select kronos.claim_executions('w', 10, workspace => 'a')",
    ),
    (
        "an enqueue with a key",
        "select kronos.enqueue('hook', key => 'free', workspace => 'a')",
    ),
    (
        "the replacement of an execution",
        "select kronos.enqueue('hook', key => 'used', on_conflict => 'replace', workspace => 'a')",
    ),
];

/// Calls of workspace b meanwhile. Each is rolled back, so that the next one finds the same state.
const MEANWHILE: [&str; 15] = [
    "select kronos.create_cron_job('hook', '17 * * * *', workspace => 'b')",
    "select kronos.create_cron_job('hook', '18 * * * *', workspace => 'b')",
    "select kronos.create_cron_job('hook', '19 * * * *', workspace => 'b')",
    "select kronos.update_cron_job(job_name => 'first', cron => '18 * * * *', workspace => 'b')",
    "select kronos.cancel_cron_job(job_name => 'first', workspace => 'b')",
    "select kronos.cancel_cron_job(job_name => 'alone', workspace => 'b')",
    "select kronos.pause_cron_job(job_name => 'alone', workspace => 'b')",
    "select kronos.backfill_cron_job(job_name => 'first', tick_from => now() - interval '3 hours', workspace => 'b')",
    "select kronos.trigger_cron_job(job_name => 'first', workspace => 'b')",
    "select kronos.enqueue('hook', workspace => 'b')",
    "select kronos.enqueue('hook', key => 'free', workspace => 'b')",
    "select kronos.enqueue('hook', key => 'used', on_conflict => 'replace', workspace => 'b')",
    "select kronos.complete_execution(execution_id, attempt, 'w')
     from kronos.claim_executions('w', 2, workspace => 'b')",
    "select kronos.claim_any_executions('w', 20)",
    "select kronos.apply_crontab('[{\"name\": \"declared\", \"endpoint\": \"hook\", \"cron\": \"17 * * * *\"}]', workspace => 'b')",
];

/// Asserts that a call succeeds within lock_timeout while another transaction is open, and rolls it back.
fn assert_waits_for_no_lock(transaction: &mut Transaction, open_call: &str, statement: &str) {
    let mut savepoint = transaction.savepoint("call").unwrap();
    if let Err(error) = savepoint.query(statement, &[]) {
        panic!("while {open_call} is open: {statement}: {error:?}");
    }
    savepoint.rollback().unwrap();
}

#[test]
fn open_transaction_of_one_workspace_blocks_no_call_of_another() {
    let (server, mut session, hourly) = server_with_two_tenants();
    age_jobs(&mut session, "now() - interval '1 day'");
    let mut blocking = server.session();
    let mut calling = server.session();
    calling
        .batch_execute("set lock_timeout = '1s'; set statement_timeout = '20s'")
        .unwrap();
    for (open_call, statement) in OPEN_CALLS {
        forget_ticks_but_failed(&mut session);
        set_handled_until(&mut session, "now() - interval '1 hour'");
        let mut open = blocking.transaction().unwrap();
        open.query(&statement.replace(HOURLY, &hourly), &[])
            .unwrap();
        {
            let mut call = calling.transaction().unwrap();
            for statement in MEANWHILE {
                let statement = statement.replace(HOURLY, &hourly);
                assert_waits_for_no_lock(&mut call, open_call, &statement);
            }
            call.rollback().unwrap();
        }
        tick_without_waiting(&server);
        let of_b = "select count(*) from kronos.ticks where workspace = 'b' and outcome = 'RUN'";
        assert_eq!(count(&mut session, of_b), 3, "while {open_call} is open");
        assert_does_not_wait(&server, "call kronos.upkeep()");
        open.rollback().unwrap();
        tick(&mut session);
        let all = ticks(&mut session, "RUN");
        assert_eq!(all, 6, "when {open_call} has been rolled back");
        assert_ledger_matches_executions(&mut session);
        assert_sound(&mut session);
    }
}

// A claim that finds fewer executions than it asks for looks for expired leases.
#[test]
fn open_claim_of_one_workspace_leaves_the_expired_leases_of_another() {
    let (server, mut session, _) = server_with_two_tenants();
    for workspace in ["a", "b"] {
        let claim = "select kronos.claim_executions('crashed', workspace => $1)";
        session.query(claim, &[&workspace]).unwrap();
    }
    end_leases(&mut session);
    let mut claiming = server.session();
    let mut open = claiming.transaction().unwrap();
    open.query(
        "select kronos.claim_executions('w', 10, workspace => 'a')",
        &[],
    )
    .unwrap();
    assert_eq!(count(&mut session, "select kronos.expire_leases()"), 1);
    open.commit().unwrap();
    let lost = "select count(*) from kronos.attempts where outcome = 'LOST'";
    assert_eq!(count(&mut session, lost), 2);
}

#[test]
fn two_workspaces_that_remove_all_their_jobs_at_once_never_deadlock() {
    let server = Server::start();
    let mut session = server.session();
    session.batch_execute("select kronos.start()").unwrap();
    for workspace in ["a", "b"] {
        create_workspace(&mut session, workspace);
    }
    let crontab = "[{\"name\": \"1\", \"endpoint\": \"hook\", \"cron\": \"17 * * * *\"},
                    {\"name\": \"2\", \"endpoint\": \"hook\", \"cron\": \"17 * * * *\"},
                    {\"name\": \"3\", \"endpoint\": \"hook\", \"cron\": \"5 5 5 5 *\"},
                    {\"name\": \"4\", \"endpoint\": \"hook\", \"cron\": \"6 6 6 6 *\"}]";
    for round in 0..15 {
        for workspace in ["a", "b"] {
            let apply = "select kronos.apply_crontab($1::text::jsonb, workspace => $2)";
            session.query(apply, &[&crontab, &workspace]).unwrap();
        }
        assert_eq!(entries(&mut session), 6);
        let start = Barrier::new(2);
        thread::scope(|scope| {
            for workspace in ["a", "b"] {
                let (server, start) = (&server, &start);
                scope.spawn(move || {
                    let mut deploying = server.session();
                    start.wait();
                    let apply = "select kronos.apply_crontab('[]', workspace => $1)";
                    let result = deploying.query(apply, &[&workspace]);
                    result.unwrap_or_else(|error| panic!("round {round}: {error:?}"));
                });
            }
        });
        assert_eq!(entries(&mut session), 0);
        assert_sound(&mut session);
    }
}

// Both workspaces use the same expression.
#[test]
fn cancel_does_not_starve_while_another_workspace_keeps_creating_jobs() {
    let (server, mut session, _) = server_with_two_tenants();
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || {
                let mut creating = server.session();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let mut transaction = creating.transaction().unwrap();
                    let create = "select kronos.create_cron_job('hook', '5 5 5 5 *', workspace => 'a'), pg_sleep(0.2)";
                    transaction.query(create, &[]).unwrap();
                    transaction.commit().unwrap();
                }
            });
        }
        let mut cancelling = server.session();
        cancelling.batch_execute("set lock_timeout = '1s'").unwrap();
        let cancelled = cancelling.query(
            "select kronos.cancel_cron_job(job_name => 'alone', workspace => 'b')",
            &[],
        );
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        cancelled.unwrap();
    });
    assert_sound(&mut session);
}
