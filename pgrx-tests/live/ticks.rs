//! Invariants 4 to 7 and 10: every tick's executions, under double wake-ups, crashes, changes and failures.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::Client;
use std::thread;
use uuid::Uuid;

fn server_with_due_jobs(jobs: usize) -> (Server, Client, Vec<Uuid>) {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    let ids = (0..jobs).map(|_| create(&mut session, YEARLY)).collect();
    make_yearly_due(&mut session);
    (server, session, ids)
}

fn executions_of(session: &mut Client, job_id: Uuid) -> i64 {
    session
        .query_one(
            "select count(*) from kronos.executions where job_id = $1",
            &[&job_id],
        )
        .unwrap()
        .get(0)
}

#[test]
fn tick_that_is_woken_twice_has_one_execution_per_job() {
    let (_server, mut session, _) = server_with_due_jobs(20);
    assert_eq!(run_due(&mut session), 20);
    assert_eq!(run_due(&mut session), 0);
    // Also if the first wake-up's bookkeeping were lost.
    make_yearly_due(&mut session);
    assert_eq!(run_due(&mut session), 0);
    assert_eq!(executions(&mut session), 20);
    assert_sound(&mut session);
}

#[test]
fn tick_that_is_woken_by_eight_sessions_at_once_has_one_execution_per_job() {
    let (server, mut session, _) = server_with_due_jobs(200);
    for _ in 0..10 {
        session
            .batch_execute("truncate kronos.executions cascade")
            .unwrap();
        make_yearly_due(&mut session);
        let written: i64 = thread::scope(|scope| {
            let wakers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| run_due(&mut server.session())))
                .collect();
            wakers.into_iter().map(|waker| waker.join().unwrap()).sum()
        });
        assert_eq!(written, 200);
        assert_eq!(executions(&mut session), 200);
        assert_sound(&mut session);
    }
}

#[test]
fn tick_whose_run_due_is_killed_midway_has_one_execution_per_job_after_recovery() {
    let (server, mut session, _) = server_with_due_jobs(50);
    kill_run_due_midway(&server, &mut session);

    let mut session = server.session_after_crash();
    assert_eq!(executions(&mut session), 0);
    assert_eq!(run_due(&mut session), 50);
    assert_eq!(run_due(&mut session), 0);
    assert_sound(&mut session);
}

#[test]
fn tick_due_before_an_update_belongs_to_the_old_version_though_nothing_had_woken() {
    for cron in [None, Some("5 5 5 5 *")] {
        let (_server, mut session, ids) = server_with_due_jobs(1);
        let next = try_update(&mut session, ids[0], cron).unwrap();
        assert_eq!(
            executions_of(&mut session, ids[0]),
            1,
            "the update materialises it"
        );
        run_due(&mut session);
        assert_eq!(executions_of(&mut session, ids[0]), 1);
        assert_eq!(executions_of(&mut session, next), 0);
        assert_sound(&mut session);
    }
}

#[test]
fn tick_after_an_update_belongs_to_the_new_version() {
    let (_server, mut session, ids) = server_with_due_jobs(1);
    let next = try_update(&mut session, ids[0], None).unwrap();
    session
        .batch_execute("truncate kronos.executions cascade")
        .unwrap();
    // The update took place before the tick.
    session
        .batch_execute("update kronos.jobs set retired_at = date_trunc('year', now()) - interval '1 day' where status = 'RETIRED'")
        .unwrap();
    make_yearly_due(&mut session);
    session
        .batch_execute("update kronos.jobs set created_at = created_at - interval '9 days', active_since = active_since - interval '9 days' where status = 'RETIRED'")
        .unwrap();
    assert_eq!(run_due(&mut session), 1);
    assert_eq!(executions_of(&mut session, next), 1);
    assert_sound(&mut session);
}

