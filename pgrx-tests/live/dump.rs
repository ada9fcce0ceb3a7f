//! What Kronos knows survives pg_dump.

use crate::domain::*;
use crate::server::{Server, bin};

#[test]
fn dump_and_restore_keep_jobs_executions_and_pg_cron_entries() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    let job_id = create(&mut session, YEARLY);
    create(&mut session, "5 5 5 5 *");
    make_yearly_due(&mut session);
    run_due(&mut session);
    try_update(&mut session, job_id, None).unwrap();
    session
        .batch_execute(
            "select kronos.create_payload_spec('acme', 'any', 'true');
             select kronos.update_endpoint('acme', 'hook', payload_spec => 'any');
             select kronos.create_immediate_job('acme', 'hook')",
        )
        .unwrap();
    for held in claim(&mut session, "w", 1) {
        let log = "select kronos.log_execution($1, $2, 'w', 'begun')";
        session.execute(log, &[&held.0, &held.1]).unwrap();
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
    assert!(
        psql.status.success(),
        "{}",
        String::from_utf8_lossy(&psql.stderr)
    );

    for table in [
        "workspaces",
        "payload_specs",
        "endpoints",
        "alarms",
        "schedules",
        "jobs",
        "executions",
        "attempts",
        "execution_logs",
        "pending_ticks",
    ] {
        let rows = format!(
            "select coalesce(string_agg(t::text, e'\\n' order by t::text), '') from kronos.{table} t"
        );
        let before: String = session.query_one(&rows, &[]).unwrap().get(0);
        let after: String = restored.query_one(&rows, &[]).unwrap().get(0);
        assert_eq!(after, before, "{table}");
    }
    // The entries of a server with another socket are not what pg_cron would use here: joining repairs them.
    for cron in [YEARLY, "5 5 5 5 *"] {
        create(&mut restored, cron);
    }
    assert_sound(&mut restored);
}
