//! on_failure: an execution that fails for good gives another endpoint an execution, in the same transaction.

use crate::domain::*;
use crate::server::Server;
use postgres::{Client, GenericClient};
use serde_json::{Value, json};
use uuid::Uuid;

/// Starts a server whose endpoint `hook` allows one attempt and has `alarm` as on_failure.
fn server_with_alarm() -> (Server, Client) {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute(
            "set kronos.workspace = 'acme';
             select kronos.create_endpoint('alarm', 'ALARM');
             select kronos.update_endpoint('hook', retry_policy => '{\"max_attempts\": 1}', on_failure => 'alarm')",
        )
        .unwrap();
    (server, session)
}

/// Claims one execution of `hook` and fails it, and returns its id.
fn fail_one(session: &mut Client) -> Uuid {
    let claim = "select execution_id, attempt from kronos.claim_executions('w', endpoint_types => '{HTTP}')";
    let row = session.query_one(claim, &[]).unwrap();
    let held = (row.get(0), row.get(1));
    assert_eq!(fail(session, "w", held).unwrap(), "FAILED");
    held.0
}

/// The input and the metadata of each execution of origin ON_FAILURE, oldest first.
fn alarms(session: &mut impl GenericClient, endpoint: &str) -> Vec<(Value, Value)> {
    let statement = "select input, metadata from kronos.execution_details
                     where origin = 'ON_FAILURE' and endpoint = $1 and status = 'QUEUED' order by execution_id";
    let rows = session.query(statement, &[&endpoint]).unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn count_alarms(session: &mut impl GenericClient) -> i64 {
    count(
        session,
        "select count(*) from kronos.execution_details where origin = 'ON_FAILURE'",
    )
}

#[test]
fn failed_one_shot_gives_the_handler_the_facts_and_its_metadata() {
    let (_server, mut session) = server_with_alarm();
    session
        .batch_execute(
            "select kronos.enqueue('hook', '{\"order\": 7}', priority => 2, metadata => '{\"trace\": \"a\"}')",
        )
        .unwrap();
    let failed = fail_one(&mut session);
    let (input, metadata) = alarms(&mut session, "alarm").remove(0);
    let finished =
        "select to_jsonb(finished_at) from kronos.execution_details where execution_id = $1";
    let finished: Value = session.query_one(finished, &[&failed]).unwrap().get(0);
    assert_eq!(
        input,
        json!({
            "execution_id": failed.to_string(), "endpoint": "hook", "job_id": null, "job_name": null, "tick_at": null,
            "attempt": 1, "failed_attempts": 1, "error": "it failed", "status_reason": "attempt 1 of 1 failed",
            "worker_id": "w", "finished_at": finished, "input": { "order": 7 },
        })
    );
    assert_eq!(metadata, json!({ "trace": "a" }));
    let claimed = "select count(*) from kronos.claim_executions('w', endpoint_types => '{ALARM}') where priority = 2";
    assert_eq!(count(&mut session, claimed), 1, "its priority, too");
    assert_sound(&mut session);
}

#[test]
fn every_way_to_fail_for_good_is_handled_and_no_other_end() {
    let (_server, mut session) = server_with_alarm();
    let policy = "select kronos.update_endpoint('hook', retry_policy => '{\"max_attempts\": 2, \"initial_delay_ms\": 0}')";
    session.batch_execute(policy).unwrap();
    let ends = [
        ("kronos.complete_execution(execution_id, attempt, 'w')", 0),
        ("kronos.release_execution(execution_id, attempt, 'w')", 0),
        ("kronos.fail_execution(execution_id, attempt, 'w', 'no')", 0),
        (
            "kronos.fail_execution(execution_id, attempt, 'w', 'no', retryable => false)",
            1,
        ),
        (
            "kronos.fail_executions('w', jsonb_build_array(jsonb_build_object(
                 'execution_id', execution_id, 'attempt', attempt, 'retryable', false)))",
            1,
        ),
    ];
    for (end, expected) in ends {
        delete_unfinished(&mut session);
        let run = format!(
            "select kronos.enqueue('hook'); select {end} from kronos.claim_executions('w', endpoint_types => '{{HTTP}}')"
        );
        session.batch_execute(&run).unwrap();
        assert_eq!(count_alarms(&mut session), expected, "{end}");
    }
    delete_unfinished(&mut session);
    session
        .batch_execute("select kronos.enqueue('hook')")
        .unwrap();
    for expected in [0, 1] {
        claim(&mut session, "crashed", 1);
        end_leases(&mut session);
        assert_eq!(count(&mut session, "select kronos.expire_leases()"), 1);
        assert_eq!(count_alarms(&mut session), expected, "expired leases");
    }
    // A cancelled execution has not failed.
    delete_unfinished(&mut session);
    session
        .batch_execute(
            "select kronos.enqueue('hook');
             create table held as select execution_id, attempt from kronos.claim_executions('w', endpoint_types => '{HTTP}');
             select kronos.cancel_execution(execution_id, request_stop => true) from held;
             select kronos.fail_execution(execution_id, attempt, 'w', 'no') from held",
        )
        .unwrap();
    assert_eq!(count_alarms(&mut session), 0, "a stop was requested");
}