#[test]
fn tick_due_before_a_job_was_created_is_not_its_own() {
    let (_server, mut session, _) = server_with_due_jobs(1);
    let late = create(&mut session, YEARLY);
    assert_eq!(run_due(&mut session), 1);
    assert_eq!(executions_of(&mut session, late), 0);
    assert_sound(&mut session);
}

#[test]
fn job_in_an_open_transaction_holds_up_neither_the_tick_of_others_nor_loses_its_own() {
    for outcome in ["roll back", "update", "cancel"] {
        let (server, mut session, ids) = server_with_due_jobs(10);
        let mut changing = server.session();
        let mut transaction = changing.transaction().unwrap();
        match outcome {
            "roll back" => try_cancel(&mut transaction, ids[0]).unwrap(),
            "cancel" => try_cancel(&mut transaction, ids[0]).unwrap(),
            _ => drop(try_update(&mut transaction, ids[0], None).unwrap()),
        }
        assert_eq!(run_due(&mut session), 9, "the others, without waiting");
        match outcome {
            "roll back" => transaction.rollback().unwrap(),
            _ => transaction.commit().unwrap(),
        }
        run_due(&mut session);
        let expected = if outcome == "cancel" { 0 } else { 1 };
        assert_eq!(executions_of(&mut session, ids[0]), expected, "{outcome}");
        assert_eq!(executions(&mut session), 9 + expected);
        assert_eq!(
            count(&mut session, "select count(*) from kronos.pending_ticks"),
            0
        );
        assert_sound(&mut session);
    }
}

#[test]
fn job_uncommitted_during_a_tick_gets_it_with_the_next_wake_up() {
    let (server, mut session, _) = server_with_due_jobs(3);
    let mut joining = server.session();
    let mut transaction = joining.transaction().unwrap();
    // With the default policy: the tick was not missed, however late it is seen to be the job's.
    let late: Uuid = transaction
        .query_one(
            "select job_id from kronos.create_cron_job('acme', 'hook', $1)",
            &[&YEARLY],
        )
        .unwrap()
        .get(0);
    // As if the transaction had begun before the tick came due.
    transaction
        .execute(
            "update kronos.jobs set active_since = date_trunc('year', now() at time zone 'UTC') at time zone 'UTC' - interval '1 hour',
                                    created_at = date_trunc('year', now() at time zone 'UTC') at time zone 'UTC' - interval '1 hour'
             where job_id = $1",
            &[&late],
        )
        .unwrap();
    assert_eq!(run_due(&mut session), 3);
    transaction.commit().unwrap();
    assert_eq!(executions_of(&mut session, late), 0);

    assert_eq!(run_due(&mut session), 1, "though no tick is due");
    assert_eq!(executions_of(&mut session, late), 1);
    assert_eq!(run_due(&mut session), 0);
    assert_sound(&mut session);
}

#[test]
fn job_that_a_wake_up_in_repeatable_read_cannot_see_gets_its_tick_from_the_next() {
    let (server, mut session, _) = server_with_due_jobs(1);
    let mut waking = server.session();
    let mut transaction = waking
        .build_transaction()
        .isolation_level(postgres::IsolationLevel::RepeatableRead)
        .start()
        .unwrap();
    transaction.query("select from kronos.jobs", &[]).unwrap();
    let unseen = create(&mut session, YEARLY);
    session
        .batch_execute(
            "update kronos.jobs set active_since = date_trunc('year', now() at time zone 'UTC') at time zone 'UTC' - interval '1 hour',
                                    created_at = date_trunc('year', now() at time zone 'UTC') at time zone 'UTC' - interval '1 hour'
             where created_at > now() - interval '1 hour'",
        )
        .unwrap();
    assert_eq!(run_due(&mut transaction), 1);
    transaction.commit().unwrap();
    assert_eq!(run_due(&mut session), 1);
    assert_eq!(executions_of(&mut session, unseen), 1);
    assert_sound(&mut session);
}

