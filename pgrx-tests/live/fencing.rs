//! Invariant 8: only the worker that holds an execution can report it.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::{Client, Error};
use serde_json::{Value, json};
use std::thread;
use uuid::Uuid;

/// Starts a server with one claimed execution, whose lease has expired.
fn server_with_expired_lease() -> (Server, Client, Held) {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    enqueue(&mut session, 1);
    let held = claim_for(&mut session, "slow", 1, "1 second")[0];
    wait_for("the lease to expire", || {
        let expired = "select count(*) from kronos.execution_details where lease_expires_at < clock_timestamp()";
        count(&mut session, expired) == 1
    });
    (server, session, held)
}

/// Tries every call of a lease holder.
fn try_every_report(session: &mut Client, worker: &str, held: Held) -> Vec<Result<(), Error>> {
    let (execution_id, attempt) = held;
    [
        "log_execution($1, $2, $3, 'still here')",
        "release_execution($1, $2, $3)",
        "postpone_execution($1, $2, $3, '2100-01-01Z')",
        "fail_execution($1, $2, $3, 'no')",
        "complete_execution($1, $2, $3)",
    ]
    .map(|function| {
        let statement = format!("select kronos.{function}");
        session
            .execute(&statement, &[&execution_id, &attempt, &worker])
            .map(|_| ())
    })
    .into_iter()
    .collect()
}

/// Asserts that every report is refused and changes nothing.
fn assert_refused(session: &mut Client, worker: &str, held: Held) {
    let before = rows(session, "kronos.execution_details");
    for result in try_every_report(session, worker, held) {
        assert_eq!(assert_code(result, "LEASE_LOST"), "55000");
    }
    let list = list_of(&[held]);
    for call in [
        "heartbeat_executions($1, $2)",
        "complete_executions($1, $2)",
        "fail_executions($1, $2)",
        "release_executions($1, $2)",
    ] {
        let statement = format!("select accepted, status from kronos.{call}");
        let report = session.query_one(&statement, &[&worker, &list]).unwrap();
        assert!(!report.get::<_, bool>(0), "{call}");
        assert!(report.get::<_, Option<String>>(1).is_some(), "{call}");
    }
    let after = rows(session, "kronos.execution_details");
    assert_eq!(after, before, "a refused report changes nothing");
}

fn rows(session: &mut Client, table: &str) -> String {
    let statement = format!("select string_agg(t::text, ' ' order by t::text) from {table} t");
    session.query_one(&statement, &[]).unwrap().get(0)
}

fn status(session: &mut Client, (execution_id, _): Held) -> String {
    let statement = "select status from kronos.executions where execution_id = $1";
    session
        .query_one(statement, &[&execution_id])
        .unwrap()
        .get(0)
}

#[test]
fn only_the_lease_holder_can_report_and_others_learn_who_holds_it() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    enqueue(&mut session, 1);
    let held = claim(&mut session, "holder", 1)[0];
    assert_refused(&mut session, "stranger", held);
    assert_refused(&mut session, "holder", (held.0, held.1 + 1));
    let error = complete(&mut session, "stranger", held).unwrap_err();
    let detail: Value = serde_json::from_str(db_error(&error).detail().unwrap()).unwrap();
    assert_eq!(
        (&detail["held_by"], &detail["held_attempt"]),
        (&json!("holder"), &json!(1))
    );
    let unknown = (Uuid::from_u128(1), 1);
    let refused = complete(&mut session, "holder", unknown);
    assert_code(refused, "EXECUTION_NOT_FOUND");
    assert_eq!(complete(&mut session, "holder", held).unwrap(), "SUCCEEDED");
    assert_refused(&mut session, "holder", held);
}

#[test]
fn expired_lease_is_lost_even_before_it_is_reclaimed() {
    let (_server, mut session, held) = server_with_expired_lease();
    assert_refused(&mut session, "slow", held);
}

