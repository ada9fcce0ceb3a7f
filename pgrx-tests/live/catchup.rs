//! Missed ticks: each job's policy decides which of them run, each runs once, and the ledger records the dropped ones.

use crate::domain::*;
use crate::server::Server;
use postgres::Client;
use std::thread;
use uuid::Uuid;

fn create_with(session: &mut Client, cron: &str, policy: &str, window: &str) -> Uuid {
    let statement = "select job_id from kronos.create_cron_job('hook', $1, catchup_policy => $2,
                                                               catchup_window => $3::text::interval, workspace => 'acme')";
    session
        .query_one(statement, &[&cron, &policy, &window])
        .unwrap()
        .get(0)
}

/// The ages of the ticks that a job ran, in whole hours, latest tick first.
fn ages(session: &mut Client, job_id: Uuid) -> Vec<i32> {
    let statement = "select coalesce(array_agg(extract(hour from age(clock_timestamp(), tick_at))::int order by tick_at desc), '{}')
                     from kronos.ticks where job_id = $1 and outcome = 'RUN'";
    session.query_one(statement, &[&job_id]).unwrap().get(0)
}

/// The number of ticks that a job has dropped, and the number of rows that cover them.
fn dropped(session: &mut Client, job_id: Uuid) -> (i64, i64) {
    let statement = "select coalesce(sum(extract(epoch from tick_at - from_tick_at)::bigint / 3600 + 1), 0)::bigint, count(*)
                     from kronos.ticks where job_id = $1 and outcome = 'DROPPED'";
    let row = session.query_one(statement, &[&job_id]).unwrap();
    (row.get(0), row.get(1))
}

// Invariant 4.
#[test]
fn after_an_outage_each_policy_runs_its_ticks_and_one_row_covers_the_dropped_ones() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    // Hourly; the last tick was 20 minutes ago.
    let cron = format!("{} * * * *", minutes_ago(&mut session, 20));
    let jobs = [
        ("none", "1 hour", 0),
        ("last", "1 hour", 1),
        ("last", "10 minutes", 0),
        ("last", "1 year", 1),
        ("all", "4 hours", 4),
        ("all", "1 year", 9),
    ]
    .map(|(policy, window, expected)| (create_with(&mut session, &cron, policy, window), expected));
    lose_wake_ups(&mut session, 9);

    tick(&mut session);
    assert_eq!(ticks(&mut session, "RUN"), 15);
    tick(&mut session);
    assert_eq!(ticks(&mut session, "RUN"), 15);
    for (job_id, expected) in jobs {
        assert_eq!(
            ages(&mut session, job_id),
            (0..expected).collect::<Vec<i32>>(),
            "the latest ticks run"
        );
        let rows = i64::from(expected < 9);
        let covered = i64::from(9 - expected);
        assert_eq!(dropped(&mut session, job_id), (covered, rows));
    }
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

#[test]
fn dropped_ticks_can_be_backfilled() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let cron = format!("{} * * * *", minutes_ago(&mut session, 20));
    let job_id = create_with(&mut session, &cron, "none", "1 hour");
    lose_wake_ups(&mut session, 9);
    tick(&mut session);
    assert_eq!(dropped(&mut session, job_id), (9, 1));
    let reason = reason(&mut session, job_id);
    assert_eq!(reason, "catchup_policy none");

    let backfill = "select count(execution_id)
                    from kronos.backfill_cron_job($1, tick_from => (select from_tick_at from kronos.ticks), workspace => 'acme')
                    where action = 'CREATE'";
    let created: i64 = session.query_one(backfill, &[&job_id]).unwrap().get(0);
    assert_eq!(created, 9);
    assert_eq!(ages(&mut session, job_id), (0..9).collect::<Vec<i32>>());
    lose_wake_ups(&mut session, 9);
    tick(&mut session);
    assert_eq!(executions(&mut session), 9);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

