//! A wake-up works in batches that commit, whatever the settings of the role that calls it.

use crate::domain::*;
use crate::server::{Server, kill, wait_for};
use postgres::{Client, NoTls};
use std::thread;
use uuid::Uuid;

/// The number of jobs that one batch handles.
const BATCH: i64 = 10_000;

/// Blocks every insert of a job's execution until the session releases advisory lock 77.
fn block_execution_insert_of(session: &mut Client, job_id: Uuid) {
    session
        .batch_execute(&format!(
            "create function public.hold() returns trigger language plpgsql as
               $$ begin perform pg_advisory_xact_lock_shared(77); return new; end $$;
             create trigger hold before insert on kronos_internal.live_executions for each row
             when (new.job_id = '{job_id}') execute function public.hold();
             select pg_advisory_lock(77);"
        ))
        .unwrap();
}

fn is_in_second_batch(session: &mut Client) -> bool {
    count(
        session,
        "select count(*) from kronos_internal.schedules where pass_job_id is not null",
    ) == 1
}

/// Creates role `caller`, an operator.
fn create_caller(session: &mut Client) {
    session
        .batch_execute(
            "create role caller login;
             grant usage on schema kronos to caller;
             select kronos.grant_workspace('caller', 'admin', all_workspaces => true)",
        )
        .unwrap();
}

/// Asserts that the session still runs as the role that it logged in as, with no further rights.
fn assert_is_itself(session: &mut Client) {
    let statement = "select current_user::text, session_user::text, current_setting('search_path')";
    let row = session.query_one(statement, &[]).unwrap();
    let (current, login, path): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    assert_eq!((current.as_str(), login.as_str()), ("caller", "caller"));
    assert_eq!(path, "\"$user\", public");
    let denied = session
        .batch_execute("select from kronos_internal.jobs")
        .expect_err("the caller may not read Kronos's tables");
    assert_eq!(db_error(&denied).code().code(), "42501");
}

// Invariant 4.
#[test]
fn one_call_handles_two_batches_and_more_in_several_transactions() {
    let (_server, mut session, _) = server_with_due_jobs(2 * BATCH as usize + 1);
    tick(&mut session);
    assert_eq!(executions(&mut session), 2 * BATCH + 1);
    assert_ledger_matches_executions(&mut session);
    let transactions = "select count(distinct xmin::text) from kronos_internal.ticks";
    assert_eq!(count(&mut session, transactions), 3);
    assert_sound(&mut session);
}

// Invariant 4: run_due() is one batch in the caller's transaction.
#[test]
fn run_due_handles_one_batch_and_continues_after_the_last_one() {
    let (_server, mut session, _) = server_with_due_jobs(BATCH as usize + 500);
    let mut transaction = session.transaction().unwrap();
    assert_eq!(run_due(&mut transaction), BATCH);
    transaction.rollback().unwrap();
    assert_eq!(executions(&mut session), 0);

    assert_eq!(run_due(&mut session), BATCH);
    assert!(is_in_second_batch(&mut session));
    assert_eq!(run_due(&mut session), 500);
    assert_eq!(run_due(&mut session), 0);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

#[test]
fn tick_inside_a_transaction_block_runs_one_batch_that_rolls_back_with_it() {
    let (_server, mut session, _) = server_with_due_jobs(BATCH as usize + 500);
    session
        .batch_execute("begin; call kronos.tick(); rollback")
        .unwrap();
    assert_eq!(executions(&mut session), 0);
    session
        .batch_execute("begin; call kronos.tick(); commit")
        .unwrap();
    assert_eq!(executions(&mut session), BATCH);
    session
        .batch_execute("do $$ begin call kronos.tick(); end $$")
        .unwrap();
    assert_eq!(executions(&mut session), BATCH + 500);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

// Invariant 4.
#[test]
fn wake_up_killed_in_its_second_batch_is_continued_there_after_recovery() {
    let (server, mut session, ids) = server_with_due_jobs(BATCH as usize + 2000);
    let last = ids[ids.len() - 1];
    block_execution_insert_of(&mut session, last);
    let mut waker = server.session();
    let pid = backend_pid(&mut waker);
    let killed = thread::spawn(move || waker.batch_execute("call kronos.tick()"));
    wait_for("the wake-up to be in its second batch", || {
        killed.is_finished() || is_waiting(&mut session, pid)
    });
    assert_eq!(
        executions(&mut session),
        BATCH,
        "the first batch has committed"
    );
    assert!(kill(pid));
    killed.join().unwrap().expect_err("the backend was killed");

    let mut session = server.session_after_crash(session);
    assert_eq!(executions(&mut session), BATCH);
    assert!(is_in_second_batch(&mut session));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| tick(&mut server.session()));
        }
    });
    tick(&mut session);
    assert_eq!(executions(&mut session), BATCH + 2000);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

