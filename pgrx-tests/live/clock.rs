//! Clocks that were wrong, and zones whose rules have changed (C9).

use crate::domain::*;
use crate::server::Server;
use postgres::Client;
use uuid::Uuid;

fn server_with_hourly_job() -> (Server, Client, Uuid) {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    // The last tick was twenty minutes ago.
    let minute = minutes_ago(&mut session, 20);
    let job_id = create(&mut session, &format!("{minute} * * * *"));
    (server, session, job_id)
}

/// What a wake-up leaves while the clock is ahead: the schedule is handled up to then.
fn handle_ahead(session: &mut Client, ahead: &str) {
    session
        .batch_execute(&format!(
            "update kronos_internal.schedules
             set ticked_until = now() + interval '{ahead}',
                 next_tick_at = (select kronos.next_ticks(cron, timezone, now() + interval '{ahead}', 1))"
        ))
        .unwrap();
}

fn problems(session: &mut Client) -> Vec<String> {
    let rows = session
        .query(
            "select problem from kronos.check() where invariant = 4",
            &[],
        )
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// How long it is to the schedule's next tick, in minutes.
fn minutes_to_next_tick(session: &mut Client) -> i64 {
    count(
        session,
        "select extract(epoch from next_tick_at - now())::bigint / 60 from kronos_internal.schedules",
    )
}

// C9: a fast clock for one wake-up.
#[test]
fn schedule_handled_under_a_fast_clock_is_reported_by_check_and_corrected_by_the_next_wake_up() {
    let (_server, mut session, job_id) = server_with_hourly_job();
    lose_wake_ups(&mut session, 1);
    tick(&mut session);
    assert_eq!(outcomes(&mut session, job_id), ["RUN"]);
    handle_ahead(&mut session, "1 year");
    let seen = problems(&mut session);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].starts_with("the clock was ahead"), "{seen:?}");

    tick(&mut session);
    assert_eq!(problems(&mut session), Vec::<String>::new());
    assert!((39..=40).contains(&minutes_to_next_tick(&mut session)));
    assert_eq!(outcomes(&mut session, job_id), ["RUN"], "not twice");
    assert_sound(&mut session);
    let told = "select extract(epoch from next_tick_at - now())::bigint / 60 from kronos.jobs";
    assert!((39..=40).contains(&count(&mut session, told)));
}

// C9: upkeep's entry fires every minute, so no schedule sleeps for a year.
#[test]
fn upkeep_corrects_schedules_handled_under_a_fast_clock() {
    let (_server, mut session, _) = server_with_hourly_job();
    handle_ahead(&mut session, "1 year");
    upkeep(&mut session);
    assert!((39..=40).contains(&minutes_to_next_tick(&mut session)));
    assert_sound(&mut session);
}

// C9 and invariant 4: ticks that ran under the fast clock do not run again when their time comes.
#[test]
fn tick_that_ran_under_a_fast_clock_does_not_run_again_when_its_time_comes() {
    let (_server, mut session, job_id) = server_with_hourly_job();
    lose_wake_ups(&mut session, 9);
    tick(&mut session);
    assert_eq!(executions_of(&mut session, job_id), 9);
    // As if all nine had been written under a clock that was nine hours ahead; it has been set right, and the ticks' time
    // comes now.
    handle_ahead(&mut session, "9 hours");
    tick(&mut session);
    lose_wake_ups(&mut session, 9);
    tick(&mut session);
    assert_eq!(executions_of(&mut session, job_id), 9);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

// C9 (a): a fail-over to a server that is a little behind loses no tick of a job created there.
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
    // Its first tick comes.
    lose_wake_ups(&mut session, 1);
    tick(&mut session);
    assert_eq!(outcomes(&mut session, late), ["RUN"]);
}

// C9 (a): the tick that the fast clock has already handled is caught up for jobs that did not have it.
#[test]
fn tick_between_the_correct_clock_and_a_fast_one_is_written_when_it_comes_due() {
    let (_server, mut session, job_id) = server_with_hourly_job();
    // Handled up to now, though the last tick, twenty minutes ago, was not due for the clock of an hour ago: the wake-up
    // that sets the clock right ...
    handle_ahead(&mut session, "1 hour");
    tick(&mut session);
    // ... leaves the schedule to come due by its rule.
    session
        .batch_execute(
            "update kronos_internal.jobs set active_since = now() - interval '1 day';
             update kronos_internal.schedules
             set ticked_until = now() - interval '30 minutes', next_tick_at = next_tick_at - interval '1 hour'",
        )
        .unwrap();
    tick(&mut session);
    assert_eq!(outcomes(&mut session, job_id), ["RUN"]);
    assert_sound(&mut session);
}

// C9 (b): new rules of a zone move the next tick earlier.
#[test]
fn next_tick_moved_by_new_zone_rules_is_reported_by_check_and_corrected_by_upkeep() {
    let (_server, mut session, _) = server_with_hourly_job();
    session
        .batch_execute(
            "update kronos_internal.schedules set next_tick_at = next_tick_at + interval '3 hours'",
        )
        .unwrap();
    let seen = problems(&mut session);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].starts_with("the next tick of a schedule does not follow from its rule"));
    tick(&mut session);
    assert_eq!(
        problems(&mut session).len(),
        1,
        "no wake-up reads all rules"
    );
    upkeep(&mut session);
    assert!((39..=40).contains(&minutes_to_next_tick(&mut session)));
    let corrected =
        "select corrected_ticks from kronos_internal.upkeep_runs order by started_at desc limit 1";
    assert_eq!(count(&mut session, corrected), 1);
    assert_sound(&mut session);
    upkeep(&mut session);
    assert_eq!(count(&mut session, corrected), 0);
}

// C9 (b): and a tick that became due by it is not lost.
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

// Design 12: a clock that is wrong by years must not delete history.
#[test]
fn upkeep_prunes_nothing_after_the_clock_has_jumped() {
    let (_server, mut session, _) = server_with_hourly_job();
    lose_wake_ups(&mut session, 9);
    tick(&mut session);
    for held in claim(&mut session, "w", 9) {
        complete(&mut session, "w", held).unwrap();
    }
    session
        .batch_execute(
            "update kronos_internal.history set created_at = created_at - interval '99 days',
                                                finished_at = finished_at - interval '99 days',
                                                execution_id = overlay(execution_id::text placing '0190' from 1 for 4)::uuid;
             update kronos_internal.ticks set execution_id = overlay(execution_id::text placing '0190' from 1 for 4)::uuid",
        )
        .unwrap();
    let set_last_run = |session: &mut Client, ago: &str| {
        session
            .batch_execute(&format!(
                "delete from kronos_internal.upkeep_runs;
                 insert into kronos_internal.upkeep_runs (started_at) values (now() - interval '{ago}')"
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