#[test]
fn policy_none_runs_no_missed_tick_while_other_transactions_are_open() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let cron = "* * * * *";
    let none = create_with(&mut session, cron, "none", "1 hour");
    let last = create_with(&mut session, cron, "last", "1 hour");
    lose_wake_ups(&mut session, 3);
    let began = std::time::Instant::now();
    let mut others = [server.session(), server.session(), server.session()];
    let [creating, changing, locking] = &mut others;
    let mut creation = creating.transaction().unwrap();
    create(&mut creation, cron);
    let mut change = changing.transaction().unwrap();
    create(&mut change, "5 5 5 5 *");
    let mut lock = locking.transaction().unwrap();
    let lock_job = "select from kronos_internal.jobs where job_id = $1 for no key update";
    lock.query(lock_job, &[&last]).unwrap();

    for _ in 0..3 {
        tick_without_waiting(&server);
    }
    lock.rollback().unwrap();
    creation.commit().unwrap();
    change.commit().unwrap();
    tick(&mut session);
    // A tick is missed if it is handled more than five minutes late.
    let missed = "select count(*) from kronos.execution_details where job_id = $1 and tick_at < created_at - interval '6 minutes'";
    let mut missed_of =
        |job_id: Uuid| -> i64 { session.query_one(missed, &[&job_id]).unwrap().get(0) };
    assert_eq!(missed_of(none), 0);
    assert!(missed_of(last) <= 1);
    let total = executions(&mut session);
    // Three jobs have a tick in each further minute of the test.
    let minutes = began.elapsed().as_secs() as i64 / 60 + 1;
    assert!(total <= 10 + 3 * minutes, "{total}");
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

// Invariant 5: an update that writes unhandled ticks follows the policy too.
#[test]
fn update_writes_only_the_missed_ticks_that_the_policy_catches_up() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let cron = format!("{} * * * *", minutes_ago(&mut session, 20));
    for (policy, expected) in [("none", 0), ("last", 1), ("all", 4)] {
        let job_id = create_with(&mut session, &cron, policy, "4 hours");
        lose_wake_ups(&mut session, 9);
        try_update(&mut session, job_id, Some(YEARLY)).unwrap();
        assert_eq!(executions(&mut session), expected, "{policy}");
        assert_eq!(dropped(&mut session, job_id), (9 - expected, 1), "{policy}");
        tick(&mut session);
        assert_eq!(executions(&mut session), expected, "{policy}");
        try_cancel(&mut session, job_id).unwrap();
        forget_ticks(&mut session);
    }
    assert_sound(&mut session);
}

// Invariant 5: the new version decides nothing about ticks that came due before it.
#[test]
fn update_during_an_outage_does_not_catch_up_what_the_old_version_dropped_or_did_not_have() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let cron = format!("{} * * * *", minutes_ago(&mut session, 20));
    let dropping = create_with(&mut session, &cron, "none", "1 hour");
    let starting = create(&mut session, &cron);
    set_window(&mut session, starting, "now() + interval '1 year'", "null");
    lose_wake_ups(&mut session, 9);
    session
        .execute(
            "select kronos.update_cron_job(job_id, catchup_policy => 'all', catchup_window => '1 year',
                                           starts_at => '-infinity', workspace => 'acme')
             from kronos.jobs",
            &[],
        )
        .unwrap();
    tick(&mut session);
    assert_eq!(dropped(&mut session, dropping), (9, 1));
    assert_eq!(dropped(&mut session, starting), (0, 0));
    assert_eq!(executions(&mut session), 0);
    assert_sound(&mut session);
}

// Invariant 4: the clock was set back after a first outage, so that some of its ticks come due again.
#[test]
fn dropped_ticks_that_come_due_again_with_others_are_one_row() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let cron = format!("{} * * * *", minutes_ago(&mut session, 20));
    let job_id = create_with(&mut session, &cron, "none", "1 hour");
    lose_wake_ups(&mut session, 9);
    tick(&mut session);
    shorten_dropped(&mut session, "5 hours");
    assert_eq!(dropped(&mut session, job_id), (4, 1));
    set_handled_until(&mut session, "now() - interval '9 hours'");
    tick(&mut session);
    assert_eq!(dropped(&mut session, job_id), (9, 1));
    assert_sound(&mut session);
}

// Invariant 4: a pass reads only the first, the last and the latest 10,000 missed ticks of the schedule.
#[test]
fn job_whose_window_lies_within_a_long_outage_follows_its_policy() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let cases = [("none", 0), ("last", 1), ("all", 0)];
    let jobs = cases.map(|(policy, _)| create_with(&mut session, "* * * * *", policy, "1 year"));
    for job_id in jobs {
        let hour = |hours: i32| format!("date_trunc('hour', now()) - interval '{hours} hours'");
        set_window(&mut session, job_id, &hour(195), &hour(185));
    }
    lose_wake_ups(&mut session, 200);
    tick(&mut session);
    let missed =
        "select coalesce(sum(extract(epoch from tick_at - from_tick_at) / 60 + 1), 0)::bigint
                  from kronos.ticks where job_id = $1 and outcome = 'DROPPED'";
    for (job_id, (policy, expected)) in jobs.into_iter().zip(cases) {
        assert_eq!(executions_of(&mut session, job_id), expected, "{policy}");
        let dropped: i64 = session.query_one(missed, &[&job_id]).unwrap().get(0);
        assert_eq!(dropped, 600 - expected, "{policy}");
    }
    assert_sound(&mut session);
}

