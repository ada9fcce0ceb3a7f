//! CREATE EXTENSION and DROP EXTENSION.

use crate::domain::*;
use crate::server::{Server, bin};
use postgres::Client;

fn all_entries(session: &mut Client) -> i64 {
    count(session, "select count(*) from cron.job")
}

/// The error of a call of psql in a database, and how it ended.
fn psql(server: &Server, database: &str, statement: &str) -> (bool, String) {
    let output = server.run_client(&bin("psql"), &["-X", "-d", database, "-c", statement]);
    let error = String::from_utf8_lossy(&output.stderr);
    let lines = error.lines().filter(|line| !line.starts_with("sudo: "));
    (
        output.status.success(),
        lines.collect::<Vec<_>>().join("\n"),
    )
}

// Invariant 2.
#[test]
fn drop_extension_removes_its_entries_in_its_transaction() {
    let (server, mut session, _) = server_with_job();
    session
        .batch_execute("select cron.schedule('somebody else''s', '0 0 1 1 *', 'select 1')")
        .unwrap();
    assert_eq!(all_entries(&mut session), 3);
    // This session has not called Kronos yet, so it has not loaded the library.
    let mut fresh = server.session();
    let mut transaction = fresh.transaction().unwrap();
    transaction.batch_execute("drop extension kronos").unwrap();
    assert_eq!(count(&mut transaction, "select count(*) from cron.job"), 1);
    transaction.rollback().unwrap();
    assert_eq!(all_entries(&mut session), 3);
    assert_sound(&mut session);
    fresh.batch_execute("drop extension kronos").unwrap();
    assert_eq!(all_entries(&mut session), 1);
    // The session that has used the dropped extension uses the new one.
    session.batch_execute("create extension kronos").unwrap();
    create_acme(&mut session);
    create(&mut session, YEARLY);
    assert_eq!(all_entries(&mut session), 3);
    assert_sound(&mut session);
    tick_without_waiting(&server);
}

// Invariant 2.
#[test]
fn every_command_that_drops_the_extension_removes_its_entries() {
    for command in [
        "drop extension kronos cascade",
        "drop owned by boss cascade",
        "do $$ begin execute 'drop extension kronos'; end $$",
    ] {
        let server = Server::start();
        let mut session = server.session();
        session
            .batch_execute(
                "drop extension kronos;
                 create role boss superuser;
                 set role boss;
                 create extension kronos;",
            )
            .unwrap();
        create_acme(&mut session);
        create(&mut session, YEARLY);
        session.batch_execute("reset role").unwrap();
        assert_eq!(all_entries(&mut session), 2);
        server.session().batch_execute(command).unwrap();
        assert_eq!(all_entries(&mut session), 0, "{command}");
    }
}

#[test]
fn dropping_pg_cron_drops_kronos() {
    let (server, _, _) = server_with_job();
    let mut session = server.session();
    session
        .batch_execute("drop extension pg_cron cascade")
        .unwrap();
    let left = "select count(*) from pg_extension where extname in ('kronos', 'pg_cron')";
    assert_eq!(count(&mut session, left), 0);
}

// A stranger must not get a superuser to call the stranger's procedure.
#[test]
fn entry_that_outlives_the_extension_does_nothing() {
    let (_server, mut session, _) = server_with_job();
    session
        .batch_execute("create table kept as select jobname, schedule, command from cron.job; drop extension kronos")
        .unwrap();
    session
        .batch_execute(
            "create table sprung (n integer);
             create schema kronos;
             create procedure kronos.tick() language sql as 'insert into sprung values (1)';
             create procedure kronos.upkeep() language sql as 'insert into sprung values (1)'",
        )
        .unwrap();
    let commands = session.query("select command from kept", &[]).unwrap();
    assert_eq!(commands.len(), 2);
    for row in commands {
        session.batch_execute(row.get(0)).unwrap();
    }
    assert_eq!(count(&mut session, "select count(*) from sprung"), 0);
}

#[test]
fn create_extension_refuses_a_schema_that_exists() {
    let server = Server::start();
    let mut session = server.session();
    session.batch_execute("drop extension kronos").unwrap();
    for schema in ["kronos", "kronos_internal"] {
        session
            .batch_execute(&format!("create schema {schema}"))
            .unwrap();
        let error = session
            .batch_execute("create extension kronos")
            .unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42P06");
        session
            .batch_execute(&format!("drop schema {schema}"))
            .unwrap();
    }
    session.batch_execute("create extension kronos").unwrap();
}

#[test]
fn create_extension_refuses_a_database_that_is_not_utf8() {
    let server = Server::start_with(&["cron.database_name = 'ascii'"]);
    let statement = "create database ascii encoding 'SQL_ASCII' template template0 locale 'C'";
    assert_eq!(psql(&server, "template1", statement), (true, String::new()));
    let (created, error) = psql(&server, "ascii", "create extension kronos cascade");
    assert!(!created);
    assert!(
        error.contains("ERROR:  kronos needs a database whose encoding is UTF8, not SQL_ASCII"),
        "{error}"
    );
}