#[test]
fn failure_of_a_handler_is_not_handled() {
    let (_server, mut session) = server_with_alarm();
    // An endpoint may handle its own failures, and two may handle each other's.
    session
        .batch_execute(
            "select kronos.update_endpoint('hook', on_failure => 'hook');
             select kronos.enqueue('hook')",
        )
        .unwrap();
    fail_one(&mut session);
    assert_eq!(count_alarms(&mut session), 1);
    fail_one(&mut session);
    assert_eq!(count_alarms(&mut session), 1);
    assert_eq!(count(&mut session, "select count(*) from kronos.queues"), 0);
}

#[test]
fn handler_of_the_job_comes_before_that_of_its_endpoint() {
    let (_server, mut session) = server_with_alarm();
    session
        .batch_execute(
            "select kronos.create_endpoint('pager', 'PAGER');
             select kronos.create_cron_job('hook', '0 0 1 1 *', '{\"v\": 1}', name => 'report', on_failure => 'pager',
                                           metadata => '{\"team\": \"a\"}')",
        )
        .unwrap();
    make_yearly_due(&mut session);
    assert_eq!(run_due(&mut session), 1);
    // The execution has the input and the metadata of its version, and the handler of the job as it is.
    session
        .batch_execute(
            "select kronos.update_cron_job(job_name => 'report', input => '{\"v\": 2}', metadata => '{\"team\": \"b\"}')",
        )
        .unwrap();
    fail_one(&mut session);
    assert_eq!(alarms(&mut session, "alarm"), []);
    let (input, metadata) = alarms(&mut session, "pager").remove(0);
    assert_eq!(
        (&input["job_name"], &input["input"]),
        (&json!("report"), &json!({ "v": 1 }))
    );
    assert!(
        input["job_id"].is_string() && input["tick_at"].is_string(),
        "{input}"
    );
    assert_eq!(metadata, json!({ "team": "a" }));

    let clear =
        "select on_failure from kronos.update_cron_job(job_name => 'report', on_failure => '')";
    assert_eq!(
        session
            .query_one(clear, &[])
            .unwrap()
            .get::<_, Option<String>>(0),
        None
    );
    session
        .batch_execute("select kronos.trigger_cron_job(job_name => 'report')")
        .unwrap();
    fail_one(&mut session);
    assert_eq!(alarms(&mut session, "alarm").len(), 1);
    let versions = "select string_agg(coalesce(on_failure, '-'), ' ' order by version)
                    from kronos.list_job_versions(job_name => 'report')";
    let versions: String = session.query_one(versions, &[]).unwrap().get(0);
    assert_eq!(versions, "pager pager -");
    assert_sound(&mut session);
}

#[test]
fn deleted_or_cleared_handler_gets_nothing() {
    let (_server, mut session) = server_with_alarm();
    for statement in [
        "select kronos.update_endpoint('hook', on_failure => '')",
        "select kronos.update_endpoint('hook', on_failure => 'alarm'); select kronos.delete_endpoint('alarm')",
        "select kronos.create_endpoint('alarm', 'ALARM')",
    ] {
        session.batch_execute(statement).unwrap();
        session
            .batch_execute("select kronos.enqueue('hook')")
            .unwrap();
        fail_one(&mut session);
        let shown = "select on_failure from kronos.endpoints where endpoint = 'hook'";
        assert_eq!(
            session
                .query_one(shown, &[])
                .unwrap()
                .get::<_, Option<String>>(0),
            None
        );
        assert_eq!(count_alarms(&mut session), 0, "after {statement}");
    }
}

