//! What the service refuses, and how it says so.

use super::*;

#[test]
fn request_without_a_known_token_is_refused_before_anything_else() {
    let api = Api::start();
    for headers in [
        vec![],
        vec![("authorization", "Bearer wrong")],
        vec![("authorization", "Basic c2VjcmV0")],
        vec![("authorization", "Bearer ")],
    ] {
        for (method, path) in [
            ("GET", JOBS),
            ("GET", "/metrics"),
            ("POST", EXECUTIONS),
            ("DELETE", "/workspaces/acme/jobs/odd"),
        ] {
            let reply = api.send_raw(method, path, None, &headers);
            assert_eq!(reply.header("www-authenticate"), "Bearer");
            reply.expect_problem(401, "UNAUTHORIZED");
        }
    }
    for path in ["/health", "/ready", "/openapi.json", "/docs/"] {
        assert_eq!(api.send_raw("GET", path, None, &[]).status, 200, "{path}");
    }
}

#[test]
fn grant_decides_between_403_and_404() {
    let api = Api::start();
    let job = api.create_job("report");
    let body = json!({ "endpoint": "hook" });
    let problem = api
        .post("reader", EXECUTIONS, body.clone())
        .expect_problem(403, "PERMISSION_DENIED");
    assert_eq!(problem["capability"], "producer");
    let here = api
        .post("stranger", EXECUTIONS, body.clone())
        .expect_problem(404, "WORKSPACE_NOT_FOUND");
    let nowhere = api
        .post("stranger", "/workspaces/odd/executions", body)
        .expect_problem(404, "WORKSPACE_NOT_FOUND");
    let text = |problem: &Value| problem["detail"].as_str().unwrap().replace("odd", "acme");
    assert_eq!(text(&here), text(&nowhere));
    api.get("stranger", &job)
        .expect_problem(404, "WORKSPACE_NOT_FOUND");
    api.get(
        "app",
        &format!("{JOBS}/018f0000-0000-7000-8000-000000000001"),
    )
    .expect_problem(404, "JOB_NOT_FOUND");
    let execution = format!("{EXECUTIONS}/018f0000-0000-7000-8000-000000000001");
    api.get("app", &execution)
        .expect_problem(404, "EXECUTION_NOT_FOUND");
}

#[test]
fn request_that_cannot_be_read_is_a_problem() {
    let api = Api::start();
    api.get("app", "/odd").expect_problem(404, "NO_ROUTE");
    let reply = api.delete("app", "/workspaces");
    assert!(reply.header("allow").contains("GET"));
    reply.expect_problem(405, "METHOD_NOT_ALLOWED");
    api.get("app", &format!("{JOBS}/odd"))
        .expect_problem(400, "BAD_REQUEST");
    api.get("app", "/workspaces/%ff/jobs")
        .expect_problem(400, "BAD_REQUEST");
    api.get("app", "/workspaces/%00/jobs")
        .expect_problem(400, "INVALID_VALUE");

    let authorization = format!("Bearer {}", token("app"));
    let post = |content_type: &str, body: &str| {
        let headers = [
            ("authorization", &*authorization),
            ("content-type", content_type),
        ];
        api.send_raw("POST", EXECUTIONS, Some(body.into()), &headers)
    };
    post("text/plain", "{}").expect_problem(415, "UNSUPPORTED_MEDIA_TYPE");
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"endpoint": 1}"#,
        r#"{"endpoint": "hook", "odd": 1}"#,
        r#"{"endpoint": "hook", "endpoint": "hook"}"#,
        r#"{"endpoint": "hook", "run_at": "tomorrow"}"#,
    ] {
        post("application/json", body).expect_problem(400, "BAD_REQUEST");
    }
    for body in [
        r#"{"endpoint": "hook", "input": "\u0000"}"#,
        r#"{"endpoint": "hook", "input": 1e999999}"#,
    ] {
        post("application/json", body).expect_problem(400, "INVALID_VALUE");
    }
    let nested = format!(
        r#"{{"endpoint": "hook", "input": {}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let reply = post("application/json", &nested);
    assert!((400..500).contains(&reply.status), "{}", reply.text);
    post(
        "application/json; charset=utf-8",
        r#"{"endpoint": "hook", "input": null}"#,
    )
    .expect(201);
}