#[test]
fn expired_lease_counts_as_a_failed_attempt() {
    for by in [
        "select kronos.expire_leases()",
        "select kronos.claim_executions('other', workspace => 'acme')",
        "select kronos.claim_any_executions('other')",
    ] {
        let (_server, mut session, held) = server_with_expired_lease();
        session.batch_execute(by).unwrap();
        let statement = "select x.status, x.failed_attempts, a.outcome, a.error, a.finished_at = a.started_at + interval '1 second'
                         from kronos.execution_details x join kronos.attempts a using (execution_id)";
        let row = session.query_one(statement, &[]).unwrap();
        assert_eq!(row.get::<_, &str>(0), "RETRYING", "{by}");
        assert_eq!(row.get::<_, i32>(1), 1);
        assert_eq!(row.get::<_, &str>(2), "LOST");
        assert_eq!(row.get::<_, &str>(3), "the lease of worker slow expired");
        assert!(row.get::<_, bool>(4), "the attempt ended with its lease");
        assert_refused(&mut session, "slow", held);
    }
}

#[test]
fn unexpired_lease_is_not_reclaimed() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    enqueue(&mut session, 1);
    let held = claim(&mut session, "w", 1)[0];
    session
        .batch_execute("select kronos.claim_executions('other', workspace => 'acme')")
        .unwrap();
    assert_eq!(count(&mut session, "select kronos.expire_leases()"), 0);
    assert_eq!(complete(&mut session, "w", held).unwrap(), "SUCCEEDED");
}

#[test]
fn heartbeat_extends_a_lease_but_never_beyond_the_deadline() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute("select kronos.update_endpoint('hook', attempt_timeout => '90 seconds', workspace => 'acme')")
        .unwrap();
    enqueue(&mut session, 2);
    let held = claim(&mut session, "w", 2);
    let mut extend = |lease: &str| {
        let statement = "select extract(epoch from h.lease_expires_at - x.started_at)::float8
                         from kronos.heartbeat_executions('w', $1, $2::text::interval) h join kronos.execution_details x using (execution_id)";
        let rows = session
            .query(statement, &[&list_of(&held), &lease])
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect::<Vec<f64>>()
    };
    for seconds in extend("80 seconds") {
        assert!((80.0..90.0).contains(&seconds), "{seconds}");
    }
    for seconds in extend("1 hour") {
        assert_eq!(seconds, 90.0);
    }
    // An attempt past its deadline is TIMED_OUT, not LOST.
    session
        .batch_execute(
            "update kronos_internal.live_executions set deadline_at = now(), lease_expires_at = now();
             select kronos.expire_leases()",
        )
        .unwrap();
    let timed_out = "select count(*) from kronos.attempts where outcome = 'TIMED_OUT'";
    assert_eq!(count(&mut session, timed_out), 2);
}

#[test]
fn batch_report_ends_held_executions_and_names_the_holders_of_others() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    enqueue(&mut session, 4);
    let mine = claim(&mut session, "mine", 2);
    let other = claim(&mut session, "other", 2);
    let list: Vec<Held> = [
        &mine[..],
        &mine[..],
        &other[..1],
        &[(Uuid::from_u128(1), 1)],
    ]
    .concat();
    let statement = "select accepted, status, held_by from kronos.complete_executions('mine', $1)";
    let reports: Vec<(bool, Option<String>, Option<String>)> = session
        .query(statement, &[&list_of(&list)])
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    let text = |value: &str| Some(value.to_owned());
    let succeeded = (true, text("SUCCEEDED"), None);
    assert_eq!(reports.iter().filter(|r| **r == succeeded).count(), 2);
    assert!(reports.contains(&(false, text("RUNNING"), text("other"))));
    assert!(
        reports.contains(&(false, None, None)),
        "the unknown execution"
    );
    assert_eq!(reports.len(), 4);
}

#[test]
fn execution_fails_after_max_attempts_not_counting_released_ones() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute(
            "select kronos.update_endpoint('hook', retry_policy => '{\"max_attempts\": 3, \"initial_delay_ms\": 0}', workspace => 'acme')",
        )
        .unwrap();
    enqueue(&mut session, 1);
    let mut statuses = vec![];
    for act in ["fail", "release", "fail", "release", "fail"] {
        let held = claim(&mut session, "w", 1)[0];
        statuses.push(match act {
            "fail" => fail(&mut session, "w", held).unwrap(),
            _ => {
                let release = "select status from kronos.release_execution($1, $2, 'w')";
                let row = session.query_one(release, &[&held.0, &held.1]);
                row.unwrap().get(0)
            }
        });
    }
    assert_eq!(
        statuses,
        ["RETRYING", "QUEUED", "RETRYING", "QUEUED", "FAILED"]
    );
    assert_eq!(claim(&mut session, "w", 1), []);
    let row = session
        .query_one(
            "select x.attempt, x.failed_attempts, x.status_reason, string_agg(a.outcome, ' ' order by a.attempt)
             from kronos.execution_details x join kronos.attempts a using (execution_id)
             group by x.attempt, x.failed_attempts, x.status_reason",
            &[],
        )
        .unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1)), (5, 3));
    assert_eq!(row.get::<_, &str>(2), "attempt 3 of 3 failed");
    assert_eq!(
        row.get::<_, &str>(3),
        "FAILED RELEASED FAILED RELEASED FAILED"
    );
}

