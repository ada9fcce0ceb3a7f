//! Every SQL block of README and of the pages in docs/ works as printed, in the order of its page.

use crate::domain::{assert_sound, count};
use crate::server::{Server, bin};

const README: &str = include_str!("../../README.md");
const GUIDE: &str = include_str!("../../docs/guide.md");
const WORKERS: &str = include_str!("../../docs/workers.md");
const TIME: &str = include_str!("../../docs/time.md");
const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// The SQL blocks of a page.
fn blocks(page: &str) -> String {
    page.split("```sql\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```"))
        .map(|(block, _)| block)
        .collect()
}

/// Runs SQL in psql, one statement after the other, and returns the errors that the server raised.
fn errors_of(server: &Server, sql: &str) -> Vec<String> {
    let file = server.socket_dir().join("example.sql");
    std::fs::write(&file, sql).unwrap();
    let output = server.run_client(
        &bin("psql"),
        &["-X", "-d", "postgres", "-f", file.to_str().unwrap()],
    );
    String::from_utf8(output.stderr)
        .unwrap()
        .lines()
        .filter(|line| line.contains("ERROR:"))
        .map(str::to_owned)
        .collect()
}

/// Starts Kronos, runs the blocks of a page, and returns the errors that they raised.
fn errors_of_page(server: &Server, page: &str) -> Vec<String> {
    let start = "select kronos.start();\n".to_owned();
    errors_of(server, &(start + &blocks(page)))
}

#[test]
fn readme_examples_work_as_printed() {
    let server = Server::start();
    assert_eq!(errors_of_page(&server, README), Vec::<String>::new());
    let mut session = server.session();
    let committed = "select count(*) from kronos.jobs j join customers c on c.report_job = j.job_id
                     where c.name = 'Ada' and j.job_name = 'report to Ada'";
    assert_eq!(count(&mut session, committed), 1);
    assert_sound(&mut session);
}

#[test]
fn guide_examples_work_as_printed() {
    let server = Server::start();
    let mut session = server.session();

    let errors = errors_of_page(&server, GUIDE);
    assert_eq!(
        errors.len(),
        2,
        "only the errors that the guide shows: {errors:?}"
    );
    assert!(
        errors[0].ends_with("\"0 0 30 2 *\" never fires")
            && errors[1].contains("input does not satisfy payload spec \"order\""),
        "{errors:?}"
    );
    let tour = "select count(*) from kronos.jobs where job_name = 'renew 1' and version = 2 and status = 'RETIRED'";
    assert_eq!(count(&mut session, tour), 1);
    let delivered = "select count(distinct origin) from kronos.execution_details
                     where origin in ('TICK', 'TRIGGER') and status = 'SUCCEEDED' and output = '{\"sent\": true}'";
    assert_eq!(count(&mut session, delivered), 2);
    let one_shots = "select count(*) from kronos.execution_details where origin = 'ENQUEUE' and endpoint_type <> 'SQL' and status in ('QUEUED', 'PENDING')";
    assert_eq!(count(&mut session, one_shots), 6);
    let backfilled = "select count(*) from kronos.execution_details where origin = 'BACKFILL'";
    assert_eq!(count(&mut session, backfilled), 2);
    let deployed = "select count(*) from kronos.job_details where declared_by = 'billing team' and status = 'ACTIVE'";
    assert_eq!(count(&mut session, deployed), 2);
    assert_sound(&mut session);
}

#[test]
fn worker_and_time_examples_work_as_printed() {
    let server = Server::start();
    assert_eq!(errors_of_page(&server, WORKERS), Vec::<String>::new());
    assert_eq!(errors_of_page(&server, TIME), Vec::<String>::new());
    let mut session = server.session();
    let succeeded = "select count(*) from kronos.executions where status = 'SUCCEEDED'";
    assert_eq!(count(&mut session, succeeded), 2);
    let credited = "select sum(amount) from credits";
    assert_eq!(count(&mut session, credited), 10);
    assert_sound(&mut session);
}

