//! doctor(): each finding, by the fault that causes it.

use crate::domain::*;
use crate::faked_clock::Clock;
use crate::server::{Server, wait_for};
use postgres::Client;

/// Faults: the finding, its severity, and the statements that cause it.
const FAULTS: [(&str, &str, &str); 19] = [
    (
        "step prune of upkeep fails: disk full",
        "ERROR",
        "insert into kronos_internal.upkeep_steps values (now(), 'prune', 0, '1s', 'disk full')",
    ),
    (
        "upkeep has not run for more than five minutes",
        "ERROR",
        "insert into kronos_internal.upkeep_steps values (now() - interval '6 minutes', 'tick', 0, '1s')",
    ),
    (
        "upkeep did not run for more than ten minutes: the server or pg_cron stood still, or the clock was moved forward",
        "WARNING",
        "insert into kronos_internal.upkeep_steps values (now() - interval '2 hours', 'tick', 0, '1s'), (now(), 'tick', 0, '1s')",
    ),
    (
        "the clock went back",
        "ERROR",
        "insert into kronos_internal.upkeep_steps values (now() + interval '1 hour', 'tick', 0, '1s')",
    ),
    (
        "kronos.enabled is off: no tick is written and no execution is claimed",
        "WARNING",
        "set local kronos.enabled = off",
    ),
    (
        "all pg_cron entries for schedules of minutes are in use: upkeep wakes the others, within a minute",
        "WARNING",
        "select kronos.create_cron_job('hook', '1 1 1 1 *', workspace => 'acme'),
                kronos.create_cron_job('hook', '2 2 2 2 *', workspace => 'acme')",
    ),
    (
        "few pg_cron entries for schedules of seconds are free: the next schedules will be refused",
        "WARNING",
        "insert into kronos_internal.schedules (workspace_id, cron, timezone, next_tick_at, slot, entry_cron)
         select workspace_id, n || ' seconds', 'UTC', now(), 10000 + n, '30 seconds'
         from kronos.workspaces, generate_series(1, 55) n where workspace = 'acme'",
    ),
    (
        "autovacuum is off for kronos_internal.live_executions: claims become slower with every execution that finishes",
        "ERROR",
        "alter table kronos_internal.live_executions set (autovacuum_enabled = off)",
    ),
    (
        "an unused replication slot keeps VACUUM from removing finished rows",
        "WARNING",
        "select pg_create_logical_replication_slot('forgotten', 'pgoutput')",
    ),
    (
        "the default of default_transaction_read_only works against Kronos",
        "ERROR",
        "alter database postgres set default_transaction_read_only = on",
    ),
    (
        "the default of session_replication_role works against Kronos",
        "ERROR",
        "alter role postgres set session_replication_role = replica",
    ),
    (
        "the default of row_security works against Kronos",
        "ERROR",
        "alter role postgres in database postgres set row_security = off",
    ),
    (
        "the default of kronos.workspace works against Kronos",
        "ERROR",
        "alter role postgres set kronos.workspace = 'nowhere'",
    ),
    (
        "the tables of Kronos belong to several roles",
        "ERROR",
        "create role other; alter table kronos_internal.history owner to other",
    ),
    (
        "executions have been due for more than five minutes, and no worker runs any of this type",
        "WARNING",
        "insert into kronos_internal.live_executions
             (workspace_id, endpoint_id, run_at, priority, origin, status, endpoint_type, input, metadata)
         select w.workspace_id, e.endpoint_id, now() - interval '1 hour', 5, 'ENQUEUE', 'QUEUED', 'HTTP', '{}', '{}'
         from kronos.workspaces w join kronos.endpoints e using (workspace) where workspace = 'acme'",
    ),
    (
        "check() finds 1 violations",
        "ERROR",
        "select cron.unschedule(jobid) from cron.job where schedule = '0 0 1 1 *'",
    ),
    (
        "a role that owns a pg_cron entry was dropped: pg_cron may stop firing any entry",
        "ERROR",
        "create role leaver; update cron.job set username = 'leaver' where jobname = 'kronos upkeep'; drop role leaver",
    ),
    (
        "pg_cron has more than 1000 active entries: it fires about 150 a second and stands still near 10000",
        "WARNING",
        "insert into cron.job (schedule, command, nodename, nodeport, database, username)
         select '0 0 1 1 *', 'select', 'h', 1, 'postgres', 'postgres' from generate_series(1, 1001)",
    ),
    (
        "pg_cron cannot run the entries of Kronos: permission denied",
        "ERROR",
        "insert into cron.job_run_details (jobid, command, status, return_message, start_time)
         select jobid, command, 'failed', 'permission denied', now() from cron.job where jobname = 'kronos upkeep'",
    ),
];

