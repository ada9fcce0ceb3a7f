//! Routes of endpoints, payload specs and workspaces.

use super::*;

#[test]
fn endpoint_lives_from_creation_to_deletion() {
    let api = Api::start();
    let endpoint = json!({
        "name": "mail/er", "endpoint_type": "MAIL", "spec": { "host": "x" }, "attempt_timeout": "30 seconds",
        "retry_policy": { "max_attempts": 2 }, "max_concurrent": 4, "rate_limit": 10, "rate_interval": "PT1M",
        "on_failure": "hook" });
    api.post("app", ENDPOINTS, endpoint.clone())
        .expect_problem(403, "PERMISSION_DENIED");
    let created = api
        .post("operator", ENDPOINTS, endpoint.clone())
        .expect(201);
    assert_eq!(
        (&created["attempt_timeout"], &created["max_attempts"]),
        (&json!("PT30S"), &json!(2))
    );
    api.post("operator", ENDPOINTS, endpoint)
        .expect_problem(409, "ENDPOINT_EXISTS");
    let path = format!("{ENDPOINTS}/mail%2Fer");
    assert_eq!(
        api.get("operator", &path).expect(200)["spec"],
        json!({ "host": "x" })
    );
    // Only admins see what may hold secrets.
    assert_eq!(api.get("reader", &path).expect(200)["spec"], Value::Null);

    let changes = json!({ "attempt_timeout": null, "max_concurrent": null, "rate_limit": null, "on_failure": null });
    let cleared = api.patch("operator", &path, changes).expect(200);
    for name in [
        "attempt_timeout",
        "max_concurrent",
        "rate_limit",
        "rate_interval",
        "on_failure",
    ] {
        assert_eq!(cleared[name], Value::Null, "{name}");
    }
    for name in ["spec", "retry_policy", "new_name", "rate_interval"] {
        api.patch("operator", &path, json!({ name: null }))
            .expect_problem(400, "BAD_REQUEST");
    }
    api.patch("operator", &path, json!({ "new_name": "mailer" }))
        .expect(200);
    let path = format!("{ENDPOINTS}/mailer");
    let paused = api
        .post(
            "operator",
            &format!("{path}/pause"),
            json!({ "reason": "down" }),
        )
        .expect(200);
    assert_eq!(
        (&paused["paused_reason"], &paused["paused_by"]),
        (&json!("down"), &json!("operator"))
    );
    api.command("operator", &format!("{path}/pause"))
        .expect_problem(409, "ENDPOINT_PAUSED");
    assert_eq!(
        api.command("operator", &format!("{path}/resume"))
            .expect(200)["paused_at"],
        Value::Null
    );

    let page = api.get("reader", &format!("{ENDPOINTS}?max=1")).expect(200);
    let next = page["next"].as_str().unwrap();
    let page = api
        .get("reader", &format!("{ENDPOINTS}?max=1&after={next}"))
        .expect(200);
    assert_eq!(fields(&page["items"], "endpoint"), ["hook"]);
    let of_type = api
        .get("reader", &format!("{ENDPOINTS}?endpoint_type=MAIL"))
        .expect(200);
    assert_eq!(fields(&of_type["items"], "endpoint"), ["mailer"]);
    assert_ne!(
        api.delete("operator", &path).expect(200)["deleted_at"],
        Value::Null
    );
    api.get("operator", &path)
        .expect_problem(404, "ENDPOINT_NOT_FOUND");
}

#[test]
fn endpoint_that_a_job_uses_is_not_deleted() {
    let api = Api::start();
    api.create_job("report");
    api.delete("operator", &format!("{ENDPOINTS}/hook"))
        .expect_problem(409, "ENDPOINT_IN_USE");
}

