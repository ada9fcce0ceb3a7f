//! Claims: which executions a worker gets, and that no other worker gets them.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::Client;
use uuid::Uuid;

/// Inserts an execution of an ordered job, and returns its id.
fn write_ordered(session: &mut Client, job_id: Uuid, tick_at: &str) -> Uuid {
    let row = session.query_one(
        "insert into kronos_internal.live_executions
             (workspace_id, endpoint_id, job_id, version, tick_at, run_at, priority, in_order, origin, status, endpoint_type)
         select e.workspace_id, e.endpoint_id, $1, 1, $2::text::timestamptz, $2::text::timestamptz, 5, true, 'TICK', 'QUEUED', 'HTTP'
         from kronos.endpoints v join kronos_internal.endpoints e using (endpoint_id)
         where v.workspace = 'acme'
         returning execution_id",
        &[&job_id, &tick_at],
    );
    row.unwrap().get(0)
}

fn create_workspace(session: &mut Client, name: &str) {
    let create = "select kronos.create_workspace($1), kronos.create_endpoint('hook', 'HTTP', workspace => $1)";
    session.execute(create, &[&name]).unwrap();
}

fn workspace_id(session: &mut Client, name: &str) -> String {
    let id = "select workspace_id::text from kronos.workspaces where workspace = $1";
    session.query_one(id, &[&name]).unwrap().get(0)
}

fn labels(session: &mut impl postgres::GenericClient, call: &str) -> Vec<String> {
    let statement = format!("select input ->> 'label' from kronos.{call}");
    let rows = session.query(&statement, &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[test]
fn claim_orders_by_priority_then_run_at_and_leaves_future_executions() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute("select kronos.create_endpoint('bus', 'KAFKA', workspace => 'acme')")
        .unwrap();
    for (label, endpoint, priority, run_at) in [
        ("third", "hook", 5, "-2 minutes"),
        ("second", "hook", 0, "-1 minute"),
        ("first", "bus", 0, "-3 minutes"),
        ("future", "hook", 0, "1 hour"),
        ("last", "bus", 9, "-10 minutes"),
    ] {
        session
            .batch_execute(&format!(
                "select kronos.enqueue('{endpoint}', '{{\"label\": \"{label}\"}}', now() + interval '{run_at}',
                                       priority => {priority}, workspace => 'acme')"
            ))
            .unwrap();
    }
    let mut transaction = session.transaction().unwrap();
    let all = labels(
        &mut transaction,
        "claim_executions('w', 10, workspace => 'acme')",
    );
    assert_eq!(all, ["first", "second", "third", "last"]);
    transaction.rollback().unwrap();
    let mut fresh = server.session();
    let mut transaction = fresh.transaction().unwrap();
    let one = labels(
        &mut transaction,
        "claim_executions('w', workspace => 'acme')",
    );
    assert_eq!(one, ["first"], "of any endpoint type");
    transaction.rollback().unwrap();
    for (call, expected) in [
        (
            "claim_executions('w', 10, endpoint_types => '{KAFKA,KAFKA}', workspace => 'acme')",
            &["first", "last"][..],
        ),
        ("claim_executions('w', workspace => 'acme')", &["second"]),
        ("claim_any_executions('w', 5)", &["third"]),
        ("claim_any_executions('w', 5)", &[]),
    ] {
        assert_eq!(labels(&mut session, call), expected, "{call}");
    }
}

#[test]
fn claim_returns_everything_a_worker_needs() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute(
            "select kronos.update_endpoint('hook', spec => '{\"url\": \"x\"}', attempt_timeout => '30 seconds',
                                           retry_policy => '{\"max_attempts\": 7}', workspace => 'acme');
             select kronos.enqueue('hook', '{\"a\": 1}', metadata => '{\"trace\": \"t\"}', priority => 3, workspace => 'acme')",
        )
        .unwrap();
    let claimed = "select concat_ws('|', attempt, workspace, job_id, priority, input, metadata, endpoint, endpoint_type,
                                    endpoint_spec, failed_attempts, max_attempts,
                                    lease_expires_at = deadline_at, deadline_at - now() < interval '31 seconds')
                   from kronos.claim_executions('w', workspace => 'acme')";
    let row: String = session.query_one(claimed, &[]).unwrap().get(0);
    assert_eq!(
        row,
        r#"1|acme|3|{"a": 1}|{"trace": "t"}|hook|HTTP|{"url": "x"}|0|7|t|t"#
    );
}

