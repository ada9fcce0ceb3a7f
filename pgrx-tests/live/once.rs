//! One-shot jobs, endpoints and payload specs, where sessions meet.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::Client;
use std::thread;
use uuid::Uuid;

/// Invariant 3.
#[test]
fn one_shot_job_commits_with_the_callers_writes_or_not_at_all() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    session
        .batch_execute("create table orders (job_id uuid)")
        .unwrap();
    let order = "insert into orders select job_id from kronos.create_immediate_job('acme', 'hook')";
    let mut undone = session.transaction().unwrap();
    undone.batch_execute(order).unwrap();
    undone.rollback().unwrap();
    let left = "select (select count(*) from orders) + (select count(*) from kronos.jobs) + (select count(*) from kronos.executions)";
    assert_eq!(count(&mut session, left), 0);
    session.batch_execute(order).unwrap();
    assert_eq!(count(&mut session, left), 3);
    assert_sound(&mut session);
}

#[test]
fn sessions_with_the_same_key_at_once_make_one_job() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    let call =
        "select job_id from kronos.create_immediate_job('acme', 'hook', idempotency_key => 'k')";
    for first_commits in [true, false] {
        let mut first = session.transaction().unwrap();
        let made: Uuid = first.query_one(call, &[]).unwrap().get(0);
        let mut other = server.session();
        let pid = backend_pid(&mut other);
        let later = thread::spawn(move || other.query_one(call, &[]).unwrap().get::<_, Uuid>(0));
        wait_for("the other session to wait for the key", || {
            is_waiting(&mut server.session(), pid)
        });
        if first_commits {
            first.commit().unwrap();
        } else {
            first.rollback().unwrap();
        }
        let found = later.join().unwrap();
        assert_eq!(found == made, first_commits);
        assert_eq!(count(&mut session, "select count(*) from kronos.jobs"), 1);
        session
            .batch_execute("truncate kronos.executions cascade; delete from kronos.jobs")
            .unwrap();
    }
}

#[test]
fn ten_thousand_jobs_are_made_in_one_call() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    make_one_shots(&mut session, 10_000);
    let whole = "select count(*) from kronos.jobs j join kronos.executions x using (job_id) where x.status = 'QUEUED'";
    assert_eq!(count(&mut session, whole), 10_000);
    assert_sound(&mut session);
}

/// Whatever the isolation level and whoever is first, no live job is left on a deleted endpoint.
#[test]
fn endpoint_is_not_deleted_under_a_job_that_is_being_made() {
    let server = Server::start();
    for level in ["read committed", "repeatable read", "serializable"] {
        for deletes_first in [true, false] {
            let mut session = server.session();
            let name = format!("{level} {deletes_first}");
            let workspace = [name.clone()];
            session
                .execute("select kronos.create_workspace($1)", &[&workspace[0]])
                .unwrap();
            session
                .execute(
                    "select kronos.create_endpoint($1, 'hook', 'HTTP')",
                    &[&name],
                )
                .unwrap();
            let delete = "select kronos.delete_endpoint($1, 'hook')";
            let create = "select kronos.create_immediate_job($1, 'hook')";
            let (first, second) = if deletes_first {
                (delete, create)
            } else {
                (create, delete)
            };
            let begin = format!("begin isolation level {level}; select count(*) from kronos.jobs");
            let (mut one, mut other) = (server.session(), server.session());
            one.batch_execute(&begin).unwrap();
            other.batch_execute(&begin).unwrap();
            one.execute(first, &[&name]).unwrap();
            let pid = backend_pid(&mut other);
            let later = {
                let name = name.clone();
                thread::spawn(move || {
                    let outcome = other.execute(second, &[&name]).map(|_| ());
                    outcome.and_then(|()| other.batch_execute("commit"))
                })
            };
            wait_for("the other session to wait", || {
                is_waiting(&mut session, pid)
            });
            one.batch_execute("commit").unwrap();
            let error = later.join().unwrap().expect_err("only one of them can be");
            let told = db_error(&error);
            let code = told.code().code();
            let detail = told.detail().unwrap_or_default();
            let expected = if deletes_first {
                "ENDPOINT_NOT_FOUND"
            } else {
                "ENDPOINT_IN_USE"
            };
            assert!(
                detail.contains(expected) || code == "40001",
                "{name}: {told:?}"
            );
            let orphans =
                "select count(*) from kronos.jobs j join kronos.endpoints e using (endpoint_id)
                           where j.status <> 'RETIRED' and e.deleted_at is not null";
            assert_eq!(count(&mut session, orphans), 0, "{name}");
        }
    }
}

fn try_input(session: &mut Client, input: &str) -> bool {
    let statement = format!("select kronos.create_immediate_job('acme', 'orders', '{input}')");
    match session.batch_execute(&statement) {
        Ok(()) => true,
        Err(error) => {
            assert_code::<()>(Err(error), "INPUT_INVALID");
            false
        }
    }
}