// Invariant 4.
#[test]
fn eight_concurrent_wake_ups_share_a_huge_schedule_and_many_small_ones() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let huge = create(&mut session, YEARLY);
    copy_job(&mut session, huge, BATCH as i32 + 1999);
    // None of them comes due while the test runs.
    for minutes in 5..45 {
        let minute = minutes_ago(&mut session, minutes);
        create(&mut session, &format!("{minute} * * * *"));
    }
    lose_wake_ups(&mut session, 1);
    make_yearly_due(&mut session);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| tick(&mut server.session()));
        }
    });
    tick(&mut session);
    let of_huge = "select count(*) from kronos.execution_details x join kronos.jobs j using (job_id) where j.cron = '0 0 1 1 *'";
    assert_eq!(count(&mut session, of_huge), BATCH + 2000);
    assert_eq!(executions(&mut session), BATCH + 2000 + 40);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

// An error in a later batch neither leaves the session as the owner nor rolls back the first batch.
#[test]
fn tick_that_is_cancelled_or_fails_in_its_second_batch_keeps_the_first_and_the_sessions_role() {
    let (server, mut session, ids) = server_with_due_jobs(BATCH as usize + 100);
    let last = ids[ids.len() - 1];
    create_caller(&mut session);
    block_execution_insert_of(&mut session, last);
    let mut caller = server.session_as("caller");
    let pid = backend_pid(&mut caller);
    let cancel = caller.cancel_token();
    let called = thread::spawn(move || (caller.batch_execute("call kronos.tick()"), caller));
    wait_for("the wake-up to be in its second batch", || {
        called.is_finished() || is_waiting(&mut session, pid)
    });
    cancel.cancel_query(NoTls).unwrap();
    let (result, mut caller) = called.join().unwrap();
    let error = result.expect_err("the call was cancelled");
    assert_eq!(db_error(&error).code().code(), "57014");
    assert_is_itself(&mut caller);
    assert_eq!(executions(&mut session), BATCH);
    session
        .batch_execute(
            "select pg_advisory_unlock(77);
             create function public.fail() returns trigger language plpgsql as
               $$ begin raise exception 'no room' using errcode = '53100'; end $$;
             create trigger fail before update on kronos_internal.schedules for each row
             when (old.pass_job_id is not null) execute function public.fail();",
        )
        .unwrap();
    let error = caller.batch_execute("call kronos.tick()").unwrap_err();
    assert_eq!(db_error(&error).code().code(), "53100");
    assert_is_itself(&mut caller);
    assert_eq!(executions(&mut session), BATCH);

    session
        .batch_execute("drop trigger fail on kronos_internal.schedules")
        .unwrap();
    tick(&mut caller);
    assert_is_itself(&mut caller);
    assert_eq!(executions(&mut session), BATCH + 100);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

#[test]
fn calls_wait_only_for_the_batch_that_handles_their_job() {
    let (server, mut session, ids) = server_with_due_jobs(BATCH as usize + 100);
    let last = ids[ids.len() - 1];
    let first = "select job_id from kronos_internal.jobs order by job_id limit 1";
    let first: Uuid = session.query_one(first, &[]).unwrap().get(0);
    block_execution_insert_of(&mut session, first);
    let mut waker = server.session();
    let pid = backend_pid(&mut waker);
    let woken = thread::spawn(move || tick(&mut waker));
    wait_for("the wake-up to be in its first batch", || {
        woken.is_finished() || is_waiting(&mut session, pid)
    });
    let mut calling = server.session();
    calling.batch_execute("set lock_timeout = '1s'").unwrap();
    let created = create(&mut calling, YEARLY);
    create(&mut calling, "5 5 5 5 *");
    try_update(&mut calling, created, None).unwrap();
    try_update(&mut calling, last, None).unwrap();
    assert_eq!(
        executions_of(&mut calling, last),
        1,
        "the update writes the tick"
    );
    let blocked = try_update(&mut calling, first, None).unwrap_err();
    assert_eq!(db_error(&blocked).code().code(), "55P03");
    session
        .batch_execute("select pg_advisory_unlock(77)")
        .unwrap();
    woken.join().unwrap();
    assert_eq!(executions(&mut session), BATCH + 100);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

/// Settings that a role may have.
const ROLE_SETTINGS: [&str; 6] = [
    "default_transaction_isolation = 'repeatable read'",
    "default_transaction_isolation = 'serializable'",
    "default_transaction_read_only = on",
    "statement_timeout = '100ms'",
    "lock_timeout = '1ms'",
    "default_transaction_deferrable = on",
];

#[test]
fn ticks_do_not_depend_on_the_settings_of_the_calling_role() {
    let (server, mut session, _) = server_with_due_jobs(1200);
    create_caller(&mut session);
    // Each insert waits for a lock, takes longer than any of the timeouts, and records its isolation level.
    block_execution_inserts(&mut session);
    session
        .batch_execute(
            "create table public.seen (isolation text);
             create function public.see() returns trigger language plpgsql security definer as
               $$ begin insert into public.seen values (current_setting('transaction_isolation')); return null; end $$;
             create trigger see after insert on kronos_internal.live_executions for each statement
             execute function public.see()",
        )
        .unwrap();
    for procedure in ["tick", "upkeep"] {
        for setting in ROLE_SETTINGS {
            forget_ticks(&mut session);
            make_yearly_due(&mut session);
            session
                .batch_execute(&format!(
                    "delete from public.seen; alter role caller reset all; alter role caller set {setting}"
                ))
                .unwrap();
            let mut caller = server.session_as("caller");
            let pid = backend_pid(&mut caller);
            let called = thread::spawn(move || {
                let call = format!("call kronos.{procedure}()");
                (caller.batch_execute(&call), caller)
            });
            wait_for("the wake-up to be in its batch", || {
                called.is_finished() || is_waiting(&mut session, pid)
            });
            // Long enough for a wake-up with a timeout to fail.
            let seconds = if setting.starts_with("lock_timeout") {
                2.5
            } else {
                0.3
            };
            session
                .batch_execute(&format!(
                    "select pg_sleep({seconds}), pg_advisory_unlock(77)"
                ))
                .unwrap();
            let (result, mut caller) = called.join().unwrap();
            result.unwrap_or_else(|error| panic!("{procedure}, {setting}: {error:?}"));
            session
                .batch_execute("select pg_advisory_lock(77)")
                .unwrap();
            assert_eq!(executions(&mut session), 1200, "{procedure}, {setting}");
            let levels = "select count(*) from public.seen where isolation <> 'read committed'";
            assert_eq!(count(&mut session, levels), 0, "{procedure}, {setting}");
            assert_is_itself(&mut caller);
            let (name, value) = setting.split_once(" = ").unwrap();
            let still: String = caller
                .query_one(&format!("show {name}"), &[])
                .unwrap()
                .get(0);
            assert_eq!(
                still,
                value.trim_matches('\''),
                "the session keeps its setting"
            );
        }
    }
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

#[test]
fn tick_that_takes_longer_than_the_roles_statement_timeout_completes() {
    let (server, mut session, _) = server_with_due_jobs(3 * BATCH as usize);
    create_caller(&mut session);
    session
        .batch_execute("alter role caller set statement_timeout = '100ms'")
        .unwrap();
    tick(&mut server.session_as("caller"));
    assert_eq!(executions(&mut session), 3 * BATCH);
    assert_sound(&mut session);
}