/// Invariant 8.
#[test]
fn open_claim_hides_its_executions_and_blocks_no_other_claim() {
    let server = Server::start();
    let (mut one, mut other) = (server.session(), server.session());
    create_acme(&mut one);
    enqueue(&mut one, 10);
    let mut open = one.transaction().unwrap();
    let first = claim(&mut open, "one", 4);
    let second = claim(&mut other, "other", 10);
    assert_eq!((first.len(), second.len()), (4, 6));
    assert!(first.iter().all(|held| !second.contains(held)));
    open.rollback().unwrap();
    assert_eq!(
        claim(&mut other, "other", 10).len(),
        4,
        "a claim that is rolled back frees its executions"
    );
}

#[test]
fn workspace_with_a_hundred_thousand_executions_does_not_starve_one_with_ten() {
    let server = Server::start();
    let mut session = server.session();
    create_workspace(&mut session, "big");
    insert_waiting(&mut session, "big", 100_000);
    create_workspace(&mut session, "small");
    insert_waiting(&mut session, "small", 10);
    fn count_small(session: &mut impl postgres::GenericClient) -> usize {
        let rows = session
            .query(
                "select workspace from kronos.claim_any_executions('w', 10)",
                &[],
            )
            .unwrap();
        assert_eq!(rows.len(), 10);
        rows.iter()
            .filter(|row| row.get::<_, &str>(0) == "small")
            .count()
    }
    // Three claims of one session, then one claim each of three sessions.
    let mut transaction = session.transaction().unwrap();
    let shares = [(); 3].map(|()| count_small(&mut transaction));
    assert_eq!(shares, [5, 5, 0], "each workspace has its share");
    transaction.rollback().unwrap();
    let small: usize = (0..3).map(|_| count_small(&mut server.session())).sum();
    assert_eq!(small, 10);
}

#[test]
fn session_that_claims_one_by_one_serves_all_workspaces_in_turn() {
    let server = Server::start();
    let mut session = server.session();
    for name in ["a", "b", "c", "d"] {
        create_workspace(&mut session, name);
        insert_waiting(&mut session, name, 5);
    }
    let mut served: Vec<String> = vec![];
    for _ in 0..8 {
        let claim = "select workspace from kronos.claim_any_executions('w')";
        served.push(session.query_one(claim, &[]).unwrap().get(0));
    }
    let (first_round, second_round) = served.split_at(4);
    assert_eq!(first_round, second_round, "the same order");
    let mut names = first_round.to_vec();
    names.sort();
    assert_eq!(names, ["a", "b", "c", "d"]);
}

/// A session refreshes its list of workspaces once a second, and whenever a claim comes up short.
#[test]
fn workspace_with_its_first_execution_is_served_at_once() {
    let server = Server::start();
    let mut session = server.session();
    create_workspace(&mut session, "a");
    create_workspace(&mut session, "b");
    insert_waiting(&mut session, "a", 2);
    let claim = "select workspace from kronos.claim_any_executions('w')";
    assert_eq!(
        session.query_one(claim, &[]).unwrap().get::<_, &str>(0),
        "a"
    );
    insert_waiting(&mut session, "b", 1);
    let both = "select count(distinct workspace) from kronos.claim_any_executions('w', 10)";
    assert_eq!(count(&mut session, both), 2);
}

