//! What statements of both modes do, and what users see of them.

use super::*;

#[test]
fn output_has_the_tag_the_count_and_the_first_rows_of_each_statement() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    let cases = [
        (
            "insert into ledger (n) values (($1 ->> 'n')::integer) returning n",
            json!([{"command": "INSERT", "rows": 1, "first_rows": [{"n": 7}]}]),
        ),
        (
            "create table pair (a integer); insert into pair values (1), (2); update pair set a = a + 1;
             table pair order by a; drop table pair",
            json!([{"command": "CREATE TABLE", "rows": 0}, {"command": "INSERT", "rows": 2},
                   {"command": "UPDATE", "rows": 2},
                   {"command": "SELECT", "rows": 2, "first_rows": [{"a": 2}, {"a": 3}]},
                   {"command": "DROP TABLE", "rows": 0}]),
        ),
        (
            "do $$ begin perform 1; end $$",
            json!([{"command": "DO", "rows": 0}]),
        ),
        (
            "select where false",
            json!([{"command": "SELECT", "rows": 0}]),
        ),
        (
            "select 1 as n where false",
            json!([{"command": "SELECT", "rows": 0, "first_rows": []}]),
        ),
        (
            "select $1 as input, null as nothing, 'é\"\\'::text as text, '{1,2}'::integer[] as list",
            json!([{"command": "SELECT", "rows": 1,
                    "first_rows": [{"input": {"n": 7}, "nothing": null, "text": "é\"\\", "list": [1, 2]}]}]),
        ),
        (
            "select repeat('x', 1000000) as large",
            json!([{"command": "SELECT", "rows": 1, "first_rows": []}]),
        ),
    ];
    for (statement, expected) in cases {
        let output = run_in_transaction(&mut session, statement).assert_succeeded();
        assert_eq!(output, expected, "{statement}");
    }
    assert_eq!(count(&mut owner, "select n::bigint from ledger"), 7);

    let many = run_in_transaction(&mut session, "select n from generate_series(1, 10000000) n")
        .assert_succeeded();
    assert_eq!(many[0]["rows"], 10_000_000);
    let first_rows: Vec<Value> = (1..=100).map(|n| json!({ "n": n })).collect();
    assert_eq!(many[0]["first_rows"], Value::from(first_rows));

    let statements = "select 1;".repeat(150);
    let output = run_in_transaction(&mut session, &statements).assert_succeeded();
    assert_eq!(output.as_array().unwrap().len(), 100);
}

#[test]
fn autocommit_runs_what_no_transaction_can() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    session
        .batch_execute(
            "create table items (n integer primary key);
             insert into items select generate_series(1, 50);
             create materialized view totals as select 1 as one, count(*) from items;
             create unique index on totals (one);
             insert into items values (51);
             create procedure insert_in_two_steps() language plpgsql as
               $$ begin insert into items values (100); commit; insert into items values (101); rollback; end $$",
        )
        .unwrap();
    // The mode is left out: Kronos chooses it.
    for (statement, commands) in [
        ("vacuum (analyze) items", vec!["VACUUM"]),
        (
            "create index concurrently items_again on items (n)",
            vec!["CREATE INDEX"],
        ),
        ("reindex table concurrently items", vec!["REINDEX"]),
        ("drop index concurrently items_again", vec!["DROP INDEX"]),
        ("call insert_in_two_steps()", vec!["CALL"]),
        (
            "begin; insert into items values (200); commit; begin; insert into items values (201); rollback",
            vec!["BEGIN", "INSERT", "COMMIT", "BEGIN", "INSERT", "ROLLBACK"],
        ),
    ] {
        let output = run_spec(&mut session, &json!({ "statement": statement })).assert_succeeded();
        let done: Vec<&str> = output
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["command"].as_str().unwrap())
            .collect();
        assert_eq!(done, commands, "{statement}");
    }
    let refresh = "refresh materialized view concurrently totals";
    run_in_autocommit(&mut session, refresh).assert_succeeded();
    run_in_transaction(&mut session, refresh).assert_succeeded();
    assert_eq!(count(&mut session, "select count from totals"), 53);
    let kept = "select count(*) from items where n in (100, 200)";
    assert_eq!(count(&mut session, kept), 2);
    let rolled_back = "select count(*) from items where n in (101, 201)";
    assert_eq!(count(&mut session, rolled_back), 0);

    // Each statement commits by itself.
    let ended = run_in_autocommit(
        &mut session,
        "insert into items values (300); insert into items values (300)",
    );
    ended.assert_failed(&["items_pkey", "SQLSTATE 23505"]);
    assert_eq!(
        count(&mut session, "select count(*) from items where n = 300"),
        1
    );

    let ended = run_in_autocommit(&mut session, "begin; insert into items values (400)");
    ended.assert_failed(&["began a transaction and did not end it"]);
    let ended = run_in_autocommit(
        &mut session,
        "begin; insert into items values (400); select 1/0; commit",
    );
    ended.assert_failed(&["division by zero"]);
    assert_eq!(
        count(&mut session, "select count(*) from items where n = 400"),
        0
    );
    run_in_autocommit(&mut session, "vacuum; select 1").assert_succeeded();
}

