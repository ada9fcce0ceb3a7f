//! Invariant 8: who holds an execution, how it is lost, and that nobody else can end it.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::{Client, Error};
use serde_json::{Value, json};
use std::thread;
use uuid::Uuid;

/// A server with one execution in the hand of a worker, whose lease has run out.
fn server_with_expired_lease() -> (Server, Client, Held) {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    make_one_shots(&mut session, 1);
    let held = claim_for(&mut session, "slow", 1, "1 second")[0];
    wait_for("the lease to run out", || {
        let expired =
            "select count(*) from kronos.executions where lease_expires_at < clock_timestamp()";
        count(&mut session, expired) == 1
    });
    (server, session, held)
}

/// What the holder of a lease may do.
fn every_act(session: &mut Client, worker: &str, held: Held) -> Vec<Result<(), Error>> {
    let (execution_id, attempt) = held;
    let mut call = |function: &str| {
        let statement = format!("select kronos.{function}");
        session
            .execute(&statement, &[&execution_id, &attempt, &worker])
            .map(|_| ())
    };
    [
        "log_execution($1, $2, $3, 'still here')",
        "release_execution($1, $2, $3)",
        "fail_execution($1, $2, $3, 'no')",
        "complete_execution($1, $2, $3)",
    ]
    .map(&mut call)
    .into_iter()
    .collect()
}

fn assert_refused(session: &mut Client, worker: &str, held: Held) {
    let before = rows(session, "kronos.executions");
    for result in every_act(session, worker, held) {
        assert_eq!(assert_code(result, "LEASE_LOST"), "55000");
    }
    let list = list_of(&[held]);
    for call in [
        "heartbeat_executions($1, $2)",
        "complete_executions($1, $2)",
        "fail_executions($1, $2)",
        "release_executions($1, $2)",
    ] {
        let report = session
            .query_one(
                &format!("select accepted, status from kronos.{call}"),
                &[&worker, &list],
            )
            .unwrap();
        assert!(!report.get::<_, bool>(0), "{call}");
    }
    assert_eq!(
        rows(session, "kronos.executions"),
        before,
        "nothing was changed"
    );
}

fn rows(session: &mut Client, table: &str) -> String {
    let statement = format!("select string_agg(t::text, ' ' order by t::text) from {table} t");
    session.query_one(&statement, &[]).unwrap().get(0)
}

#[test]
fn only_the_holder_of_the_lease_can_act_and_others_learn_who_holds_it() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    make_one_shots(&mut session, 1);
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
    assert_code(
        complete(&mut session, "holder", unknown),
        "EXECUTION_NOT_FOUND",
    );
    assert_eq!(complete(&mut session, "holder", held).unwrap(), "SUCCESS");
    assert_refused(&mut session, "holder", held);
    assert_sound(&mut session);
}

#[test]
fn expired_lease_is_lost_even_before_anybody_takes_it_up() {
    let (_server, mut session, held) = server_with_expired_lease();
    assert_refused(&mut session, "slow", held);
}

#[test]
fn expired_lease_is_taken_up_as_a_failed_attempt_by_whoever_finds_time() {
    for taken_up_by in [
        "select kronos.reap_expired_leases()",
        "select kronos.run_due()",
        "select kronos.claim_executions('acme', 'other')",
        "select kronos.claim_any_executions('other')",
    ] {
        let (_server, mut session, held) = server_with_expired_lease();
        session.batch_execute(taken_up_by).unwrap();
        let statement = "select x.status, x.failed_attempts, a.outcome, a.error, a.finished_at = a.started_at + interval '1 second'
                         from kronos.executions x join kronos.attempts a using (execution_id)";
        let row = session.query_one(statement, &[]).unwrap();
        assert_eq!(row.get::<_, &str>(0), "RETRYING", "{taken_up_by}");
        assert_eq!(row.get::<_, i32>(1), 1);
        assert_eq!(row.get::<_, &str>(2), "LOST");
        assert_eq!(row.get::<_, &str>(3), "the lease of worker slow ran out");
        assert!(row.get::<_, bool>(4), "it ended with its lease");
        assert_refused(&mut session, "slow", held);
        assert_sound(&mut session);
    }
}