#[test]
fn tick_of_a_schedule_that_is_locked_by_a_cancel_comes_when_the_cancel_has_failed() {
    let (server, mut session, ids) = server_with_due_jobs(1);
    let mut cancelling = server.session();
    let mut transaction = cancelling.transaction().unwrap();
    try_cancel(&mut transaction, ids[0]).unwrap();
    assert_eq!(run_due(&mut session), 0, "without waiting");
    transaction.rollback().unwrap();
    assert_eq!(run_due(&mut session), 1);
    assert_sound(&mut session);
}

#[test]
fn no_tick_is_materialised_after_a_cancel_has_committed() {
    let (server, mut session, ids) = server_with_due_jobs(2);
    hold_executions(&mut session);
    thread::scope(|scope| {
        let mut waker = server.session();
        let waker_pid = backend_pid(&mut waker);
        let woken = scope.spawn(move || run_due(&mut waker));
        wait_for("run_due to be in the middle of its insert", || {
            is_waiting(&mut session, waker_pid)
        });

        let mut canceller = server.session();
        let canceller_pid = backend_pid(&mut canceller);
        let id = ids[0];
        let cancelled = scope.spawn(move || {
            try_cancel(&mut canceller, id).unwrap();
            executions_of(&mut canceller, id)
        });
        wait_for("the cancel to wait for the tick in progress", || {
            is_waiting(&mut session, canceller_pid)
        });
        session
            .batch_execute("select pg_advisory_unlock(77)")
            .unwrap();
        assert_eq!(woken.join().unwrap(), 2);
        assert_eq!(
            cancelled.join().unwrap(),
            1,
            "the tick was materialised before the cancel, not after it"
        );
    });
    make_yearly_due(&mut session);
    session
        .batch_execute("truncate kronos.executions cascade")
        .unwrap();
    assert_eq!(run_due(&mut session), 1, "only the other job's");
    assert_eq!(executions_of(&mut session, ids[0]), 0);
}

#[test]
fn only_ticks_within_the_window_are_materialised() {
    let (_server, mut session, ids) = server_with_due_jobs(4);
    session
        .execute("update kronos.jobs set starts_at = date_trunc('year', now()) + interval '1 us' where job_id = $1", &[&ids[0]])
        .unwrap();
    session
        .execute(
            "update kronos.jobs set starts_at = date_trunc('year', now()) where job_id = $1",
            &[&ids[1]],
        )
        .unwrap();
    session
        .execute(
            "update kronos.jobs set ends_at = date_trunc('year', now()) where job_id = $1",
            &[&ids[2]],
        )
        .unwrap();
    session
        .execute("update kronos.jobs set ends_at = date_trunc('year', now()) + interval '1 us' where job_id = $1", &[&ids[3]])
        .unwrap();
    assert_eq!(run_due(&mut session), 2);
    let counts = [0, 1, 2, 3].map(|job| executions_of(&mut session, ids[job]));
    assert_eq!(counts, [0, 1, 0, 1]);
    assert_sound(&mut session);
}

#[test]
fn every_tick_of_a_downtime_is_materialised_once() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    for _ in 0..3 {
        create(&mut session, "0 0 * * *");
    }
    session
        .batch_execute(
            "set timezone = 'UTC';
             update kronos.jobs set created_at = date_trunc('day', now()) - interval '9 days 1 hour', active_since = date_trunc('day', now()) - interval '9 days 1 hour';
             update kronos.schedules set next_tick_at = date_trunc('day', now()) - interval '9 days',
                                         settled_at = date_trunc('day', now()) - interval '9 days 1 hour'",
        )
        .unwrap();
    assert_eq!(run_due(&mut session), 30);
    assert_eq!(run_due(&mut session), 0);
    assert_eq!(
        count(
            &mut session,
            "select count(distinct tick_at) from kronos.executions"
        ),
        10
    );
    assert_sound(&mut session);
}

