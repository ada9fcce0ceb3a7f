//! What ends a statement: its timeout, a request to stop, a killed worker, a shutdown.

use super::*;
use rand::Rng;
use std::time::{Duration, Instant};

/// Far less than a lease and than the minute between two runs of upkeep.
const PROMPT: Duration = Duration::from_secs(20);

fn request_stop(session: &mut Client, execution_id: Uuid) -> bool {
    let statement = "select kronos.cancel_execution($1, request_stop => true)";
    session.query(statement, &[&execution_id]).is_ok()
}

fn wait_until_running(session: &mut Client, execution_id: Uuid) {
    let runs = "select count(*) from pg_stat_activity where backend_type = 'kronos sql worker' and state = 'active'";
    wait_for("the statement to run", || {
        status(session, execution_id) == "RUNNING" && count(session, runs) > 0
    });
}

/// The outcomes of an execution's attempts, and their errors.
fn attempts(session: &mut Client, execution_id: Uuid) -> Vec<(String, String)> {
    let statement = "select outcome, coalesce(error, '') from kronos.attempts where execution_id = $1 order by attempt";
    let rows = session.query(statement, &[&execution_id]).unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn signal_workers(owner: &mut Client, function: &str) {
    let statement = format!(
        "select count({function}(pid)) from pg_stat_activity where backend_type = 'kronos sql worker' and state = 'active'"
    );
    assert_eq!(count(owner, &statement), 1);
}

/// Starts a server that runs an execution whose first attempt sleeps and whose second succeeds at once.
fn server_with_nap() -> (Server, Client, Uuid) {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    let spec = json!({ "statement": "select pg_sleep(600) where not exists (select from ledger)" });
    let create = "select kronos.create_endpoint('nap', 'SQL', $1, retry_policy => '{\"max_attempts\": 2, \"initial_delay_ms\": 0}')";
    session.execute(create, &[&spec]).unwrap();
    let execution_id = enqueue(&mut session, "nap", &json!({}));
    wait_until_running(&mut owner, execution_id);
    owner
        .batch_execute("insert into ledger values (1)")
        .unwrap();
    (server, owner, execution_id)
}

#[test]
fn attempt_timeout_cancels_the_statement() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    for mode in ["transaction", "autocommit"] {
        for statement in [
            "select pg_sleep(600)",
            "set statement_timeout = 0; insert into ledger values (1); select pg_sleep(600)",
            "select count(*) from generate_series(1, 1000000000000)",
        ] {
            let name = Uuid::now_v7().to_string();
            let spec = json!({ "statement": statement, "mode": mode });
            write_endpoint(&mut session, &name, &spec);
            let limit = "select kronos.update_endpoint($1, attempt_timeout => '1 second')";
            session.execute(limit, &[&name]).unwrap();
            let began = Instant::now();
            let execution_id = enqueue(&mut session, &name, &json!({}));
            wait_for_end(&mut session, execution_id).assert_failed(&["canceling statement"]);
            assert!(began.elapsed() < PROMPT, "{statement}");
            assert_eq!(
                attempts(&mut owner, execution_id)[0].0,
                "TIMED_OUT",
                "{mode}: {statement}"
            );
        }
    }
    let kept = "select count(*) from ledger";
    assert_eq!(count(&mut owner, kept), 1, "of mode autocommit only");
}

#[test]
fn request_to_stop_ends_the_statement_at_once() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    let stubborn = "do $$ begin
                      begin perform pg_sleep(600); exception when query_canceled then null; end;
                      begin perform pg_sleep(600); exception when query_canceled then null; end;
                      perform pg_sleep(600);
                    end $$";
    for mode in ["transaction", "autocommit"] {
        for statement in ["select pg_sleep(600)", stubborn] {
            let name = Uuid::now_v7().to_string();
            write_endpoint(
                &mut session,
                &name,
                &json!({ "statement": statement, "mode": mode }),
            );
            let execution_id = enqueue(&mut session, &name, &json!({}));
            // The dispatcher has looked since, and has nothing to do.
            let settled = "select count(*) from kronos.execution_details
                           where status = 'RUNNING' and started_at < clock_timestamp() - interval '1 second'";
            wait_for("the statement to run for a while", || {
                count(&mut owner, settled) == 1
            });
            let began = Instant::now();
            assert!(request_stop(&mut session, execution_id));
            let ended = wait_for_end(&mut session, execution_id);
            assert_eq!(ended.status, "CANCELLED", "{statement}: {ended:?}");
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "{:?}",
                began.elapsed()
            );
        }
    }
}