#[test]
fn execution_of_an_ordered_job_starts_only_after_the_earlier_one_has_finished() {
    let server = Server::start();
    let (mut session, mut listener) = (server.session(), server.session());
    create_acme(&mut session);
    let acme = workspace_id(&mut session, "acme");
    listener.batch_execute("listen kronos_executions").unwrap();
    for ending in [
        "complete_execution($1, 1, 'w')",
        "fail_execution($1, 1, 'w', 'no', retryable => false)",
    ] {
        let job_id = Uuid::new_v4();
        let second = write_ordered(&mut session, job_id, "2020-01-01 01:00Z");
        let first = write_ordered(&mut session, job_id, "2020-01-01 00:00Z");
        assert_eq!(claim(&mut session, "w", 10), [(first, 1)], "{ending}");
        assert_eq!(claim(&mut session, "w", 10), [], "{ending}");
        let wakes_late =
            "select kronos.next_wakeup(workspace => 'acme') > now() + interval '50 seconds'";
        assert!(
            session
                .query_one(wakes_late, &[])
                .unwrap()
                .get::<_, bool>(0)
        );
        assert_eq!(notifications(&mut listener), [""; 0]);
        session
            .execute(&format!("select kronos.{ending}"), &[&first])
            .unwrap();
        assert_eq!(notifications(&mut listener), [acme.as_str()], "{ending}");
        assert_eq!(claim(&mut session, "w", 10), [(second, 1)], "{ending}");
        complete(&mut session, "w", (second, 1)).unwrap();
        assert_eq!(notifications(&mut listener), [""; 0]);
    }
    let job_id = Uuid::new_v4();
    let second = write_ordered(&mut session, job_id, "2020-01-01 01:00Z");
    let first = write_ordered(&mut session, job_id, "2020-01-01 00:00Z");
    let cancel = "select kronos.cancel_execution($1, workspace => 'acme')";
    session.execute(cancel, &[&first]).unwrap();
    assert_eq!(notifications(&mut listener), [acme.as_str()]);
    assert_eq!(claim(&mut session, "w", 10), [(second, 1)]);
}

/// The payload is the workspace's id, because LISTEN needs no privilege and a name would disclose it to strangers.
#[test]
fn transaction_notifies_a_workspace_once_of_executions_that_may_start_within_a_minute() {
    let server = Server::start();
    let (mut session, mut listener) = (server.session(), server.session());
    create_acme(&mut session);
    create_workspace(&mut session, "other");
    let acme = workspace_id(&mut session, "acme");
    listener.batch_execute("listen kronos_executions").unwrap();
    enqueue(&mut session, 100);
    assert_eq!(notifications(&mut listener), [acme.as_str()]);
    session
        .batch_execute(
            "select kronos.enqueue('hook', run_at => now() + interval '1 hour', workspace => 'acme');
             begin; select kronos.enqueue('hook', workspace => 'other'); rollback",
        )
        .unwrap();
    assert_eq!(notifications(&mut listener), [""; 0]);
    let held = claim(&mut session, "w", 2);
    assert_eq!(notifications(&mut listener), [""; 0]);
    let release = "select kronos.release_executions('w', $1)";
    session.execute(release, &[&list_of(&held)]).unwrap();
    assert_eq!(notifications(&mut listener), [acme.as_str()]);
    let held = claim(&mut session, "w", 2);
    session
        .batch_execute("set kronos.notify_workers = off")
        .unwrap();
    enqueue(&mut session, 1);
    session.execute(release, &[&list_of(&held)]).unwrap();
    assert_eq!(notifications(&mut listener), [""; 0]);
}