#[test]
fn pending_tick_of_a_job_that_is_then_replaced_stays_the_old_versions() {
    let (server, mut session, ids) = server_with_due_jobs(2);
    let mut holding = server.session();
    let mut transaction = holding.transaction().unwrap();
    transaction
        .query(
            "select from kronos.jobs where job_id = $1 for no key update",
            &[&ids[0]],
        )
        .unwrap();
    assert_eq!(run_due(&mut session), 1);
    transaction.rollback().unwrap();
    let next = try_update(&mut session, ids[0], None).unwrap();

    assert_eq!(run_due(&mut session), 1);
    assert_eq!(executions_of(&mut session, ids[0]), 1);
    assert_eq!(executions_of(&mut session, next), 0);
    assert_sound(&mut session);
}

#[test]
fn tick_due_between_an_update_and_its_commit_belongs_to_the_new_version() {
    let (server, mut session, ids) = server_with_due_jobs(2);
    let mut updating = server.session();
    let mut transaction = updating.transaction().unwrap();
    let next = try_update(&mut transaction, ids[0], None).unwrap();
    // As if the update had been called before the tick came due.
    transaction
        .batch_execute(
            "delete from kronos.executions;
             update kronos.jobs set retired_at = date_trunc('year', now()) - interval '1 hour' where status = 'RETIRED';
             update kronos.jobs set created_at = date_trunc('year', now()) - interval '1 hour', active_since = date_trunc('year', now()) - interval '1 hour' where version = 2",
        )
        .unwrap();
    assert_eq!(run_due(&mut session), 1);
    transaction.commit().unwrap();
    assert_eq!(run_due(&mut session), 1);
    assert_eq!(executions_of(&mut session, ids[0]), 0);
    assert_eq!(executions_of(&mut session, next), 1);
    assert_sound(&mut session);
}

#[test]
fn pending_tick_of_a_job_that_is_then_cancelled_is_dropped() {
    let (server, mut session, ids) = server_with_due_jobs(2);
    let mut cancelling = server.session();
    let mut transaction = cancelling.transaction().unwrap();
    try_cancel(&mut transaction, ids[0]).unwrap();
    assert_eq!(run_due(&mut session), 1);
    assert_eq!(
        count(&mut session, "select count(*) from kronos.pending_ticks"),
        1
    );
    transaction.commit().unwrap();
    assert_eq!(run_due(&mut session), 0);
    assert_eq!(
        count(&mut session, "select count(*) from kronos.pending_ticks"),
        0
    );
    assert_sound(&mut session);
}

#[test]
fn job_that_cannot_be_materialised_holds_up_no_other_and_is_made_good_later() {
    let (_server, mut session, ids) = server_with_due_jobs(40);
    session
        .batch_execute(&format!(
            "create function public.refuse() returns trigger language plpgsql as
               $$ begin
                    if new.job_id in ('{}', '{}') then raise exception 'no room for %', new.job_id using errcode = '23514'; end if;
                    return new;
                  end $$;
             create trigger refuse before insert on kronos.executions for each row execute function public.refuse();",
            ids[7], ids[8]
        ))
        .unwrap();
    assert_eq!(run_due(&mut session), 38);
    let seen = session.query("select detail->>'job_id', detail->>'sqlstate', detail->>'error' from kronos.check() where invariant = 10", &[]);
    let mut seen: Vec<(String, String, String)> = seen
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    seen.sort();
    let expected = [ids[7], ids[8]].map(|id| {
        (
            id.to_string(),
            "23514".to_owned(),
            format!("no room for {id}"),
        )
    });
    assert_eq!(seen, expected);

    session
        .batch_execute(
            "drop trigger refuse on kronos.executions;
             update kronos.pending_ticks set tried_at = tried_at - interval '1 hour'",
        )
        .unwrap();
    assert_eq!(run_due(&mut session), 2);
    assert_eq!(executions(&mut session), 40);
    assert_sound(&mut session);
}
