//! A statement runs as the role that wrote it, and can do no more than this role.

use super::*;

#[test]
fn statement_gains_no_rights_that_its_role_lacks() {
    let (server, mut owner) = start_server(&["kronos.max_sql_workers = 1"]);
    let mut session = create_admin(&server, &mut owner, "writer");
    let who = "concat_ws(' ', current_user, session_user, current_setting('is_superuser'))";
    for mode in ["transaction", "autocommit"] {
        let spec = |statement: &str| json!({ "statement": statement, "mode": mode });
        for before in [
            "select 1",
            "reset role",
            "set role none",
            "reset session authorization",
            "set session authorization default",
            "reset all",
        ] {
            let statement = spec(&format!("{before}; select {who}"));
            let output = run_spec(&mut session, &statement).assert_succeeded();
            assert_eq!(value_of(&output), "writer writer off", "{before}, {mode}");
        }
        for refused in [
            "set role postgres",
            "set session authorization postgres",
            "select set_config('role', 'postgres', false)",
            "select set_config('session_authorization', 'postgres', false)",
            "alter role writer superuser",
            "create role puppet superuser",
            "grant postgres to writer",
            "copy (select 1) to program 'true'",
            "copy (select 1) to '/dev/null'",
            "select pg_read_file('PG_VERSION')",
            "load '/tmp/library'",
            "delete from kronos_internal.live_executions",
            "select * from kronos_internal.endpoints",
            "select kronos_internal.next_tick('* * * * *', 'UTC', now())",
            "set log_min_messages = 'panic'",
        ] {
            let ended = run_spec(&mut session, &spec(refused));
            assert_eq!(ended.status, "FAILED", "{refused}, {mode}");
            let is_refused = ["SQLSTATE 42501", "must be"];
            assert!(
                is_refused.iter().any(|text| ended.error.contains(text)),
                "{refused}: {}",
                ended.error
            );
        }
        // A role may change itself where PostgreSQL lets it. The change holds for later workers.
        run_spec(
            &mut session,
            &spec("alter role writer set work_mem = '2MB'"),
        )
        .assert_succeeded();
    }
    assert_sound(&mut owner);
}

#[test]
fn superuser_that_takes_another_role_does_not_disturb_the_bookkeeping() {
    let (_server, mut owner) = start_server(&["kronos.max_sql_workers = 1"]);
    owner.batch_execute("create role nobody").unwrap();
    for mode in ["transaction", "autocommit"] {
        for taken in [
            "set role nobody",
            "set session authorization nobody",
            "set session_replication_role = replica",
        ] {
            let spec = json!({ "statement": format!("{taken}; select 1"), "mode": mode });
            run_spec(&mut owner, &spec).assert_succeeded();
            let spec = json!({ "statement": format!("{taken}; select 1/0"), "mode": mode });
            run_spec(&mut owner, &spec).assert_failed(&["division by zero"]);
            let shown = "select concat_ws(' ', current_user, session_user, current_setting('session_replication_role'))";
            let output = run_in_transaction(&mut owner, shown).assert_succeeded();
            assert_eq!(
                value_of(&output),
                "postgres postgres origin",
                "{taken}, {mode}"
            );
        }
    }
    assert_sound(&mut owner);
}

/// Objects with the names of PostgreSQL's own, each of which would note the role that uses it.
const PLANT: &str = "
create schema evil;
grant usage on schema evil to public;
create function evil.note() returns void language sql as 'insert into public.ledger values (666)';
create function evil.now() returns timestamptz language plpgsql as
  $$ begin perform evil.note(); return pg_catalog.now(); end $$;
create function evil.clock_timestamp() returns timestamptz language plpgsql as
  $$ begin perform evil.note(); return pg_catalog.clock_timestamp(); end $$;
create function evil.set_config(text, text, boolean) returns text language plpgsql as
  $$ begin perform evil.note(); return pg_catalog.set_config($1, $2, $3); end $$;
create function evil.current_setting(text, boolean) returns text language plpgsql as
  $$ begin perform evil.note(); return pg_catalog.current_setting($1, $2); end $$;
create function evil.pg_advisory_unlock_all() returns void language plpgsql as
  $$ begin perform evil.note(); end $$;
create function evil.same(uuid, uuid) returns boolean language plpgsql as
  $$ begin perform evil.note(); return $1 operator(pg_catalog.=) $2; end $$;
create operator evil.= (leftarg = uuid, rightarg = uuid, function = evil.same);
create function evil.same(text, text) returns boolean language plpgsql as
  $$ begin perform evil.note(); return $1 operator(pg_catalog.=) $2; end $$;