#[test]
fn lease_that_has_not_run_out_is_taken_up_by_nobody() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    make_one_shots(&mut session, 1);
    let held = claim(&mut session, "w", 1)[0];
    session
        .batch_execute("select kronos.run_due(); select kronos.claim_executions('acme', 'other')")
        .unwrap();
    let reaped = "select kronos.reap_expired_leases()";
    assert_eq!(count(&mut session, reaped), 0);
    assert_eq!(complete(&mut session, "w", held).unwrap(), "SUCCESS");
}

#[test]
fn heartbeat_extends_a_lease_but_never_beyond_the_time_of_the_attempt() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    session
        .batch_execute(
            "select kronos.update_endpoint('acme', 'hook', attempt_timeout => '90 seconds')",
        )
        .unwrap();
    make_one_shots(&mut session, 2);
    let held = claim(&mut session, "w", 2);
    let mut beat = |lease: &str| {
        let statement = "select extract(epoch from h.lease_expires_at - a.started_at)::float8
                         from kronos.heartbeat_executions('w', $1, $2::text::interval) h join kronos.attempts a using (execution_id)";
        let rows = session
            .query(statement, &[&list_of(&held), &lease])
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect::<Vec<f64>>()
    };
    for seconds in beat("80 seconds") {
        assert!((80.0..90.0).contains(&seconds), "{seconds}");
    }
    for seconds in beat("1 hour") {
        assert_eq!(seconds, 90.0);
    }
    // An attempt whose time is over is not LOST but TIMED_OUT.
    session
        .batch_execute(
            "update kronos.attempts set deadline_at = clock_timestamp();
             update kronos.executions x set lease_expires_at = a.deadline_at from kronos.attempts a where a.execution_id = x.execution_id;
             select kronos.reap_expired_leases()",
        )
        .unwrap();
    assert_eq!(
        count(
            &mut session,
            "select count(*) from kronos.attempts where outcome = 'TIMED_OUT'"
        ),
        2
    );
}

#[test]
fn batch_ends_what_is_held_and_reports_who_holds_the_rest() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    make_one_shots(&mut session, 4);
    let mine = claim(&mut session, "mine", 2);
    let other = claim(&mut session, "other", 2);
    let list: Vec<Held> = [&mine[..], &other[..1], &[(Uuid::from_u128(1), 1)]].concat();
    let statement = "select accepted, status, held_by from kronos.complete_executions('mine', $1)";
    let reports: Vec<(bool, Option<String>, Option<String>)> = session
        .query(statement, &[&list_of(&list)])
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    let text = |value: &str| Some(value.to_owned());
    assert_eq!(
        reports
            .iter()
            .filter(|r| **r == (true, text("SUCCESS"), None))
            .count(),
        2
    );
    assert!(reports.contains(&(false, text("RUNNING"), text("other"))));
    assert!(
        reports.contains(&(false, None, None)),
        "there is none of that id"
    );
    assert_eq!(reports.len(), 4);
}

#[test]
fn attempts_run_out_and_released_ones_do_not_count() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    session
        .batch_execute(
            "select kronos.update_endpoint('acme', 'hook',
                 retry_policy => '{\"max_attempts\": 3, \"initial_delay_ms\": 0}')",
        )
        .unwrap();
    make_one_shots(&mut session, 1);
    let mut statuses = vec![];
    for act in ["fail", "release", "fail", "release", "fail"] {
        let held = claim(&mut session, "w", 1)[0];
        statuses.push(match act {
            "fail" => fail(&mut session, "w", held).unwrap(),
            _ => {
                let release = "select status from kronos.release_execution($1, $2, 'w')";
                session
                    .query_one(release, &[&held.0, &held.1])
                    .unwrap()
                    .get(0)
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
            "select attempt, failed_attempts, status_reason, j.status || ' ' || j.retired_reason
             from kronos.executions join kronos.jobs j using (job_id)",
            &[],
        )
        .unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1)), (5, 3));
    assert_eq!(row.get::<_, &str>(2), "attempt 3 of 3 failed");
    assert_eq!(row.get::<_, &str>(3), "RETIRED FINISHED");
    assert_sound(&mut session);
}

