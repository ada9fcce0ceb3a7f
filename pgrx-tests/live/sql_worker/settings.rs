//! The settings of a statement: those of its spec, those of its role, and none of an earlier statement.

use super::*;

#[test]
fn settings_of_the_spec_hold_for_its_statement_only() {
    let (server, mut owner) = start_server(&["kronos.max_sql_workers = 1"]);
    let mut session = create_admin(&server, &mut owner, "writer");
    owner
        .batch_execute(
            "create schema private authorization writer; create table private.hidden as select 1 as n;
             grant select on private.hidden to writer",
        )
        .unwrap();
    for mode in ["transaction", "autocommit"] {
        let spec = |statement: &str, settings: Value| json!({ "statement": statement, "mode": mode, "settings": settings });
        let path = json!({ "search_path": "private", "work_mem": 1024, "enable_seqscan": false, "app.own": "x" });
        let shown = "select concat_ws(' ', n, current_setting('work_mem'), current_setting('enable_seqscan'), current_setting('app.own')) from hidden";
        let output = run_spec(&mut session, &spec(shown, path)).assert_succeeded();
        assert_eq!(value_of(&output), "1 1MB off x", "{mode}");
        let shown = "select concat_ws(' ', to_regclass('hidden')::text, current_setting('work_mem'), current_setting('app.own', true))";
        let output = run_spec(&mut session, &spec(shown, json!({}))).assert_succeeded();
        assert_eq!(value_of(&output), "4MB ", "{mode}");

        let timeouts = json!({ "statement_timeout": "200ms" });
        let ended = run_spec(
            &mut session,
            &spec("select pg_sleep(100)", timeouts.clone()),
        );
        ended.assert_failed(&["canceling statement due to statement timeout"]);
        // The timeout counts for each statement.
        let naps = "select pg_sleep(0.12); select pg_sleep(0.12); select pg_sleep(0.12)";
        run_spec(&mut session, &spec(naps, timeouts)).assert_succeeded();
        let ended = run_spec(
            &mut session,
            &spec(
                "set statement_timeout = 200; select pg_sleep(100)",
                json!({}),
            ),
        );
        ended.assert_failed(&["canceling statement due to statement timeout"]);
        run_spec(&mut session, &spec("select pg_sleep(0.3)", json!({}))).assert_succeeded();

        for (settings, error) in [
            (
                json!({ "log_min_messages": "panic" }),
                "permission denied to set parameter",
            ),
            (
                json!({ "work_mem": "much" }),
                "invalid value for parameter \"work_mem\"",
            ),
            (json!({ "max_connections": 1 }), "cannot be changed"),
        ] {
            let ended = run_spec(
                &mut session,
                &spec("insert into ledger values (1)", settings),
            );
            ended.assert_failed(&[error]);
        }
    }
    assert_eq!(count(&mut owner, "select count(*) from ledger"), 0);
}

#[test]
fn settings_of_the_role_hold_and_do_not_disturb_the_bookkeeping() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    owner
        .batch_execute(
            "alter role writer set default_transaction_read_only = on;
             alter role writer set default_transaction_isolation = 'serializable';
             alter role writer set default_transaction_deferrable = on;
             alter role writer set statement_timeout = '300ms';
             alter role writer set lock_timeout = '1ms';
             alter role writer set search_path = 'private';
             alter role writer set row_security = off;
             alter role writer set client_min_messages = 'debug5';
             alter role writer set bytea_output = 'escape';
             alter role writer set datestyle = 'SQL, DMY';
             alter role writer set intervalstyle = 'sql_standard';
             alter role writer set timezone = 'Asia/Kolkata';
             alter role writer set session_replication_role = 'replica';
             alter role writer set synchronous_commit = off;
             alter role writer set enable_indexscan = off;
             alter role writer set idle_in_transaction_session_timeout = 1;
             create schema private authorization writer; create table private.own as select 1 as n;
             grant select on private.own to writer",
        )
        .unwrap();
    session
        .batch_execute("set default_transaction_read_only = off; set search_path = public")
        .unwrap();
    let shown = "select concat_ws(' ', n, current_setting('datestyle'), current_setting('timezone')) from own";
    for mode in ["transaction", "autocommit"] {
        let spec = |statement: &str| json!({ "statement": statement, "mode": mode });
        let output = run_spec(&mut session, &spec(shown)).assert_succeeded();
        assert_eq!(value_of(&output), "1 SQL, DMY Asia/Kolkata", "{mode}");
        let ended = run_spec(&mut session, &spec("select pg_sleep(100)"));
        ended.assert_failed(&["canceling statement due to statement timeout"]);
    }
    // A transaction of Kronos is READ COMMITTED and READ WRITE. In mode autocommit, the role's defaults count.
    let shown = "select current_setting('transaction_read_only') || current_setting('transaction_isolation') as set";
    let output = run_in_transaction(&mut session, shown).assert_succeeded();
    assert_eq!(value_of(&output), "offread committed");
    let output = run_in_autocommit(&mut session, shown).assert_succeeded();
    assert_eq!(value_of(&output), "onserializable");
    let ended = run_in_autocommit(&mut session, "insert into public.ledger values (1)");
    ended.assert_failed(&["cannot execute INSERT in a read-only transaction"]);
    for statement in [
        "set transaction read only; select 1",
        "set transaction isolation level serializable; insert into public.ledger values (2)",
        "set transaction isolation level repeatable read, read only; select 1",
    ] {
        run_in_transaction(&mut session, statement).assert_succeeded();
    }
    let ended = run_in_transaction(
        &mut session,
        "set transaction read only; insert into public.ledger values (1)",
    );
    ended.assert_failed(&["read-only transaction"]);
    assert_eq!(count(&mut owner, "select count(*) from ledger"), 1);
    assert_sound(&mut owner);
}
