//! Invariants 1 and 2: the pool of pg_cron entries, and the work of upkeep.

use crate::domain::*;
use crate::server::Server;
use postgres::Client;
use std::thread;

/// Starts a server with a limit on the entries of schedules.
fn server_with_max_entries(max: u32) -> (Server, Client) {
    let server = Server::start_with(&[&format!("kronos.max_entries = {max}")]);
    let mut session = server.session();
    create_acme(&mut session);
    (server, session)
}

fn all_entries(session: &mut Client) -> i64 {
    count(session, "select count(*) from cron.job")
}

// Invariant 2.
#[test]
fn schedules_beyond_max_entries_are_woken_by_upkeep() {
    let (_server, mut session) = server_with_max_entries(2);
    let jobs: Vec<_> = (0..5)
        .map(|n| create(&mut session, &format!("0 0 1 1 {n}")))
        .collect();
    assert_eq!(entries(&mut session), 2);
    assert_eq!(all_entries(&mut session), 3, "with upkeep's entry");
    let upkeep_entry = "select count(*) from cron.job where jobname = 'kronos upkeep' and schedule = '* * * * *' and active
                   and command like '%CALL kronos.upkeep()%'";
    assert_eq!(count(&mut session, upkeep_entry), 1);
    assert_sound(&mut session);
    lose_wake_ups(&mut session, 24 * 370);
    upkeep(&mut session);
    for job_id in jobs {
        let ran = outcomes(&mut session, job_id);
        assert!(ran.contains(&"RUN".to_owned()), "{ran:?}");
    }
    let finished = "select count(*) from kronos.upkeep_runs where step = 'prune' and error is null";
    assert_eq!(count(&mut session, finished), 1);
    assert_sound(&mut session);
}

#[test]
fn upkeep_wakes_every_schedule_if_max_entries_is_zero() {
    let (_server, mut session) = server_with_max_entries(0);
    create(&mut session, YEARLY);
    create(&mut session, "5 5 5 5 *");
    assert_eq!(all_entries(&mut session), 1);
    make_yearly_due(&mut session);
    upkeep(&mut session);
    assert_eq!(ticks(&mut session, "RUN"), 1);
    assert_sound(&mut session);
}

// Invariant 2.
#[test]
fn slot_of_a_deleted_schedule_goes_to_the_next_new_one() {
    let (_server, mut session) = server_with_max_entries(2);
    let jobs: Vec<_> = (0..3)
        .map(|n| create(&mut session, &format!("0 0 1 1 {n}")))
        .collect();
    try_cancel(&mut session, jobs[0]).unwrap();
    assert_eq!(entries(&mut session), 1);
    create(&mut session, YEARLY);
    assert_eq!(entries(&mut session), 2);
    let of_new = "select count(*) from cron.job where schedule = '0 0 1 1 *'";
    assert_eq!(count(&mut session, of_new), 1);
    // A create that is rolled back frees its slot as well.
    try_cancel(&mut session, jobs[1]).unwrap();
    let mut transaction = session.transaction().unwrap();
    create(&mut transaction, "6 6 6 6 *");
    assert_eq!(entries(&mut transaction), 2);
    transaction.rollback().unwrap();
    create(&mut session, "7 7 7 7 *");
    assert_eq!(entries(&mut session), 2);
    assert_sound(&mut session);
}

// Invariant 2.
#[test]
fn eight_sessions_that_create_forty_schedules_at_once_stay_within_max_entries() {
    let (server, mut session) = server_with_max_entries(5);
    thread::scope(|scope| {
        for nth in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let mut creating = server.session();
                for n in 0..5 {
                    create(&mut creating, &format!("{} 4 * * *", nth * 5 + n));
                }
            });
        }
    });
    assert_eq!(
        count(
            &mut session,
            "select count(*) from kronos_internal.schedules"
        ),
        40
    );
    assert_eq!(entries(&mut session), 5);
    assert_sound(&mut session);
    // Cancel them concurrently, too.
    let jobs: Vec<uuid::Uuid> = session
        .query("select job_id from kronos.jobs", &[])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    thread::scope(|scope| {
        for chunk in jobs.chunks(5) {
            let server = &server;
            scope.spawn(move || {
                let mut cancelling = server.session();
                for job_id in chunk {
                    try_cancel(&mut cancelling, *job_id).unwrap();
                }
            });
        }
    });
    assert_eq!(entries(&mut session), 0);
    assert_sound(&mut session);
}

// Invariant 2.
#[test]
fn create_skips_slots_reserved_by_open_transactions() {
    let (server, mut session) = server_with_max_entries(2);
    let mut reserving = server.session();
    let mut transaction = reserving.transaction().unwrap();
    create(&mut transaction, "0 0 1 1 1");
    create(&mut transaction, "0 0 1 1 2");
    session.batch_execute("set lock_timeout = '1s'").unwrap();
    create(&mut session, YEARLY);
    assert_eq!(entries(&mut session), 0, "upkeep's entry wakes it");
    assert_sound(&mut session);
    transaction.commit().unwrap();
    assert_eq!(entries(&mut session), 2);
    assert_sound(&mut session);
}

