//! When workers start and end, and whose executions they run.

use super::*;

const RUNNING: &str = "select count(*) from kronos.executions where status = 'RUNNING'";
const WORKERS: &str =
    "select count(*) from pg_stat_activity where backend_type = 'kronos sql worker'";
const PROCESSES: &str =
    "select count(*) from pg_stat_activity where backend_type like 'kronos sql %'";

fn set_and_reload(owner: &mut Client, setting: &str) {
    owner
        .batch_execute(&format!("alter system set {setting}"))
        .unwrap();
    owner.batch_execute("select pg_reload_conf()").unwrap();
}

fn write_nap(session: &mut Client, seconds: f64) {
    let spec = json!({ "statement": format!("select pg_sleep({seconds})") });
    write_endpoint(session, "nap", &spec);
}

fn enqueue_naps(session: &mut Client, number: i32) {
    let statement = "select count(kronos.enqueue('nap')) from generate_series(1, $1)";
    session.execute(statement, &[&number]).unwrap();
}

#[test]
fn every_role_and_workspace_has_its_turn_while_one_floods() {
    let (server, mut owner) = start_server(&["kronos.max_sql_workers = 2"]);
    let mut flooding = create_admin(&server, &mut owner, "flooding");
    write_nap(&mut flooding, 0.2);
    enqueue_naps(&mut flooding, 1000);
    wait_for("the flood to run", || count(&mut owner, RUNNING) == 2);
    let mut others = vec![];
    for role in ["ann", "bob", "eve"] {
        owner
            .batch_execute(&format!(
                "select kronos.create_workspace('{role}'); create role {role} login;
                 select kronos.grant_workspace('{role}', 'admin', workspace => '{role}')"
            ))
            .unwrap();
        let mut session = server.session_as(role);
        session
            .batch_execute(&format!("set kronos.workspace = '{role}'"))
            .unwrap();
        write_endpoint(
            &mut session,
            "who",
            &json!({ "statement": "select current_user" }),
        );
        others.push((role, enqueue(&mut session, "who", &json!({}))));
    }
    for (role, execution_id) in others {
        let ended = wait_for_end(&mut owner, execution_id);
        assert_eq!(value_of(&ended.assert_succeeded()), role);
    }
    // Another workspace with the role of the flood, too.
    owner
        .batch_execute("select kronos.create_workspace('quiet'); select kronos.grant_workspace('flooding', 'admin', workspace => 'quiet')")
        .unwrap();
    let mut quiet = server.session_as("flooding");
    quiet
        .batch_execute("set kronos.workspace = 'quiet'")
        .unwrap();
    run_in_transaction(&mut quiet, "select 1").assert_succeeded();
    let waiting = count(
        &mut owner,
        "select count(*) from kronos.executions where status = 'QUEUED'",
    );
    assert!(waiting > 500, "{waiting} executions of the flood wait");
    let most = "select max(n) from (select count(*) as n from kronos.execution_details x
                                    join kronos.execution_details y on y.started_at <= x.started_at and coalesce(y.finished_at, 'infinity') > x.started_at
                                    where x.started_at is not null group by x.execution_id) c";
    assert_eq!(count(&mut owner, most), 2, "executions at once");
}

#[test]
fn workers_follow_the_setting_and_end_when_idle() {
    let (server, mut owner) = start_server(&["kronos.max_sql_workers = 1"]);
    let mut session = create_admin(&server, &mut owner, "writer");
    write_nap(&mut session, 600.0);
    enqueue_naps(&mut session, 5);
    wait_for("an execution to run", || count(&mut owner, RUNNING) == 1);
    set_and_reload(&mut owner, "kronos.max_sql_workers = 4");
    wait_for("four executions to run", || count(&mut owner, RUNNING) == 4);
    assert_eq!(count(&mut owner, WORKERS), 4);
    set_and_reload(&mut owner, "kronos.max_sql_workers = 2");
    let cancel = "select count(kronos.cancel_execution(execution_id, request_stop => true)) from kronos.executions where status <> 'CANCELLED'";
    wait_for("all executions to end", || {
        session
            .query_one(cancel, &[])
            .is_ok_and(|row| row.get::<_, i64>(0) == 0)
    });
    wait_for("the idle workers to end", || {
        count(&mut owner, WORKERS) == 0
    });
    // The next execution starts one again.
    run_in_transaction(&mut session, "select 1").assert_succeeded();
}