#[test]
fn retries_wait_as_the_policy_says_within_the_bounds_of_its_jitter() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    for (backoff, formula) in [
        ("fixed", (|_| 1000) as fn(i32) -> u64),
        ("linear", |n| 1000 * n as u64),
        ("exponential", |n| 1000 * 2u64.pow(n as u32 - 1)),
    ] {
        for jitter in [0.0, 0.25, 1.0] {
            let policy = json!({ "max_attempts": 100, "backoff": backoff, "initial_delay_ms": 1000,
                                 "max_delay_ms": 20_000, "jitter": jitter });
            session
                .execute(
                    "select kronos.update_endpoint('acme', 'hook', retry_policy => $1)",
                    &[&policy],
                )
                .unwrap();
            make_one_shots(&mut session, 20);
            let mut seen = vec![];
            for n in 1..=6 {
                let held = claim(&mut session, "w", 20);
                assert_eq!(held.len(), 20);
                session
                    .execute("select kronos.fail_executions('w', $1)", &[&list_of(&held)])
                    .unwrap();
                let delays = "select extract(epoch from x.run_at - a.finished_at)::float8 * 1000
                              from kronos.executions x join kronos.attempts a using (execution_id, attempt)
                              where x.status = 'RETRYING'";
                let full = formula(n).min(20_000) as f64;
                for row in session.query(delays, &[]).unwrap() {
                    let delay: f64 = row.get(0);
                    let least = full * (1.0 - jitter);
                    assert!(
                        delay >= least - 0.01 && delay <= full + 0.01,
                        "{backoff}, jitter {jitter}, after {n}: {delay} is not from {least} to {full}"
                    );
                    seen.push(delay / full);
                }
                session
                    .batch_execute(
                        "update kronos.executions set run_at = now() where status = 'RETRYING'",
                    )
                    .unwrap();
            }
            let spread = seen.iter().cloned().fold(f64::MIN, f64::max)
                - seen.iter().cloned().fold(f64::MAX, f64::min);
            assert!(
                spread >= jitter * 0.5 && spread <= jitter + 0.001,
                "{spread}"
            );
            session
                .batch_execute("truncate kronos.executions cascade")
                .unwrap();
        }
    }
    make_one_shots(&mut session, 1);
    let held = claim(&mut session, "w", 1)[0];
    let at = "select status = 'RETRYING' and run_at = '2100-01-01' from kronos.fail_execution($1, $2, 'w', 'later', retry_at => '2100-01-01')";
    assert!(
        session
            .query_one(at, &[&held.0, &held.1])
            .unwrap()
            .get::<_, bool>(0)
    );
}

