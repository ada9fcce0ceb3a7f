//! Routes of executions.

use super::*;

#[test]
fn enqueued_execution_is_new_or_the_one_of_its_key() {
    let api = Api::start();
    let enqueue = |priority: i32, headers: &[(&str, &str)]| {
        let body = json!({ "endpoint": "hook", "run_at": "2100-01-01T00:00:00+02:00", "priority": priority });
        api.send("app", "POST", EXECUTIONS, Some(body), headers)
    };
    let key = [("idempotency-key", "once")];
    let reply = enqueue(1, &key);
    let location = reply.header("location").to_owned();
    let first = reply.expect(201);
    assert_eq!(first["run_at"], "2099-12-31T22:00:00+00:00");
    assert_eq!(
        enqueue(1, &key).expect(200)["execution_id"],
        first["execution_id"]
    );
    enqueue(2, &key).expect_problem(409, "IDEMPOTENCY_CONFLICT");
    let execution = api.get("reader", &location).expect(200);
    assert_eq!(execution["status"], "PENDING");
    assert_eq!(enqueue(1, &[]).expect(201)["created"], true);
}

#[test]
fn traceparent_becomes_metadata_unless_they_have_one() {
    let api = Api::start();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let metadata = |given: Value, traceparent: &str, path: &str| {
        let body = json!({ "endpoint": "hook", "cron": YEARLY, "metadata": given });
        let body = match path {
            JOBS => body,
            _ => json!({ "endpoint": "hook", "metadata": given }),
        };
        let reply = api.send(
            "app",
            "POST",
            path,
            Some(body),
            &[("traceparent", traceparent)],
        );
        let location = reply.header("location").to_owned();
        reply.expect(201);
        api.get("app", &location).expect(200)["metadata"].clone()
    };
    for path in [EXECUTIONS, JOBS] {
        assert_eq!(
            metadata(json!({ "a": 1 }), trace, path),
            json!({ "a": 1, "traceparent": trace })
        );
        assert_eq!(
            metadata(Value::Null, trace, path),
            json!({ "traceparent": trace })
        );
        let own = json!({ "traceparent": "mine" });
        assert_eq!(metadata(own.clone(), trace, path), own);
        assert_eq!(metadata(json!({}), "not a trace", path), json!({}));
    }
}

#[test]
fn repeated_request_may_have_another_traceparent() {
    let api = Api::start();
    let enqueue = |parent: u32| {
        let trace = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{parent:016x}-01");
        let headers = [("idempotency-key", "once"), ("traceparent", &*trace)];
        let body = json!({ "endpoint": "hook", "metadata": { "a": 1 } });
        api.send("app", "POST", EXECUTIONS, Some(body), &headers)
    };
    let first = enqueue(1).expect(201);
    let second = enqueue(2).expect(200);
    assert_eq!(first["execution_id"], second["execution_id"]);
    let other = json!({ "endpoint": "hook", "metadata": { "a": 2 } });
    let key = [("idempotency-key", "once")];
    api.send("app", "POST", EXECUTIONS, Some(other), &key)
        .expect_problem(409, "IDEMPOTENCY_CONFLICT");
}

