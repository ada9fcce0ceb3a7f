//! All of Kronos's data survives pg_dump and a restore.

use crate::domain::*;
use crate::server::{Server, bin};
use postgres::Client;

/// The names of Kronos's tables, sorted.
fn tables(session: &mut Client) -> Vec<String> {
    let statement = "select relname::text from pg_class
                     where relnamespace = 'kronos_internal'::regnamespace and relkind = 'r' order by 1";
    let rows = session.query(statement, &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The rows of a table as text.
fn rows_of(session: &mut Client, table: &str) -> String {
    let rows = format!(
        "select coalesce(string_agg(t::text, e'\\n' order by t::text), '') from kronos_internal.{table} t"
    );
    session.query_one(&rows, &[]).unwrap().get(0)
}

/// Writes at least one row into every table.
fn fill(session: &mut Client) {
    create_acme(session);
    let job_id = create(session, YEARLY);
    let failing = create(session, YEARLY);
    create(session, "5 5 5 5 *");
    let dropping = "select kronos.create_cron_job('hook', '0 * * * *', catchup_policy => 'none', workspace => 'acme')";
    session.query(dropping, &[]).unwrap();
    refuse_executions(session, &[failing]);
    lose_wake_ups(session, 9);
    make_yearly_due(session);
    upkeep(session);
    try_update(session, job_id, None).unwrap();
    session
        .batch_execute(
            "select kronos.create_payload_spec('any', 'true', workspace => 'acme');
             select kronos.update_endpoint('hook', payload_spec => 'any', rate_limit => 100, rate_interval => '1 hour',
                                           workspace => 'acme');
             select kronos.enqueue('hook', idempotency_key => 'once', workspace => 'acme');
             select kronos.enqueue('hook', workspace => 'acme');
             select kronos.grant_workspace('postgres', 'viewer', workspace => 'acme')",
        )
        .unwrap();
    let held = claim(session, "w", 2);
    for held in &held {
        let log = "select kronos.log_execution($1, $2, 'w', 'begun')";
        session.execute(log, &[&held.0, &held.1]).unwrap();
    }
    complete(session, "w", held[0]).unwrap();
    fail(session, "w", held[1]).unwrap();
    claim(session, "w", 1);
    session
        .batch_execute("drop trigger refuse on kronos_internal.live_executions; drop function refuse; drop table refused")
        .unwrap();
}

#[test]
fn dump_and_restore_keep_every_row_and_pg_cron_entry() {
    let server = Server::start();
    let mut session = server.session();
    fill(&mut session);
    // At a full hour, pg_cron would write a tick between the dump and the comparison.
    session
        .batch_execute("alter system set kronos.enabled = off")
        .unwrap();
    session.batch_execute("select pg_reload_conf()").unwrap();
    let tables = tables(&mut session);
    for table in &tables {
        assert!(!rows_of(&mut session, table).is_empty(), "{table} is empty");
    }
    let dump = run(&server, "pg_dump", &["postgres"]);

    let copy = Server::start();
    let mut restored = copy.session();
    restored
        .batch_execute(
            "drop extension kronos; drop extension pg_cron; drop schema if exists kronos",
        )
        .unwrap();
    let file = copy.socket_dir().join("dump.sql");
    std::fs::write(&file, dump).unwrap();
    let args = [
        "-d",
        "postgres",
        "-qAt",
        "-v",
        "ON_ERROR_STOP=1",
        "-f",
        file.to_str().unwrap(),
    ];
    run(&copy, "psql", &args);

    // Upkeep may have run on either server since the dump.
    for table in tables.iter().filter(|table| *table != "upkeep_steps") {
        let before = rows_of(&mut session, table);
        assert_eq!(rows_of(&mut restored, table), before, "{table}");
    }
    let names = "select coalesce(string_agg(jobname || schedule || command, ',' order by jobname), '') from cron.job";
    let [before, after]: [String; 2] =
        [&mut session, &mut restored].map(|session| session.query_one(names, &[]).unwrap().get(0));
    assert_eq!(after, before);
    // The entries point to the socket of the other server. Creating a job on a schedule repairs its entry.
    for cron in [YEARLY, "5 5 5 5 *", "0 * * * *"] {
        create(&mut restored, cron);
    }
    make_owed_ticks_due(&mut restored);
    tick(&mut restored);
    assert_sound(&mut restored);
    // The restored jobs continue: only the job created since the restore gets this year's tick.
    assert_ledger_matches_executions(&mut restored);
    make_yearly_due(&mut restored);
    let before = executions(&mut restored);
    tick(&mut restored);
    let of_new = 1;
    assert_eq!(
        executions(&mut restored),
        before + of_new,
        "no tick runs twice"
    );
}

/// Runs one of PostgreSQL's programs, which must print no message, and returns its output.
fn run(server: &Server, program: &str, args: &[&str]) -> String {
    let output = server.run_client(&bin(program), args);
    let messages = String::from_utf8_lossy(&output.stderr);
    // sudo, which runs the program if the tests run as root, may warn that it cannot resolve the host name.
    let messages: Vec<&str> = messages
        .lines()
        .filter(|line| !line.starts_with("sudo: "))
        .collect();
    assert!(
        output.status.success() && messages.is_empty(),
        "{messages:#?}"
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

// pg_cron runs in one database of a server, so it moves.
#[test]
fn dump_is_restored_into_a_database_beside_the_original() {
    let (server, mut session, job_id) = server_with_job();
    make_yearly_due(&mut session);
    tick(&mut session);
    enqueue(&mut session, 1);
    drop(session);
    let file = server.socket_dir().join("dump");
    let file = file.to_str().unwrap();
    run(&server, "pg_dump", &["-Fc", "-f", file, "postgres"]);
    run(
        &server,
        "psql",
        &["-d", "postgres", "-qc", "create database beside"],
    );
    server.restart_with(&["cron.database_name = 'beside'"]);
    run(&server, "pg_restore", &["-d", "beside", file]);
    let query = |statement: &str| run(&server, "psql", &["-d", "beside", "-Atqc", statement]);
    assert_eq!(query("select count(*) from kronos.reconcile()"), "2");
    assert_eq!(query("select problem from kronos.check()"), "");
    assert_eq!(query("select job_id from kronos.jobs"), job_id.to_string());
    query("call kronos.tick()");
    assert_eq!(
        query("select count(*) from kronos.ticks"),
        "1",
        "no tick runs twice"
    );
    assert_eq!(query("select count(*) from kronos.executions"), "2");
}

// If the extension wrote a row, the COPY of that table would fail in a restore.
#[test]
fn create_extension_writes_no_row() {
    let server = Server::start();
    let mut session = server.session();
    for table in tables(&mut session) {
        assert_eq!(rows_of(&mut session, &table), "", "{table}");
    }
    assert_eq!(count(&mut session, "select count(*) from cron.job"), 0);
    assert_sound(&mut session);
    tick(&mut session);
    upkeep(&mut session);
    assert_sound(&mut session);
}

// A number in place of a name would give the grant to whatever role has that oid on the other server.
#[test]
fn dump_leaves_out_the_grants_of_dropped_roles() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute(
            "create role kept;
             create role gone;
             select kronos.grant_workspace('kept', 'viewer', workspace => 'acme');
             select kronos.grant_workspace('gone', 'admin', workspace => 'acme');
             drop role gone",
        )
        .unwrap();
    let grants = "select count(*) from kronos_internal.workspace_grants";
    assert_eq!(count(&mut session, grants), 2);
    let dump = run(&server, "pg_dump", &["--data-only", "postgres"]);
    let copied: Vec<&str> = dump
        .lines()
        .skip_while(|line| !line.starts_with("COPY kronos_internal.workspace_grants"))
        .skip(1)
        .take_while(|line| *line != "\\.")
        .collect();
    assert_eq!(copied.len(), 1, "{copied:?}");
    assert!(copied[0].starts_with("kept\t"), "{copied:?}");
}