#[test]
fn worker_that_is_asked_to_stop_hears_of_it_and_whatever_it_reports_but_success_is_cancelled() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    for (report, status) in [
        ("kronos.release_execution($1, $2, 'w')", "CANCELLED"),
        ("kronos.fail_execution($1, $2, 'w', 'stopped')", "CANCELLED"),
        ("kronos.complete_execution($1, $2, 'w')", "SUCCESS"),
    ] {
        make_one_shots(&mut session, 1);
        let held = claim(&mut session, "w", 1)[0];
        let cancel = "select kronos.cancel_execution('acme', $1)";
        assert_code(session.execute(cancel, &[&held.0]), "EXECUTION_RUNNING");
        let job_id: Uuid = session
            .query_one(
                "select job_id from kronos.executions where execution_id = $1",
                &[&held.0],
            )
            .unwrap()
            .get(0);
        assert_code(
            session.execute("select kronos.cancel_job('acme', $1)", &[&job_id]),
            "EXECUTION_RUNNING",
        );
        let heard = "select accepted and stop_requested from kronos.heartbeat_executions('w', $1)";
        let hears = |session: &mut Client| -> bool {
            session
                .query_one(heard, &[&list_of(&[held])])
                .unwrap()
                .get(0)
        };
        assert!(!hears(&mut session));
        session
            .execute(
                "select kronos.cancel_job('acme', $1, request_stop => true)",
                &[&job_id],
            )
            .unwrap();
        assert!(hears(&mut session));
        let ended: String = session
            .query_one(&format!("select status from {report}"), &[&held.0, &held.1])
            .unwrap()
            .get(0);
        assert_eq!(ended, status, "{report}");
        assert_code(session.execute(cancel, &[&held.0]), "EXECUTION_FINISHED");
        assert_code(
            session.execute("select kronos.cancel_job('acme', $1)", &[&job_id]),
            "JOB_RETIRED",
        );
    }
    assert_sound(&mut session);
}

#[test]
fn of_a_cancel_and_a_claim_at_once_one_wins_cleanly() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    let (mut cancelled, mut claimed) = (0, 0);
    for _ in 0..100 {
        make_one_shots(&mut session, 1);
        let execution_id: Uuid = session
            .query_one(
                "select execution_id from kronos.executions where finished_at is null",
                &[],
            )
            .unwrap()
            .get(0);
        let (mut canceller, mut worker) = (server.session(), server.session());
        let cancel = thread::spawn(move || {
            canceller
                .execute(
                    "select kronos.cancel_execution('acme', $1)",
                    &[&execution_id],
                )
                .map(|_| ())
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
        "{cancelled} {claimed}: no race"
    );
    assert_sound(&mut session);
}

/// The arrows of the README, and no others.
#[test]
fn statuses_change_only_along_the_arrows() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    make_one_shots(&mut session, 1);
    let arrows = [
        ("PENDING", "RUNNING CANCELLED"),
        ("QUEUED", "RUNNING CANCELLED"),
        ("RETRYING", "RUNNING CANCELLED"),
        ("RUNNING", "SUCCESS RETRYING FAILED QUEUED CANCELLED"),
        ("SUCCESS", ""),
        ("FAILED", ""),
        ("CANCELLED", ""),
        ("SKIPPED", ""),
    ];
    let write = "update kronos.executions
                 set status = $1, worker_id = case $1 when 'RUNNING' then 'w' end,
                     lease_expires_at = case $1 when 'RUNNING' then now() end,
                     finished_at = case when $1 in ('SUCCESS', 'FAILED', 'CANCELLED', 'SKIPPED') then now() end";
    for (from, allowed) in arrows {
        for (to, _) in arrows {
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
fn log_keeps_the_last_thousand_lines_of_the_holder() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    make_one_shots(&mut session, 1);
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
            "select count(*), min(message), min(cursor) from kronos.list_logs('acme', $1, max => 10000)",
            &[&held.0],
        )
        .unwrap();
    assert_eq!(
        (row.get::<_, i64>(0), row.get::<_, &str>(1)),
        (1000, "line 100")
    );
    let last = "select string_agg(line || message, ' ') from kronos.list_logs('acme', $1, after_cursor => $2)";
    let cursor: String = session
        .query_one("select cursor from kronos.list_logs('acme', $1, max => 998) order by line desc limit 1", &[&held.0])
        .unwrap()
        .get(0);
    let shown: String = session.query_one(last, &[&held.0, &cursor]).unwrap().get(0);
    assert_eq!(shown, "1009line 1009 1010line 1010");
}