#[test]
fn failed_execution_shows_its_attempts_and_logs_and_is_retried() {
    let mut api = Api::start();
    let policy = json!({ "retry_policy": { "max_attempts": 2, "initial_delay_ms": 0 } });
    api.patch("operator", &format!("{ENDPOINTS}/hook"), policy)
        .expect(200);
    let execution = api.enqueue();
    for _ in 0..2 {
        let held = claim(&mut api.session, "w1", 1)[0];
        let log = "select kronos.log_execution($1, $2, 'w1', 'trying', data => '{\"n\": 1}')";
        api.session.execute(log, &[&held.0, &held.1]).unwrap();
        fail(&mut api.session, "w1", held).unwrap();
    }
    let failed = api.get("reader", &execution).expect(200);
    assert_eq!(
        (&failed["status"], &failed["error"]),
        (&json!("FAILED"), &json!("it failed"))
    );
    let attempts = api
        .get(
            "reader",
            &format!("{execution}/attempts?outcome=FAILED&max=1"),
        )
        .expect(200);
    assert_eq!(
        (&attempts["items"][0]["attempt"], &attempts["next"]),
        (&json!(1), &json!("1"))
    );
    let attempts = api
        .get("reader", &format!("{execution}/attempts?after=1"))
        .expect(200);
    assert_eq!(fields(&attempts["items"], "attempt"), [2]);
    let logs = api
        .get("reader", &format!("{execution}/logs?attempt=2&level=INFO"))
        .expect(200);
    assert_eq!(fields(&logs["items"], "message"), ["trying"]);

    api.command("reader", &format!("{execution}/retry"))
        .expect_problem(403, "PERMISSION_DENIED");
    let retried = api
        .command("app", &format!("{execution}/retry"))
        .expect(200);
    assert_eq!(
        (&retried["status"], &retried["retried_by"]),
        (&json!("QUEUED"), &json!("app"))
    );
    api.command("app", &format!("{execution}/retry"))
        .expect_problem(409, "EXECUTION_UNFINISHED");
}

#[test]
fn waiting_execution_is_rescheduled_and_cancelled() {
    let mut api = Api::start();
    let execution = api.enqueue();
    let body = json!({ "run_at": "2100-01-01T00:00:00Z", "priority": 0 });
    let moved = api
        .post("app", &format!("{execution}/reschedule"), body)
        .expect(200);
    assert_eq!(
        (&moved["status"], &moved["priority"]),
        (&json!("PENDING"), &json!(0))
    );
    assert_eq!(
        api.command("app", &format!("{execution}/cancel"))
            .expect(200)["status"],
        "CANCELLED"
    );
    let problem = api
        .command("app", &format!("{execution}/cancel"))
        .expect_problem(409, "EXECUTION_FINISHED");
    // `status` of a problem is the HTTP status.
    assert_eq!(problem["current_status"], "CANCELLED");

    let running = api.enqueue();
    claim(&mut api.session, "w1", 1);
    let cancel = format!("{running}/cancel");
    api.post("app", &cancel, json!({ "request_stop": false }))
        .expect_problem(409, "EXECUTION_RUNNING");
    let asked = api
        .post("app", &cancel, json!({ "request_stop": true }))
        .expect(200);
    assert_ne!(asked["stop_requested_at"], Value::Null);
}

#[test]
fn list_of_executions_is_read_page_by_page_and_filtered() {
    let api = Api::start();
    let paths: Vec<String> = (0..3).map(|_| api.enqueue()).collect();
    api.command("app", &format!("{}/cancel", paths[0]))
        .expect(200);
    let first = api
        .get("reader", &format!("{EXECUTIONS}?max=2"))
        .expect(200);
    let next = first["next"].as_str().unwrap();
    let second = api
        .get("reader", &format!("{EXECUTIONS}?max=2&after={next}"))
        .expect(200);
    let mut ids = fields(&first["items"], "execution_id");
    ids.extend(fields(&second["items"], "execution_id"));
    let newest_first: Vec<String> = ids
        .iter()
        .rev()
        .map(|id| format!("{EXECUTIONS}/{}", id.as_str().unwrap()))
        .collect();
    assert_eq!(newest_first, paths);
    assert_eq!(second["next"], Value::Null);
    let filter =
        "status=CANCELLED&origin=ENQUEUE&endpoint_type=HTTP&created_from=2020-01-01T00:00:00Z";
    let cancelled = api
        .get("reader", &format!("{EXECUTIONS}?{filter}"))
        .expect(200);
    assert_eq!(cancelled["items"].as_array().unwrap().len(), 1);
    let query = "created_before=yesterday";
    api.get("reader", &format!("{EXECUTIONS}?{query}"))
        .expect_problem(400, "BAD_REQUEST");
}