#[test]
fn handler_must_be_a_live_endpoint_of_the_workspace_without_a_payload_spec() {
    let (_server, mut session) = server_with_alarm();
    session
        .batch_execute(
            "select kronos.create_workspace('other'); select kronos.create_endpoint('theirs', 'HTTP', workspace => 'other');
             select kronos.create_payload_spec('number', '{\"type\": \"integer\"}');
             select kronos.create_endpoint('numbers', 'HTTP', payload_spec => 'number');
             select kronos.create_cron_job('hook', '0 0 1 1 *', name => 'there')",
        )
        .unwrap();
    let calls = [
        "create_endpoint('new', 'HTTP', on_failure => $1)",
        "update_endpoint('hook', on_failure => $1)",
        "create_cron_job('hook', '0 0 1 1 *', on_failure => $1)",
        "update_cron_job(job_name => 'there', on_failure => $1)",
        "create_cron_jobs(jsonb_build_array(jsonb_build_object('endpoint', 'hook', 'cron', '0 0 1 1 *', 'on_failure', $1::text)))",
        "apply_crontab(jsonb_build_array(jsonb_build_object('name', 'x', 'endpoint', 'hook', 'cron', '0 0 1 1 *',
                                                            'on_failure', $1::text)))",
    ];
    for call in calls {
        let call = format!("select kronos.{call}");
        for (handler, code) in [
            ("theirs", "ENDPOINT_NOT_FOUND"),
            ("none", "ENDPOINT_NOT_FOUND"),
            ("numbers", "INVALID_ARGUMENT"),
        ] {
            assert_code(session.query(&call, &[&handler]), code);
        }
        session
            .query(&call, &[&"alarm"])
            .unwrap_or_else(|error| panic!("{call}: {error:?}"));
    }
    let stored = "select (select count(*) from kronos.job_details where on_failure = 'alarm')
                       + (select count(*) from kronos.endpoints where on_failure = 'alarm')";
    assert_eq!(count(&mut session, stored), 6);
}

#[test]
fn crontab_declares_the_handlers_of_its_jobs() {
    let (_server, mut session) = server_with_alarm();
    let apply = |session: &mut Client, fields: &str| -> String {
        let call = "select action || ' ' || array_to_string(changed, ',') from kronos.apply_crontab(
                        jsonb_build_array('{\"name\": \"report\", \"endpoint\": \"hook\", \"cron\": \"0 0 1 1 *\"}'::jsonb || $1::text::jsonb))";
        session.query_one(call, &[&fields]).unwrap().get(0)
    };
    let declared = r#"{"on_failure": "alarm"}"#;
    assert_eq!(apply(&mut session, declared), "CREATE ");
    assert_eq!(apply(&mut session, declared), "UNCHANGED ");
    assert_eq!(apply(&mut session, "{}"), "UPDATE on_failure");
    assert_eq!(apply(&mut session, declared), "UPDATE on_failure");
}

// One statement ends the attempts of several workspaces.
#[test]
fn fleet_that_fails_executions_of_two_workspaces_wakes_the_workers_of_each() {
    let (server, mut session) = server_with_alarm();
    session
        .batch_execute(
            "select kronos.create_workspace('other'); select kronos.create_endpoint('bell', 'ALARM', workspace => 'other');
             select kronos.create_endpoint('hook', 'HTTP', retry_policy => '{\"max_attempts\": 1}', on_failure => 'bell',
                                           workspace => 'other');
             select kronos.create_workspace('quiet'); select kronos.create_endpoint('hook', 'HTTP', workspace => 'quiet');
             select kronos.enqueue('hook', workspace => w) from unnest('{acme,other,quiet}'::text[]) w",
        )
        .unwrap();
    let list = "select jsonb_agg(jsonb_build_object('execution_id', execution_id, 'attempt', attempt, 'retryable', false))
                from kronos.claim_any_executions('w', 10)";
    let list: Value = session.query_one(list, &[]).unwrap().get(0);
    let mut listener = server.session();
    listener.batch_execute("listen kronos_executions").unwrap();
    session
        .query("select kronos.fail_executions('w', $1)", &[&list])
        .unwrap();
    let of = "select string_agg(workspace || ' ' || endpoint, ', ' order by workspace) from kronos.execution_details
              where origin = 'ON_FAILURE'";
    let of: String = session.query_one(of, &[]).unwrap().get(0);
    assert_eq!(of, "acme alarm, other bell");
    let mut notified = notifications(&mut listener);
    let names =
        "select coalesce(array_agg(workspace order by workspace), '{}') from kronos.workspaces
                 where workspace_id::text = any ($1)";
    notified.sort_unstable();
    let names: Vec<String> = session.query_one(names, &[&notified]).unwrap().get(0);
    assert_eq!(names, ["acme", "other"]);
}

#[test]
fn input_of_more_than_64_kb_is_left_out() {
    let (_server, mut session) = server_with_alarm();
    session
        .batch_execute("select kronos.enqueue('hook', to_jsonb(repeat('x', 65534))), kronos.enqueue('hook', to_jsonb(repeat('x', 65535)))")
        .unwrap();
    fail_one(&mut session);
    fail_one(&mut session);
    let inputs: Vec<bool> = alarms(&mut session, "alarm")
        .iter()
        .map(|(input, _)| input["input"].is_string())
        .collect();
    assert_eq!(inputs, [true, false]);
}
