//! Invariant 10: a job whose ticks cannot be written does not keep other jobs from theirs.

use crate::domain::*;
use crate::server::Server;
use postgres::Client;
use uuid::Uuid;

/// The jobs with owed ticks that check() reports, each with SQLSTATE and error.
fn failures_in_check(session: &mut Client) -> Vec<(String, String, String)> {
    let statement = "select detail->>'job_id', detail->>'sqlstate', detail->>'error'
                     from kronos.check() where invariant = 10 order by 1";
    let rows = session.query(statement, &[]).unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect()
}

/// Brings the next try of every owed tick forward by `seconds` seconds.
fn pass_seconds(session: &mut Client, seconds: i32) {
    let statement = format!(
        "update kronos_internal.owed set next_try_at = next_try_at - interval '{seconds} seconds'"
    );
    session.batch_execute(&statement).unwrap();
}

#[test]
fn failing_job_delays_no_other_and_is_retried() {
    let (_server, mut session, ids) = server_with_due_jobs(40);
    let failing = [ids[7], ids[8]];
    refuse_executions(&mut session, &failing);
    tick(&mut session);
    assert_eq!(ticks(&mut session, "RUN"), 38);
    let mut expected = failing.map(|id| {
        let error = format!("no room for {id}");
        (id.to_string(), "23514".to_owned(), error)
    });
    expected.sort();
    assert_eq!(failures_in_check(&mut session), expected);
    let listed =
        "select count(*) from kronos.failing_ticks where tries = 1 and next_try_at > now()";
    assert_eq!(count(&mut session, listed), 2);
    tick(&mut session);
    assert_eq!(count(&mut session, listed), 2, "no try before next_try_at");

    session.batch_execute("delete from refused").unwrap();
    pass_seconds(&mut session, 31);
    tick(&mut session);
    assert_eq!(ticks(&mut session, "RUN"), 40);
    assert_eq!(ticks(&mut session, "OWED"), 0);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

#[test]
fn failing_tick_is_retried_with_growing_pauses_and_finally_skipped() {
    let (_server, mut session, ids) = server_with_due_jobs(2);
    refuse_executions(&mut session, &ids[..1]);
    tick(&mut session);
    for tries in 1..10_i32 {
        let statement =
            "select tries, round(extract(epoch from next_try_at - clock_timestamp()))::integer
                         from kronos.failing_ticks";
        let row = session.query_one(statement, &[]).unwrap();
        let (tried, pause): (i32, i32) = (row.get(0), row.get(1));
        let expected = 30 << (tries - 1);
        assert_eq!(tried, tries);
        assert!(
            (expected - 5..=expected).contains(&pause),
            "{tries}: {pause}"
        );
        pass_seconds(&mut session, pause + 5);
        tick(&mut session);
    }
    assert_eq!(outcomes(&mut session, ids[0]), ["SKIPPED"]);
    let reason = reason(&mut session, ids[0]);
    let expected = format!("given up after 10 tries: 23514 no room for {}", ids[0]);
    assert_eq!(reason, expected);
    assert_eq!(ticks(&mut session, "OWED"), 0);
    assert_eq!(outcomes(&mut session, ids[1]), ["RUN"]);
    assert_sound(&mut session);
    // The tick never runs later.
    session.batch_execute("delete from refused").unwrap();
    make_yearly_due(&mut session);
    tick(&mut session);
    assert_eq!(executions(&mut session), 1);
}

/// Makes every insert of an execution of priority 7 fail.
fn refuse_priority_7(session: &mut Client) {
    session
        .batch_execute(
            "create function public.refuse() returns trigger language plpgsql as
               $$ begin raise exception 'no room for priority 7'; end $$;
             create trigger refuse before insert on kronos_internal.live_executions for each row
             when (new.priority = 7) execute function public.refuse();",
        )
        .unwrap();
}

fn set_priority(session: &mut Client, job_id: Uuid, priority: i32, cron: Option<&str>) {
    let statement =
        "select kronos.update_cron_job($1, priority => $2, cron => $3, workspace => 'acme')";
    session
        .query(statement, &[&job_id, &priority, &cron])
        .unwrap();
}

// An owed tick is written for the version that is current at the retry.
#[test]
fn update_repairs_a_job_whose_tick_failed() {
    let (_server, mut session, ids) = server_with_due_jobs(3);
    for id in &ids {
        set_priority(&mut session, *id, 7, None);
    }
    refuse_priority_7(&mut session);
    forget_ticks(&mut session);
    make_yearly_due(&mut session);
    tick(&mut session);
    assert_eq!(ticks(&mut session, "OWED"), 3);
    set_priority(&mut session, ids[0], 5, None);
    set_priority(&mut session, ids[1], 5, Some("5 5 5 5 *"));
    make_owed_ticks_due(&mut session);
    tick(&mut session);
    assert_eq!(outcomes(&mut session, ids[0]), ["RUN"]);
    assert_eq!(outcomes(&mut session, ids[1]), ["RUN"]);
    assert_eq!(outcomes(&mut session, ids[2]), ["OWED"]);
    assert_ledger_matches_executions(&mut session);
    try_cancel(&mut session, ids[2]).unwrap();
    make_owed_ticks_due(&mut session);
    tick(&mut session);
    assert_eq!(outcomes(&mut session, ids[2]), ["SKIPPED"]);
    assert_sound(&mut session);
}

// The update writes the due tick, which fails. The update itself must not fail.
#[test]
fn update_of_a_job_whose_unhandled_tick_fails_succeeds() {
    let (_server, mut session, ids) = server_with_due_jobs(2);
    for id in &ids {
        set_priority(&mut session, *id, 7, None);
    }
    refuse_priority_7(&mut session);
    forget_ticks(&mut session);
    make_yearly_due(&mut session);
    set_priority(&mut session, ids[0], 5, None);
    set_priority(&mut session, ids[1], 5, Some("5 5 5 5 *"));
    tick(&mut session);
    assert_eq!(
        outcomes(&mut session, ids[0]),
        ["RUN"],
        "the tick runs for the new version"
    );
    assert_eq!(outcomes(&mut session, ids[1]), ["SKIPPED"]);
    assert!(reason(&mut session, ids[1]).contains("no room for priority 7"));
    assert_sound(&mut session);
}

// Many failing jobs delay the other jobs of their workspace by a bounded time, and other workspaces not at all.
#[test]
fn three_hundred_failing_jobs_delay_only_their_own_workspace() {
    const HEALTHY: i64 = 1700;
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    create_workspace(&mut session, "other");
    let job_id = create(&mut session, YEARLY);
    let others = create_named(&mut session, "other", "o", YEARLY);
    copy_job(&mut session, job_id, HEALTHY as i32 + 299);
    copy_job(&mut session, others, 499);
    make_yearly_due(&mut session);
    let spread = "select job_id from (select job_id, row_number() over (order by job_id) as nth from kronos.jobs
                                      where workspace = 'acme') j where nth % 20 < 3 limit 300";
    let failing: Vec<Uuid> = session
        .query(spread, &[])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(failing.len(), 300);
    refuse_executions(&mut session, &failing);
    tick(&mut session);
    let of_others = "select count(*) from kronos.execution_details where workspace = 'other'";
    assert_eq!(count(&mut session, of_others), 500, "without delay");
    let of_healthy = "select count(*) from kronos.execution_details where workspace = 'acme'";
    let mut minutes = 0;
    while count(&mut session, of_healthy) < HEALTHY {
        assert!(
            minutes < 10,
            "{} of {HEALTHY} after ten minutes",
            count(&mut session, of_healthy)
        );
        minutes += 1;
        pass_seconds(&mut session, 60);
        tick(&mut session);
    }
    assert_eq!(executions(&mut session), HEALTHY + 500);
    assert_eq!(ticks(&mut session, "OWED"), 300);
    assert_eq!(ticks(&mut session, "SKIPPED"), 0);
    assert_eq!(failures_in_check(&mut session).len(), 300);
    assert_ledger_matches_executions(&mut session);

    // At the next tick the failing jobs are known.
    forget_ticks_but_failed(&mut session);
    make_yearly_due(&mut session);
    tick(&mut session);
    assert_eq!(count(&mut session, of_healthy), HEALTHY, "without delay");
    assert_eq!(ticks(&mut session, "OWED"), 300);

    session.batch_execute("delete from refused").unwrap();
    make_owed_ticks_due(&mut session);
    tick(&mut session);
    assert_eq!(executions(&mut session), HEALTHY + 800);
    assert_ledger_matches_executions(&mut session);
    assert_sound(&mut session);
}

#[test]
fn unreadable_schedule_keeps_no_other_from_ticking() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let unreadable = create(&mut session, "0 0 1 1 0");
    let healthy = create(&mut session, YEARLY);
    make_yearly_due(&mut session);
    session
        .batch_execute(
            "update kronos_internal.schedules
             set timezone = 'Mars/Olympus', next_tick_at = now() - interval '1 year', ticked_until = now() - interval '2 years'
             where cron = '0 0 1 1 0'",
        )
        .unwrap();
    tick(&mut session);
    assert_eq!(outcomes(&mut session, healthy), ["RUN"]);
    assert!(outcomes(&mut session, unreadable).is_empty());
    let overdue =
        "select count(*) from kronos.check() where invariant = 4 and problem like '%overdue%'";
    assert_eq!(count(&mut session, overdue), 1, "check() reports it");
}
