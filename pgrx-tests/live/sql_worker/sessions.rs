//! A worker runs the statements of a role one after the other in one session. None sees what an earlier one has left.

use super::*;

/// All that a statement can see of its session.
const PROBE: &str = "
select concat_ws(E'\\n', 'pid ' || pg_backend_pid(), 'user ' || current_user || ' ' || session_user,
    (select string_agg(name || ' ' || setting, ', ' order by name) from pg_settings
     where source in ('session', 'interactive') and name not in ('application_name', 'transaction_isolation', 'transaction_read_only', 'transaction_deferrable')),
    (select 'advisory locks ' || count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
    (select 'prepared ' || count(*) from pg_prepared_statements),
    (select 'cursors ' || count(*) from pg_cursors where is_holdable),
    (select 'temporary ' || count(*) from pg_class where relnamespace = pg_my_temp_schema()),
    'own ' || coalesce(nullif(current_setting('app.own', true), ''), 'none')) as session";

/// What statements of any role may leave in a session.
const LEFTOVERS: [&str; 14] = [
    "set search_path = evil, pg_temp, public",
    "set lock_timeout = '1ms'",
    "set statement_timeout = '100ms'",
    "set row_security = off",
    "set synchronous_commit = off",
    "set timezone = 'Asia/Kolkata'; set datestyle = 'SQL, DMY'; set intervalstyle = 'sql_standard'",
    "set client_min_messages = 'error'; set application_name = 'a lie'",
    "set app.own = 'x'; select set_config('work_mem', '64kB', false)",
    "select pg_advisory_lock(7), pg_advisory_lock(7), pg_advisory_lock_shared(8)",
    "create temp table jobs (n integer); create temp sequence numbers; create temp view v as select 1 as n",
    "prepare p as select 1",
    "set role friend",
    "select nextval('public.counter')",
    "set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off; set plan_cache_mode = force_custom_plan",
];

#[test]
fn next_statement_finds_a_clean_session() {
    let (server, mut owner) = start_server(&["kronos.max_sql_workers = 1"]);
    let mut session = create_admin(&server, &mut owner, "writer");
    owner
        .batch_execute(
            "create role friend; grant friend to writer; create sequence public.counter;
             grant all on public.counter to writer; grant temporary on database postgres to writer",
        )
        .unwrap();
    let mut probe = || {
        let output = run_in_transaction(&mut session, PROBE).assert_succeeded();
        value_of(&output).as_str().unwrap().to_owned()
    };
    let clean = probe();
    assert!(
        clean.contains("user writer writer") && clean.contains("temporary 0"),
        "{clean}"
    );
    let autocommit_only = [
        "set default_transaction_read_only = on",
        "set default_transaction_isolation = 'serializable'",
        "declare c cursor with hold for select generate_series(1, 10)",
        "begin; create temp table dropped (n integer) on commit drop; commit; begin; savepoint a; rollback",
    ];
    let mut session = server.session_as("writer");
    let in_both_modes = LEFTOVERS
        .iter()
        .flat_map(|text| [("transaction", *text), ("autocommit", *text)]);
    let in_autocommit = autocommit_only.iter().map(|text| ("autocommit", *text));
    for (mode, leftover) in in_both_modes.chain(in_autocommit) {
        let spec = |text: String| json!({ "statement": text, "mode": mode });
        run_spec(&mut session, &spec(leftover.into())).assert_succeeded();
        assert_eq!(probe(), clean, "{mode}: {leftover}");
        run_spec(&mut session, &spec(format!("{leftover}; select 1/0")))
            .assert_failed(&["division by zero"]);
        assert_eq!(probe(), clean, "{mode}: {leftover}, and an error");
        let currval = run_in_transaction(&mut session, "select currval('public.counter')");
        currval.assert_failed(&["SQLSTATE 55000"]);
    }
    assert_sound(&mut owner);
}

#[test]
fn job_and_statement_are_seen_in_pg_stat_activity() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    write_endpoint(
        &mut session,
        "nap",
        &json!({ "statement": "select pg_sleep(600)" }),
    );
    session
        .batch_execute("select kronos.create_cron_job('nap', '0 0 1 1 *', name => 'nightly'); select kronos.trigger_cron_job(job_name => 'nightly')")
        .unwrap();
    let seen = "select count(*) from pg_stat_activity
                where application_name = 'kronos: nightly' and usename = 'writer' and state = 'active'
                  and query = 'select pg_sleep(600)' and backend_type = 'kronos sql worker' and wait_event = 'PgSleep'";
    wait_for("the statement to be seen", || count(&mut owner, seen) == 1);
    session
        .batch_execute("select kronos.cancel_execution(execution_id, request_stop => true) from kronos.executions")
        .unwrap();
    let idle = "select count(*) from pg_stat_activity
                where backend_type = 'kronos sql worker' and state = 'idle' and application_name not like '%nightly%'";
    wait_for("the worker to be idle", || count(&mut owner, idle) == 1);
}

#[test]
fn workspaces_share_the_worker_of_a_role_but_no_session_state() {
    let (server, mut owner) = start_server(&["kronos.max_sql_workers = 1"]);
    let mut session = create_admin(&server, &mut owner, "writer");
    owner
        .batch_execute("select kronos.create_workspace('acme'); select kronos.grant_workspace('writer', 'admin', workspace => 'acme')")
        .unwrap();
    let mut acme = server.session_as("writer");
    acme.batch_execute("set kronos.workspace = 'acme'").unwrap();
    let left = "select pg_advisory_lock(1), set_config('app.own', 'secret', false); create temp table secrets (n integer); select pg_backend_pid()";
    let pid = value_of(&run_in_autocommit(&mut acme, left).assert_succeeded());
    let probe = "select concat_ws(' ', pg_backend_pid(), current_setting('app.own', true), to_regclass('pg_temp.secrets'), current_setting('kronos.workspace'))";
    let seen = value_of(&run_in_transaction(&mut session, probe).assert_succeeded());
    assert_eq!(seen, format!("{pid}  default"));
}
