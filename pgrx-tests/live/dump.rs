//! What Kronos knows survives pg_dump.

use crate::domain::*;
use crate::server::{Server, bin};
use postgres::Client;

/// The tables with data, in the order of their names.
fn tables(session: &mut Client) -> Vec<String> {
    let statement = "select relname::text from pg_class
                     where relnamespace = 'kronos_internal'::regnamespace and relkind = 'r' order by 1";
    let rows = session.query(statement, &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn rows_of(session: &mut Client, table: &str) -> String {
    let rows = format!(
        "select coalesce(string_agg(t::text, e'\\n' order by t::text), '') from kronos_internal.{table} t"
    );
    session.query_one(&rows, &[]).unwrap().get(0)
}

/// Leaves at least one row in every table.
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
             select kronos.update_endpoint('hook', payload_spec => 'any', workspace => 'acme');
             select kronos.enqueue('hook', idempotency_key => 'once', workspace => 'acme');
             select kronos.enqueue('hook', workspace => 'acme')",
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

// Design 5: CREATE EXTENSION writes no row, or the restore's COPY would fail whole.
#[test]
fn dump_and_restore_keep_every_row_and_pg_cron_entry() {
    let server = Server::start();
    let mut session = server.session();
    fill(&mut session);
    let tables = tables(&mut session);
    for table in &tables {
        assert!(!rows_of(&mut session, table).is_empty(), "{table} is empty");
    }
    let dump = server.run_client(&bin("pg_dump"), &["postgres"]);
    assert!(
        dump.status.success(),
        "{}",
        String::from_utf8_lossy(&dump.stderr)
    );

    let copy = Server::start();
    let mut restored = copy.session();
    restored
        .batch_execute(
            "drop extension kronos; drop extension pg_cron; drop schema if exists kronos",
        )
        .unwrap();
    let file = copy.socket_dir().join("dump.sql");
    std::fs::write(&file, dump.stdout).unwrap();
    let psql = copy.run_client(
        &bin("psql"),
        &[
            "-d",
            "postgres",
            "-v",
            "ON_ERROR_STOP=1",
            "-f",
            file.to_str().unwrap(),
        ],
    );
    let told = String::from_utf8_lossy(&psql.stderr);
    // sudo, by which the tests of root become user postgres, warns of a host without a name.
    let told: Vec<&str> = told
        .lines()
        .filter(|line| !line.starts_with("sudo: "))
        .collect();
    assert!(psql.status.success() && told.is_empty(), "{told:#?}");

    // Upkeep may have run on either server since the dump.
    for table in tables.iter().filter(|table| *table != "upkeep_runs") {
        let before = rows_of(&mut session, table);
        assert_eq!(rows_of(&mut restored, table), before, "{table}");
    }
    let names = "select coalesce(string_agg(jobname || schedule || command, ',' order by jobname), '') from cron.job";
    let [before, after]: [String; 2] =
        [&mut session, &mut restored].map(|session| session.query_one(names, &[]).unwrap().get(0));
    assert_eq!(after, before);
    // The entries of a server with another socket are not what pg_cron would fire here: joining repairs them.
    for cron in [YEARLY, "5 5 5 5 *", "0 * * * *"] {
        create(&mut restored, cron);
    }
    make_owed_ticks_due(&mut restored);
    tick(&mut restored);
    assert_sound(&mut restored);
    // And a job there goes on as here: its next tick, its ledger, its executions.
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

// Design 5, 11: both tables and pg_cron are empty until the first call.
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