#[test]
fn body_and_values_that_are_too_large_are_refused() {
    let api = Api::start_with(&["--max-body", "400000"]);
    let enqueue = |size: usize| {
        api.post(
            "app",
            EXECUTIONS,
            json!({ "endpoint": "hook", "input": "x".repeat(size) }),
        )
    };
    enqueue(200_000).expect(201);
    enqueue(300_000).expect_problem(413, "VALUE_TOO_LARGE");
    enqueue(400_000).expect_problem(413, "BODY_TOO_LARGE");
}

#[test]
fn request_id_of_the_client_is_returned_if_it_is_sane() {
    let api = Api::start();
    let id = |given: &str| {
        let reply = api.send_raw("GET", "/health", None, &[("x-request-id", given)]);
        reply.header("x-request-id").to_owned()
    };
    assert_eq!(id("from-the-proxy:1"), "from-the-proxy:1");
    assert_ne!(id("two words"), "two words");
    assert!(api.log().contains(r#""request_id":"from-the-proxy:1""#));
}

#[test]
fn slow_statement_ends_with_504_and_a_waiting_request_with_503() {
    let mut api = Api::start_with(&[
        "--pool-size",
        "1",
        "--pool-wait-ms",
        "300",
        "--statement-timeout-ms",
        "2000",
    ]);
    let job = api.create_job("report");
    // Another session holds the job's row.
    let mut transaction = api.server.session();
    transaction
        .batch_execute("begin; select from kronos_internal.jobs for update")
        .unwrap();
    let http = &api.http;
    thread::scope(|scope| {
        let slow = scope.spawn(|| http.command("app", &format!("{job}/pause")));
        wait_for("the call to wait", || {
            let mut session = api.server.session();
            count(
                &mut session,
                "select count(*) from pg_locks where not granted",
            ) > 0
        });
        api.get("app", &job).expect_problem(503, "POOL_TIMEOUT");
        slow.join()
            .unwrap()
            .expect_problem(504, "STATEMENT_TIMEOUT");
    });
    transaction.batch_execute("rollback").unwrap();
    assert_eq!(api.get("app", &job).expect(200)["status"], "ACTIVE");
    assert_sound(&mut api.session);
}

#[test]
fn request_beyond_the_concurrency_limit_gets_503_at_once() {
    let api = Api::start_with(&["--concurrency", "1"]);
    let job = api.create_job("report");
    let mut transaction = api.server.session();
    transaction
        .batch_execute("begin; select from kronos_internal.jobs for update")
        .unwrap();
    let http = &api.http;
    thread::scope(|scope| {
        let slow = scope.spawn(|| http.command("app", &format!("{job}/pause")));
        wait_for("the call to wait", || {
            let mut session = api.server.session();
            count(
                &mut session,
                "select count(*) from pg_locks where not granted",
            ) > 0
        });
        api.get("app", &job).expect_problem(503, "OVERLOADED");
        assert_eq!(api.get("app", "/health").status, 200);
        transaction.batch_execute("rollback").unwrap();
        slow.join().unwrap().expect(200);
    });
}

#[test]
fn tokens_and_inputs_are_not_logged() {
    let api = Api::start();
    let body = json!({ "endpoint": "hook", "input": { "password": "hunter2" }, "odd": 1 });
    api.post("app", EXECUTIONS, body).expect(400);
    api.get("app", &format!("{EXECUTIONS}?status=hunter2"))
        .expect(400);
    let log = api.log();
    assert!(log.contains(r#""status":400"#));
    assert!(
        !log.contains("secret of") && !log.contains("hunter2"),
        "{log}"
    );
}