create operator evil.= (leftarg = text, rightarg = text, function = evil.same);
create function evil.is_uuid(text) returns boolean language plpgsql as $$ begin perform evil.note(); return true; end $$;
create domain evil.uuid as pg_catalog.text check (evil.is_uuid(value));
create domain evil.jsonb as pg_catalog.text check (evil.is_uuid(value));
create domain evil.interval as pg_catalog.text check (evil.is_uuid(value))";

#[test]
fn bookkeeping_finds_no_object_of_the_statement() {
    let (server, mut owner) = start_server(&["kronos.max_sql_workers = 1"]);
    let mut session = create_admin(&server, &mut owner, "writer");
    owner
        .batch_execute("grant create on database postgres to writer")
        .unwrap();
    session.batch_execute(PLANT).unwrap();
    let temporary = "create temp table live_executions (n integer); create temp table endpoints (n integer);
                     create temp table pg_extension (extname text); create temp view history as select 1 as n;
                     create function pg_temp.now() returns timestamptz language sql as 'insert into public.ledger values (666) returning null::timestamptz'";
    for mode in ["transaction", "autocommit"] {
        for statement in [
            "select 1",
            "set search_path = evil, pg_catalog; select 1",
            temporary,
        ] {
            for then in ["", "; raise", "; select 1/0"] {
                let mut spec = json!({ "statement": format!("{statement}{then}"), "mode": mode, "settings": { "search_path": "evil, pg_catalog" } });
                if then == "; raise" {
                    spec["statement"] =
                        format!("{statement}; do $$ begin raise notice 'a line'; end $$").into();
                }
                let ended = run_spec(&mut session, &spec);
                assert_eq!(
                    ended.status == "FAILED",
                    then == "; select 1/0",
                    "{statement}{then}: {ended:?}"
                );
            }
        }
    }
    assert_eq!(count(&mut owner, "select count(*) from public.ledger"), 0);
    // The plants work for those who look there.
    session
        .batch_execute("set search_path = evil, pg_catalog; select now(), 'a'::text = 'b'::text")
        .unwrap();
    assert_eq!(
        count(
            &mut owner,
            "select count(*) from public.ledger where by = 'writer'"
        ),
        2
    );
}

#[test]
fn what_becomes_of_a_role_counts_when_its_statement_runs() {
    let (server, mut owner) = start_server(&[]);
    for role in [
        "renamed",
        "limited",
        "ungranted",
        "banned",
        "locked",
        "dropped",
    ] {
        let mut session = create_admin(&server, &mut owner, role);
        let spec = json!({ "statement": "select current_user" });
        write_endpoint(&mut session, role, &spec);
    }
    owner
        .batch_execute(
            "alter role renamed rename to other; alter role limited connection limit 0; alter role locked nologin;
             select kronos.revoke_workspace('ungranted', 'admin'); drop role dropped;
             grant connect on database postgres to other, limited, ungranted, locked;
             revoke connect on database postgres from public",
        )
        .unwrap();
    let execution_ids = [
        "renamed",
        "limited",
        "ungranted",
        "banned",
        "locked",
        "dropped",
    ]
    .map(|endpoint| enqueue(&mut owner, endpoint, &json!({})));
    let ended = execution_ids.map(|execution_id| wait_for_end(&mut owner, execution_id));
    let [renamed, limited, ungranted, banned, locked, dropped] = ended;
    assert_eq!(value_of(&renamed.assert_succeeded()), "other");
    // PostgreSQL does not count background workers against the limit.
    assert_eq!(value_of(&limited.assert_succeeded()), "limited");
    assert_eq!(value_of(&ungranted.assert_succeeded()), "ungranted");
    banned.assert_failed(&["role banned has no CONNECT privilege on the database"]);
    dropped.assert_failed(&["the role that wrote the statement does not exist any more"]);
    let needs_login = "select count(*) from pg_settings where name = 'server_version_num' and setting::integer < 170000";
    if count(&mut owner, needs_login) == 1 {
        locked.assert_failed(&["role locked cannot log in"]);
        owner.batch_execute("set role locked").unwrap();
        owner.batch_execute("select 1").unwrap();
        let spec = json!({ "statement": "select 1" });
        let created = owner.query("select kronos.create_endpoint('late', 'SQL', $1)", &[&spec]);
        assert_code(created, "INVALID_ARGUMENT");
        owner.batch_execute("reset role").unwrap();
    } else {
        assert_eq!(value_of(&locked.assert_succeeded()), "locked");
    }
}