#[test]
fn retry_delays_follow_the_policy_within_its_jitter() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    for (backoff, formula) in [
        ("fixed", (|_| 1000) as fn(i32) -> u64),
        ("linear", |n| 1000 * n as u64),
        ("exponential", |n| 1000 * 2u64.pow(n as u32 - 1)),
    ] {
        for jitter in [0.0, 0.25, 1.0] {
            let policy = json!({ "max_attempts": 100, "backoff": backoff, "initial_delay_ms": 1000,
                                 "max_delay_ms": 20_000, "jitter": jitter });
            let update =
                "select kronos.update_endpoint('hook', retry_policy => $1, workspace => 'acme')";
            session.execute(update, &[&policy]).unwrap();
            enqueue(&mut session, 20);
            let mut ratios = vec![];
            for n in 1..=6 {
                let held = claim(&mut session, "w", 20);
                assert_eq!(held.len(), 20);
                session
                    .execute("select kronos.fail_executions('w', $1)", &[&list_of(&held)])
                    .unwrap();
                let delays = "select extract(epoch from x.run_at - a.finished_at)::float8 * 1000
                              from kronos.execution_details x join kronos.attempts a using (execution_id, attempt)
                              where x.status = 'RETRYING'";
                let full = formula(n).min(20_000) as f64;
                for row in session.query(delays, &[]).unwrap() {
                    let delay: f64 = row.get(0);
                    let least = full * (1.0 - jitter);
                    assert!(
                        delay >= least - 0.01 && delay <= full + 0.01,
                        "{backoff}, jitter {jitter}, after {n}: {delay} is not between {least} and {full}"
                    );
                    ratios.push(delay / full);
                }
                session
                    .batch_execute("update kronos_internal.live_executions set run_at = now()")
                    .unwrap();
            }
            let spread = ratios.iter().cloned().fold(f64::MIN, f64::max)
                - ratios.iter().cloned().fold(f64::MAX, f64::min);
            assert!(
                spread >= jitter * 0.5 && spread <= jitter + 0.001,
                "{spread}"
            );
            session
                .batch_execute("truncate kronos_internal.live_executions, kronos_internal.attempts")
                .unwrap();
        }
    }
    enqueue(&mut session, 1);
    let held = claim(&mut session, "w", 1)[0];
    let at = "select status = 'RETRYING' and run_at = '2100-01-01' from kronos.fail_execution($1, $2, 'w', 'later', retry_at => '2100-01-01')";
    let is_at = session.query_one(at, &[&held.0, &held.1]).unwrap();
    assert!(is_at.get::<_, bool>(0));
}

#[test]
fn stop_request_reaches_the_worker_and_any_report_but_success_cancels() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    for (report, status) in [
        ("kronos.release_execution($1, $2, 'w')", "CANCELLED"),
        ("kronos.fail_execution($1, $2, 'w', 'stopped')", "CANCELLED"),
        ("kronos.complete_execution($1, $2, 'w')", "SUCCEEDED"),
    ] {
        enqueue(&mut session, 1);
        let held = claim(&mut session, "w", 1)[0];
        let cancel = "select kronos.cancel_execution($1, workspace => 'acme')";
        assert_code(session.execute(cancel, &[&held.0]), "EXECUTION_RUNNING");
        let stop_requested =
            "select accepted and stop_requested from kronos.heartbeat_executions('w', $1)";
        let is_stop_requested = |session: &mut Client| -> bool {
            let row = session.query_one(stop_requested, &[&list_of(&[held])]);
            row.unwrap().get(0)
        };
        assert!(!is_stop_requested(&mut session));
        let stop = "select kronos.cancel_execution($1, request_stop => true, workspace => 'acme')";
        session.execute(stop, &[&held.0]).unwrap();
        assert!(is_stop_requested(&mut session));
        let statement = format!("select status from {report}");
        let ended = session.query_one(&statement, &[&held.0, &held.1]).unwrap();
        assert_eq!(ended.get::<_, &str>(0), status, "{report}");
        assert_code(session.execute(cancel, &[&held.0]), "EXECUTION_FINISHED");
    }
}