#[test]
fn failed_statement_of_mode_transaction_has_no_effect() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    session
        .batch_execute(
            "create table parents (n integer primary key);
             create table children (n integer references parents deferrable initially deferred);
             create function refuse() returns void language plpgsql as
               $$ begin raise exception 'no luck' using detail = 'the moon', hint = 'wait', errcode = 'KR001'; end $$;
             create procedure commit_once() language plpgsql as $$ begin commit; end $$;
             create function refuse_at_commit() returns trigger language plpgsql as
               $$ begin raise exception 'not at commit'; end $$;
             create table fragile (n integer);
             create constraint trigger refuse after insert on fragile deferrable initially deferred
             for each row execute function refuse_at_commit()",
        )
        .unwrap();
    let cases: [(&str, &[&str]); 10] = [
        (
            "insert into children values (1)",
            &[
                "children_n_fkey",
                "SQLSTATE 23503",
                "DETAIL: Key (n)=(1) is not present",
            ],
        ),
        (
            "insert into fragile values (1)",
            &["not at commit (SQLSTATE P0001)"],
        ),
        (
            "select refuse()",
            &[
                "no luck (SQLSTATE KR001)",
                "DETAIL: the moon",
                "HINT: wait",
                "CONTEXT: PL/pgSQL function refuse() line 1 at RAISE",
            ],
        ),
        ("select 1/0", &["division by zero (SQLSTATE 22012)"]),
        ("do $$ begin commit; end $$", &["SQLSTATE 2D000"]),
        ("do $$ begin rollback; end $$", &["SQLSTATE 2D000"]),
        (
            "call commit_once()",
            &["SQLSTATE 2D000", "CONTEXT: PL/pgSQL function commit_once()"],
        ),
        ("vacuum ledger", &["VACUUM cannot"]),
        (
            "select * from missing",
            &["relation \"missing\" does not exist (SQLSTATE 42P01)"],
        ),
        ("select $2", &["SQLSTATE 42P02"]),
    ];
    for (statement, errors) in cases {
        let text = format!("insert into ledger (n) values (1); {statement}");
        run_in_transaction(&mut session, &text).assert_failed(errors);
    }
    assert_eq!(count(&mut owner, "select count(*) from ledger"), 0);
    // The worker's session is as good as new.
    run_in_transaction(&mut session, "insert into ledger (n) values (2)").assert_succeeded();
    assert_eq!(count(&mut owner, "select count(*) from ledger"), 1);
    assert_sound(&mut owner);
}

#[test]
fn spec_that_cannot_run_is_refused_when_it_is_written() {
    let (_server, mut session) = start_server(&[]);
    let transaction = |statement: &str| json!({ "statement": statement, "mode": "transaction" });
    let specs = [
        json!({}),
        transaction(""),
        transaction(" -- nothing\n; ;"),
        transaction("selec 1"),
        transaction("select 1; commit"),
        transaction("begin"),
        transaction("savepoint a"),
        transaction("prepare transaction 'a'"),
        transaction("copy ledger from stdin"),
        json!({ "statement": "copy ledger to stdout", "mode": "autocommit" }),
        json!({ "statement": "select 1", "mode": "fast" }),
        json!({ "statement": "select 1", "sttings": {} }),
        json!({ "statement": "select 1", "settings": { "no_such_setting": "1" } }),
        json!({ "statement": "select 1", "settings": { "role": "postgres" } }),
        json!({ "statement": "select 1", "settings": { "Session_Authorization": "postgres" } }),
        json!({ "statement": "select 1", "settings": { "search_path": ["public"] } }),
        json!({ "statement": "select 1", "settings": { "search_path": null } }),
    ];
    for spec in specs {
        let created = session.query("select kronos.create_endpoint('bad', 'SQL', $1)", &[&spec]);
        assert_eq!(assert_code(created, "INVALID_ARGUMENT"), "22023", "{spec}");
    }
    let created = session.query(
        r#"select kronos.create_endpoint('bad', 'SQL', '{"statement": "select \u0000"}')"#,
        &[],
    );
    created.expect_err("jsonb holds no NUL");
    write_endpoint(&mut session, "good", &transaction("select 1"));
    let updated = session.query("select kronos.update_endpoint('good', '{\"statement\": \"commit\", \"mode\": \"transaction\"}')", &[]);
    assert_code(updated, "INVALID_ARGUMENT");
}