#[test]
fn retry_is_started_when_it_is_due() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    owner
        .batch_execute("create sequence public.tries; grant all on public.tries to writer")
        .unwrap();
    let spec = json!({ "statement": "select 1 / (nextval('public.tries') / 4)" });
    let create = "select kronos.create_endpoint('flaky', 'SQL', $1, retry_policy => '{\"max_attempts\": 5, \"backoff\": \"fixed\", \"initial_delay_ms\": 300, \"jitter\": 0}')";
    session.execute(create, &[&spec]).unwrap();
    let execution_id = enqueue(&mut session, "flaky", &json!({}));
    wait_for_end(&mut session, execution_id).assert_succeeded();
    let pauses = "select count(*) from (select started_at - lag(finished_at) over (order by attempt) as pause from kronos.attempts) a
                  where pause between interval '295 milliseconds' and interval '5 seconds'";
    assert_eq!(count(&mut owner, pauses), 3);
    // So is an execution of the near future.
    let enqueue = "select execution_id from kronos.enqueue('flaky', run_at => clock_timestamp() + interval '1.5 seconds')";
    let execution_id: Uuid = session.query_one(enqueue, &[]).unwrap().get(0);
    wait_for_end(&mut session, execution_id).assert_succeeded();
    let late = "select extract(epoch from started_at - run_at)::float8 from kronos.execution_details where execution_id = $1";
    let late: f64 = owner.query_one(late, &[&execution_id]).unwrap().get(0);
    assert!((0.0..5.0).contains(&late), "{late} seconds late");
}

#[test]
fn nothing_runs_while_kronos_is_disabled() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    run_in_transaction(&mut session, "insert into ledger values (1)").assert_succeeded();
    set_and_reload(&mut owner, "kronos.enabled = off");
    wait_for("the setting to be off", || {
        count(
            &mut owner,
            "select count(*) from pg_settings where name = 'kronos.enabled' and setting = 'off'",
        ) == 1
    });
    wait_for("the worker to end", || count(&mut owner, WORKERS) == 0);
    write_endpoint(
        &mut session,
        "late",
        &json!({ "statement": "insert into ledger values (2)" }),
    );
    let execution_id = enqueue(&mut session, "late", &json!({}));
    upkeep(&mut owner);
    wait_for("the dispatcher to have looked", || {
        count(&mut owner, PROCESSES) > 0
    });
    assert_eq!(status(&mut owner, execution_id), "QUEUED");
    wait_for("the dispatcher to end", || {
        count(&mut owner, PROCESSES) == 0
    });
    assert_eq!(status(&mut owner, execution_id), "QUEUED");
    assert_eq!(count(&mut owner, "select count(*) from ledger"), 1);
    set_and_reload(&mut owner, "kronos.enabled = on");
    wait_for("the setting to be on", || {
        count(
            &mut owner,
            "select count(*) from pg_settings where name = 'kronos.enabled' and setting = 'on'",
        ) == 1
    });
    upkeep(&mut owner);
    wait_for_end(&mut owner, execution_id).assert_succeeded();
}

#[test]
fn dropping_the_extension_ends_its_processes() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    let recreate =
        "create extension kronos; select kronos.start(); grant usage on schema kronos to public;
                    select kronos.grant_workspace('writer', 'admin')";
    run_in_transaction(&mut session, "select 1").assert_succeeded();
    // The worker and the dispatcher are idle.
    owner.batch_execute("drop extension kronos").unwrap();
    wait_for("the processes to end", || count(&mut owner, PROCESSES) == 0);
    owner.batch_execute(recreate).unwrap();
    run_in_transaction(&mut session, "select 1").assert_succeeded();

    // A statement runs. It rolls back: its completion cannot be recorded.
    let gate = "select pg_advisory_lock(77)";
    owner.batch_execute(gate).unwrap();
    write_endpoint(
        &mut session,
        "gated",
        &json!({ "statement": "insert into ledger values (1); select pg_advisory_xact_lock(77)" }),
    );
    enqueue(&mut session, "gated", &json!({}));
    let waiting = "select count(*) from pg_stat_activity where backend_type = 'kronos sql worker' and wait_event = 'advisory'";
    wait_for("the statement to wait", || count(&mut owner, waiting) == 1);
    owner.batch_execute("drop extension kronos").unwrap();
    owner
        .batch_execute("select pg_advisory_unlock(77)")
        .unwrap();
    wait_for("the processes to end", || count(&mut owner, PROCESSES) == 0);
    assert_eq!(count(&mut owner, "select count(*) from ledger"), 0);
    owner.batch_execute(recreate).unwrap();
    run_in_transaction(&mut session, "select 1").assert_succeeded();
    let complaints = server
        .log()
        .lines()
        .filter(|line| line.contains("kronos: "))
        .count();
    assert!(complaints < 10, "{}", server.log());
}