/// Calls `report` while session `open` has changed the execution's row in an open transaction, which commits once the
/// report waits for it and `before_commit` has returned.
fn report_during_change<T: Send + 'static>(
    server: &Server,
    open: &mut Client,
    change: &str,
    report: impl FnOnce(&mut Client) -> T + Send + 'static,
    before_commit: impl FnOnce(),
) -> T {
    let mut observer = server.session();
    open.batch_execute(&format!("begin; {change}")).unwrap();
    let mut worker = server.session();
    let pid = backend_pid(&mut worker);
    let reporting = thread::spawn(move || report(&mut worker));
    wait_for("the report to wait for the row", || {
        is_waiting(&mut observer, pid)
    });
    before_commit();
    open.batch_execute("commit").unwrap();
    reporting.join().unwrap()
}

/// The row counts as it is after the wait.
#[test]
fn report_that_waits_for_a_stop_request_obeys_it() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    for call in [
        "fail_execution($1, $2, 'w', 'no')",
        "release_execution($1, $2, 'w')",
        "fail_executions('w', jsonb_build_array(jsonb_build_object('execution_id', $1::uuid, 'attempt', $2::integer)))",
        "release_executions('w', jsonb_build_array(jsonb_build_object('execution_id', $1::uuid, 'attempt', $2::integer)))",
    ] {
        enqueue(&mut session, 1);
        let held = claim(&mut session, "w", 1)[0];
        let stop = format!(
            "select kronos.cancel_execution('{}', request_stop => true, workspace => 'acme')",
            held.0
        );
        let statement = format!("select status from kronos.{call}");
        let report = move |worker: &mut Client| -> String {
            let row = worker.query_one(&statement, &[&held.0, &held.1]);
            row.unwrap().get(0)
        };
        let ended = report_during_change(&server, &mut session, &stop, report, || ());
        assert_eq!(ended, "CANCELLED", "{call}");
        assert_eq!(status(&mut session, held), "CANCELLED", "{call}");
    }
}

/// A lease that expires while the report waits for another transaction is not lost.
#[test]
fn report_called_within_the_lease_is_accepted_however_long_it_waits() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    for call in [
        "complete_execution($1, $2, 'w')",
        "fail_execution($1, $2, 'w', 'no')",
        "release_execution($1, $2, 'w')",
        "heartbeat_executions('w', jsonb_build_array(jsonb_build_object('execution_id', $1::uuid, 'attempt', $2::integer)))",
        "complete_executions('w', jsonb_build_array(jsonb_build_object('execution_id', $1::uuid, 'attempt', $2::integer)))",
    ] {
        enqueue(&mut session, 1);
        let held = claim_for(&mut session, "w", 1, "2 seconds")[0];
        let lock_row = format!(
            "update kronos_internal.live_executions set priority = priority where execution_id = '{}'",
            held.0
        );
        let statement = format!("select accepted from kronos.{call}");
        let report = move |worker: &mut Client| -> bool {
            let row = worker.query_one(&statement, &[&held.0, &held.1]);
            row.unwrap().get(0)
        };
        let mut observer = server.session();
        let accepted = report_during_change(&server, &mut session, &lock_row, report, || {
            wait_for("the lease to expire", || {
                let expired = "select lease_expires_at < clock_timestamp() from kronos.execution_details where execution_id = $1";
                observer.query_one(expired, &[&held.0]).unwrap().get(0)
            });
        });
        assert!(accepted, "{call}");
        session
            .batch_execute("truncate kronos_internal.live_executions")
            .unwrap();
    }
}