#[test]
fn payload_spec_lives_from_creation_to_deletion_and_judges_inputs() {
    let api = Api::start();
    let schema = json!({ "type": "object", "required": ["to"] });
    let new = json!({ "name": "letter", "schema": schema });
    let created = api.post("operator", PAYLOAD_SPECS, new.clone()).expect(201);
    assert_eq!(created["schema"], schema);
    api.post("operator", PAYLOAD_SPECS, new)
        .expect_problem(409, "PAYLOAD_SPEC_EXISTS");
    let wrong = json!({ "name": "odd", "schema": { "type": "odd" } });
    api.post("operator", PAYLOAD_SPECS, wrong)
        .expect_problem(400, "INVALID_PAYLOAD_SPEC");
    let path = format!("{PAYLOAD_SPECS}/letter");
    assert_eq!(
        api.get("reader", &path).expect(200)["payload_spec"],
        "letter"
    );
    let page = api.get("reader", PAYLOAD_SPECS).expect(200);
    assert_eq!(fields(&page["items"], "payload_spec"), ["letter"]);

    let hook = format!("{ENDPOINTS}/hook");
    api.patch("operator", &hook, json!({ "payload_spec": "letter" }))
        .expect(200);
    let enqueue = |input: Value| {
        api.post(
            "app",
            EXECUTIONS,
            json!({ "endpoint": "hook", "input": input }),
        )
    };
    let problem = enqueue(json!({ "cc": "Bob" })).expect_problem(422, "INVALID_INPUT");
    assert_eq!(problem["violations"][0]["path"], "");
    enqueue(json!({ "to": "Bob" })).expect(201);
    api.patch("operator", &path, json!({ "schema": true }))
        .expect(200);
    enqueue(json!({ "cc": "Bob" })).expect(201);

    api.delete("operator", &path)
        .expect_problem(409, "PAYLOAD_SPEC_IN_USE");
    api.patch("operator", &hook, json!({ "payload_spec": null }))
        .expect(200);
    api.delete("operator", &path).expect(200);
    api.get("operator", &path)
        .expect_problem(404, "PAYLOAD_SPEC_NOT_FOUND");
}

#[test]
fn role_sees_the_workspaces_of_its_grants() {
    let api = Api::start();
    let names = |role: &str| {
        let page = api.get(role, "/workspaces").expect(200);
        let names = fields(&page["items"], "workspace").into_iter().cloned();
        names.collect::<Vec<Value>>()
    };
    assert_eq!(names("operator"), ["acme", "default"]);
    assert_eq!(names("reader"), ["acme"]);
    assert_eq!(names("stranger"), Vec::<Value>::new());
    assert_eq!(
        api.get("reader", "/workspaces/acme").expect(200)["execution_retention"],
        "P30D"
    );
    api.get("stranger", "/workspaces/acme")
        .expect_problem(404, "WORKSPACE_NOT_FOUND");
    let page = api.get("operator", "/workspaces?max=1").expect(200);
    let next = page["next"].as_str().unwrap();
    let page = api
        .get("operator", &format!("/workspaces?max=1&after={next}"))
        .expect(200);
    assert_eq!(fields(&page["items"], "workspace"), ["default"]);
}

#[test]
fn queues_and_failures_of_a_workspace_are_shown_to_its_viewers() {
    let mut api = Api::start();
    let job = api.create_job("report");
    api.command("app", &format!("{job}/trigger")).expect(201);
    let policy = json!({ "retry_policy": { "max_attempts": 1 } });
    api.patch("operator", &format!("{ENDPOINTS}/hook"), policy)
        .expect(200);
    let held = claim(&mut api.session, "w1", 1)[0];
    fail(&mut api.session, "w1", held).unwrap();
    api.enqueue();
    claim_for(&mut api.session, "w2", 1, "1 second");
    api.enqueue();

    let queues = api.get("reader", "/workspaces/acme/queues").expect(200);
    assert_eq!(
        (&queues[0]["waiting"], &queues[0]["running"]),
        (&json!(1), &json!(1))
    );
    let failing = api
        .get("reader", "/workspaces/acme/failing-jobs")
        .expect(200);
    assert_eq!(fields(&failing, "last_error"), ["it failed"]);
    wait_for("the lease to expire", || {
        let stuck = api
            .get("reader", "/workspaces/acme/stuck-executions")
            .expect(200);
        // Upkeep may expire the lease before.
        stuck[0]["status"] == "RUNNING" || queue_is_idle(&api)
    });
    for list in ["queues", "failing-jobs", "stuck-executions"] {
        let path = format!("/workspaces/acme/{list}");
        assert_eq!(api.get("stranger", &path).expect(200), json!([]));
    }
}

/// Whether upkeep has expired the lease.
fn queue_is_idle(api: &Api) -> bool {
    let queues = api.get("reader", "/workspaces/acme/queues").expect(200);
    queues[0]["running"] == 0
}