#[test]
fn notices_and_warnings_are_lines_of_the_log() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    let raise = "do $$ begin raise notice 'a notice' using detail = 'in detail', hint = 'a hint';
                 raise warning 'a warning'; raise debug 'not seen'; raise log 'not seen'; raise info 'an info'; end $$";
    let expected =
        "INFO a notice 00000 in detail a hint, WARNING a warning 01000, INFO an info 00000";
    let failing = format!("{raise}; select 1/0");
    for (statement, mode, status) in [
        (raise, "transaction", "SUCCEEDED"),
        (raise, "autocommit", "SUCCEEDED"),
        (&failing, "transaction", "FAILED"),
        (&failing, "autocommit", "FAILED"),
    ] {
        let ended = run_spec(
            &mut session,
            &json!({ "statement": statement, "mode": mode }),
        );
        assert_eq!(ended.status, status, "{}", ended.error);
        assert_eq!(
            log_of(&mut owner, ended.execution_id),
            expected,
            "{mode} {status}"
        );
    }
    let settings = json!({ "client_min_messages": "debug1" });
    let spec =
        json!({ "statement": "do $$ begin raise debug 'seen'; end $$", "settings": settings });
    let ended = run_spec(&mut session, &spec);
    assert_eq!(log_of(&mut owner, ended.execution_id), "DEBUG seen 00000");
    // A flood is bounded, and reaches no other execution.
    let flood = "do $$ begin for n in 1..100000 loop raise notice 'line % %', n, repeat('x', 20000); end loop; end $$";
    let ended = run_in_transaction(&mut session, flood);
    let lines = "select count(*) from kronos.execution_logs where execution_id = $1 and length(message) <= 10000";
    let lines: i64 = owner
        .query_one(lines, &[&ended.execution_id])
        .unwrap()
        .get(0);
    assert_eq!(lines, 200, "{}", ended.error);
    let ended = run_in_transaction(&mut session, "select 1");
    assert_eq!(log_of(&mut owner, ended.execution_id), "");
}

/// Notices that read like errors, cancels and reports of Kronos change nothing but the log.
#[test]
fn notices_that_lie_do_not_change_how_an_execution_ends() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    let lies = r#"do $$ begin
        raise notice 'ERROR:  the statement failed' using errcode = 'XX000', detail = '{"code": "INTERNAL_ERROR"}';
        raise warning 'canceling statement due to user request' using errcode = '57014';
        raise warning 'terminating connection' using errcode = '57P01';
        raise info 'COMMIT' using detail = '{"code": "LEASE_LOST"}'; end $$"#;
    let log = r#"INFO ERROR:  the statement failed XX000 {"code": "INTERNAL_ERROR"}, WARNING canceling statement due to user request 57014, WARNING terminating connection 57P01, INFO COMMIT 00000 {"code": "LEASE_LOST"}"#;
    for mode in ["transaction", "autocommit"] {
        let statement = format!("{lies}; insert into ledger values (1)");
        let ended = run_spec(
            &mut session,
            &json!({ "statement": statement, "mode": mode }),
        );
        let id = ended.execution_id;
        ended.assert_succeeded();
        assert_eq!(log_of(&mut owner, id), log, "{mode}");
        let failing =
            "do $$ begin raise notice 'COMPLETED' using errcode = '00000'; end $$; select 1/0";
        run_spec(&mut session, &json!({ "statement": failing, "mode": mode }))
            .assert_failed(&["22012"]);
    }
    assert_eq!(count(&mut owner, "select count(*) from ledger"), 2);
    assert_sound(&mut owner);
}

fn log_of(owner: &mut Client, execution_id: Uuid) -> String {
    let statement = "select coalesce(string_agg(concat_ws(' ', level, message, data ->> 'sqlstate', data ->> 'detail', data ->> 'hint'), ', ' order by line), '')
                     from kronos.execution_logs where execution_id = $1";
    owner.query_one(statement, &[&execution_id]).unwrap().get(0)
}

/// The parser itself warns, before any transaction of the statement.
#[test]
fn parser_that_warns_disturbs_nothing() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    let long = "x".repeat(70);
    for ended in [
        run_in_autocommit(&mut session, &format!("select 1 as {long}")),
        run_in_transaction(&mut session, &format!("select 1 as {long}")),
    ] {
        let id = ended.execution_id;
        ended.assert_succeeded();
        let warned = "select count(*) from kronos.execution_logs where execution_id = $1 and message like '%will be truncated%'";
        assert!(session.query_one(warned, &[&id]).unwrap().get::<_, i64>(0) >= 1);
    }
    // A row that JSON can hold, but not jsonb, and rows of many statements.
    let output =
        run_in_transaction(&mut session, r#"select '"\u0000"'::json as x"#).assert_succeeded();
    assert_eq!(output[0]["rows"], 1);
    let wide = "select repeat('x', 60000);".repeat(20);
    let output = run_in_transaction(&mut session, &wide).assert_succeeded();
    assert!(output.to_string().len() < 70_000);
}
