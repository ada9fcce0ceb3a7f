//! Wrong clocks, and time zones whose rules have changed.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::Client;
use std::thread;
use uuid::Uuid;

/// Starts a server with an hourly job, whose last tick was twenty minutes ago.
fn server_with_hourly_job() -> (Server, Client, Uuid) {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let minute = minutes_ago(&mut session, 20);
    let job_id = create(&mut session, &format!("{minute} * * * *"));
    (server, session, job_id)
}

/// Leaves the schedules as a wake-up does while the clock is ahead: handled up to the wrong time.
fn handle_ahead(session: &mut Client, ahead: &str) {
    set_handled_until(session, &format!("now() + interval '{ahead}'"));
}

/// The problems that check() reports under invariant 4.
fn problems(session: &mut Client) -> Vec<String> {
    let rows = session
        .query(
            "select problem from kronos.check() where invariant = 4",
            &[],
        )
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The time until the schedule's next tick, in minutes.
fn minutes_to_next_tick(session: &mut Client) -> i64 {
    count(
        session,
        "select extract(epoch from next_tick_at - now())::bigint / 60 from kronos_internal.schedules",
    )
}

#[test]
fn schedule_handled_under_a_fast_clock_is_reported_by_check_and_corrected_by_the_next_wake_up() {
    let (_server, mut session, job_id) = server_with_hourly_job();
    lose_wake_ups(&mut session, 1);
    tick(&mut session);
    assert_eq!(outcomes(&mut session, job_id), ["RUN"]);
    handle_ahead(&mut session, "1 year");
    let reported = problems(&mut session);
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert!(
        reported[0].starts_with("the clock was ahead"),
        "{reported:?}"
    );

    tick(&mut session);
    assert_eq!(problems(&mut session), Vec::<String>::new());
    assert!((39..=40).contains(&minutes_to_next_tick(&mut session)));
    assert_eq!(
        outcomes(&mut session, job_id),
        ["RUN"],
        "the tick does not run again"
    );
    assert_sound(&mut session);
    let of_job = "select extract(epoch from next_tick_at - now())::bigint / 60 from kronos.jobs";
    assert!((39..=40).contains(&count(&mut session, of_job)));
}

// Upkeep runs every minute, so no schedule sleeps for a year.
#[test]
fn upkeep_corrects_schedules_handled_under_a_fast_clock() {
    let (_server, mut session, _) = server_with_hourly_job();
    handle_ahead(&mut session, "1 year");
    upkeep(&mut session);
    assert!((39..=40).contains(&minutes_to_next_tick(&mut session)));
    assert_sound(&mut session);
}

// Invariant 4.
#[test]
fn tick_that_ran_under_a_fast_clock_does_not_run_again_when_its_time_comes() {
    let (_server, mut session, job_id) = server_with_hourly_job();
    lose_wake_ups(&mut session, 9);
    tick(&mut session);
    assert_eq!(executions_of(&mut session, job_id), 9);
    // As if all nine ticks had been written under a clock nine hours ahead. The clock is now correct, and the ticks
    // come due.
    handle_ahead(&mut session, "9 hours");
    tick(&mut session);
    lose_wake_ups(&mut session, 9);
    tick(&mut session);
    assert_eq!(executions_of(&mut session, job_id), 9);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

// After a fail-over to a server whose clock is slightly behind, a job created there misses no tick.
#[test]
fn job_created_while_its_schedule_is_ahead_of_the_clock_gets_its_ticks() {
    let (_server, mut session, _) = server_with_hourly_job();
    let cron: String = session
        .query_one("select cron from kronos.jobs", &[])
        .unwrap()
        .get(0);
    handle_ahead(&mut session, "90 seconds");
    let late = create(&mut session, &cron);
    tick(&mut session);
    assert_sound(&mut session);
    // The job's first tick comes due.
    lose_wake_ups(&mut session, 1);
    tick(&mut session);
    assert_eq!(outcomes(&mut session, late), ["RUN"]);
}

// Its next tick may come before the next wake-up.
#[test]
fn job_that_joins_a_schedule_ahead_of_the_clock_sets_it_back() {
    let (_server, mut session, job_id) = server_with_hourly_job();
    handle_ahead(&mut session, "1 year");
    let cron: String = session
        .query_one("select cron from kronos.jobs", &[])
        .unwrap()
        .get(0);
    create(&mut session, &cron);
    assert_sound(&mut session);
    assert!((39..=40).contains(&minutes_to_next_tick(&mut session)));
    handle_ahead(&mut session, "1 year");
    try_update(&mut session, job_id, None).unwrap();
    assert!((39..=40).contains(&minutes_to_next_tick(&mut session)));
    assert_sound(&mut session);
}

#[test]
fn job_created_under_a_fast_clock_is_reported_by_check_and_corrected_by_the_next_wake_up() {
    let (_server, mut session, _) = server_with_hourly_job();
    age_jobs(&mut session, "now() + interval '1 year'");
    let reported = problems(&mut session);
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert!(
        reported[0].starts_with("the clock was ahead when a job became active"),
        "{reported:?}"
    );
    tick(&mut session);
    let of_job = "select extract(epoch from next_tick_at - now())::bigint / 60 from kronos.jobs";
    assert!((39..=40).contains(&count(&mut session, of_job)));
    assert_sound(&mut session);
}

// A wake-up handles the ticks up to its start, however long it takes. Later instants are no sign of a fast clock.
#[test]
fn long_wake_up_sets_back_no_job_or_schedule_created_meanwhile() {
    let (server, mut session, _) = server_with_job();
    make_yearly_due(&mut session);
    block_execution_inserts(&mut session);
    let mut waker = server.session();
    let pid = backend_pid(&mut waker);
    thread::scope(|scope| {
        scope.spawn(|| tick(&mut waker));
        wait_for("the wake-up to last for more than a second", || {
            let long = "select count(*) from pg_stat_activity
                        where pid = $1 and wait_event_type = 'Lock' and clock_timestamp() - query_start > interval '2 seconds'";
            session.query_one(long, &[&pid]).unwrap().get::<_, i64>(0) == 1
        });
        create(&mut session, "5 5 5 5 *");
        session
            .batch_execute("create table began as select active_since, ticked_until
                                from kronos_internal.jobs join kronos_internal.schedules using (schedule_id)
                                where jobs.cron = '5 5 5 5 *';
                            select pg_advisory_unlock(77)")
            .unwrap();
    });
    let unchanged = "select count(*)
                     from began natural join (select active_since, ticked_until
                                              from kronos_internal.jobs join kronos_internal.schedules using (schedule_id)) j";
    assert_eq!(count(&mut session, unchanged), 1);
    assert_sound(&mut session);
}

#[test]
fn check_does_not_report_a_tick_written_under_a_fast_clock_before_its_job_was_cancelled() {
    let (_server, mut session, job_id) = server_with_hourly_job();
    lose_wake_ups(&mut session, 1);
    tick(&mut session);
    assert_eq!(outcomes(&mut session, job_id), ["RUN"]);
    session
        .batch_execute("update kronos_internal.ticks set recorded_at = now() + interval '1 hour'")
        .unwrap();
    try_cancel(&mut session, job_id).unwrap();
    assert_sound(&mut session);
}

#[test]
fn tick_between_the_correct_clock_and_a_fast_one_is_written_when_it_comes_due() {
    let (_server, mut session, job_id) = server_with_hourly_job();
    // The schedule is handled one hour ahead. The next wake-up corrects it,
    handle_ahead(&mut session, "1 hour");
    tick(&mut session);
    // so its next tick comes due by its rule.
    age_jobs(&mut session, "now() - interval '1 day'");
    set_handled_until(&mut session, "now() - interval '30 minutes'");
    tick(&mut session);
    assert_eq!(outcomes(&mut session, job_id), ["RUN"]);
    assert_sound(&mut session);
}

#[test]
fn next_tick_moved_by_new_zone_rules_is_reported_by_check_and_corrected_by_upkeep() {
    let (_server, mut session, _) = server_with_hourly_job();
    session
        .batch_execute(
            "update kronos_internal.schedules set next_tick_at = next_tick_at + interval '3 hours'",
        )
        .unwrap();
    let reported = problems(&mut session);
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert!(reported[0].starts_with("the next tick of a schedule does not follow from its rule"));
    tick(&mut session);
    assert_eq!(
        problems(&mut session).len(),
        1,
        "a wake-up does not check the rules of all schedules"
    );
    upkeep(&mut session);
    assert!((39..=40).contains(&minutes_to_next_tick(&mut session)));
    let corrected = "select count from kronos.upkeep_runs where step = 'reconcile' order by started_at desc limit 1";
    assert_eq!(count(&mut session, corrected), 1);
    assert_sound(&mut session);
    upkeep(&mut session);
    assert_eq!(count(&mut session, corrected), 0);
}

#[test]
fn tick_made_due_by_new_zone_rules_is_written_after_upkeep_corrects_the_schedule() {
    let (_server, mut session, job_id) = server_with_hourly_job();
    lose_wake_ups(&mut session, 1);
    session
        .batch_execute(
            "update kronos_internal.schedules set next_tick_at = now() + interval '1 hour'",
        )
        .unwrap();
    upkeep(&mut session);
    upkeep(&mut session);
    assert_eq!(outcomes(&mut session, job_id), ["RUN"]);
    assert_sound(&mut session);
}

// A clock that is wrong by months must not delete history.
#[test]
fn upkeep_prunes_nothing_after_the_clock_has_jumped() {
    let (_server, mut session, _) = server_with_hourly_job();
    lose_wake_ups(&mut session, 9);
    tick(&mut session);
    for held in claim(&mut session, "w", 9) {
        complete(&mut session, "w", held).unwrap();
    }
    age_history(&mut session);
    // Pretends that upkeep ran last at a time relative to now.
    let set_last_run = |session: &mut Client, ago: &str| {
        session
            .batch_execute(&format!(
                "delete from kronos_internal.upkeep_steps;
                 insert into kronos_internal.upkeep_steps (started_at, step, count, duration)
                 values (now() - interval '{ago}', 'tick', 0, '0')"
            ))
            .unwrap();
    };
    for jump in ["3 months", "-3 months", "61 minutes"] {
        set_last_run(&mut session, jump);
        upkeep(&mut session);
        assert_eq!(executions(&mut session), 9, "{jump}");
    }
    set_last_run(&mut session, "59 minutes");
    upkeep(&mut session);
    assert_eq!(executions(&mut session), 0);
}
