//! Retrying executions that have finished without success, singly and by filter.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::{Client, Error, GenericClient};
use std::collections::BTreeSet;
use std::thread;
use uuid::Uuid;

/// Starts a server whose endpoint `hook` allows two attempts, the second at once.
fn start_server() -> (Server, Client) {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute(
            "set kronos.workspace = 'acme';
             select kronos.update_endpoint('hook', retry_policy => '{\"max_attempts\": 2, \"initial_delay_ms\": 0}')",
        )
        .unwrap();
    (server, session)
}

/// Enqueues an execution, and fails it for good with an error.
fn fail_one(session: &mut Client, endpoint: &str, error: &str) -> Uuid {
    let statement = "select execution_id from kronos.enqueue($1, workspace => 'acme')";
    let execution_id: Uuid = session.query_one(statement, &[&endpoint]).unwrap().get(0);
    fail_for_good(session, error);
    execution_id
}

/// Claims the only waiting execution, and fails it for good.
fn fail_for_good(session: &mut Client, error: &str) {
    let statement =
        "select kronos.fail_execution(execution_id, attempt, 'w', $1, retryable => false)
                     from kronos.claim_executions('w', workspace => 'acme')";
    assert_eq!(session.execute(statement, &[&error]).unwrap(), 1);
}

fn retry(session: &mut impl GenericClient, execution_id: Uuid) -> Result<(), Error> {
    let statement = "select kronos.retry_execution($1, workspace => 'acme')";
    session.execute(statement, &[&execution_id]).map(|_| ())
}

