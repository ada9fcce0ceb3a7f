//! Who may write, change and use an SQL endpoint: whoever has the privileges of its role. And nobody but the server
//! claims its executions.

use super::*;

/// Calls that write, change or use endpoint `secret`, or its job `nightly`.
const CALLS: [&str; 15] = [
    "update_endpoint('secret', spec => '{\"statement\": \"select 2\"}')",
    "update_endpoint('secret', new_name => 'public')",
    "update_endpoint('secret', attempt_timeout => '1 second')",
    "delete_endpoint('secret')",
    "enqueue('secret')",
    "enqueue_many('[{\"endpoint\": \"hook\"}, {\"endpoint\": \"secret\"}]')",
    "create_cron_job('secret', '0 0 1 1 *')",
    "create_cron_jobs('[{\"endpoint\": \"secret\", \"cron\": \"0 0 1 1 *\"}]')",
    "apply_crontab('[{\"name\": \"declared\", \"endpoint\": \"secret\", \"cron\": \"0 0 1 1 *\"}]')",
    "trigger_cron_job(job_name => 'nightly')",
    "backfill_cron_job(job_name => 'nightly', tick_from => now() - interval '2 years')",
    "update_cron_job(job_name => 'nightly', input => '{\"n\": 1}')",
    "update_cron_job(job_name => 'harmless', endpoint => 'secret')",
    "resume_cron_job(job_name => 'paused')",
    "reschedule_execution((select execution_id from kronos.executions where status = 'PENDING'), now())",
];

#[test]
fn sql_endpoint_needs_the_privileges_of_its_role() {
    let (server, mut owner) = start_server(&[]);
    let mut writer = create_admin(&server, &mut owner, "writer");
    let mut other = create_admin(&server, &mut owner, "other");
    let mut chief = create_admin(&server, &mut owner, "chief");
    owner.batch_execute("grant writer to chief").unwrap();
    write_endpoint(
        &mut writer,
        "secret",
        &json!({ "statement": "select current_user::text as who" }),
    );
    writer
        .batch_execute(
            "select kronos.create_endpoint('hook', 'HTTP');
             select kronos.create_cron_job('secret', '0 0 1 1 *', name => 'nightly');
             select kronos.create_cron_job('secret', '0 0 1 1 *', name => 'paused');
             select kronos.pause_cron_job(job_name => 'paused');
             select kronos.enqueue('secret', run_at => now() + interval '1 day');
             select kronos.create_cron_job('hook', '0 0 1 1 *', name => 'harmless')",
        )
        .unwrap();
    let before = everything(&mut owner);
    for call in CALLS {
        let refused = other.query(&format!("select kronos.{call}"), &[]);
        assert_eq!(assert_code(refused, "PERMISSION_DENIED"), "42501", "{call}");
    }
    assert_eq!(everything(&mut owner), before);
    for call in CALLS {
        let mut transaction = chief.transaction().unwrap();
        if call.starts_with("delete") {
            // An endpoint with live jobs cannot be deleted.
            transaction
                .batch_execute("select kronos.cancel_cron_job(job_name => n) from unnest('{nightly,paused}'::text[]) n")
                .unwrap();
        }
        let allowed = transaction.query(&format!("select kronos.{call}"), &[]);
        allowed.unwrap_or_else(|error| panic!("{call}: {:?}", error.as_db_error()));
        transaction.rollback().unwrap();
    }

    // A call by another role does not change as whom the statement runs; writing the statement does.
    let run = |session: &mut Client| {
        let execution_id = enqueue(session, "secret", &json!({}));
        value_of(&wait_for_end(session, execution_id).assert_succeeded())
    };
    assert_eq!(run(&mut chief), "writer");
    chief
        .batch_execute("select kronos.update_endpoint('secret', attempt_timeout => '1 minute')")
        .unwrap();
    assert_eq!(run(&mut writer), "writer");
    let spec = json!({ "statement": "select current_user::text as who" });
    chief
        .execute(
            "select kronos.update_endpoint('secret', spec => $1)",
            &[&spec],
        )
        .unwrap();
    let run_as = "select run_as::text from kronos.endpoints where endpoint = 'secret'";
    assert_eq!(
        owner.query_one(run_as, &[]).unwrap().get::<_, String>(0),
        "chief"
    );
    assert_eq!(run(&mut chief), "chief");
    let refused = writer.query("select kronos.enqueue('secret')", &[]);
    assert_code(refused, "PERMISSION_DENIED");
    assert_sound(&mut owner);
}

/// What the calls could change.
fn everything(owner: &mut Client) -> String {
    let executions = executions(owner);
    let endpoints = "select string_agg(e::text, ' ' order by endpoint_id) from kronos.endpoints e";
    let endpoints: String = owner.query_one(endpoints, &[]).unwrap().get(0);
    format!("{executions} {endpoints} {}", state(owner))
}