#[test]
fn request_to_stop_never_hits_another_execution() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    write_endpoint(
        &mut session,
        "short",
        &json!({ "statement": "select pg_sleep(random() * 0.05)" }),
    );
    let enqueue = "select count(kronos.enqueue('short')) from generate_series(1, 600)";
    assert_eq!(count(&mut session, enqueue), 600);
    let mut rng = rand::rng();
    let mut requested = 0;
    let running = "select execution_id from kronos.executions where status = 'RUNNING'";
    wait_for("all executions to end", || {
        for row in session.query(running, &[]).unwrap() {
            if rng.random_range(0..2) == 0 {
                std::thread::sleep(Duration::from_millis(rng.random_range(0..10)));
                requested += i64::from(request_stop(&mut session, row.get(0)));
            }
        }
        count(
            &mut owner,
            "select count(*) from kronos.executions where status not in ('SUCCEEDED', 'FAILED', 'CANCELLED')",
        ) == 0
    });
    let failed = "select coalesce(string_agg(error, ', '), '') from kronos.execution_details where status = 'FAILED'";
    let failed: String = owner.query_one(failed, &[]).unwrap().get(0);
    assert_eq!(failed, "");
    let cancelled = count(
        &mut owner,
        "select count(*) from kronos.executions where status = 'CANCELLED'",
    );
    println!("{requested} requests, {cancelled} cancelled");
    assert!(0 < cancelled && cancelled <= requested);
    let unasked = "select count(*) from kronos.execution_details where status = 'CANCELLED' and stop_requested_at is null";
    assert_eq!(count(&mut owner, unasked), 0);
    assert_sound(&mut owner);
}

#[test]
fn ended_worker_is_noticed_at_once_and_the_execution_runs_again() {
    let (_server, mut owner, execution_id) = server_with_nap();
    let began = Instant::now();
    signal_workers(&mut owner, "pg_terminate_backend");
    wait_for_end(&mut owner, execution_id).assert_succeeded();
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    let attempts = attempts(&mut owner, execution_id);
    assert_eq!(attempts.len(), 2);
    let (outcome, error) = &attempts[0];
    assert!(
        outcome == "LOST" && error.starts_with("SQL worker") || error.contains("SQLSTATE 57P01"),
        "{attempts:?}"
    );
}

#[test]
fn pg_cancel_backend_fails_the_attempt() {
    let (_server, mut owner, execution_id) = server_with_nap();
    signal_workers(&mut owner, "pg_cancel_backend");
    wait_for_end(&mut owner, execution_id).assert_succeeded();
    let attempts = attempts(&mut owner, execution_id);
    assert_eq!(attempts[0].0, "FAILED");
    assert!(
        attempts[0]
            .1
            .contains("canceling statement due to user request"),
        "{attempts:?}"
    );
}

#[test]
fn server_stops_while_a_statement_runs_and_runs_it_again() {
    let (server, _owner, execution_id) = server_with_nap();
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    server.start_again();
    let mut owner = server.session();
    upkeep(&mut owner);
    wait_for_end(&mut owner, execution_id).assert_succeeded();
    assert!(
        began.elapsed() < Duration::from_secs(50),
        "before the lease ended"
    );
    assert_sound(&mut owner);
}

/// PL/pgSQL can catch a cancel. The end of its process it cannot.
#[test]
fn statement_that_catches_every_cancel_ends_with_its_process() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    let endless = "do $$ begin loop begin perform pg_sleep(600); exception when query_canceled then null; end; end loop; end $$";
    let create = "select kronos.create_endpoint('endless', 'SQL', $1, retry_policy => '{\"max_attempts\": 1}', attempt_timeout => '1 second')";
    session
        .execute(create, &[&json!({ "statement": endless })])
        .unwrap();
    let execution_id = enqueue(&mut session, "endless", &json!({}));
    let ended = wait_for_end(&mut owner, execution_id);
    assert_eq!(ended.status, "FAILED");
    let busy = "select count(*) from pg_stat_activity where backend_type = 'kronos sql worker' and state = 'active'";
    wait_for("its process to end", || count(&mut owner, busy) == 0);
    run_in_transaction(&mut session, "select 1").assert_succeeded();
}