/// The rows of retry_executions(): the execution, and the action with the reason.
fn retry_many(session: &mut impl GenericClient, filter: &str) -> Vec<(Uuid, String)> {
    let statement = format!(
        "select execution_id, concat_ws(': ', action, reason) from kronos.retry_executions({filter})"
    );
    let rows = session.query(&statement, &[]).unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn retried(ids: &[Uuid]) -> Vec<(Uuid, String)> {
    ids.iter().map(|id| (*id, "RETRY".to_owned())).collect()
}

fn skipped(ids: &[Uuid]) -> Vec<(Uuid, String)> {
    let reason = "SKIP: another session has changed or locked it";
    ids.iter().map(|id| (*id, reason.to_owned())).collect()
}

fn attempts(session: &mut Client, execution_id: Uuid) -> Vec<String> {
    let statement = "select attempt || ' ' || outcome || coalesce(' ' || error, '')
                     from kronos.attempts where execution_id = $1 order by attempt";
    let rows = session.query(statement, &[&execution_id]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[test]
fn failed_execution_runs_again_with_its_id_and_a_new_round_of_attempts() {
    let (server, mut session) = start_server();
    session
        .batch_execute(
            "create role app login; grant usage on schema kronos to app;
             select kronos.grant_workspace('app', 'producer')",
        )
        .unwrap();
    enqueue(&mut session, 1);
    let id = claim(&mut session, "w", 1)[0].0;
    fail(&mut session, "w", (id, 1)).unwrap();
    assert_eq!(claim(&mut session, "w", 1), [(id, 2)]);
    assert_eq!(fail(&mut session, "w", (id, 2)).unwrap(), "FAILED");

    retry(&mut server.session_as("app"), id).unwrap();
    let state = "status, attempt, failed_attempts, retried_by, retried_at = run_at, finished_at, worker_id, error";
    assert_eq!(read(&mut session, id, state), "QUEUED 2 0 app t");
    assert_eq!(
        attempts(&mut session, id),
        ["1 FAILED it failed", "2 FAILED it failed"]
    );
    assert_eq!(claim(&mut session, "w", 1), [(id, 3)]);
    assert_eq!(fail(&mut session, "w", (id, 3)).unwrap(), "RETRYING");
    assert_eq!(claim(&mut session, "w", 1), [(id, 4)]);
    assert_eq!(fail(&mut session, "w", (id, 4)).unwrap(), "FAILED");
    assert_eq!(read(&mut session, id, "status, retried_by"), "FAILED app");

    retry(&mut session, id).unwrap();
    assert_eq!(claim(&mut session, "w", 1), [(id, 5)]);
    assert_eq!(complete(&mut session, "w", (id, 5)).unwrap(), "SUCCEEDED");
    assert_eq!(
        read(&mut session, id, "status, retried_by"),
        "SUCCEEDED postgres"
    );
    assert_eq!(attempts(&mut session, id).len(), 5);
    assert_eq!(executions(&mut session), 1);
    assert_sound(&mut session);
}

#[test]
fn retry_forgets_that_the_execution_was_asked_to_stop() {
    let (_server, mut session) = start_server();
    enqueue(&mut session, 1);
    let held = claim(&mut session, "w", 1)[0];
    let stop = "select kronos.cancel_execution($1, request_stop => true)";
    session.execute(stop, &[&held.0]).unwrap();
    assert_eq!(fail(&mut session, "w", held).unwrap(), "CANCELLED");
    let later = "select kronos.retry_execution($1, run_at => now() + interval '1 hour')";
    session.execute(later, &[&held.0]).unwrap();
    let state = "status, status_reason, stop_requested_at";
    assert_eq!(read(&mut session, held.0, state), "PENDING");
    assert_eq!(claim(&mut session, "w", 1), []);
    let now = "select kronos.reschedule_execution($1, run_at => now())";
    session.execute(now, &[&held.0]).unwrap();
    assert_eq!(claim(&mut session, "w", 1), [(held.0, 2)]);
    assert_eq!(fail(&mut session, "w", (held.0, 2)).unwrap(), "RETRYING");
}

#[test]
fn only_failed_and_cancelled_executions_are_retried() {
    let (_server, mut session) = start_server();
    let refused = retry(&mut session, Uuid::from_u128(1));
    assert_code(refused, "EXECUTION_NOT_FOUND");
    enqueue(&mut session, 1);
    let waiting: Uuid = session
        .query_one("select execution_id from kronos.executions", &[])
        .unwrap()
        .get(0);
    let refused = retry(&mut session, waiting);
    assert_eq!(assert_code(refused, "EXECUTION_UNFINISHED"), "55000");
    let held = claim(&mut session, "w", 1)[0];
    assert_code(retry(&mut session, held.0), "EXECUTION_UNFINISHED");
    complete(&mut session, "w", held).unwrap();
    let refused = retry(&mut session, held.0);
    assert_eq!(assert_code(refused, "EXECUTION_SUCCEEDED"), "55000");
    assert_eq!(retry_many(&mut session, "status => null"), []);

    session
        .batch_execute("select kronos.create_endpoint('gone', 'HTTP')")
        .unwrap();
    let orphan = fail_one(&mut session, "gone", "no");
    session
        .batch_execute("select kronos.delete_endpoint('gone')")
        .unwrap();
    assert_code(retry(&mut session, orphan), "ENDPOINT_NOT_FOUND");
    let expected = (orphan, "SKIP: its endpoint was deleted".to_owned());
    assert_eq!(retry_many(&mut session, ""), [expected]);
    assert_eq!(read(&mut session, orphan, "status, attempt"), "FAILED 1");
}

// Invariant 8: the attempts of the earlier life stay fenced off.
#[test]
fn worker_of_the_earlier_life_cannot_report_on_a_retried_execution() {
    let (_server, mut session) = start_server();
    let policy = "select kronos.update_endpoint('hook', retry_policy => '{\"max_attempts\": 1}')";
    session.batch_execute(policy).unwrap();
    enqueue(&mut session, 1);
    let lost = claim(&mut session, "slow", 1)[0];
    end_leases(&mut session);
    session
        .batch_execute("select kronos.expire_leases()")
        .unwrap();
    assert_eq!(read(&mut session, lost.0, "status"), "FAILED");
    retry(&mut session, lost.0).unwrap();
    assert_code(complete(&mut session, "slow", lost), "LEASE_LOST");
    assert_eq!(claim(&mut session, "slow", 1), [(lost.0, 2)]);
    assert_code(complete(&mut session, "slow", lost), "LEASE_LOST");
    let again = complete(&mut session, "slow", (lost.0, 2));
    assert_eq!(again.unwrap(), "SUCCEEDED");
    assert_eq!(attempts(&mut session, lost.0).len(), 2);
    assert_sound(&mut session);
}

#[test]
fn retried_execution_of_an_ordered_job_waits_for_no_other() {
    let (_server, mut session) = start_server();
    let create = "select job_id from kronos.create_cron_job('hook', '0 0 1 1 *', overlap_policy => 'queue_one')";
    let job_id: Uuid = session.query_one(create, &[]).unwrap().get(0);
    make_yearly_due(&mut session);
    tick(&mut session);
    fail_for_good(&mut session, "no");
    let failed = "select execution_id from kronos.executions where status = 'FAILED'";
    let failed: Uuid = session.query_one(failed, &[]).unwrap().get(0);
    let trigger = "select kronos.trigger_cron_job($1)";
    session.execute(trigger, &[&job_id]).unwrap();
    assert_eq!(claim(&mut session, "w", 10).len(), 1);
    retry(&mut session, failed).unwrap();
    assert_eq!(claim(&mut session, "w", 10), [(failed, 2)]);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

#[test]
fn filter_chooses_what_is_retried_oldest_first() {
    let (_server, mut session) = start_server();
    session
        .batch_execute(
            "select kronos.create_endpoint('mail', 'HTTP');
             select kronos.create_cron_job('hook', '0 0 1 1 *', name => 'report');
             select kronos.create_workspace('other')",
        )
        .unwrap();
    let timeout = fail_one(&mut session, "hook", "HTTP status 504");
    let refused = fail_one(&mut session, "mail", "HTTP status 403");
    session
        .batch_execute("select kronos.trigger_cron_job(job_name => 'report')")
        .unwrap();
    fail_for_good(&mut session, "disk full");
    let of_job = "select execution_id from kronos.executions where job_name = 'report'";
    let of_job: Uuid = session.query_one(of_job, &[]).unwrap().get(0);
    enqueue(&mut session, 1);
    let cancelled = "select execution_id from kronos.cancel_executions()";
    let cancelled: Uuid = session.query_one(cancelled, &[]).unwrap().get(0);

    let all = [timeout, refused, of_job];
    let between = format!(
        "finished_from => (select finished_at from kronos.get_execution('{refused}')),
         finished_before => (select finished_at from kronos.get_execution('{of_job}'))"
    );
    for (filter, expected) in [
        ("", &all[..]),
        ("status => null", &[timeout, refused, of_job, cancelled]),
        ("status => 'CANCELLED'", &[cancelled]),
        ("endpoint => 'mail'", &[refused]),
        ("job_name => 'report'", &[of_job]),
        ("error_contains => 'status 5'", &[timeout]),
        ("error_contains => '%'", &[]),
        (&between, &[refused]),
        ("max => 2", &[timeout, refused]),
        ("workspace => 'other'", &[]),
    ] {
        let found = retry_many(
            &mut session,
            &format!("{filter}{}dry_run => true", comma(filter)),
        );
        assert_eq!(found, retried(expected), "{filter}");
    }
    assert_eq!(claim(&mut session, "w", 1), [], "a dry run changes nothing");
    for (filter, code) in [
        ("endpoint => 'nope'", "ENDPOINT_NOT_FOUND"),
        ("job_name => 'nope'", "JOB_NOT_FOUND"),
        ("status => 'SUCCEEDED'", "INVALID_ARGUMENT"),
        ("error_contains => ''", "INVALID_ARGUMENT"),
        ("max => 10001", "INVALID_ARGUMENT"),
        ("run_at => 'infinity'", "INVALID_ARGUMENT"),
    ] {
        let refused = session.batch_execute(&format!("select kronos.retry_executions({filter})"));
        assert_code(refused, code);
    }
    assert_eq!(retry_many(&mut session, "max => 2"), retried(&all[..2]));
    assert_eq!(retry_many(&mut session, ""), retried(&all[2..]));
    assert_eq!(claim(&mut session, "w", 10).len(), 3);
    assert_sound(&mut session);
}

fn comma(filter: &str) -> &str {
    if filter.is_empty() { "" } else { ", " }
}

#[test]
fn two_operators_share_a_lot_without_waiting_or_failing() {
    let (server, mut session) = start_server();
    let ids: Vec<Uuid> = (0..3)
        .map(|_| fail_one(&mut session, "hook", "no"))
        .collect();
    let (mut first, mut second) = (server.session(), server.session());
    second.batch_execute("set lock_timeout = '5s'").unwrap();
    let mut holding = first.transaction().unwrap();
    let two = "max => 2, workspace => 'acme'";
    assert_eq!(retry_many(&mut holding, two), retried(&ids[..2]));
    let mut expected = skipped(&ids[..2]);
    expected.extend(retried(&ids[2..]));
    assert_eq!(
        retry_many(&mut second, "workspace => 'acme'"),
        expected,
        "each row says who got it"
    );
    holding.commit().unwrap();
    assert_eq!(retry_many(&mut second, "workspace => 'acme'"), []);
    let waiting = "select count(*) from kronos.executions where status = 'QUEUED'";
    assert_eq!(count(&mut session, waiting), 3);
    assert_sound(&mut session);
}

#[test]
fn concurrent_retries_move_each_execution_once() {
    const EXECUTIONS: usize = 2000;
    let (server, mut session) = start_server();
    enqueue(&mut session, EXECUTIONS as i32);
    let fail = "select kronos.fail_execution(execution_id, attempt, 'w', 'no', retryable => false)
                from kronos.claim_executions('w', 10000)";
    assert_eq!(session.execute(fail, &[]).unwrap(), EXECUTIONS as u64);
    let operators: Vec<_> = (0..4)
        .map(|_| {
            let mut operator = server.session();
            thread::spawn(move || {
                let mut mine = vec![];
                loop {
                    let rows = retry_many(&mut operator, "max => 50, workspace => 'acme'");
                    if rows.is_empty() {
                        return mine;
                    }
                    let moved = rows.into_iter().filter(|(_, action)| action == "RETRY");
                    mine.extend(moved.map(|(id, _)| id));
                }
            })
        })
        .collect();
    let moved: Vec<Vec<Uuid>> = operators
        .into_iter()
        .map(|operator| operator.join().unwrap())
        .collect();
    let all: Vec<Uuid> = moved.concat();
    assert_eq!(all.len(), EXECUTIONS, "none is retried twice");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), EXECUTIONS);
    assert!(moved.iter().filter(|mine| !mine.is_empty()).count() > 1);
    let waiting = "select count(*) from kronos.executions where status = 'QUEUED'";
    assert_eq!(count(&mut session, waiting), EXECUTIONS as i64);
    assert_sound(&mut session);
}

// Invariant 9: upkeep leaves what an open transaction retries, and a retry by filter leaves what upkeep prunes.
#[test]
fn retry_and_prune_of_the_same_execution_leave_it_to_one_of_them() {
    let (server, mut session) = start_server();
    fail_one(&mut session, "hook", "no");
    age_history(&mut session);
    let id = "select execution_id from kronos.executions";
    let id: Uuid = session.query_one(id, &[]).unwrap().get(0);
    let mut first = server.session();
    let mut retrying = first.transaction().unwrap();
    retry(&mut retrying, id).unwrap();
    assert_does_not_wait(&server, "select kronos.prune()");
    retrying.commit().unwrap();
    session.batch_execute("select kronos.prune()").unwrap();
    assert_eq!(attempts(&mut session, id), ["1 FAILED no"]);

    fail_for_good(&mut session, "again");
    session.batch_execute("select kronos.prune()").unwrap();
    assert_eq!(
        attempts(&mut session, id).len(),
        2,
        "kept since it finished"
    );
    let age = "update kronos_internal.history set finished_at = finished_at - interval '1 year'";
    session.batch_execute(age).unwrap();
    let mut pruning = first.transaction().unwrap();
    pruning.batch_execute("select kronos.prune()").unwrap();
    assert_eq!(retry_many(&mut session, ""), skipped(&[id]));
    let mut second = server.session();
    let pid = backend_pid(&mut second);
    let late = thread::spawn(move || retry(&mut second, id));
    wait_for("the retry to wait", || is_waiting(&mut session, pid));
    pruning.commit().unwrap();
    assert_code(late.join().unwrap(), "EXECUTION_NOT_FOUND");
    assert_eq!(executions(&mut session), 0);
    assert_eq!(attempts(&mut session, id), [""; 0]);
    assert_sound(&mut session);
}

#[test]
fn of_two_executions_with_one_key_one_is_retried_and_the_other_is_reported() {
    let (_server, mut session) = start_server();
    let fail_with_key = |session: &mut Client| -> Uuid {
        let enqueue = "select execution_id from kronos.enqueue('hook', key => 'invoice 7', workspace => 'acme')";
        let id = session.query_one(enqueue, &[]).unwrap().get(0);
        fail_for_good(session, "it failed");
        id
    };
    let (first, second) = (fail_with_key(&mut session), fail_with_key(&mut session));
    let mut rows = retry_many(&mut session, "");
    rows.sort_by_key(|(_, action)| action.clone());
    let actions: Vec<&str> = rows.iter().map(|(_, action)| action.as_str()).collect();
    let taken = "SKIP: its key names an unfinished execution";
    assert_eq!(actions, ["RETRY", taken]);
    let left = if rows[0].0 == first { second } else { first };
    assert_eq!(rows[1].0, left);
    assert_code(retry(&mut session, left), "KEY_IN_USE");
    assert_eq!(read(&mut session, left, "status, key"), "FAILED invoice 7");
    assert_eq!(claim(&mut session, "w", 2), [(rows[0].0, 2)]);
    assert_sound(&mut session);
}
