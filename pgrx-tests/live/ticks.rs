//! Invariants 4 to 7: every tick is written once, despite double wake-ups, crashes and concurrent changes.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::{Client, Transaction};
use std::thread;
use uuid::Uuid;

/// The versions for which a job's ticks were written, oldest tick first.
fn versions(session: &mut Client, job_id: Uuid) -> Vec<i32> {
    let statement = "select version from kronos.ticks where job_id = $1 order by tick_at";
    let rows = session.query(statement, &[&job_id]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Pretends that a change in progress was called before this year's tick came due: deletes the tick that it wrote, and
/// sets the instant of the change back.
fn predate_change(transaction: &mut Transaction, job_id: Uuid) {
    let statement = "update kronos_internal.jobs
                     set version_since = date_trunc('year', now()) - interval '1 hour',
                         active_since = least(active_since, date_trunc('year', now()) - interval '1 hour')
                     where job_id = $1";
    transaction
        .batch_execute("set local timezone = 'UTC'")
        .unwrap();
    forget_ticks_but_failed(transaction);
    transaction.execute(statement, &[&job_id]).unwrap();
}

// Invariant 4.
#[test]
fn tick_handled_twice_creates_one_execution_per_job() {
    let (_server, mut session, _) = server_with_due_jobs(20);
    tick(&mut session);
    assert_eq!(ticks(&mut session, "RUN"), 20);
    tick(&mut session);
    // The same holds if the progress of the first wake-up is lost.
    for make_due in DUE_IN_BOTH_WAYS {
        make_due(&mut session);
        assert_eq!(run_due(&mut session), 0);
        make_due(&mut session);
        tick(&mut session);
    }
    assert_eq!(executions(&mut session), 20);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

// Invariant 4.
#[test]
fn tick_handled_by_eight_sessions_at_once_creates_one_execution_per_job() {
    let (server, mut session, _) = server_with_due_jobs(200);
    let mut wakers: Vec<Client> = (0..8).map(|_| server.session()).collect();
    for round in 0..10 {
        forget_ticks(&mut session);
        DUE_IN_BOTH_WAYS[round % 2](&mut session);
        thread::scope(|scope| {
            for waker in &mut wakers {
                scope.spawn(|| tick(waker));
            }
        });
        assert_eq!(ticks(&mut session, "RUN"), 200);
        assert_eq!(executions(&mut session), 200);
        assert_ledger_matches_executions(&mut session);
        assert_sound(&mut session);
    }
}

// Invariant 4: the procedure and the function share the due ticks.
#[test]
fn tick_and_run_due_at_once_create_one_execution_per_job() {
    let (server, mut session, ids) = server_with_due_jobs(1);
    copy_job(&mut session, ids[0], 3000);
    thread::scope(|scope| {
        for waker in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let mut session = server.session();
                if waker % 2 == 0 {
                    tick(&mut session);
                } else {
                    run_due(&mut session);
                }
            });
        }
    });
    tick(&mut session);
    assert_eq!(executions(&mut session), 3001);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

// Invariant 4: a crash.
#[test]
fn tick_of_a_killed_wake_up_creates_one_execution_per_job_after_recovery() {
    let (server, mut session, _) = server_with_due_jobs(50);
    kill_tick_midway(&server, &mut session);

    let mut session = server.session_after_crash(session);
    assert_eq!(executions(&mut session), 0);
    tick(&mut session);
    tick(&mut session);
    assert_eq!(executions(&mut session), 50);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

// Invariant 5.
#[test]
fn unhandled_tick_due_before_an_update_belongs_to_the_old_version() {
    let (_server, mut session, ids) = server_with_due_jobs(3);
    let changes = [None, Some("5 5 5 5 *"), None];
    for (job_id, cron) in ids.iter().zip(changes) {
        assert_eq!(try_update(&mut session, *job_id, cron).unwrap(), 2);
        assert_eq!(
            versions(&mut session, *job_id),
            [1],
            "the update writes the tick for the old version"
        );
    }
    tick(&mut session);
    for job_id in ids {
        assert_eq!(versions(&mut session, job_id), [1]);
    }
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

// Invariant 5.
#[test]
fn tick_after_an_update_belongs_to_the_new_version() {
    let (_server, mut session, ids) = server_with_due_jobs(1);
    try_update(&mut session, ids[0], None).unwrap();
    forget_ticks(&mut session);
    // Now the tick is later than the update.
    make_yearly_due(&mut session);
    tick(&mut session);
    assert_eq!(versions(&mut session, ids[0]), [2]);
    assert_sound(&mut session);
}

// Invariant 4.
#[test]
fn job_does_not_get_a_tick_that_was_due_before_its_creation() {
    let (_server, mut session, _) = server_with_due_jobs(1);
    let late = create(&mut session, YEARLY);
    tick(&mut session);
    assert_eq!(ticks(&mut session, "RUN"), 1);
    assert_eq!(executions_of(&mut session, late), 0);
    assert_sound(&mut session);
}

/// Changes of a job in a transaction that is open when its tick comes due: a name, the statement, whether it commits,
/// and the final outcome of the tick.
const CHANGES: [(&str, &str, bool, &str); 9] = [
    (
        "update",
        "select kronos.update_cron_job($1, priority => 3, workspace => 'acme')",
        true,
        "RUN",
    ),
    (
        "an update that is rolled back",
        "select kronos.update_cron_job($1, cron => '5 5 5 5 *', workspace => 'acme')",
        false,
        "RUN",
    ),
    (
        "an update to another schedule",
        "select kronos.update_cron_job($1, cron => '5 5 5 5 *', workspace => 'acme')",
        true,
        "RUN",
    ),
    (
        "cancel",
        "select kronos.cancel_cron_job($1, workspace => 'acme')",
        true,
        "SKIPPED",
    ),
    (
        "a cancel that is rolled back",
        "select kronos.cancel_cron_job($1, workspace => 'acme')",
        false,
        "RUN",
    ),
    (
        "pause",
        "select kronos.pause_cron_job($1, workspace => 'acme')",
        true,
        "SKIPPED",
    ),
    (
        "pause and resume",
        "select kronos.pause_cron_job($1, workspace => 'acme'), kronos.resume_cron_job($1, workspace => 'acme')",
        true,
        "SKIPPED",
    ),
    (
        "trigger",
        "select kronos.trigger_cron_job($1, workspace => 'acme')",
        true,
        "RUN",
    ),
    (
        "backfill",
        "select kronos.backfill_cron_job($1, tick_from => date_trunc('year', now(), 'UTC') - interval '1 day', workspace => 'acme')",
        true,
        "RUN",
    ),
];

// Invariant 4.
#[test]
fn job_in_an_open_transaction_neither_delays_the_ticks_of_others_nor_loses_its_own() {
    let (server, mut session, _) = server_with_due_jobs(1);
    let both_ways = DUE_IN_BOTH_WAYS
        .iter()
        .flat_map(|it| CHANGES.map(|change| (it, change)));
    for (make_due, (change, statement, is_committed, expected)) in both_ways {
        forget_ticks(&mut session);
        let job_id = create(&mut session, YEARLY);
        let other = create(&mut session, YEARLY);
        make_due(&mut session);
        let mut changing = server.session();
        let mut transaction = changing.transaction().unwrap();
        transaction.query(statement, &[&job_id]).unwrap();

        tick_without_waiting(&server);
        assert_eq!(outcomes(&mut session, other), ["RUN"], "{change}");
        // Unlike the other changes, a trigger does not lock its job against ticks.
        let meanwhile = if change == "trigger" { "RUN" } else { "OWED" };
        assert_eq!(outcomes(&mut session, job_id), [meanwhile], "{change}");
        assert_sound(&mut session);
        if is_committed {
            transaction.commit().unwrap();
        } else {
            transaction.rollback().unwrap();
        }
        tick(&mut session);
        assert_eq!(outcomes(&mut session, job_id), [expected], "{change}");
        if expected == "RUN" {
            assert_eq!(versions(&mut session, job_id), [1], "{change}");
        }
        assert_eq!(ticks(&mut session, "OWED"), 0, "{change}");
        assert_ledger_matches_executions(&mut session);
        assert_sound(&mut session);
        for id in [job_id, other] {
            let _ = try_cancel(&mut session, id);
        }
    }
}

// Invariants 4, 7 and 10: one statement writes the tick for the plain jobs of a schedule. The other jobs get it too.
#[test]
fn tick_on_time_reaches_every_job_of_a_mixed_schedule() {
    let (server, mut session, plain) = server_with_due_jobs(30);
    let create_with = |session: &mut Client, arguments: &str| -> Uuid {
        let statement = format!(
            "select job_id from kronos.create_cron_job('hook', $1, {arguments}, workspace => 'acme')"
        );
        session.query_one(&statement, &[&YEARLY]).unwrap().get(0)
    };
    let skipping = create_with(&mut session, "overlap_policy => 'skip'");
    let replacing = create_with(&mut session, "overlap_policy => 'replace'");
    let late = create_with(&mut session, "starts_at => now() + interval '1 day'");
    let jittered = create_with(&mut session, "jitter => '1 hour'");
    for job_id in [skipping, replacing] {
        let trigger = "select kronos.trigger_cron_job($1, workspace => 'acme')";
        session.execute(trigger, &[&job_id]).unwrap();
    }
    let (failing, locked) = (plain[3], plain[11]);
    refuse_executions(&mut session, &[failing]);
    let mut locking = server.session();
    let lock = "select from kronos_internal.jobs where job_id = $1 for no key update";

    // From the second round on, the failing job already owes a tick, so the plain jobs are written without it at once.
    for is_locked in [true, true, false] {
        forget_ticks_but_failed(&mut session);
        make_yearly_due(&mut session);
        let mut transaction = locking.transaction().unwrap();
        if is_locked {
            transaction.query(lock, &[&locked]).unwrap();
        }
        tick_without_waiting(&server);
        transaction.rollback().unwrap();
        for job_id in plain.iter().filter(|id| ![failing, locked].contains(id)) {
            assert_eq!(outcomes(&mut session, *job_id), ["RUN"]);
        }
        assert_eq!(outcomes(&mut session, jittered), ["RUN"]);
        assert_eq!(outcomes(&mut session, skipping), ["SKIPPED"]);
        assert_eq!(outcomes(&mut session, replacing), ["RUN"]);
        assert_eq!(outcomes(&mut session, late), [""; 0]);
        assert_eq!(outcomes(&mut session, failing), ["OWED"]);
        let outcome = if is_locked { "OWED" } else { "RUN" };
        assert_eq!(outcomes(&mut session, locked), [outcome]);
    }
    session.batch_execute("delete from refused").unwrap();
    make_owed_ticks_due(&mut session);
    tick(&mut session);
    assert_eq!(outcomes(&mut session, locked), ["RUN"]);
    assert_eq!(outcomes(&mut session, failing), ["RUN"]);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

// Invariant 4.
#[test]
fn job_being_resumed_delays_no_other_and_gets_only_ticks_after_its_resume() {
    let (server, mut session, ids) = server_with_due_jobs(2);
    let pause = "select kronos.pause_cron_job($1, workspace => 'acme')";
    session.query(pause, &[&ids[0]]).unwrap();
    let mut resuming = server.session();
    let mut transaction = resuming.transaction().unwrap();
    let resume = "select kronos.resume_cron_job($1, workspace => 'acme')";
    transaction.query(resume, &[&ids[0]]).unwrap();
    tick_without_waiting(&server);
    assert_eq!(outcomes(&mut session, ids[1]), ["RUN"]);
    transaction.commit().unwrap();
    tick(&mut session);
    assert!(outcomes(&mut session, ids[0]).is_empty());
    // It gets the next tick.
    forget_ticks(&mut session);
    make_yearly_due(&mut session);
    tick(&mut session);
    assert_eq!(outcomes(&mut session, ids[0]), ["RUN"]);
    assert_sound(&mut session);
}

// Invariant 4. A tick that the schedule of the new version does not have is not written.
#[test]
fn tick_due_between_an_update_and_its_commit_belongs_to_the_new_version() {
    let (server, mut session, ids) = server_with_due_jobs(3);
    let changes = [
        (ids[0], None, vec![2]),
        // Nor is the tick of 5 May, which was not due while the job was on the new schedule.
        (ids[1], Some("5 5 5 5 *"), vec![]),
    ];
    for (job_id, cron, expected) in changes {
        forget_ticks(&mut session);
        make_yearly_due(&mut session);
        let mut updating = server.session();
        let mut transaction = updating.transaction().unwrap();
        try_update(&mut transaction, job_id, cron).unwrap();
        predate_change(&mut transaction, job_id);
        tick_without_waiting(&server);
        assert_eq!(outcomes(&mut session, job_id), ["OWED"]);
        transaction.commit().unwrap();
        tick(&mut session);
        assert_eq!(versions(&mut session, job_id), expected);
        assert_eq!(ticks(&mut session, "OWED"), 0);
        assert_ledger_matches_executions(&mut session);
    }
}

// Invariant 4.
#[test]
fn update_writes_an_owed_tick_for_the_old_version() {
    let (server, mut session, ids) = server_with_due_jobs(2);
    let mut locking = server.session();
    let mut transaction = locking.transaction().unwrap();
    let lock = "select from kronos_internal.jobs where job_id = $1 for no key update";
    transaction.query(lock, &[&ids[0]]).unwrap();
    tick_without_waiting(&server);
    assert_eq!(outcomes(&mut session, ids[0]), ["OWED"]);
    transaction.rollback().unwrap();
    try_update(&mut session, ids[0], None).unwrap();
    assert_eq!(outcomes(&mut session, ids[0]), ["RUN"]);
    tick(&mut session);

    assert_eq!(versions(&mut session, ids[0]), [1]);
    assert_eq!(ticks(&mut session, "OWED"), 0);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

// Invariants 9 and 11: a call also ends if more ticks are owed than a batch retries, and all their jobs are locked.
#[test]
fn wake_up_ends_while_another_session_locks_thousands_of_jobs() {
    let (server, mut session, ids) = server_with_due_jobs(1);
    copy_job(&mut session, ids[0], 2999);
    let mut locking = server.session();
    let mut transaction = locking.transaction().unwrap();
    let lock = "select from kronos_internal.jobs for no key update";
    transaction.query(lock, &[]).unwrap();
    tick_without_waiting(&server);
    tick_without_waiting(&server);
    assert_eq!(ticks(&mut session, "OWED"), 3000);
    transaction.rollback().unwrap();
    tick(&mut session);
    assert_eq!(ticks(&mut session, "RUN"), 3000);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

// Invariant 6.
#[test]
fn owed_tick_of_a_cancelled_or_paused_job_is_skipped_with_the_reason() {
    let (server, mut session, ids) = server_with_due_jobs(3);
    let mut locking = server.session();
    let mut transaction = locking.transaction().unwrap();
    let lock = "select from kronos_internal.jobs where job_id = any ($1) for no key update";
    transaction.query(lock, &[&&ids[..2]]).unwrap();
    tick_without_waiting(&server);
    assert_eq!(ticks(&mut session, "OWED"), 2);
    transaction.rollback().unwrap();
    try_cancel(&mut session, ids[0]).unwrap();
    let pause = "select kronos.pause_cron_job($1, workspace => 'acme')";
    session.query(pause, &[&ids[1]]).unwrap();
    tick(&mut session);

    assert_eq!(outcomes(&mut session, ids[0]), ["SKIPPED"]);
    assert!(reason(&mut session, ids[0]).contains("retired"));
    assert_eq!(outcomes(&mut session, ids[1]), ["SKIPPED"]);
    assert!(reason(&mut session, ids[1]).contains("paused"));
    assert_eq!(executions(&mut session), 1);
    assert_sound(&mut session);
}

// Invariant 4: the schedule has no other job, so the cancel locks the schedule itself.
#[test]
fn tick_of_a_schedule_locked_by_a_cancel_runs_once_the_cancel_is_rolled_back() {
    let (server, mut session, ids) = server_with_due_jobs(1);
    let mut cancelling = server.session();
    let mut transaction = cancelling.transaction().unwrap();
    try_cancel(&mut transaction, ids[0]).unwrap();
    tick_without_waiting(&server);
    assert_eq!(executions(&mut session), 0);
    transaction.rollback().unwrap();
    tick(&mut session);
    assert_eq!(executions(&mut session), 1);
    assert_sound(&mut session);
}

// Invariant 6.
#[test]
fn no_tick_is_written_after_a_cancel_has_committed() {
    let (server, mut session, ids) = server_with_due_jobs(2);
    block_execution_inserts(&mut session);
    thread::scope(|scope| {
        let mut waker = server.session();
        let waker_pid = backend_pid(&mut waker);
        let woken = scope.spawn(move || tick(&mut waker));
        wait_for("the wake-up to be in the middle of its insert", || {
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
        woken.join().unwrap();
        assert_eq!(
            cancelled.join().unwrap(),
            1,
            "the tick was written before the cancel committed"
        );
    });
    assert_sound(&mut session);
    forget_ticks(&mut session);
    make_yearly_due(&mut session);
    tick(&mut session);
    assert_eq!(executions(&mut session), 1, "only the other job runs");
    assert_eq!(executions_of(&mut session, ids[0]), 0);
}

// Invariant 7.
#[test]
fn only_ticks_within_the_window_are_written() {
    let (_server, mut session, ids) = server_with_due_jobs(4);
    let bounds = [
        ("starts_at", "interval '1 us'"),
        ("starts_at", "interval '0'"),
        ("ends_at", "interval '0'"),
        ("ends_at", "interval '1 us'"),
    ];
    for (job_id, (bound, after)) in ids.iter().zip(bounds) {
        let set = format!(
            "update kronos_internal.jobs set {bound} = date_trunc('year', now()) + {after} where job_id = $1"
        );
        session.execute(&set, &[job_id]).unwrap();
    }
    tick(&mut session);
    let counts = [0, 1, 2, 3].map(|job| executions_of(&mut session, ids[job]));
    assert_eq!(counts, [0, 1, 0, 1]);
    assert_eq!(ticks(&mut session, "RUN"), 2, "the other jobs have no row");
    assert_sound(&mut session);
}

// Invariant 4: three jobs, ten ticks each.
#[test]
fn every_tick_of_an_outage_is_written_once() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    for _ in 0..3 {
        create(&mut session, "0 0 * * *");
    }
    session.batch_execute("set timezone = 'UTC'").unwrap();
    let start = "date_trunc('day', now()) - interval '9 days 1 hour'";
    age_jobs(&mut session, start);
    set_handled_until(&mut session, start);
    tick(&mut session);
    tick(&mut session);
    assert_eq!(executions(&mut session), 30);
    let instants = "select count(distinct tick_at) from kronos.ticks";
    assert_eq!(count(&mut session, instants), 10);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

// Invariant 4.
#[test]
fn pruned_tick_never_runs_again() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute(
            "select kronos.set_retention(execution_retention => '1 day', workspace => 'acme')",
        )
        .unwrap();
    let job_id = create(&mut session, "0 * * * *");
    // Ticks of the last 60 hours run and are completed.
    lose_wake_ups(&mut session, 60);
    tick(&mut session);
    let written = executions(&mut session);
    assert!((59..=61).contains(&written), "{written}");
    for held in claim(&mut session, "w", 100) {
        complete(&mut session, "w", held).unwrap();
    }
    let old = "select count(*) from kronos.ticks where tick_at < now() - interval '1 day'";
    let pruned = count(&mut session, old);
    assert!(pruned >= 35, "{pruned}");
    age_ledger(&mut session, 2);
    // The recent ticks were recorded just now, so they stay.
    let record_recent_now = "update kronos_internal.ticks set recorded_at = now() where tick_at > now() - interval '1 day'";
    session.execute(record_recent_now, &[]).unwrap();
    session.batch_execute("select kronos.prune()").unwrap();
    assert_eq!(count(&mut session, old), 0);
    let kept = ticks(&mut session, "RUN");
    assert_eq!(kept, written - pruned);
    assert_sound(&mut session);

    // The schedule is set back, as by a transaction that stayed prepared for days or by a restored row. No wake-up,
    // update or backfill runs its ticks again.
    lose_wake_ups(&mut session, 60);
    tick(&mut session);
    assert_eq!(ticks(&mut session, "RUN"), kept);
    lose_wake_ups(&mut session, 60);
    try_update(&mut session, job_id, Some("0 * * * *")).unwrap();
    assert_eq!(ticks(&mut session, "RUN"), kept);
    let backfilled = "select count(*) from kronos.backfill_cron_job($1, tick_from => now() - interval '60 hours',
                                                                    workspace => 'acme') b where action = 'CREATE'";
    let created: i64 = session.query_one(backfilled, &[&job_id]).unwrap().get(0);
    assert_eq!(created, 0);
    tick(&mut session);
    assert_eq!(count(&mut session, old), 0);
    assert_sound(&mut session);
}

// Invariant 4.
#[test]
fn jobs_never_rerun_the_ticks_of_a_pruned_ledger() {
    let (_server, mut session, ids) = server_with_due_jobs(30);
    session
        .batch_execute(
            "select kronos.set_retention(execution_retention => '1 day', workspace => 'acme')",
        )
        .unwrap();
    tick(&mut session);
    assert_eq!(ticks(&mut session, "RUN"), 30);
    delete_unfinished(&mut session);
    age_ledger(&mut session, 9);
    age_jobs(&mut session, "now() - interval '400 days'");
    session.batch_execute("select kronos.prune()").unwrap();
    assert_eq!(ticks(&mut session, "RUN"), 0);
    make_yearly_due(&mut session);
    tick(&mut session);
    assert_eq!(ticks(&mut session, "RUN"), 0);
    assert_eq!(executions_of(&mut session, ids[0]), 0);
    assert_sound(&mut session);
}
