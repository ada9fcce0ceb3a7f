//! What operators do to unfinished executions: cancel them by filter, reschedule them, and end the leases of a dead
//! worker. And what a worker does: postpone an execution.

use crate::domain::*;
use crate::server::Server;
use postgres::{Client, Error, GenericClient};
use uuid::Uuid;

fn start_server() -> (Server, Client) {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute("set kronos.workspace = 'acme'")
        .unwrap();
    (server, session)
}

/// Enqueues an execution with further arguments of enqueue().
fn enqueue_with(session: &mut Client, arguments: &str) -> Uuid {
    let statement = format!("select execution_id from kronos.enqueue({arguments})");
    session.query_one(&statement, &[]).unwrap().get(0)
}

/// The rows of cancel_executions(): the execution, and the action with the reason.
fn cancel_many(session: &mut impl GenericClient, filter: &str) -> Vec<(Uuid, String)> {
    let statement = format!(
        "select execution_id, concat_ws(': ', action, reason) from kronos.cancel_executions({filter})"
    );
    let rows = session.query(&statement, &[]).unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn each(ids: &[Uuid], action: &str) -> Vec<(Uuid, String)> {
    ids.iter().map(|id| (*id, action.to_owned())).collect()
}

fn reschedule(session: &mut Client, execution_id: Uuid, arguments: &str) -> Result<String, Error> {
    let statement = format!("select status from kronos.reschedule_execution($1, {arguments})");
    Ok(session.query_one(&statement, &[&execution_id])?.get(0))
}

fn expire_worker(session: &mut impl GenericClient, arguments: &str) -> Vec<(Uuid, String)> {
    let statement =
        format!("select execution_id, status from kronos.expire_worker_leases({arguments})");
    let rows = session.query(&statement, &[]).unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn postpone(session: &mut Client, held: Held, until: &str) -> Result<String, Error> {
    let statement =
        format!("select status from kronos.postpone_execution($1, $2, 'w', until => {until})");
    Ok(session.query_one(&statement, &[&held.0, &held.1])?.get(0))
}

#[test]
fn filter_chooses_what_is_cancelled_first_due_first() {
    let (_server, mut session) = start_server();
    session
        .batch_execute(
            "select kronos.create_endpoint('mail', 'HTTP');
             select kronos.create_cron_job('hook', '0 0 1 1 *', name => 'report');
             select kronos.create_workspace('other')",
        )
        .unwrap();
    let early = enqueue_with(&mut session, "'hook', run_at => '2020-01-01Z'");
    let retrying = claim(&mut session, "w", 1)[0];
    let fail = "select kronos.fail_execution($1, 1, 'w', 'no', retry_at => '2021-01-01Z')";
    session.execute(fail, &[&retrying.0]).unwrap();
    let mail = enqueue_with(&mut session, "'mail', run_at => '2022-01-01Z'");
    let trigger = "select execution_id from kronos.trigger_cron_job(job_name => 'report')";
    let of_job: Uuid = session.query_one(trigger, &[]).unwrap().get(0);
    let late = enqueue_with(&mut session, "'hook', run_at => '2100-01-01Z'");
    let before_last =
        format!("created_before => (select created_at from kronos.get_execution('{late}'))");
    let since_last =
        format!("created_from => (select created_at from kronos.get_execution('{late}'))");
    for (filter, expected) in [
        ("job_id => null", &[early, mail, of_job, late][..]),
        ("endpoint => 'mail'", &[mail]),
        ("job_name => 'report'", &[of_job]),
        ("status => 'RETRYING'", &[early]),
        ("status => 'PENDING'", &[late]),
        (
            "run_from => '2022-01-01Z', run_before => '2100-01-01Z'",
            &[mail, of_job],
        ),
        (&before_last, &[early, mail, of_job]),
        (&since_last, &[late]),
        ("max => 2", &[early, mail]),
        ("workspace => 'other'", &[]),
    ] {
        let found = cancel_many(&mut session, &format!("{filter}, dry_run => true"));
        assert_eq!(found, each(expected, "CANCEL"), "{filter}");
    }
    let live = "select count(*) from kronos.executions where status <> 'CANCELLED'";
    assert_eq!(count(&mut session, live), 4, "a dry run changes nothing");
    for (filter, code) in [
        ("endpoint => 'nope'", "ENDPOINT_NOT_FOUND"),
        ("job_name => 'nope'", "JOB_NOT_FOUND"),
        ("status => 'FAILED'", "INVALID_ARGUMENT"),
        ("status => 'RUNNING'", "INVALID_ARGUMENT"),
        ("max => 0", "INVALID_ARGUMENT"),
    ] {
        let refused = session.batch_execute(&format!("select kronos.cancel_executions({filter})"));
        assert_code(refused, code);
    }
    let rows = cancel_many(&mut session, "endpoint => 'hook'");
    assert_eq!(rows, each(&[early, of_job, late], "CANCEL"));
    let state = "status, status_reason, finished_at is not null";
    assert_eq!(read(&mut session, early, state), "CANCELLED cancelled t");
    assert_eq!(claim(&mut session, "w", 10), [(mail, 1)]);
    assert_sound(&mut session);
}

#[test]
fn running_executions_are_asked_to_stop_once_and_only_on_request() {
    let (_server, mut session) = start_server();
    enqueue(&mut session, 2);
    let held = claim(&mut session, "w", 1)[0];
    let waiting = "select execution_id from kronos.executions where status = 'QUEUED'";
    let waiting: Uuid = session.query_one(waiting, &[]).unwrap().get(0);
    let rows = cancel_many(&mut session, "dry_run => true");
    assert_eq!(rows, each(&[waiting], "CANCEL"));
    let rows = cancel_many(&mut session, "status => 'RUNNING', request_stop => true");
    assert_eq!(rows, each(&[held.0], "REQUEST_STOP"));
    let rows = cancel_many(&mut session, "request_stop => true");
    assert_eq!(rows, each(&[waiting], "CANCEL"));
    assert_eq!(fail(&mut session, "w", held).unwrap(), "CANCELLED");
    assert_eq!(cancel_many(&mut session, "request_stop => true"), []);
    assert_sound(&mut session);
}

// Invariant 9: no call waits for the lock of an open transaction.
#[test]
fn cancellation_by_filter_reports_what_another_session_has_locked() {
    let (server, mut session) = start_server();
    enqueue(&mut session, 2);
    let mut worker = server.session();
    let mut claiming = worker.transaction().unwrap();
    let claimed = claim(&mut claiming, "w", 1)[0].0;
    session.batch_execute("set lock_timeout = '5s'").unwrap();
    let rows = cancel_many(&mut session, "");
    let locked = "SKIP: another session has changed or locked it".to_owned();
    assert!(rows.contains(&(claimed, locked)), "{rows:?}");
    assert_eq!(rows.len(), 2);
    claiming.commit().unwrap();
    assert_eq!(read(&mut session, claimed, "status"), "RUNNING");
    let cancelled = "select count(*) from kronos.executions where status = 'CANCELLED'";
    assert_eq!(count(&mut session, cancelled), 1);
    assert_sound(&mut session);
}

#[test]
fn waiting_execution_is_rescheduled() {
    let (_server, mut session) = start_server();
    let soon = enqueue_with(&mut session, "'hook'");
    let late = enqueue_with(&mut session, "'hook', run_at => now() + interval '1 day'");
    let later = reschedule(&mut session, soon, "run_at => now() + interval '1 day'");
    assert_eq!(later.unwrap(), "PENDING");
    assert_eq!(claim(&mut session, "w", 10), []);
    let now = reschedule(&mut session, late, "run_at => now(), priority => 9");
    assert_eq!(now.unwrap(), "QUEUED");
    let urgent = enqueue_with(&mut session, "'hook'");
    assert_eq!(
        reschedule(&mut session, urgent, "priority => 0").unwrap(),
        "QUEUED"
    );
    assert_eq!(claim(&mut session, "w", 1), [(urgent, 1)], "by priority");
    assert_eq!(claim(&mut session, "w", 10), [(late, 1)]);
    assert_code(reschedule(&mut session, late, "now()"), "EXECUTION_RUNNING");

    let fail = "select kronos.fail_execution($1, 1, 'w', 'no', retry_at => '2100-01-01Z')";
    session.execute(fail, &[&late]).unwrap();
    assert_eq!(reschedule(&mut session, late, "now()").unwrap(), "RETRYING");
    assert_eq!(
        claim(&mut session, "w", 10),
        [(late, 2)],
        "now instead of in 2100"
    );
    complete(&mut session, "w", (late, 2)).unwrap();
    let finished = reschedule(&mut session, late, "now()");
    assert_eq!(assert_code(finished, "EXECUTION_FINISHED"), "55000");
    let unknown = reschedule(&mut session, Uuid::from_u128(1), "now()");
    assert_code(unknown, "EXECUTION_NOT_FOUND");
    for arguments in ["'infinity'", "'2200-01-01Z'", "priority => 10"] {
        let refused = reschedule(&mut session, soon, arguments);
        assert_code(refused, "INVALID_ARGUMENT");
    }
    assert_sound(&mut session);
}

#[test]
fn postponed_execution_waits_without_losing_an_attempt() {
    let (_server, mut session) = start_server();
    let policy = "select kronos.update_endpoint('hook', retry_policy => '{\"max_attempts\": 1}')";
    session.batch_execute(policy).unwrap();
    enqueue(&mut session, 1);
    let held = claim(&mut session, "w", 1)[0];
    assert_code(
        postpone(&mut session, held, "'infinity'"),
        "INVALID_ARGUMENT",
    );
    let postponed = postpone(&mut session, held, "'2100-01-01Z'");
    assert_eq!(postponed.unwrap(), "PENDING");
    let state = "attempt, failed_attempts, run_at = '2100-01-01Z', worker_id";
    assert_eq!(read(&mut session, held.0, state), "1 0 t");
    assert_eq!(claim(&mut session, "w", 1), []);
    assert_code(complete(&mut session, "w", held), "LEASE_LOST");

    reschedule(&mut session, held.0, "now()").unwrap();
    assert_eq!(claim(&mut session, "w", 1), [(held.0, 2)]);
    let past = postpone(&mut session, (held.0, 2), "now() - interval '1 day'");
    assert_eq!(past.unwrap(), "QUEUED");
    assert_eq!(claim(&mut session, "w", 1), [(held.0, 3)]);
    let stop = "select kronos.cancel_execution($1, request_stop => true)";
    session.execute(stop, &[&held.0]).unwrap();
    let stopped = postpone(&mut session, (held.0, 3), "'2100-01-01Z'");
    assert_eq!(stopped.unwrap(), "CANCELLED");
    let outcomes = "select count(*) from kronos.attempts where outcome = 'RELEASED'";
    assert_eq!(count(&mut session, outcomes), 3);
    assert_sound(&mut session);
}

#[test]
fn leases_of_a_dead_worker_are_ended_as_lost_attempts() {
    let (server, mut session) = start_server();
    create_workspace(&mut session, "other");
    enqueue(&mut session, 3);
    let dead: Vec<Held> = claim_for(&mut session, "dead", 2, "1 day");
    let alive = claim_for(&mut session, "alive", 1, "1 day")[0];
    let elsewhere =
        "select execution_id from kronos.claim_executions('dead', workspace => 'other')";
    session
        .batch_execute("select kronos.enqueue('hook', workspace => 'other')")
        .unwrap();
    let elsewhere: Uuid = session.query_one(elsewhere, &[]).unwrap().get(0);

    let mut other = server.session();
    let mut beating = other.transaction().unwrap();
    let beat = "select kronos.heartbeat_executions('dead', $1)";
    beating.execute(beat, &[&list_of(&dead[..1])]).unwrap();
    session.batch_execute("set lock_timeout = '5s'").unwrap();
    let expected = [(dead[1].0, "RETRYING".to_owned())];
    assert_eq!(expire_worker(&mut session, "'dead'"), expected);
    beating.commit().unwrap();
    assert_eq!(expire_worker(&mut session, "'dead', max => 1").len(), 1);
    assert_eq!(expire_worker(&mut session, "'dead'"), []);

    for (id, attempt) in &dead {
        let state = "status, attempt, failed_attempts";
        assert_eq!(read(&mut session, *id, state), "RETRYING 1 1");
        assert_code(
            complete(&mut session, "dead", (*id, *attempt)),
            "LEASE_LOST",
        );
    }
    let lost = "select count(*) from kronos.attempts where outcome = 'LOST' and finished_at < started_at + interval '1 hour'
                and error = 'the lease of worker dead was ended by postgres'";
    assert_eq!(count(&mut session, lost), 2);
    assert_eq!(complete(&mut session, "alive", alive).unwrap(), "SUCCEEDED");
    assert_eq!(read(&mut session, elsewhere, "status"), "RUNNING");
    let rows = expire_worker(&mut session, "'dead', all_workspaces => true");
    assert_eq!(rows, [(elsewhere, "RETRYING".to_owned())]);
    assert_sound(&mut session);
}

#[test]
fn request_with_an_idempotency_key_may_be_repeated_after_an_operators_change() {
    let (_server, mut session) = start_server();
    let request = "'hook', run_at => '2026-01-01Z', priority => 3, idempotency_key => 'once'";
    for change in [
        "select kronos.reschedule_execution($1, '2025-01-01Z', priority => 1)",
        "select kronos.postpone_execution($1, attempt, 'w', '2100-01-01Z') from kronos.claim_executions('w')",
        "select kronos.cancel_execution($1)",
        "select kronos.retry_execution($1)",
        "select kronos.complete_execution($1, attempt, 'w') from kronos.claim_executions('w')",
    ] {
        let id = enqueue_with(&mut session, request);
        assert_eq!(session.execute(change, &[&id]).unwrap(), 1, "{change}");
        assert_eq!(enqueue_with(&mut session, request), id, "{change}");
    }
    let request = "'hook', idempotency_key => 'twice'";
    let id = enqueue_with(&mut session, request);
    for change in [
        "select kronos.cancel_execution($1)",
        "select kronos.retry_execution($1, run_at => '2100-01-01Z')",
    ] {
        session.execute(change, &[&id]).unwrap();
    }
    assert_eq!(enqueue_with(&mut session, request), id, "a retry alone");
    assert_eq!(executions(&mut session), 2);
}
