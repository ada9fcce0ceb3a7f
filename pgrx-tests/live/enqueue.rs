//! Concurrent calls that enqueue one-shots.

use crate::domain::*;
use crate::server::{Server, wait_for};
use std::thread;
use uuid::Uuid;

/// Invariant 3.
#[test]
fn one_shot_commits_with_the_callers_writes_or_not_at_all() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute("create table orders (execution_id uuid)")
        .unwrap();
    let order =
        "insert into orders select execution_id from kronos.enqueue('hook', workspace => 'acme')";
    let mut transaction = session.transaction().unwrap();
    transaction.batch_execute(order).unwrap();
    transaction.rollback().unwrap();
    let rows =
        "select (select count(*) from orders) + (select count(*) from kronos.execution_details)";
    assert_eq!(count(&mut session, rows), 0);
    session.batch_execute(order).unwrap();
    assert_eq!(count(&mut session, rows), 2);
}

#[test]
fn concurrent_enqueues_with_the_same_key_create_one_execution() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let call = "select execution_id, created from kronos.enqueue('hook', idempotency_key => 'k', workspace => 'acme')";
    for first_commits in [true, false] {
        let mut first = session.transaction().unwrap();
        let first_id: Uuid = first.query_one(call, &[]).unwrap().get(0);
        let mut other = server.session();
        let pid = backend_pid(&mut other);
        let later = thread::spawn(move || {
            let row = other.query_one(call, &[]).unwrap();
            (row.get::<_, Uuid>(0), row.get::<_, bool>(1))
        });
        wait_for("the other session to wait for the key", || {
            is_waiting(&mut server.session(), pid)
        });
        if first_commits {
            first.commit().unwrap();
        } else {
            first.rollback().unwrap();
        }
        let (found, created) = later.join().unwrap();
        assert_eq!(
            (found == first_id, created),
            (first_commits, !first_commits)
        );
        assert_eq!(executions(&mut session), 1);
        session
            .batch_execute(
                "truncate kronos_internal.live_executions, kronos_internal.idempotency_keys",
            )
            .unwrap();
    }
}

#[test]
fn lists_with_the_same_keys_in_opposite_orders_do_not_deadlock() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let call = |order: &str| {
        format!(
            "select count(*) from kronos.enqueue_many(
                 (select jsonb_agg(jsonb_build_object('endpoint', 'hook', 'idempotency_key', n::text) order by n {order})
                  from generate_series(1, 500) n), workspace => 'acme')"
        )
    };
    for _ in 0..5 {
        let threads = ["asc", "desc"].map(|order| {
            let (mut session, statement) = (server.session(), call(order));
            thread::spawn(move || count(&mut session, &statement))
        });
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 500);
        }
        assert_eq!(executions(&mut session), 500);
        session
            .batch_execute(
                "truncate kronos_internal.live_executions, kronos_internal.idempotency_keys",
            )
            .unwrap();
    }
}

#[test]
fn one_call_enqueues_at_most_ten_thousand_executions() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    enqueue(&mut session, 10_000);
    let queued = "select count(*) from kronos.executions where status = 'QUEUED'";
    assert_eq!(count(&mut session, queued), 10_000);
    let too_many = "select kronos.enqueue_many((select jsonb_agg('{\"endpoint\": \"hook\"}'::jsonb) from generate_series(1, 10001)),
                                               workspace => 'acme')";
    assert_code(session.execute(too_many, &[]), "INVALID_ARGUMENT");
}

#[test]
fn times_of_a_list_do_not_depend_on_the_sessions_settings() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let call = "select run_at = '2100-02-01T03:00:00Z' from kronos.enqueue_many(
                    '[{\"endpoint\": \"hook\", \"run_at\": \"2100-02-01T04:00:00+01:00\"}]', workspace => 'acme')";
    for settings in [
        "set timezone = 'America/New_York'; set datestyle = 'SQL, DMY'",
        "set timezone = 'Asia/Tokyo'; set datestyle = 'German, MDY'",
    ] {
        session.batch_execute(settings).unwrap();
        assert!(session.query_one(call, &[]).unwrap().get::<_, bool>(0));
        for time in [
            "2100-02-01",
            "2100-02-01 04:00",
            "01/02/2100",
            "infinity",
            "tomorrow",
        ] {
            let refused = format!(
                "select kronos.enqueue_many('[{{\"endpoint\": \"hook\", \"run_at\": \"{time}\"}}]', workspace => 'acme')"
            );
            assert_code(session.execute(&refused, &[]), "INVALID_ARGUMENT");
        }
    }
}

#[test]
fn changed_schema_applies_in_every_session_at_once_and_a_rolled_back_change_in_none() {
    let server = Server::start();
    let (mut one, mut other) = (server.session(), server.session());
    create_acme(&mut one);
    one.batch_execute(
        "select kronos.create_payload_spec('order', '{\"type\": \"integer\"}', workspace => 'acme');
         select kronos.create_endpoint('orders', 'HTTP', payload_spec => 'order', workspace => 'acme')",
    )
    .unwrap();
    fn accepts(session: &mut postgres::Client) -> (bool, bool) {
        let mut try_input = |input: &str| {
            let call = format!("select kronos.enqueue('orders', '{input}', workspace => 'acme')");
            match session.batch_execute(&call) {
                Ok(()) => true,
                Err(error) => {
                    assert_code::<()>(Err(error), "INVALID_INPUT");
                    false
                }
            }
        };
        (try_input("1"), try_input("\"x\""))
    }
    assert_eq!(
        (accepts(&mut one), accepts(&mut other)),
        ((true, false), (true, false))
    );
    let to_string =
        "select kronos.update_payload_spec('order', '{\"type\": \"string\"}', workspace => 'acme')";
    one.batch_execute(&format!("begin; {to_string}")).unwrap();
    one.batch_execute("select kronos.enqueue('orders', '\"x\"', workspace => 'acme')")
        .unwrap();
    assert_eq!(
        accepts(&mut other),
        (true, false),
        "the change has not committed"
    );
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