#[test]
fn retry_and_reschedule_notify_of_executions_that_may_start_within_a_minute() {
    let server = Server::start();
    let (mut session, mut listener) = (server.session(), server.session());
    create_acme(&mut session);
    let acme = workspace_id(&mut session, "acme");
    session
        .batch_execute(
            "set kronos.workspace = 'acme'; select kronos.enqueue('hook', run_at => '2100-01-01Z')",
        )
        .unwrap();
    listener.batch_execute("listen kronos_executions").unwrap();
    let id = "select execution_id from kronos.executions";
    let id: Uuid = session.query_one(id, &[]).unwrap().get(0);
    let soon = "run_at => now() + interval '30 seconds'";
    for (call, is_notified) in [
        (
            format!("reschedule_execution('{id}', priority => 1)"),
            false,
        ),
        (format!("reschedule_execution('{id}', {soon})"), true),
        (format!("cancel_execution('{id}')"), false),
        (
            format!("retry_execution('{id}', run_at => '2100-01-01Z')"),
            false,
        ),
        (format!("cancel_execution('{id}')"), false),
        (format!("retry_execution('{id}', {soon})"), true),
        ("cancel_executions()".to_owned(), false),
        (
            format!("retry_executions(status => 'CANCELLED', {soon}, dry_run => true)"),
            false,
        ),
        (
            format!("retry_executions(status => 'CANCELLED', {soon})"),
            true,
        ),
    ] {
        session
            .batch_execute(&format!("select kronos.{call}"))
            .unwrap();
        let expected = if is_notified {
            vec![acme.as_str()]
        } else {
            vec![]
        };
        assert_eq!(notifications(&mut listener), expected, "{call}");
    }
}

/// An idle worker sleeps for a minute, so it must be notified of executions that become due earlier.
#[test]
fn sleeping_worker_is_notified_of_executions_and_retries_due_before_it_wakes() {
    let server = Server::start();
    let (mut session, mut listener) = (server.session(), server.session());
    create_acme(&mut session);
    let acme = workspace_id(&mut session, "acme");
    listener.batch_execute("listen kronos_executions").unwrap();
    for call in [
        "enqueue('hook', run_at => now() + interval '30 seconds', workspace => 'acme')",
        "enqueue_many(jsonb_build_array(jsonb_build_object('endpoint', 'hook', 'run_at', now() + interval '30 seconds')),
                      workspace => 'acme')",
    ] {
        session
            .batch_execute(&format!("select kronos.{call}"))
            .unwrap();
        assert_eq!(notifications(&mut listener), [acme.as_str()], "{call}");
    }
    for (delay, is_notified) in [("30 seconds", true), ("2 minutes", false)] {
        session
            .batch_execute("set kronos.notify_workers = off")
            .unwrap();
        enqueue(&mut session, 1);
        session
            .batch_execute("set kronos.notify_workers = on")
            .unwrap();
        let held = claim(&mut session, "w", 1)[0];
        let retry = "select kronos.fail_execution($1, $2, 'w', 'no', retry_at => now() + $3::text::interval)";
        session.execute(retry, &[&held.0, &held.1, &delay]).unwrap();
        assert_eq!(
            !notifications(&mut listener).is_empty(),
            is_notified,
            "{delay}"
        );
    }
    // The retry of an execution whose worker has vanished.
    enqueue(&mut session, 1);
    claim_for(&mut session, "gone", 1, "1 second");
    notifications(&mut listener);
    wait_for("the lease to expire", || {
        count(&mut session, "select kronos.expire_leases()") == 1
    });
    assert_eq!(notifications(&mut listener), [acme.as_str()]);
}

/// A transaction that has executed NOTIFY cannot be prepared.
#[test]
fn transaction_that_enqueues_can_be_prepared_with_notify_off() {
    let server = Server::start_with(&["max_prepared_transactions = 2"]);
    let mut session = server.session();
    create_acme(&mut session);
    let prepare =
        "begin; select kronos.enqueue('hook', workspace => 'acme'); prepare transaction 'p'";
    let error = session.batch_execute(prepare).unwrap_err();
    assert_eq!(db_error(&error).code().code(), "0A000");
    session
        .batch_execute(&format!("set kronos.notify_workers = off; {prepare}"))
        .unwrap();
    assert_eq!(claim(&mut session, "w", 10), []);
    session.batch_execute("commit prepared 'p'").unwrap();
    assert_eq!(claim(&mut session, "w", 10).len(), 1);
}