/// A call that waits for another transaction must not change an endpoint that it has not checked.
#[test]
fn waiting_update_does_not_reach_another_endpoint_of_the_name() {
    let (server, mut owner) = start_server(&[]);
    let mut writer = create_admin(&server, &mut owner, "writer");
    let mut other = create_admin(&server, &mut owner, "other");
    let spec = json!({ "statement": "select 1" });
    // The first one is of another type, so that everybody may change it.
    writer
        .batch_execute("select kronos.create_endpoint('report', 'HTTP')")
        .unwrap();
    let mut swap = writer.transaction().unwrap();
    swap.batch_execute("select kronos.delete_endpoint('report')")
        .unwrap();
    swap.execute(
        "select kronos.create_endpoint('report', 'SQL', $1)",
        &[&spec],
    )
    .unwrap();
    let pid = backend_pid(&mut other);
    let update = std::thread::spawn(move || {
        let evil = json!({ "statement": "drop table ledger", "mode": "transaction" });
        other
            .execute(
                "select kronos.update_endpoint('report', spec => $1)",
                &[&evil],
            )
            .map(|_| ())
    });
    wait_for("the update to wait", || is_waiting(&mut owner, pid));
    swap.commit().unwrap();
    assert_code(update.join().unwrap(), "CONCURRENT_CHANGE");
    let kept = "select count(*) from kronos.endpoints where deleted_at is null and spec ->> 'statement' = 'select 1' and run_as = 'writer'";
    assert_eq!(count(&mut owner, kept), 1);
}

#[test]
fn nobody_else_reports_about_an_execution_that_the_server_runs() {
    let (server, mut owner) = start_server(&[]);
    let mut writer = create_admin(&server, &mut owner, "writer");
    write_endpoint(
        &mut writer,
        "nap",
        &json!({ "statement": "select pg_sleep(600)" }),
    );
    let execution_id = enqueue(&mut writer, "nap", &json!({}));
    wait_for("the execution to run", || {
        status(&mut owner, execution_id) == "RUNNING"
    });
    let holder = "select worker_id from kronos.execution_details where execution_id = $1";
    let holder: String = owner.query_one(holder, &[&execution_id]).unwrap().get(0);
    for call in [
        "complete_execution($1, 1, $2)",
        "fail_execution($1, 1, $2, 'forged', retryable => false)",
        "release_execution($1, 1, $2)",
        "postpone_execution($1, 1, $2, now() + interval '1 day')",
        "log_execution($1, 1, $2, 'forged')",
        "heartbeat_executions($2, jsonb_build_array(jsonb_build_object('execution_id', $1::uuid, 'attempt', 1)))",
        "expire_worker_leases($2, 1, $1::uuid is null)",
    ] {
        let statement = format!("select kronos.{call}");
        let refused = owner.execute(&statement, &[&execution_id, &holder]);
        assert_code(refused, "INVALID_ARGUMENT");
    }
    assert_eq!(status(&mut owner, execution_id), "RUNNING");
}

#[test]
fn only_the_server_claims_sql_executions() {
    let (server, mut owner) = start_server(&["kronos.max_sql_workers = 1"]);
    let mut session = create_admin(&server, &mut owner, "writer");
    write_endpoint(
        &mut session,
        "nap",
        &json!({ "statement": "select pg_sleep(600)" }),
    );
    let running = enqueue(&mut session, "nap", &json!({}));
    let waiting = enqueue(&mut session, "nap", &json!({}));
    wait_for("the first execution to run", || {
        status(&mut owner, running) == "RUNNING"
    });
    for claim in [
        "claim_executions('w', 10)",
        "claim_executions('w', 10, endpoint_types => '{HTTP}')",
        "claim_any_executions('w', 10)",
        "claim_any_executions('w', 10, endpoint_types => '{HTTP,KAFKA}')",
    ] {
        let claimed = owner
            .query(&format!("select * from kronos.{claim}"), &[])
            .unwrap();
        assert!(claimed.is_empty(), "{claim}");
    }
    for claim in [
        "claim_executions('w', endpoint_types => '{SQL}')",
        "claim_any_executions('w', endpoint_types => '{HTTP,SQL}')",
    ] {
        let refused = owner.query(&format!("select kronos.{claim}"), &[]);
        assert_code(refused, "INVALID_ARGUMENT");
    }
    for next in [
        "next_wakeup()",
        "next_wakeup(all_workspaces => true)",
        "next_wakeup('{HTTP}')",
    ] {
        let next_wakeup = format!("select count(kronos.{next})");
        assert_eq!(count(&mut owner, &next_wakeup), 0, "{next}");
    }
    // Other workers work beside.
    owner
        .batch_execute(
            "select kronos.create_endpoint('hook', 'HTTP'); select kronos.enqueue('hook')",
        )
        .unwrap();
    let claimed =
        "select count(*) from kronos.claim_executions('w', 10) where endpoint_type = 'HTTP'";
    assert_eq!(count(&mut owner, claimed), 1);
    assert_eq!(status(&mut owner, waiting), "QUEUED");
}