#[test]
fn operations_examples_work_as_printed() {
    let server = Server::start();
    let mut session = server.session();
    session.batch_execute("create role app").unwrap();
    assert_eq!(errors_of_page(&server, OPERATIONS), Vec::<String>::new());
    session
        .batch_execute("select kronos.grant_workspace('app', 'viewer')")
        .unwrap();
    session.batch_execute("set role app").unwrap();
    assert_eq!(
        count(
            &mut session,
            "select count(*) from kronos.jobs where status = 'ACTIVE'"
        ),
        3,
        "a role with a grant reads the views"
    );
    let retried = "select count(*) from kronos.execution_details where retried_at is not null";
    assert_eq!(count(&mut session, retried), 3);
    session.batch_execute("reset role").unwrap();
    assert_sound(&mut session);
}

/// As docs/workers.md promises.
#[test]
fn effects_of_a_worker_commit_with_its_report_or_not_at_all() {
    let server = Server::start();
    let mut worker = server.session();
    let mut other = server.session();
    worker
        .batch_execute(
            "select kronos.start();
             select kronos.create_endpoint('sql', 'LEDGER');
             select kronos.enqueue_many('[{\"endpoint\": \"sql\"}, {\"endpoint\": \"sql\"}, {\"endpoint\": \"sql\"}]');
             create table effects (execution_id uuid);",
        )
        .unwrap();
    let claimed = worker
        .query(
            "select execution_id::text, attempt from kronos.claim_executions('w', 3)",
            &[],
        )
        .unwrap();
    let ids: Vec<String> = claimed.iter().map(|row| row.get(0)).collect();
    let complete = |id: &str| {
        format!(
            "insert into effects values ('{id}'); select kronos.complete_execution('{id}', 1, 'w')"
        )
    };
    let heartbeat = |id: &str| {
        format!(
            "select kronos.heartbeat_executions('w', '[{{\"execution_id\": \"{id}\", \"attempt\": 1}}]')"
        )
    };
    let effects = |session: &mut postgres::Client, id: &str| {
        count(
            session,
            &format!("select count(*) from effects where execution_id = '{id}'"),
        )
    };

    // READ COMMITTED: the effect and the report commit together, despite a heartbeat in between.
    worker.batch_execute("begin; select 1").unwrap();
    other.batch_execute(&heartbeat(&ids[0])).unwrap();
    worker.batch_execute(&complete(&ids[0])).unwrap();
    assert_eq!(effects(&mut other, &ids[0]), 0);
    worker.batch_execute("commit").unwrap();
    assert_eq!(effects(&mut other, &ids[0]), 1);

    // A worker that has lost its lease leaves no effect.
    other
        .batch_execute(&format!(
            "select kronos.release_execution('{}', 1, 'w')",
            ids[1]
        ))
        .unwrap();
    worker.batch_execute("begin").unwrap();
    let refused = worker.batch_execute(&complete(&ids[1]));
    crate::domain::assert_code(refused, "LEASE_LOST");
    worker.batch_execute("commit").unwrap();
    assert_eq!(effects(&mut other, &ids[1]), 0);

    // REPEATABLE READ: a heartbeat that the snapshot does not show makes the report fail with 40001.
    worker
        .batch_execute("begin isolation level repeatable read; select 1")
        .unwrap();
    other.batch_execute(&heartbeat(&ids[2])).unwrap();
    let error = worker.batch_execute(&complete(&ids[2])).unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("40001"));
    worker.batch_execute("rollback").unwrap();
    assert_eq!(effects(&mut other, &ids[2]), 0);
}

#[test]
fn transaction_that_enqueues_can_be_prepared_with_notify_off() {
    let server = Server::start_with(&["max_prepared_transactions = 5"]);
    let mut session = server.session();
    session
        .batch_execute("select kronos.start(); select kronos.create_endpoint('hook', 'HTTP')")
        .unwrap();

    let refused =
        session.batch_execute("begin; select kronos.enqueue('hook'); prepare transaction 'loud'");
    let error = refused.unwrap_err();
    assert_eq!(
        error.code().map(|code| code.code()),
        Some("0A000"),
        "{error}"
    );
    session.batch_execute("rollback").unwrap();

    session
        .batch_execute(
            "begin;
             set local kronos.notify_workers = off;
             select kronos.enqueue('hook');
             select kronos.create_cron_job('hook', '0 9 * * *');
             prepare transaction 'silent'",
        )
        .unwrap();
    session.batch_execute("commit prepared 'silent'").unwrap();
    assert_eq!(
        count(&mut session, "select count(*) from kronos.executions"),
        1
    );
    assert_eq!(count(&mut session, "select count(*) from kronos.jobs"), 1);
    assert_sound(&mut session);
}
