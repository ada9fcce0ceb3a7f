//! Paused endpoints: nothing of theirs is claimed, and nothing else waits for them.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::fallible_iterator::FallibleIterator;
use postgres::{Client, Error, GenericClient};
use std::time::Duration;

fn try_pause(session: &mut impl GenericClient) -> Result<(), Error> {
    let call = "select paused_by from kronos.pause_endpoint('hook', reason => 'maintenance', workspace => 'acme')";
    session.query_one(call, &[]).map(|_| ())
}

fn try_resume(session: &mut impl GenericClient) -> Result<(), Error> {
    let call = "select paused_at from kronos.resume_endpoint('hook', workspace => 'acme')";
    session.query_one(call, &[]).map(|_| ())
}

/// Starts a server with workspace `acme` and endpoints `hook` and `free`.
fn server() -> (Server, Client) {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute("select kronos.create_endpoint('free', 'HTTP', workspace => 'acme')")
        .unwrap();
    (server, session)
}

#[test]
fn nothing_of_a_paused_endpoint_is_claimed_until_it_is_resumed() {
    let (server, mut session) = server();
    enqueue(&mut session, 3);
    let held = claim(&mut session, "w", 1);
    try_pause(&mut session).unwrap();
    enqueue(&mut session, 1);
    assert_code(try_pause(&mut session), "ENDPOINT_PAUSED");
    assert!(claim(&mut session, "w", 10).is_empty());
    let any = "select count(*) from kronos.claim_any_executions('w', 10)";
    assert_eq!(count(&mut session, any), 0);

    let seen = "select concat_ws(' ', q.waiting, q.running, q.paused, e.paused_reason, e.paused_by, e.paused_at <= now())
                from kronos.queues q, kronos.endpoints e where e.endpoint = 'hook'";
    let seen: String = session.query_one(seen, &[]).unwrap().get(0);
    assert_eq!(seen, "0 1 3 maintenance postgres t");
    // The running execution goes on, and then there is nothing to wake up for.
    complete(&mut session, "w", held[0]).unwrap();
    let sleeps = "select kronos.next_wakeup(workspace => 'acme') is null";
    assert!(session.query_one(sleeps, &[]).unwrap().get::<_, bool>(0));
    let metrics = "select labels ->> 'state' || '=' || value from kronos.metrics()
                   where name = 'kronos_executions' and value > 0";
    let metrics: String = session.query_one(metrics, &[]).unwrap().get(0);
    assert_eq!(metrics, "paused=3");

    let mut listening = server.session();
    listening.batch_execute("listen kronos_executions").unwrap();
    try_resume(&mut session).unwrap();
    let notification = listening
        .notifications()
        .timeout_iter(Duration::from_secs(10))
        .next();
    assert!(notification.unwrap().is_some());
    assert_code(try_resume(&mut session), "ENDPOINT_NOT_PAUSED");
    assert_eq!(claim(&mut session, "w", 10).len(), 3);
    assert_sound(&mut session);
}

#[test]
fn pause_counts_from_its_commit() {
    let (server, mut session) = server();
    enqueue(&mut session, 30);
    let mut claiming = server.session();
    assert_eq!(claim(&mut claiming, "w", 10).len(), 10);
    let mut transaction = session.transaction().unwrap();
    try_pause(&mut transaction).unwrap();
    assert_eq!(claim(&mut claiming, "w", 10).len(), 10);
    transaction.commit().unwrap();
    assert!(claim(&mut claiming, "w", 10).is_empty());
}

#[test]
fn a_hundred_thousand_executions_of_a_paused_endpoint_hold_up_no_other() {
    let (server, mut session) = server();
    insert_waiting_of_hook(&mut session, 100_000);
    session
        .batch_execute(
            "select kronos.enqueue('free', workspace => 'acme') from generate_series(1, 20)",
        )
        .unwrap();
    try_pause(&mut session).unwrap();
    let mut fresh = server.session();
    let mut claims = 0;
    wait_for("an execution behind the paused ones", || {
        claims += 1;
        !claim(&mut fresh, "w", 1).is_empty()
    });
    // They are set aside once, so the next claims do not meet them.
    assert!(claims < 100, "{claims} claims");
    let mut transaction = fresh.transaction().unwrap();
    let before = rows_read(&mut transaction);
    for _ in 0..10 {
        assert_eq!(claim(&mut transaction, "w", 1).len(), 1);
    }
    let read = rows_read(&mut transaction) - before;
    assert!((1..500).contains(&read), "{read} rows in ten claims");
    transaction.commit().unwrap();

    try_resume(&mut session).unwrap();
    let mut returned = 0;
    wait_for("all executions to be claimed", || {
        returned += claim(&mut fresh, "w", 10_000).len();
        returned == 100_009
    });
    assert_sound(&mut session);
}

fn insert_waiting_of_hook(session: &mut Client, count: i32) {
    let statement = "
        insert into kronos_internal.live_executions
            (workspace_id, endpoint_id, run_at, priority, origin, status, endpoint_type, input, metadata)
        select e.workspace_id, e.endpoint_id, now() - interval '1 hour' + n * interval '1 millisecond', 5, 'ENQUEUE',
               'QUEUED', 'HTTP', '{}', '{}'
        from kronos_internal.endpoints e, generate_series(1, $1) n
        where e.name = 'hook'";
    session.execute(statement, &[&count]).unwrap();
}

#[test]
fn paused_endpoint_is_neither_deleted_nor_forgotten() {
    let (_server, mut session) = server();
    enqueue(&mut session, 1);
    try_pause(&mut session).unwrap();
    let delete = "select endpoint from kronos.delete_endpoint('hook', workspace => 'acme')";
    assert_code(session.query_one(delete, &[]), "ENDPOINT_PAUSED");
    session
        .batch_execute(
            "update kronos_internal.endpoints set paused_at = now() - interval '2 days' where name = 'hook';
             update kronos_internal.live_executions set run_at = now() - interval '1 hour'",
        )
        .unwrap();
    let findings = "select finding from kronos.doctor() where detail ->> 'workspace' = 'acme'";
    let findings: Vec<String> = session
        .query(findings, &[])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(
        findings,
        ["endpoint hook of workspace acme has been paused for more than a day"]
    );
    try_resume(&mut session).unwrap();
    session.query_one(delete, &[]).unwrap();
    assert_eq!(claim(&mut session, "w", 10).len(), 1);
}

#[test]
fn pause_of_a_limited_endpoint_keeps_its_limits() {
    let (_server, mut session) = server();
    session
        .batch_execute(
            "select kronos.update_endpoint('hook', max_concurrent => 1, workspace => 'acme')",
        )
        .unwrap();
    enqueue(&mut session, 3);
    try_pause(&mut session).unwrap();
    assert!(claim(&mut session, "w", 10).is_empty());
    try_resume(&mut session).unwrap();
    assert_eq!(claim(&mut session, "w", 10).len(), 1);
    assert!(claim(&mut session, "w", 10).is_empty());
}
