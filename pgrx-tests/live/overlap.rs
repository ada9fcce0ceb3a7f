//! Ticks that come due while an execution of their job is unfinished, and executions spread by jitter.

use crate::domain::*;
use crate::server::Server;
use postgres::Client;
use uuid::Uuid;

fn create_with(session: &mut Client, cron: &str, overlap: &str, jitter: &str) -> Uuid {
    let statement =
        "select job_id from kronos.create_cron_job('hook', $1, catchup_policy => 'all', catchup_window => '1 year',
                overlap_policy => $2, jitter => $3::text::interval, workspace => 'acme')";
    session
        .query_one(statement, &[&cron, &overlap, &jitter])
        .unwrap()
        .get(0)
}

/// Triggers an execution of a job, and brings it into a status.
fn give_execution(session: &mut Client, job_id: Uuid, status: &str) {
    session
        .execute(
            "select kronos.trigger_cron_job($1, workspace => 'acme')",
            &[&job_id],
        )
        .unwrap();
    // The claim takes this execution first.
    let set_priority = "update kronos_internal.live_executions set priority = $2 where job_id = $1";
    session.execute(set_priority, &[&job_id, &0]).unwrap();
    let claimed = "kronos.claim_executions('w', lease => '1 day', workspace => 'acme')";
    let advance = match status {
        "QUEUED" => String::new(),
        "PENDING" => "set session_replication_role = replica;
                      update kronos_internal.live_executions set status = 'PENDING', run_at = now() + interval '1 day'
                      where priority = 0 and status = 'QUEUED';
                      reset session_replication_role"
            .into(),
        "RUNNING" => format!("select {claimed}"),
        "RETRYING" => {
            format!("select kronos.fail_execution(execution_id, attempt, 'w', 'no') from {claimed}")
        }
        "SUCCEEDED" => {
            format!("select kronos.complete_execution(execution_id, attempt, 'w') from {claimed}")
        }
        other => panic!("unexpected status {other}"),
    };
    session.batch_execute(&advance).unwrap();
    session.execute(set_priority, &[&job_id, &5]).unwrap();
    assert_eq!(statuses(session, job_id), [status]);
}

/// The statuses of a job's executions: first of the triggered one, then of the ticks in order. A skipped tick is
/// SKIPPED.
fn statuses(session: &mut Client, job_id: Uuid) -> Vec<String> {
    let statement = "select status || case when stop_requested_at is null then '' else ' (stop)' end
                     from (select tick_at, status, case when status = 'RUNNING' then stop_requested_at end as stop_requested_at
                           from kronos.execution_details where job_id = $1
                           union all
                           select tick_at, outcome, null from kronos.ticks where job_id = $1 and outcome = 'SKIPPED') t
                     order by tick_at nulls first";
    let rows = session.query(statement, &[&job_id]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[test]
fn overlap_policy_decides_the_outcome_of_a_tick_while_an_execution_is_unfinished() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let cases = [
        ("allow", "PENDING", ["PENDING", "QUEUED"]),
        ("allow", "QUEUED", ["QUEUED", "QUEUED"]),
        ("allow", "RUNNING", ["RUNNING", "QUEUED"]),
        ("skip", "PENDING", ["PENDING", "SKIPPED"]),
        ("skip", "QUEUED", ["QUEUED", "SKIPPED"]),
        ("skip", "RUNNING", ["RUNNING", "SKIPPED"]),
        ("skip", "RETRYING", ["RETRYING", "SKIPPED"]),
        ("skip", "SUCCEEDED", ["SUCCEEDED", "QUEUED"]),
        ("queue_one", "PENDING", ["PENDING", "SKIPPED"]),
        ("queue_one", "QUEUED", ["QUEUED", "SKIPPED"]),
        ("queue_one", "RUNNING", ["RUNNING", "QUEUED"]),
        ("queue_one", "RETRYING", ["RETRYING", "QUEUED"]),
        ("queue_one", "SUCCEEDED", ["SUCCEEDED", "QUEUED"]),
        ("replace", "PENDING", ["CANCELLED", "QUEUED"]),
        ("replace", "QUEUED", ["CANCELLED", "QUEUED"]),
        ("replace", "RUNNING", ["RUNNING (stop)", "QUEUED"]),
        ("replace", "RETRYING", ["CANCELLED", "QUEUED"]),
        ("replace", "SUCCEEDED", ["SUCCEEDED", "QUEUED"]),
    ]
    .map(|(policy, status, expected)| {
        let job_id = create_with(&mut session, YEARLY, policy, "0");
        give_execution(&mut session, job_id, status);
        (job_id, policy, status, expected)
    });
    make_yearly_due(&mut session);
    let outcome = session
        .query_one("select executions, skipped from kronos.run_due()", &[])
        .unwrap();
    assert_eq!(
        (outcome.get::<_, i64>(0), outcome.get::<_, i64>(1)),
        (12, 6)
    );
    for (job_id, policy, status, expected) in cases {
        assert_eq!(
            statuses(&mut session, job_id),
            expected,
            "{policy} while {status}"
        );
    }
    let without_reason = "select (select count(*) from kronos.execution_details where status = 'CANCELLED' and status_reason is null)
                         + (select count(*) from kronos.ticks where outcome = 'SKIPPED' and reason not like 'overlap_policy %')";
    assert_eq!(count(&mut session, without_reason), 0);
    assert_sound(&mut session);
    // The tick is in the ledger, so handling it again, now or later, changes nothing.
    make_yearly_due(&mut session);
    tick(&mut session);
    for (job_id, policy, status, expected) in cases {
        assert_eq!(
            statuses(&mut session, job_id),
            expected,
            "{policy} while {status}, again"
        );
    }
    delete_unfinished(&mut session);
    make_yearly_due(&mut session);
    tick(&mut session);
    let live = "select count(*) from kronos_internal.live_executions";
    assert_eq!(count(&mut session, live), 0);
}

#[test]
fn overlap_policy_runs_one_of_several_due_ticks() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let minute = minutes_ago(&mut session, 20);
    let jobs = [
        ("allow", ["QUEUED", "QUEUED", "QUEUED"]),
        ("skip", ["QUEUED", "SKIPPED", "SKIPPED"]),
        ("queue_one", ["QUEUED", "SKIPPED", "SKIPPED"]),
        ("replace", ["SKIPPED", "SKIPPED", "QUEUED"]),
    ]
    .map(|(policy, expected)| {
        let job_id = create_with(&mut session, &format!("{minute} * * * *"), policy, "0");
        (job_id, policy, expected)
    });
    lose_wake_ups(&mut session, 3);
    tick(&mut session);
    for (job_id, policy, expected) in jobs {
        assert_eq!(statuses(&mut session, job_id), expected, "{policy}");
    }
    assert_sound(&mut session);
}

