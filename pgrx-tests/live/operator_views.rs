//! The views that tell an operator what fails, what runs and what is stuck, and the calls that they name.

use crate::domain::*;
use crate::server::Server;
use postgres::Client;
use uuid::Uuid;

fn start_server() -> (Server, Client) {
    // pg_cron cannot connect, so upkeep expires no lease meanwhile.
    let server = Server::start_with(&["cron.host = '/nowhere'"]);
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute("set kronos.workspace = 'acme'")
        .unwrap();
    (server, session)
}

/// The rows of a query as text.
fn lines(session: &mut Client, query: &str) -> Vec<String> {
    let rows = session.query(query, &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The single remedy that a view names, after it has been run.
fn run_remedy(session: &mut Client, view: &str) -> String {
    let remedy = lines(session, &format!("select remedy from kronos.{view}")).remove(0);
    // Without the session's default, the remedy must name the workspace.
    session.batch_execute("reset kronos.workspace").unwrap();
    session.batch_execute(&remedy).unwrap();
    session
        .batch_execute("set kronos.workspace = 'acme'")
        .unwrap();
    remedy
}

/// Triggers the job `report`, and ends its execution: `C`ancelled, `F`ailed or `S`ucceeded.
fn end_one(session: &mut Client, ending: char) {
    let end = match ending {
        'C' => "select kronos.cancel_executions()",
        'F' => {
            "select kronos.fail_execution(execution_id, attempt, 'w', 'HTTP status ' || attempt, retryable => false)
             from kronos.claim_executions('w')"
        }
        _ => "select kronos.complete_execution(execution_id, attempt, 'w') from kronos.claim_executions('w')",
    };
    session
        .batch_execute(&format!(
            "select kronos.trigger_cron_job(job_name => 'report'); {end}"
        ))
        .unwrap();
}

#[test]
fn failing_jobs_lists_jobs_until_an_execution_succeeds() {
    let (_server, mut session) = start_server();
    session
        .batch_execute(
            "select kronos.create_cron_job('hook', '0 0 1 1 *', name => 'report');
             select kronos.create_cron_job('hook', '0 0 1 1 *', name => 'idle')",
        )
        .unwrap();
    let listed = "select concat_ws(' ', workspace, job_name, endpoint, failures, last_error) from kronos.failing_jobs";
    for (endings, expected) in [
        ("FS", None),
        ("SFFCF", Some("acme report hook 3 HTTP status 1")),
        ("CC", Some("acme report hook 3 HTTP status 1")),
        ("S", None),
        ("F", Some("acme report hook 1 HTTP status 1")),
    ] {
        for ending in endings.chars() {
            end_one(&mut session, ending);
        }
        let expected: Vec<&str> = expected.into_iter().collect();
        assert_eq!(lines(&mut session, listed), expected, "{endings}");
    }
    let since = "select count(*) from kronos.failing_jobs f join kronos.execution_details x using (job_id)
                 where x.status = 'FAILED' and x.finished_at = f.failing_since and x.created_at = (select max(created_at)
                 from kronos.execution_details where status = 'FAILED')";
    assert_eq!(count(&mut session, since), 1);
    run_remedy(&mut session, "failing_jobs");
    let complete = "select kronos.complete_execution(execution_id, attempt, 'w') from kronos.claim_executions('w')";
    assert_eq!(session.execute(complete, &[]).unwrap(), 1);
    assert_eq!(lines(&mut session, listed), [""; 0]);

    for _ in 0..101 {
        end_one(&mut session, 'F');
    }
    let bounded = "select failures from kronos.failing_jobs";
    assert_eq!(count(&mut session, bounded), 100);
    session
        .batch_execute("select kronos.cancel_cron_job(job_name => 'report')")
        .unwrap();
    assert_eq!(lines(&mut session, listed), [""; 0]);
    assert_sound(&mut session);
}

#[test]
fn running_executions_shows_what_workers_hold() {
    let (_server, mut session) = start_server();
    session
        .batch_execute(
            "select kronos.create_cron_job('hook', '0 0 1 1 *', name => 'report');
             select kronos.trigger_cron_job(job_name => 'report')",
        )
        .unwrap();
    let shown = "select concat_ws(' ', workspace, job_name, endpoint, worker_id, attempt, lease_expires_at - started_at,
                                  stop_requested_at > started_at)
                 from kronos.running_executions";
    assert_eq!(lines(&mut session, shown), [""; 0]);
    let held = claim(&mut session, "w", 1)[0];
    assert_eq!(
        lines(&mut session, shown),
        ["acme report hook w 1 00:01:00"]
    );
    let stop = "select kronos.cancel_execution($1, request_stop => true)";
    session.execute(stop, &[&held.0]).unwrap();
    let stopping = "acme report hook w 1 00:01:00 t";
    assert_eq!(lines(&mut session, shown), [stopping]);
    complete(&mut session, "w", held).unwrap();
    assert_eq!(lines(&mut session, shown), [""; 0]);
}

const STUCK: &str =
    "select concat_ws(' ', status, reason) from kronos.stuck_executions order by stuck_since";

#[test]
fn execution_is_stuck_once_its_lease_has_expired() {
    let (_server, mut session) = start_server();
    enqueue(&mut session, 2);
    claim(&mut session, "w", 1);
    assert_eq!(
        lines(&mut session, STUCK),
        [""; 0],
        "due for less than 5 minutes"
    );
    end_leases(&mut session);
    assert_eq!(
        lines(&mut session, STUCK),
        ["RUNNING the lease of worker w has expired"]
    );
    run_remedy(&mut session, "stuck_executions");
    assert_eq!(lines(&mut session, STUCK), [""; 0]);
}

#[test]
fn due_execution_is_stuck_while_no_worker_runs_its_type() {
    let (_server, mut session) = start_server();
    session
        .batch_execute(
            "select kronos.create_endpoint('queue', 'KAFKA');
             select kronos.enqueue('queue', run_at => now() - interval '6 minutes') from generate_series(1, 2);
             select kronos.enqueue('queue', run_at => now() + interval '6 minutes');
             select kronos.enqueue('hook', run_at => now() - interval '4 minutes');",
        )
        .unwrap();
    let stuck = "QUEUED no worker runs executions of type KAFKA";
    assert_eq!(lines(&mut session, STUCK), [stuck, stuck]);
    claim(&mut session, "w", 3);
    assert_eq!(lines(&mut session, STUCK), [""; 0]);
}

#[test]
fn due_execution_of_a_paused_endpoint_is_stuck_until_it_is_resumed() {
    let (_server, mut session) = start_server();
    session
        .batch_execute(
            "select kronos.create_endpoint('free', 'HTTP');
             select kronos.enqueue('free'), kronos.enqueue('hook', run_at => now() - interval '6 minutes');
             select kronos.pause_endpoint('hook', reason => 'the receiver is down');",
        )
        .unwrap();
    // A worker runs executions of the type.
    assert_eq!(claim(&mut session, "w", 10).len(), 1);
    let stuck = "QUEUED its endpoint is paused: the receiver is down";
    assert_eq!(lines(&mut session, STUCK), [stuck]);
    run_remedy(&mut session, "stuck_executions");
    assert_eq!(lines(&mut session, STUCK), [""; 0]);
    assert_eq!(claim(&mut session, "w", 10).len(), 1);
}

#[test]
fn ordered_execution_is_stuck_behind_an_earlier_one() {
    let (_server, mut session) = start_server();
    session
        .batch_execute(
            "select kronos.create_cron_job('hook', '* * * * *', name => 'chain', overlap_policy => 'queue_one')",
        )
        .unwrap();
    let job_id = "select job_id from kronos.jobs";
    let job_id: Uuid = session.query_one(job_id, &[]).unwrap().get(0);
    // Two ticks, of which the second waits.
    let write = "
        insert into kronos_internal.live_executions
            (workspace_id, endpoint_id, job_id, version, run_at, tick_at, priority, in_order, origin, status, endpoint_type)
        select j.workspace_id, j.endpoint_id, j.job_id, 1, t, t, 5, true, 'BACKFILL', 'QUEUED', 'HTTP'
        from kronos_internal.jobs j, unnest(array[now() - interval '20 minutes', now() - interval '10 minutes']) t
        where j.job_id = $1";
    session.execute(write, &[&job_id]).unwrap();
    let first = claim(&mut session, "w", 10)[0];
    let reason = |status: &str| {
        let id = first.0;
        format!("QUEUED an earlier execution of its job is {status}: {id}")
    };
    assert_eq!(lines(&mut session, STUCK), [reason("RUNNING")]);
    let fail_later = "select kronos.fail_execution($1, 1, 'w', 'no', retry_at => '2100-01-01Z')";
    session.execute(fail_later, &[&first.0]).unwrap();
    assert_eq!(lines(&mut session, STUCK), [reason("RETRYING")]);
    let remedy = run_remedy(&mut session, "stuck_executions");
    assert!(remedy.contains("reschedule_execution"), "{remedy}");
    assert_eq!(claim(&mut session, "w", 10), [(first.0, 2)]);
    let remedy = run_remedy(&mut session, "stuck_executions");
    assert!(remedy.contains("cancel_execution"), "{remedy}");
    let stopped = fail(&mut session, "w", (first.0, 2));
    assert_eq!(stopped.unwrap(), "CANCELLED");
    assert_eq!(claim(&mut session, "w", 10).len(), 1);
    assert_eq!(lines(&mut session, STUCK), [""; 0]);
}