#[test]
fn ticks_of_a_briefly_lost_wake_up_run_whatever_the_policy() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let minutes = [3, 2].map(|minutes| minutes_ago(&mut session, minutes));
    let cron = format!("{},{} * * * *", minutes[0], minutes[1]);
    let job_id = create_with(&mut session, &cron, "none", "0");
    lose_wake_ups(&mut session, 1);
    tick(&mut session);
    assert_eq!(outcomes(&mut session, job_id), ["RUN", "RUN"]);
    assert_sound(&mut session);
}

#[test]
fn job_with_the_default_policy_catches_up_the_last_tick_within_an_hour() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let minute = minutes_ago(&mut session, 20);
    session
        .query(
            "select kronos.create_cron_job('hook', $1, workspace => 'acme')",
            &[&format!("{minute} * * * *")],
        )
        .unwrap();
    lose_wake_ups(&mut session, 1000);
    tick(&mut session);
    assert_eq!(ticks(&mut session, "RUN"), 1);
    assert_eq!(ticks(&mut session, "DROPPED"), 1);
    assert_sound(&mut session);
}

// Invariant 4.
#[test]
fn catch_up_of_a_thousand_ticks_survives_a_kill_and_eight_concurrent_wake_ups() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let minute = minutes_ago(&mut session, 20);
    create_with(&mut session, &format!("{minute} * * * *"), "all", "1 year");
    lose_wake_ups(&mut session, 1000);
    kill_tick_midway(&server, &mut session);
    let mut session = server.session_after_crash(session);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| tick(&mut server.session()));
        }
    });
    assert_eq!(ticks(&mut session, "RUN"), 1000);
    assert_eq!(executions(&mut session), 1000);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

#[test]
fn catch_up_of_all_ticks_is_bounded_whatever_the_window() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let job_id = create_with(&mut session, "* * * * *", "all", "1 year");
    lose_wake_ups(&mut session, 200);
    tick(&mut session);
    let missed = "select count(*) from kronos.execution_details where tick_at < created_at - interval '330 seconds'";
    let missed = count(&mut session, missed);
    assert!((9_990..=10_000).contains(&missed), "{missed}");
    let gaps = "select count(*)
                from (select tick_at - lag(tick_at) over (order by tick_at) as step from kronos.execution_details) steps
                where step <> interval '1 minute'";
    assert_eq!(count(&mut session, gaps), 0, "the latest ticks run");
    assert_eq!(outcomes(&mut session, job_id)[0], "DROPPED");
    let all = "select extract(epoch from tick_at - from_tick_at)::bigint / 60 + 1 + (select count(*) from kronos.execution_details)
               from kronos.ticks where outcome = 'DROPPED'";
    let all = count(&mut session, all);
    assert!(
        (11_999..=12_001).contains(&all),
        "no gap between dropped and run: {all}"
    );
    assert_sound(&mut session);
}

// The ledger must not get a row for every dropped tick. Each batch has jobs with many ticks.
#[test]
fn after_a_week_down_each_job_catches_up_by_its_own_policy() {
    const EACH: i64 = 600;
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let minute = minutes_ago(&mut session, 20);
    let cron = format!("{minute} * * * *");
    let jobs = [
        ("none", "1 hour", 0),
        ("last", "1 hour", 1),
        ("all", "24 hours", 24),
    ]
    .map(|(policy, window, expected)| {
        let job_id = create_with(&mut session, &cron, policy, window);
        copy_job(&mut session, job_id, EACH as i32 - 1);
        (policy, expected)
    });
    // One job has a schedule of its own, whose last tick was 30 minutes ago.
    let minute = minutes_ago(&mut session, 30);
    create_with(&mut session, &format!("{minute} * * * *"), "all", "1 year");
    lose_wake_ups(&mut session, 7 * 24);
    tick(&mut session);
    for (policy, expected) in jobs {
        let statement = format!(
            "select count(*) from kronos.ticks t join kronos.job_details j using (job_id)
             where t.outcome = 'RUN' and j.catchup_policy = '{policy}' and j.catchup_window < interval '1000 hours'"
        );
        assert_eq!(count(&mut session, &statement), EACH * expected, "{policy}");
    }
    assert_eq!(ticks(&mut session, "RUN"), EACH * 25 + 168);
    assert_eq!(ticks(&mut session, "DROPPED"), EACH * 3, "one row per job");
    assert_eq!(ticks(&mut session, "OWED"), 0);
    assert_ledger_matches_executions(&mut session);
    tick(&mut session);
    assert_eq!(executions(&mut session), EACH * 25 + 168);
    assert_sound(&mut session);
}