// Invariant 10.
#[test]
fn tick_that_would_replace_a_locked_execution_is_owed_and_delays_no_other() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let replacing = create_with(&mut session, YEARLY, "replace", "0");
    let other = create_with(&mut session, YEARLY, "replace", "0");
    give_execution(&mut session, replacing, "QUEUED");
    let mut worker = server.session();
    let mut transaction = worker.transaction().unwrap();
    assert_eq!(claim_for(&mut transaction, "w", 1, "1 day").len(), 1);
    make_yearly_due(&mut session);
    tick_without_waiting(&server);
    assert_eq!(statuses(&mut session, other), ["QUEUED"]);
    assert_eq!(statuses(&mut session, replacing), ["QUEUED"]);
    assert_eq!(outcomes(&mut session, replacing), ["OWED"]);
    assert_sound(&mut session);
    transaction.commit().unwrap();
    tick(&mut session);
    assert_eq!(
        statuses(&mut session, replacing),
        ["RUNNING (stop)", "QUEUED"]
    );
    assert_eq!(outcomes(&mut session, replacing), ["RUN"]);
    assert_sound(&mut session);
}

#[test]
fn jitter_spreads_executions_the_same_way_each_time() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    for _ in 0..20 {
        create_with(&mut session, YEARLY, "allow", "10 minutes");
    }
    let run_ats = |session: &mut Client| {
        forget_ticks(session);
        make_yearly_due(session);
        tick(session);
        let rows = session
            .query(
                "select job_id::text || run_at from kronos.execution_details order by 1",
                &[],
            )
            .unwrap();
        assert_eq!(rows.len(), 20);
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    let first = run_ats(&mut session);
    let outside = "select count(*) from kronos.execution_details
                   where run_at < tick_at or run_at >= tick_at + interval '10 minutes'";
    assert_eq!(count(&mut session, outside), 0);
    let spread = "select extract(epoch from max(run_at - tick_at) - min(run_at - tick_at))::bigint from kronos.execution_details";
    assert!(count(&mut session, spread) > 240);
    assert_eq!(run_ats(&mut session), first);
}

#[test]
fn execution_that_starts_later_is_pending() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let job_id = create_with(&mut session, "* * * * *", "allow", "24 hours");
    copy_job(&mut session, job_id, 20);
    age_jobs(&mut session, "now() - interval '2 minutes'");
    set_handled_until(&mut session, "now() - interval '1 minute'");
    tick(&mut session);
    let consistent = "select count(*) from kronos.execution_details where (status = 'PENDING') = (run_at > created_at)";
    assert!(count(&mut session, consistent) >= 21);
    assert_eq!(count(&mut session, consistent), executions(&mut session));
}