#[test]
fn next_wakeup_returns_the_next_start_or_lease_expiry() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    fn holds(session: &mut Client, condition: &str) -> bool {
        let statement = format!("select {condition}");
        session.query_one(&statement, &[]).unwrap().get(0)
    }
    assert!(holds(
        &mut session,
        "kronos.next_wakeup(workspace => 'acme') is null"
    ));
    session
        .batch_execute(
            "select kronos.enqueue('hook', run_at => date_trunc('minute', now()) + interval '3 hours', priority => 9, workspace => 'acme'),
                    kronos.enqueue('hook', run_at => date_trunc('minute', now()) + interval '2 hours', workspace => 'acme')",
        )
        .unwrap();
    assert!(holds(
        &mut session,
        "kronos.next_wakeup(workspace => 'acme') = date_trunc('minute', now()) + interval '2 hours'
         and kronos.next_wakeup(all_workspaces => true) = kronos.next_wakeup('{HTTP}', workspace => 'acme')
         and kronos.next_wakeup('{KAFKA}', workspace => 'acme') is null"
    ));
    enqueue(&mut session, 1);
    assert!(holds(
        &mut session,
        "kronos.next_wakeup(workspace => 'acme') between now() - interval '1 second' and clock_timestamp()"
    ));
    claim(&mut session, "w", 1);
    assert!(holds(
        &mut session,
        "kronos.next_wakeup(workspace => 'acme')
         = (select lease_expires_at from kronos.execution_details where status = 'RUNNING')"
    ));
}

/// A session's claims continue where the last one ended, but do not miss executions that arrive late.
#[test]
fn late_execution_is_claimed_before_the_queue_is_empty() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    enqueue(&mut session, 10_000);
    let enqueue_late = "select execution_id from kronos.enqueue('hook', run_at => now() - interval '1 hour', workspace => 'acme')";
    assert_eq!(claim(&mut session, "w", 1).len(), 1);
    let late: Uuid = session.query_one(enqueue_late, &[]).unwrap().get(0);
    wait_for("the late execution to be claimed before the others", || {
        let held = claim(&mut session, "w", 1);
        assert!(!held.is_empty());
        held[0].0 == late
    });
    let rest = "select count(*) from kronos.executions where status = 'QUEUED'";
    assert!(count(&mut session, rest) > 0);
    // A claim that comes up short reads from the beginning.
    claim(&mut session, "w", 10_000);
    let late: Uuid = session.query_one(enqueue_late, &[]).unwrap().get(0);
    assert_eq!(claim(&mut session, "w", 1), [(late, 1)]);
}

/// Without the bound, eight executions with specs of 200 MB took 3.2 GB in the backend that claimed them.
#[test]
fn claim_returns_at_most_sixteen_megabytes() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute(
            "select kronos.enqueue('hook', to_jsonb(repeat('x', 250000)), workspace => 'acme') from generate_series(1, 100)",
        )
        .unwrap();
    let claim = "select count(*), sum(octet_length(input::text) + octet_length(endpoint_spec::text)) <= 16 * 1024 * 1024
                 from kronos.claim_executions('w', 1000, workspace => 'acme')";
    for (claimed, is_small) in [(67, Some(true)), (33, Some(true)), (0, None)] {
        let row = session.query_one(claim, &[]).unwrap();
        assert_eq!(row.get::<_, i64>(0), claimed);
        assert_eq!(row.get::<_, Option<bool>>(1), is_small);
    }
    for name in ["a", "b", "c"] {
        create_workspace(&mut session, name);
        session
            .execute(
                "select kronos.enqueue('hook', to_jsonb(repeat('x', 250000)), workspace => $1) from generate_series(1, 50)",
                &[&name],
            )
            .unwrap();
    }
    let any = "select count(*) from kronos.claim_any_executions('w', 1000)";
    assert_eq!(count(&mut session, any), 67, "over all workspaces together");
}

/// The second claim starts to read shortly before the first one's run_at, in 1969.
#[test]
fn execution_due_in_1970_is_claimed_and_completed() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    for _ in 0..2 {
        session
            .batch_execute(
                "select kronos.enqueue('hook', run_at => '1970-01-01Z', workspace => 'acme')",
            )
            .unwrap();
        let held = claim(&mut session, "w", 1)[0];
        complete(&mut session, "w", held).unwrap();
    }
}
