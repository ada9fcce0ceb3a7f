//! Missed ticks: each job's own choice, and each made good once.

use crate::domain::*;
use crate::server::Server;
use postgres::Client;
use std::thread;
use uuid::Uuid;

fn create_with(session: &mut Client, cron: &str, policy: &str, window: &str) -> Uuid {
    let statement = "select job_id from kronos.create_cron_job('acme', 'hook', $1, catchup_policy => $2,
                                                               catchup_window => $3::text::interval)";
    session
        .query_one(statement, &[&cron, &policy, &window])
        .unwrap()
        .get(0)
}

/// A minute of the hour, some minutes before this one.
fn minutes_ago(session: &mut Client, minutes: i32) -> i64 {
    count(
        session,
        &format!("select extract(minute from now() - interval '{minutes} minutes')::bigint"),
    )
}

/// Pretends that nothing has woken Kronos for the schedules' last ticks, so many hours long.
fn lose_wake_ups(session: &mut Client, hours: i64) {
    session
        .batch_execute(&format!(
            "update kronos.schedules set next_tick_at = next_tick_at - interval '{hours} hours', last_tick_at = null,
                                         settled_at = next_tick_at - interval '{hours} hours' - interval '1 minute';
             update kronos.jobs set created_at = created_at - interval '{hours} hours' - interval '2 hours', active_since = active_since - interval '{hours} hours' - interval '2 hours' where status = 'ACTIVE'"
        ))
        .unwrap();
}

#[test]
fn after_a_downtime_exactly_the_ticks_of_the_policy_are_materialised() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    // Hourly, the last tick 20 minutes ago.
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

    assert_eq!(run_due(&mut session), 15);
    assert_eq!(run_due(&mut session), 0);
    for (job_id, expected) in jobs {
        let ages = "select array_agg(extract(hour from clock_timestamp() - tick_at)::int order by tick_at desc)
                    from kronos.executions where job_id = $1";
        let ages: Option<Vec<i32>> = session.query_one(ages, &[&job_id]).unwrap().get(0);
        assert_eq!(
            ages.unwrap_or_default(),
            (0..expected).collect::<Vec<i32>>(),
            "the last ones"
        );
    }
    assert_sound(&mut session);
}

#[test]
fn update_hands_over_only_the_missed_ticks_that_the_policy_makes_good() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    let cron = format!("{} * * * *", minutes_ago(&mut session, 20));
    for (policy, expected) in [("none", 0), ("last", 1), ("all", 4)] {
        let job_id = create_with(&mut session, &cron, policy, "4 hours");
        lose_wake_ups(&mut session, 9);
        let next = try_update(&mut session, job_id, Some(YEARLY)).unwrap();
        assert_eq!(executions(&mut session), expected, "{policy}");
        try_cancel(&mut session, next).unwrap();
        session
            .batch_execute("truncate kronos.executions cascade")
            .unwrap();
    }
}

#[test]
fn tick_of_a_wake_up_just_lost_is_made_good_whatever_the_policy() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    let cron = format!(
        "{},{} * * * *",
        minutes_ago(&mut session, 3),
        minutes_ago(&mut session, 2)
    );
    create_with(&mut session, &cron, "none", "0");
    lose_wake_ups(&mut session, 1);
    assert_eq!(run_due(&mut session), 2);
    assert_sound(&mut session);
}

#[test]
fn job_created_without_a_word_makes_good_the_last_tick_of_an_hour() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    let minute = minutes_ago(&mut session, 20);
    session
        .query(
            "select kronos.create_cron_job('acme', 'hook', $1)",
            &[&format!("{minute} * * * *")],
        )
        .unwrap();
    lose_wake_ups(&mut session, 1000);
    assert_eq!(run_due(&mut session), 1);
}

#[test]
fn catch_up_of_a_thousand_ticks_survives_a_kill_and_eight_wake_ups_at_once() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    let minute = minutes_ago(&mut session, 20);
    create_with(&mut session, &format!("{minute} * * * *"), "all", "1 year");
    lose_wake_ups(&mut session, 1000);
    kill_run_due_midway(&server, &mut session);
    let mut session = server.session_after_crash();
    let written: i64 = thread::scope(|scope| {
        let wakers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| run_due(&mut server.session())))
            .collect();
        wakers.into_iter().map(|waker| waker.join().unwrap()).sum()
    });
    assert_eq!(written, 1000);
    assert_eq!(
        count(
            &mut session,
            "select count(distinct tick_at) from kronos.executions"
        ),
        1000
    );
    assert_sound(&mut session);
}

#[test]
fn catch_up_of_all_ticks_has_a_bound_whatever_the_window() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    create_with(&mut session, "* * * * *", "all", "1 year");
    lose_wake_ups(&mut session, 200);
    run_due(&mut session);
    let missed =
        "select count(*) from kronos.executions where tick_at < created_at - interval '5 minutes'";
    assert_eq!(count(&mut session, missed), 10_000);
    let gaps = "select count(*)
                from (select tick_at - lag(tick_at) over (order by tick_at) as step from kronos.executions) steps
                where step <> interval '1 minute'";
    assert_eq!(count(&mut session, gaps), 0, "the latest ones");
    assert_sound(&mut session);
}