fn findings(session: &mut Client) -> Vec<(String, String)> {
    let statement = "select finding, severity, advice from kronos.doctor()";
    let rows = session.query(statement, &[]).unwrap();
    let found = rows.iter().map(|row| {
        assert!(!row.get::<_, String>(2).is_empty());
        (row.get(0), row.get(1))
    });
    found.collect()
}

#[test]
fn every_fault_is_a_finding_and_a_sound_server_has_none() {
    let server = Server::start_with(&["wal_level = logical", "kronos.max_entries = 2"]);
    let mut session = server.session();
    create_acme(&mut session);
    create(&mut session, YEARLY);
    for (finding, severity, fault) in FAULTS {
        assert_eq!(findings(&mut session), [], "before: {finding}");
        // What a fault inserts about upkeep would otherwise be compared with the real runs.
        session
            .batch_execute("begin; delete from kronos_internal.upkeep_steps")
            .unwrap();
        session.batch_execute(fault).unwrap();
        let found = findings(&mut session);
        let expected = (finding.to_owned(), severity.to_owned());
        assert!(found.contains(&expected), "{finding}: {found:#?}");
        session.batch_execute("rollback").unwrap();
        if finding.contains("replication slot") {
            session
                .batch_execute("select pg_drop_replication_slot('forgotten')")
                .unwrap();
        }
    }
    session
        .batch_execute("alter system set autovacuum = off")
        .unwrap();
    session.batch_execute("select pg_reload_conf()").unwrap();
    wait_for("the finding", || {
        findings(&mut session)
            .iter()
            .any(|found| found.0.starts_with("autovacuum is off:"))
    });
}

#[test]
fn doctor_names_transactions_that_keep_vacuum_from_its_work() {
    let (clock, server) = Clock::start_server(1_800_000_000, &["max_prepared_transactions = 2"]);
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute("begin; create table prepared (); prepare transaction 'forgotten'")
        .unwrap();
    let mut holder = server.session();
    holder
        .batch_execute("begin isolation level repeatable read; select from kronos.jobs")
        .unwrap();
    assert_eq!(findings(&mut session), []);
    clock.set(1_800_000_000 + 11 * 60);
    let expected = [
        "a prepared transaction keeps VACUUM from removing finished rows",
        "a transaction that has been open for more than ten minutes keeps VACUUM from removing finished rows",
    ];
    let mut found: Vec<String> = findings(&mut session)
        .into_iter()
        .map(|found| found.0)
        .collect();
    found.sort();
    assert_eq!(found, expected);
    session
        .batch_execute("rollback prepared 'forgotten'")
        .unwrap();
    holder.batch_execute("rollback").unwrap();
    assert_eq!(findings(&mut session), []);
}

#[test]
fn doctor_says_how_to_load_pg_cron() {
    let (server, session, _) = server_with_job();
    drop(session);
    for (setting, finding) in [
        (
            "shared_preload_libraries = ''",
            "pg_cron is not loaded by the server",
        ),
        (
            "cron.database_name = 'template1'",
            "pg_cron runs in another database",
        ),
    ] {
        server.restart_with(&[setting]);
        let found = findings(&mut server.session());
        assert!(
            found.contains(&(finding.into(), "ERROR".into())),
            "{found:#?}"
        );
    }
}

// Both wait for the same minute.
#[test]
fn doctor_says_why_pg_cron_cannot_run_the_entries() {
    let servers = [
        Server::start_with(&["cron.host = '/nowhere'"]),
        Server::start_with(&[
            "cron.use_background_workers = on",
            "max_worker_processes = 2",
        ]),
    ];
    let mut sessions = servers.each_ref().map(Server::session);
    for session in &mut sessions {
        create_acme(session);
    }
    let too_small = "max_worker_processes is too small for kronos.max_sql_workers beside pg_cron";
    let says_so = |session: &mut Client| {
        let found = findings(session);
        found.contains(&(too_small.into(), "WARNING".into()))
    };
    assert!(!says_so(&mut sessions[1]), "nobody needs SQL workers");
    let statement = "select kronos.create_endpoint('clock', 'SQL', '{\"statement\": \"select now()\"}', workspace => 'acme')";
    for session in &mut sessions {
        session.batch_execute(statement).unwrap();
    }
    assert_eq!(sessions.each_mut().map(says_so), [false, true]);
    for (session, finding) in sessions.iter_mut().zip([
        "pg_cron cannot run the entries of Kronos: connection failed",
        "no background worker is free for pg_cron",
    ]) {
        let mut found = vec![];
        wait_for(finding, || {
            found = findings(session);
            found.iter().any(|found| found.0.starts_with(finding))
        });
    }
}