#[test]
fn exactly_one_of_a_concurrent_cancel_and_claim_wins() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let (mut cancelled, mut claimed) = (0, 0);
    for _ in 0..100 {
        enqueue(&mut session, 1);
        let unfinished = "select execution_id from kronos_internal.live_executions";
        let execution_id: Uuid = session.query_one(unfinished, &[]).unwrap().get(0);
        let (mut canceller, mut worker) = (server.session(), server.session());
        let cancel = thread::spawn(move || {
            let cancel = "select kronos.cancel_execution($1, workspace => 'acme')";
            canceller.execute(cancel, &[&execution_id]).map(|_| ())
        });
        let held = claim(&mut worker, "w", 1);
        match (cancel.join().unwrap(), held.first()) {
            (Ok(()), None) => cancelled += 1,
            (Err(error), Some(held)) => {
                assert_code(Err::<(), _>(error), "EXECUTION_RUNNING");
                complete(&mut worker, "w", *held).unwrap();
                claimed += 1;
            }
            (outcome, held) => panic!("{outcome:?} {held:?}"),
        }
    }
    assert!(
        cancelled > 0 && claimed > 0,
        "no race: {cancelled} cancelled, {claimed} claimed"
    );
}

/// Tests each pair of live statuses.
#[test]
fn statuses_change_only_along_the_documented_transitions() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    enqueue(&mut session, 1);
    let transitions = [
        ("PENDING", "RUNNING QUEUED"),
        ("QUEUED", "RUNNING PENDING"),
        ("RETRYING", "RUNNING QUEUED PENDING"),
        ("RUNNING", "RETRYING QUEUED PENDING"),
    ];
    let write = "update kronos_internal.live_executions
                 set status = $1, worker_id = case $1 when 'RUNNING' then 'w' end,
                     started_at = case $1 when 'RUNNING' then now() end,
                     lease_expires_at = case $1 when 'RUNNING' then now() end";
    for (from, allowed) in transitions {
        for (to, _) in transitions {
            session
                .batch_execute("set session_replication_role = replica")
                .unwrap();
            session.execute(write, &[&from]).unwrap();
            session
                .batch_execute("reset session_replication_role")
                .unwrap();
            let moved = session.execute(write, &[&to]);
            if from == to || allowed.split(' ').any(|allowed| allowed == to) {
                moved.unwrap();
            } else {
                assert_code(moved, "INVALID_TRANSITION");
            }
        }
    }
}

#[test]
fn log_keeps_the_last_thousand_lines() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    enqueue(&mut session, 1);
    let held = claim(&mut session, "w", 1)[0];
    session
        .execute(
            "select kronos.log_execution($1, $2, 'w', 'line ' || n, data => jsonb_build_object('n', n))
             from generate_series(1, 1010) n",
            &[&held.0, &held.1],
        )
        .unwrap();
    let row = session
        .query_one(
            "select count(*), min(message) from kronos.list_logs($1, max => 10000, workspace => 'acme')",
            &[&held.0],
        )
        .unwrap();
    assert_eq!(
        (row.get::<_, i64>(0), row.get::<_, &str>(1)),
        (1000, "line 100")
    );
    let last = "select string_agg(line || message, ' ') from kronos.list_logs($1, after => 1008, workspace => 'acme')";
    let lines: String = session.query_one(last, &[&held.0]).unwrap().get(0);
    assert_eq!(lines, "1009line 1009 1010line 1010");
}

/// A worker that writes its results and completes the execution in one transaction does both or neither.
#[test]
fn completion_commits_with_the_workers_own_writes() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute("create table public.effects (execution_id uuid)")
        .unwrap();
    enqueue(&mut session, 1);
    let held = claim(&mut session, "w", 1)[0];
    let work = "insert into public.effects values ($1)";
    let mut rolled_back = session.transaction().unwrap();
    rolled_back.execute(work, &[&held.0]).unwrap();
    complete(&mut rolled_back, "w", held).unwrap();
    rolled_back.rollback().unwrap();
    assert_eq!(status(&mut session, held), "RUNNING");
    let mut committed = session.transaction().unwrap();
    committed.execute(work, &[&held.0]).unwrap();
    complete(&mut committed, "w", held).unwrap();
    committed.commit().unwrap();
    assert_eq!(status(&mut session, held), "SUCCEEDED");
    let effects = "select count(*) from public.effects";
    assert_eq!(count(&mut session, effects), 1);
}