#[test]
fn changed_schema_counts_in_every_session_at_once_and_a_rolled_back_one_in_none() {
    let server = Server::start();
    let (mut one, mut other) = (server.session(), server.session());
    make_acme(&mut one);
    one.batch_execute(
        "select kronos.create_payload_spec('acme', 'order', '{\"type\": \"integer\"}');
         select kronos.create_endpoint('acme', 'orders', 'HTTP', payload_spec => 'order')",
    )
    .unwrap();
    let accepts = |session: &mut Client| (try_input(session, "1"), try_input(session, "\"x\""));
    assert_eq!(
        (accepts(&mut one), accepts(&mut other)),
        ((true, false), (true, false))
    );

    let to_string = "select kronos.update_payload_spec('acme', 'order', '{\"type\": \"string\"}')";
    one.batch_execute("begin").unwrap();
    one.batch_execute(to_string).unwrap();
    one.batch_execute("select kronos.create_immediate_job('acme', 'orders', '\"x\"')")
        .unwrap();
    assert_eq!(accepts(&mut other), (true, false), "not committed");
    one.batch_execute("rollback").unwrap();
    assert_eq!(
        (accepts(&mut one), accepts(&mut other)),
        ((true, false), (true, false))
    );

    one.batch_execute(to_string).unwrap();
    assert_eq!(
        (accepts(&mut one), accepts(&mut other)),
        ((false, true), (false, true))
    );
}

/// Makes what has ended look as if it had been made and had ended long ago.
fn age(session: &mut Client, days: i32) {
    session
        .batch_execute(&format!(
            "set session_replication_role = replica;
             create temporary table aged as
                 select execution_id, kronos.uuid_v7_at(now() - interval '{days} days' + row_number() over () * interval '1 ms') as aged_id
                 from kronos.executions;
             update kronos.attempts x set execution_id = aged_id from aged where x.execution_id = aged.execution_id;
             update kronos.execution_logs x set execution_id = aged_id from aged where x.execution_id = aged.execution_id;
             update kronos.executions x
             set execution_id = aged_id, finished_at = finished_at - interval '{days} days'
             from aged where x.execution_id = aged.execution_id;
             update kronos.jobs set retired_at = retired_at - interval '{days} days';
             update kronos.endpoints set deleted_at = deleted_at - interval '{days} days';
             drop table aged;
             reset session_replication_role"
        ))
        .unwrap();
}

#[test]
fn prune_deletes_in_batches_what_is_older_than_the_workspace_keeps_it() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    session
        .batch_execute(
            "select kronos.set_retention('acme', executions => '5 days', jobs => '15 days');
             select kronos.create_endpoint('acme', 'old', 'HTTP');
             select kronos.create_immediate_job('acme', 'old')",
        )
        .unwrap();
    let cron_job = create(&mut session, YEARLY);
    let cron_job = try_update(&mut session, cron_job, None).unwrap();
    try_update(&mut session, cron_job, None).unwrap();
    make_one_shots(&mut session, 29);
    for held in claim(&mut session, "w", 100) {
        let log = "select kronos.log_execution($1, $2, 'w', 'done')";
        session.execute(log, &[&held.0, &held.1]).unwrap();
        complete(&mut session, "w", held).unwrap();
    }
    session
        .batch_execute("select kronos.delete_endpoint('acme', 'old')")
        .unwrap();
    make_one_shots(&mut session, 1);
    let prune = |session: &mut Client, max: i64| -> (i64, i64, i64) {
        let row = session
            .query_one("select * from kronos.prune($1)", &[&max])
            .unwrap();
        (row.get(0), row.get(1), row.get(2))
    };
    let left = |session: &mut Client, table: &str| {
        count(session, &format!("select count(*) from kronos.{table}"))
    };
    age(&mut session, 4);
    assert_eq!(prune(&mut session, 1000), (0, 0, 0));
    age(&mut session, 6);
    assert_eq!(prune(&mut session, 20), (20, 0, 0));
    assert_eq!(prune(&mut session, 20), (10, 0, 0));
    assert_eq!(left(&mut session, "executions"), 1, "one that waits");
    assert_eq!(
        left(&mut session, "attempts") + left(&mut session, "execution_logs"),
        0
    );
    age(&mut session, 11);
    assert_eq!(
        prune(&mut session, 1000),
        (0, 31, 1),
        "30 one-shot jobs, and the oldest version of the cron job"
    );
    assert_eq!(prune(&mut session, 1000), (0, 1, 0), "the next one");
    assert_eq!(prune(&mut session, 1000), (0, 0, 0));
    assert_eq!(left(&mut session, "jobs"), 2, "what lives");
    assert_sound(&mut session);
}

#[test]
fn prune_deletes_old_rows_of_pg_crons_history_that_are_kronoss_own() {
    let server = Server::start();
    let mut session = server.session();
    session
        .batch_execute(
            "insert into cron.job_run_details (jobid, runid, database, username, command, end_time)
             select 1, n, current_database(), current_user, command, now() - days * interval '1 day'
             from (values (1, 'SELECT kronos.run_due()', 8), (2, 'SELECT kronos.run_due()', 9),
                          (3, 'SELECT kronos.run_due()', 6), (4, 'VACUUM', 9)) r (n, command, days)",
        )
        .unwrap();
    let pruned = "select pg_cron_runs from kronos.prune(1)";
    assert_eq!([(); 3].map(|()| count(&mut session, pruned)), [1, 1, 0]);
    let left = "select sum(runid)::bigint from cron.job_run_details";
    assert_eq!(count(&mut session, left), 7);
}