// Invariant 9: all workspaces share upkeep's entry. A create whose schedule has an entry of its own does not wait while
// another transaction creates upkeep's.
#[test]
fn create_does_not_wait_for_a_transaction_that_creates_upkeeps_entry() {
    let server = Server::start();
    let mut session = server.session();
    for workspace in ["a", "b"] {
        create_workspace(&mut session, workspace);
    }
    let mut creating = server.session();
    let mut transaction = creating.transaction().unwrap();
    create_named(&mut transaction, "a", "first", YEARLY);
    session.batch_execute("set lock_timeout = '1s'").unwrap();
    create_named(&mut session, "b", "first", YEARLY);
    transaction.rollback().unwrap();
    // The next create creates upkeep's entry.
    create_named(&mut session, "b", "second", YEARLY);
    assert_eq!(all_entries(&mut session), 2);
    assert_sound(&mut session);
}

// Every role can take advisory locks, but not the locks of Kronos.
#[test]
fn role_with_only_connect_cannot_block_a_create() {
    let (server, mut session) = server_with_max_entries(2);
    session.batch_execute("create role mallory login").unwrap();
    let mut mallory = server.session_as("mallory");
    mallory
        .batch_execute(
            "begin;
             select pg_advisory_lock(hashtextextended('kronos schedule 17 4 5 6 * UTC', 0));
             select count(pg_advisory_lock(n)) from generate_series(0, 200) n;
             select count(pg_advisory_lock(c.oid::int, n)) from pg_class c, generate_series(0, 3) n where c.relname = 'schedules';",
        )
        .unwrap();
    for statement in [
        "lock table kronos_internal.schedules",
        "lock table cron.job",
        "select from kronos_internal.schedules for update",
    ] {
        let mut other = server.session_as("mallory");
        other.batch_execute(statement).expect_err(statement);
    }
    session.batch_execute("set lock_timeout = '1s'").unwrap();
    for cron in ["17 4 5 6 *", "18 4 5 6 *", "19 4 5 6 *"] {
        create(&mut session, cron);
    }
    assert_eq!(entries(&mut session), 2, "the locks occupy no slot");
    tick_without_waiting(&server);
    assert_sound(&mut session);
}

// Invariant 2.
#[test]
fn last_job_to_leave_a_schedule_removes_its_entry() {
    let (_server, mut session) = server_with_max_entries(2);
    let first = create(&mut session, YEARLY);
    let second = create(&mut session, YEARLY);
    try_cancel(&mut session, first).unwrap();
    assert_eq!(entries(&mut session), 1);
    let pause = "select kronos.pause_cron_job($1, workspace => 'acme')";
    session.query(pause, &[&second]).unwrap();
    assert_eq!(entries(&mut session), 0);
    assert_eq!(
        count(
            &mut session,
            "select count(*) from kronos_internal.schedules"
        ),
        0
    );
    assert_sound(&mut session);
    let resume = "select kronos.resume_cron_job($1, workspace => 'acme')";
    session.query(resume, &[&second]).unwrap();
    assert_eq!(entries(&mut session), 1);
    try_update(&mut session, second, Some("5 5 5 5 *")).unwrap();
    let left = "select count(*) from cron.job where schedule = '5 5 5 5 *'";
    assert_eq!((count(&mut session, left), entries(&mut session)), (1, 1));
    assert_sound(&mut session);
}

#[test]
fn concurrent_upkeep_tick_and_prune_do_no_harm() {
    let (server, mut session) = server_with_max_entries(2);
    let job_id = create(&mut session, YEARLY);
    copy_job(&mut session, job_id, 999);
    create(&mut session, "5 5 5 5 *");
    session
        .batch_execute(
            "select kronos.set_retention(execution_retention => '1 day', workspace => 'acme')",
        )
        .unwrap();
    for _ in 0..3 {
        make_yearly_due(&mut session);
        session
            .batch_execute("update kronos_internal.schedules set next_tick_at = next_tick_at + interval '1 hour' where cron = '5 5 5 5 *'")
            .unwrap();
        thread::scope(|scope| {
            for nth in 0..6 {
                let server = &server;
                scope.spawn(move || match nth % 3 {
                    0 => tick(&mut server.session()),
                    1 => upkeep(&mut server.session()),
                    _ => server
                        .session()
                        .batch_execute("select kronos.prune()")
                        .unwrap(),
                });
            }
        });
    }
    assert_eq!(executions(&mut session), 1000);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

// Upkeep prunes the ledgers of one sixtieth of the jobs a minute.
#[test]
fn upkeep_prunes_the_ledger_of_some_jobs_and_prune_that_of_all() {
    let (_server, mut session) = server_with_max_entries(2);
    let job_id = create(&mut session, YEARLY);
    copy_job(&mut session, job_id, 599);
    make_yearly_due(&mut session);
    tick(&mut session);
    delete_unfinished(&mut session);
    age_ledger(&mut session, 40);
    age_jobs(&mut session, "now() - interval '400 days'");
    upkeep(&mut session);
    let kept = ticks(&mut session, "RUN");
    assert!((1..600).contains(&kept), "{kept}");
    session.batch_execute("select kronos.prune()").unwrap();
    assert_eq!(ticks(&mut session, "RUN"), 0);
    assert_sound(&mut session);
}
