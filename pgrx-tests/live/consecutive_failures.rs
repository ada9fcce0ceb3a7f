//! max_consecutive_failures: a job that has failed so often in a row runs no further tick, and upkeep pauses it.

use crate::domain::*;
use crate::server::{Server, kill};
use postgres::{Client, GenericClient};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use uuid::Uuid;

/// Starts a server with a yearly job that `limit` failures pause. pg_cron cannot connect, so that only the test ticks.
fn server_with_limited_job(limit: i32) -> (Server, Client, Uuid) {
    let server = Server::start_with(&["cron.host = '/nowhere'"]);
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute(
            "set kronos.workspace = 'acme';
             select kronos.update_endpoint('hook', retry_policy => '{\"max_attempts\": 1}')",
        )
        .unwrap();
    let create = "select job_id from kronos.create_cron_job('hook', '0 0 1 1 *', name => 'report', catchup_policy => 'all',
                                                            catchup_window => '1 year', max_consecutive_failures => $1)";
    let job_id = session.query_one(create, &[&limit]).unwrap().get(0);
    (server, session, job_id)
}

/// Starts a server with a job that three failures pause, two of which have been. Worker `w` holds a third execution.
fn server_before_third_failure() -> (Server, Client, Uuid, Held) {
    let (server, mut session, job_id) = server_with_limited_job(3);
    make_yearly_due(&mut session);
    run_and_end(&mut session, "FF");
    session
        .batch_execute("select kronos.trigger_cron_job(job_name => 'report')")
        .unwrap();
    let held = claim(&mut session, "w", 1)[0];
    (server, session, job_id, held)
}

/// Runs the job by hand, and ends the execution: `F`ailed, `S`ucceeded or `C`ancelled, for each letter.
fn run_and_end(session: &mut Client, ends: &str) {
    for end in ends.chars() {
        let trigger = "select execution_id from kronos.trigger_cron_job(job_name => 'report')";
        let execution_id: Uuid = session.query_one(trigger, &[]).unwrap().get(0);
        if end == 'C' {
            let cancel = "select kronos.cancel_execution($1)";
            session.query_one(cancel, &[&execution_id]).unwrap();
            continue;
        }
        let held = claim(session, "w", 1)[0];
        match end {
            'F' => fail(session, "w", held).unwrap(),
            _ => complete(session, "w", held).unwrap(),
        };
    }
}

/// The status of the job and the reason of its last pause.
fn shown(session: &mut impl GenericClient) -> String {
    let statement = "select concat_ws(': ', status, paused_reason) from kronos.job_details where job_name = 'report'";
    session.query_one(statement, &[]).unwrap().get(0)
}

const PAUSED: &str = "PAUSED: paused after 3 consecutive failures";
const REASON: &str = "max_consecutive_failures 3: the last executions failed";

#[test]
fn tick_after_the_last_allowed_failure_is_skipped_and_upkeep_pauses_the_job() {
    for make_due in DUE_IN_BOTH_WAYS {
        let (_server, mut session, job_id) = server_with_limited_job(3);
        make_due(&mut session);
        run_and_end(&mut session, "FFF");
        tick(&mut session);
        assert_eq!(outcomes(&mut session, job_id), ["SKIPPED"]);
        assert_eq!(reason(&mut session, job_id), REASON);
        assert_sound(&mut session);
        upkeep(&mut session);
        assert_eq!(shown(&mut session), PAUSED);
        assert_eq!(entries(&mut session), 0, "its schedule is released");
        assert_eq!(executions(&mut session), 3);
        assert_sound(&mut session);
    }
}

#[test]
fn job_runs_its_ticks_up_to_the_last_allowed_failure() {
    for make_due in DUE_IN_BOTH_WAYS {
        for ends in ["FF", "FFFS", "FFSFF", "SFF"] {
            let (_server, mut session, job_id) = server_with_limited_job(3);
            make_due(&mut session);
            run_and_end(&mut session, ends);
            tick(&mut session);
            assert_eq!(outcomes(&mut session, job_id), ["RUN"], "{ends}");
            upkeep(&mut session);
            assert_eq!(shown(&mut session), "ACTIVE", "{ends}");
        }
    }
}

#[test]
fn cancelled_executions_neither_count_nor_end_the_row() {
    for ends in ["FCFCF", "FFFCC"] {
        let (_server, mut session, job_id) = server_with_limited_job(3);
        make_yearly_due(&mut session);
        run_and_end(&mut session, ends);
        tick(&mut session);
        assert_eq!(outcomes(&mut session, job_id), ["SKIPPED"], "{ends}");
    }
}

#[test]
fn resumed_and_updated_job_counts_anew() {
    let (_server, mut session, _) = server_with_limited_job(3);
    run_and_end(&mut session, "FFF");
    upkeep(&mut session);
    assert_eq!(shown(&mut session), PAUSED);
    let again = [
        "select kronos.resume_cron_job(job_name => 'report')",
        "select kronos.update_cron_job(job_name => 'report', priority => 1)",
    ];
    for call in again {
        session.batch_execute(call).unwrap();
        run_and_end(&mut session, "FF");
        upkeep(&mut session);
        assert!(shown(&mut session).starts_with("ACTIVE"), "after {call}");
    }
    run_and_end(&mut session, "F");
    upkeep(&mut session);
    assert_eq!(shown(&mut session), PAUSED);
    session.batch_execute(again[0]).unwrap();
    // 0 clears the limit.
    let clear = "select max_consecutive_failures from kronos.update_cron_job(job_name => 'report',
                                                                            max_consecutive_failures => 0)";
    assert_eq!(
        session
            .query_one(clear, &[])
            .unwrap()
            .get::<_, Option<i32>>(0),
        None
    );
    run_and_end(&mut session, "FFFFF");
    upkeep(&mut session);
    assert!(shown(&mut session).starts_with("ACTIVE"));
    assert_sound(&mut session);
}

#[test]
fn owed_tick_and_tick_that_an_update_writes_are_skipped_too() {
    let (server, mut session, job_id) = server_with_limited_job(3);
    make_yearly_due(&mut session);
    let mut locking = server.session();
    let mut open = locking.transaction().unwrap();
    try_update(&mut open, job_id, None).unwrap();
    tick(&mut session);
    assert_eq!(outcomes(&mut session, job_id), ["OWED"]);
    open.rollback().unwrap();
    run_and_end(&mut session, "FFF");
    make_owed_ticks_due(&mut session);
    tick(&mut session);
    assert_eq!(reason(&mut session, job_id), REASON);

    let (_server, mut session, job_id) = server_with_limited_job(3);
    make_yearly_due(&mut session);
    run_and_end(&mut session, "FFF");
    try_update(&mut session, job_id, Some("5 5 5 5 *")).unwrap();
    assert_eq!(reason(&mut session, job_id), REASON);
    assert_eq!(executions(&mut session), 3);
}

// The failures are rows of history, and nothing else counts them.
#[test]
fn failure_counts_once_it_has_committed_whatever_crashes() {
    let (server, session, job_id, held) = server_before_third_failure();
    let mut worker = server.session();
    worker.batch_execute("begin").unwrap();
    fail(&mut worker, "w", held).unwrap();
    assert!(kill(backend_pid(&mut worker)));
    let mut session = server.session_after_crash(session);
    let failed = "select count(*) from kronos.executions where status = 'FAILED'";
    assert_eq!(
        count(&mut session, failed),
        2,
        "the third failure has not committed"
    );

    let mut worker = server.session();
    fail(&mut worker, "w", held).unwrap();
    assert!(kill(backend_pid(&mut worker)));
    let mut session = server.session_after_crash(session);
    tick(&mut session);
    assert_eq!(reason(&mut session, job_id), REASON);
    upkeep(&mut session);
    assert_eq!(shown(&mut session), PAUSED);
    assert_sound(&mut session);
}

// Invariant 9.
#[test]
fn neither_failing_workers_nor_the_tick_nor_upkeep_wait_for_each_other() {
    let (server, mut session, job_id, held) = server_before_third_failure();
    // A worker reports while the job is locked, and its transaction stays open.
    let mut locking = server.session();
    let mut locked = locking.transaction().unwrap();
    try_update(&mut locked, job_id, None).unwrap();
    let mut worker = server.session();
    worker.batch_execute("set lock_timeout = '1s'").unwrap();
    let mut open = worker.transaction().unwrap();
    fail(&mut open, "w", held).unwrap();
    assert_does_not_wait(&server, "call kronos.upkeep()");
    locked.rollback().unwrap();
    assert_does_not_wait(&server, "call kronos.upkeep()");
    assert_eq!(
        outcomes(&mut session, job_id),
        ["RUN"],
        "two failures have committed"
    );
    open.commit().unwrap();
    upkeep(&mut session);
    assert_eq!(shown(&mut session), PAUSED);
    // What another session has locked is paused by a later upkeep.
    session
        .batch_execute("select kronos.resume_cron_job(job_name => 'report', workspace => 'acme')")
        .unwrap();
    delete_unfinished(&mut session);
    run_and_end(&mut session, "FFF");
    let mut locked = locking.transaction().unwrap();
    try_update(&mut locked, job_id, None).unwrap();
    assert_does_not_wait(&server, "call kronos.upkeep()");
    assert!(shown(&mut session).starts_with("ACTIVE"));
    locked.rollback().unwrap();
    upkeep(&mut session);
    assert_eq!(shown(&mut session), PAUSED);
}

/// Workers fail every execution while ticks come due, and no tick runs that began after the last allowed failure.
#[test]
fn no_tick_runs_after_the_last_allowed_failure_while_many_workers_fail_at_once() {
    const WORKERS: usize = 8;
    const LIMIT: i64 = 20;
    let server = Server::start_with(&["cron.host = '/nowhere'"]);
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute(&format!(
            "set kronos.workspace = 'acme';
             select kronos.update_endpoint('hook', retry_policy => '{{\"max_attempts\": 1}}');
             select kronos.create_cron_job('hook', '* * * * *', name => 'report', catchup_policy => 'all',
                                           catchup_window => '1 year', max_consecutive_failures => {LIMIT})"
        ))
        .unwrap();
    age_jobs(&mut session, "now() - interval '1 day'");
    let stop = AtomicBool::new(false);
    let start = Barrier::new(WORKERS + 1);
    thread::scope(|scope| {
        for number in 0..WORKERS {
            let (mut session, stop, start) = (server.session(), &stop, &start);
            scope.spawn(move || {
                let worker = format!("w{number}");
                start.wait();
                while !stop.load(Ordering::Relaxed) {
                    for held in claim(&mut session, &worker, 1) {
                        fail(&mut session, &worker, held).unwrap();
                    }
                }
            });
        }
        start.wait();
        let ticked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let failures = "select count(*) from kronos.executions where status = 'FAILED'";
            for minutes in 1.. {
                let failed = count(&mut session, failures);
                let before = executions(&mut session);
                set_handled_until(
                    &mut session,
                    &format!("now() - interval '{minutes} minutes'"),
                );
                tick(&mut session);
                let after = executions(&mut session);
                if failed >= LIMIT {
                    assert_eq!(after, before, "a tick ran after {failed} failures");
                    return;
                }
                // The last allowed failure may have come after the count.
                assert!(
                    after > before || count(&mut session, failures) >= LIMIT,
                    "minute {minutes}: no tick ran after {failed} failures"
                );
            }
        }));
        stop.store(true, Ordering::Relaxed);
        ticked.unwrap();
    });
    assert!(ticks(&mut session, "SKIPPED") > 0);
    upkeep(&mut session);
    assert_eq!(
        shown(&mut session),
        format!("PAUSED: paused after {LIMIT} consecutive failures")
    );
    assert_sound(&mut session);
}

#[test]
fn limit_is_from_1_to_1000_in_every_call_that_sets_it() {
    let (_server, mut session, _) = server_with_limited_job(1);
    let list = |limit: i32| {
        format!(
            "[{{\"name\": \"x\", \"endpoint\": \"hook\", \"cron\": \"0 0 1 1 *\", \"max_consecutive_failures\": {limit}}}]"
        )
    };
    for (limit, is_valid) in [
        (-1, false),
        (0, false),
        (1, true),
        (1000, true),
        (1001, false),
    ] {
        let calls = [
            format!(
                "select kronos.create_cron_job('hook', '0 0 1 1 *', max_consecutive_failures => {limit})"
            ),
            format!("select kronos.apply_crontab('{}')", list(limit)),
            format!(
                "select kronos.create_cron_jobs('{}')",
                list(limit).replace("\"x\"", "null")
            ),
        ];
        for call in calls {
            match session.batch_execute(&call) {
                Ok(()) => assert!(is_valid, "{call}"),
                Err(error) if !is_valid => drop(assert_code::<()>(Err(error), "INVALID_ARGUMENT")),
                Err(error) => panic!("{call}: {error:?}"),
            }
        }
    }
    let changed = format!("select changed[1] from kronos.apply_crontab('{}')", list(7));
    let changed: String = session.query_one(&changed, &[]).unwrap().get(0);
    assert_eq!(changed, "max_consecutive_failures");
    let versions = "select string_agg(max_consecutive_failures::text, ' ' order by version) from kronos.list_job_versions(job_name => 'x')";
    let versions: String = session.query_one(versions, &[]).unwrap().get(0);
    assert_eq!(versions, "1 1000 7");
    run_and_end(&mut session, "F");
    upkeep(&mut session);
    assert_eq!(shown(&mut session), "PAUSED: paused after a failure");
}

#[test]
fn trigger_and_backfill_still_run_and_a_success_lets_the_job_go_on() {
    let (_server, mut session, job_id) = server_with_limited_job(3);
    make_yearly_due(&mut session);
    run_and_end(&mut session, "FFF");
    let backfill = "select count(*) from kronos.backfill_cron_job(
                        job_name => 'report', tick_from => date_trunc('year', now()) - interval '1 year',
                        tick_before => date_trunc('year', now())) where action = 'CREATE'";
    age_jobs(&mut session, "now() - interval '3 years'");
    assert_eq!(count(&mut session, backfill), 1);
    delete_unfinished(&mut session);
    run_and_end(&mut session, "S");
    tick(&mut session);
    assert_eq!(outcomes(&mut session, job_id), ["RUN", "RUN"]);
    upkeep(&mut session);
    assert_eq!(shown(&mut session), "ACTIVE");
}
