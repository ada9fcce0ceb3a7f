//! Routes of cron jobs: one call each, with the status, the ETag and the row of the function.

use super::*;

#[test]
fn created_job_has_its_etag_its_location_and_its_pg_cron_entry() {
    let mut api = Api::start();
    let job = json!({ "endpoint": "hook", "cron": YEARLY, "name": "report", "priority": 2, "input": { "n": 1 } });
    let reply = api.post("app", JOBS, job);
    assert_eq!(reply.header("etag"), "\"1\"");
    let location = reply.header("location").to_owned();
    let created = reply.expect(201);
    assert_eq!(created["created"], true);
    assert_eq!(created["job_name"], "report");

    let reply = api.get("app", &location);
    assert_eq!(reply.header("etag"), "\"1\"");
    let job = reply.expect(200);
    assert_eq!(job["priority"], 2);
    assert_eq!(job["input"], json!({ "n": 1 }));
    assert_eq!(job["catchup_window"], "PT1H");
    let entries = "select count(*) from cron.job where schedule = '0 0 1 1 *'";
    assert_eq!(count(&mut api.session, entries), 1);

    let reply = api.delete("app", &location);
    assert_eq!(reply.expect(200)["status"], "RETIRED");
    assert_eq!(count(&mut api.session, entries), 0);
    api.delete("app", &location)
        .expect_problem(409, "JOB_RETIRED");
    assert_sound(&mut api.session);
}

#[test]
fn repeated_request_with_an_idempotency_key_returns_the_first_job() {
    let api = Api::start();
    let create = |cron: &str, traceparent: &str| {
        let job = json!({ "endpoint": "hook", "cron": cron });
        let headers = [("idempotency-key", "once"), ("traceparent", traceparent)];
        api.send("app", "POST", JOBS, Some(job), &headers)
    };
    let trace = |parent: u32| format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{parent:016x}-01");
    let first = create(YEARLY, &trace(1)).expect(201);
    let reply = create(YEARLY, &trace(2));
    assert_eq!(reply.header("location"), "");
    let second = reply.expect(200);
    assert_eq!(second["created"], false);
    assert_eq!(second["job_id"], first["job_id"]);
    let problem = create("0 0 2 1 *", &trace(3)).expect_problem(409, "IDEMPOTENCY_CONFLICT");
    assert!(problem.to_string().contains("cron"), "{problem}");
}

#[test]
fn if_not_exists_tells_whether_it_created_the_job() {
    let api = Api::start();
    let job =
        json!({ "endpoint": "hook", "cron": YEARLY, "name": "report", "if_not_exists": true });
    let first = api.post("app", JOBS, job.clone()).expect(201);
    let second = api.post("app", JOBS, job.clone()).expect(200);
    assert_eq!(first["job_id"], second["job_id"]);
    let mut job = job;
    job["if_not_exists"] = json!(false);
    api.post("app", JOBS, job).expect_problem(409, "JOB_EXISTS");
}

#[test]
fn update_needs_the_version_that_if_match_names() {
    let api = Api::start();
    let job = api.create_job("report");
    let update = |priority: i32, if_match: &str| {
        let body = json!({ "priority": priority });
        api.send("app", "PATCH", &job, Some(body), &[("if-match", if_match)])
    };
    let reply = update(1, "\"1\"");
    assert_eq!(reply.header("etag"), "\"2\"");
    assert_eq!(reply.expect(200)["version"], 2);
    let problem = update(2, "\"1\"").expect_problem(412, "VERSION_CONFLICT");
    assert_eq!(problem["current_version"], 2);
    assert_eq!(update(3, "*").expect(200)["version"], 3);
    update(4, "3").expect_problem(400, "BAD_REQUEST");
    update(4, "W/\"3\"").expect_problem(400, "BAD_REQUEST");
    assert_eq!(api.get("app", &job).expect(200)["priority"], 3);

    // A header that the function cannot honour is refused.
    let headers = [("if-match", "\"3\"")];
    let reply = api.send("app", "DELETE", &job, None, &headers);
    reply.expect_problem(400, "BAD_REQUEST");
    assert_eq!(api.get("app", &job).expect(200)["status"], "ACTIVE");
}

#[test]
fn patch_keeps_absent_fields_and_clears_null_fields() {
    let api = Api::start();
    api.post(
        "operator",
        ENDPOINTS,
        json!({ "name": "alarm", "endpoint_type": "ALARM" }),
    )
    .expect(201);
    let clearable = json!({
        "starts_at": "2020-01-01T00:00:00+00:00", "ends_at": "2190-01-01T00:00:00+00:00", "on_failure": "alarm",
        "max_consecutive_failures": 3, "concurrency_key": "k" });
    let mut job = clearable.clone();
    job["endpoint"] = json!("hook");
    job["cron"] = json!(YEARLY);
    let job = api.post("app", JOBS, job).expect(201);
    let path = format!("{JOBS}/{}", job["job_id"].as_str().unwrap());

    let kept = api
        .patch("app", &path, json!({ "priority": 1 }))
        .expect(200);
    let names: Vec<&String> = clearable.as_object().unwrap().keys().collect();
    for name in &names {
        assert_eq!(kept[*name], clearable[*name], "{name}");
    }
    let nulls: Value = names
        .iter()
        .map(|name| ((*name).clone(), Value::Null))
        .collect();
    let cleared = api.patch("app", &path, nulls).expect(200);
    for name in &names {
        assert_eq!(cleared[*name], Value::Null, "{name}");
    }
    for name in [
        "cron",
        "timezone",
        "input",
        "new_name",
        "endpoint",
        "catchup_policy",
        "catchup_window",
        "overlap_policy",
        "jitter",
        "priority",
        "metadata",
    ] {
        let problem = api
            .patch("app", &path, json!({ name: null }))
            .expect_problem(400, "BAD_REQUEST");
        assert!(
            problem["detail"].as_str().unwrap().contains("null"),
            "{problem}"
        );
    }
    assert_eq!(api.get("app", &path).expect(200)["version"], 3);
}

#[test]
fn list_of_jobs_is_read_page_by_page_and_filtered() {
    let api = Api::start();
    for number in 0..5 {
        let job = api.create_job(&format!("job {number}"));
        if number == 2 {
            api.post("app", &format!("{job}/pause"), json!({ "reason": "lunch" }))
                .expect(200);
        }
    }
    let (mut names, mut path) = (vec![], format!("{JOBS}?max=2"));
    let pages = loop {
        let page = api.get("reader", &path).expect(200);
        names.extend(fields(&page["items"], "job_name").into_iter().cloned());
        match page["next"].as_str() {
            Some(next) => path = format!("{JOBS}?max=2&after={next}"),
            None => break names.len(),
        }
    };
    assert_eq!(pages, 5);
    assert_eq!(names, ["job 4", "job 3", "job 2", "job 1", "job 0"]);
    let paused = api
        .get("reader", &format!("{JOBS}?status=PAUSED&endpoint=hook"))
        .expect(200);
    assert_eq!(fields(&paused["items"], "job_name"), ["job 2"]);
    for (query, code) in [
        ("status=ODD", "INVALID_ARGUMENT"),
        ("max=0", "INVALID_ARGUMENT"),
        ("max=x", "BAD_REQUEST"),
        ("state=PAUSED", "BAD_REQUEST"),
        ("after=1", "BAD_REQUEST"),
    ] {
        api.get("reader", &format!("{JOBS}?{query}"))
            .expect_problem(400, code);
    }
}

#[test]
fn job_is_paused_resumed_triggered_and_backfilled() {
    let mut api = Api::start();
    let job = api.create_job("report");
    let paused = api
        .post("app", &format!("{job}/pause"), json!({ "reason": "lunch" }))
        .expect(200);
    assert_eq!(
        (&paused["status"], &paused["paused_reason"]),
        (&json!("PAUSED"), &json!("lunch"))
    );
    api.command("app", &format!("{job}/pause"))
        .expect_problem(409, "JOB_PAUSED");
    assert_eq!(
        api.command("app", &format!("{job}/resume")).expect(200)["status"],
        "ACTIVE"
    );
    api.command("app", &format!("{job}/resume"))
        .expect_problem(409, "JOB_NOT_PAUSED");

    let trigger = || {
        let headers = [("idempotency-key", "now")];
        api.send("app", "POST", &format!("{job}/trigger"), None, &headers)
    };
    let reply = trigger();
    let location = reply.header("location").to_owned();
    reply.expect(201);
    trigger().expect(200);
    assert_eq!(api.get("app", &location).expect(200)["origin"], "TRIGGER");

    let range = json!({ "tick_from": "2024-01-01T00:00:00Z", "tick_before": "2026-01-01T00:00:00Z", "dry_run": true });
    let update = json!({ "starts_at": "2020-01-01T00:00:00Z" });
    api.patch("app", &job, update).expect(200);
    let planned = api
        .post("app", &format!("{job}/backfill"), range.clone())
        .expect(200);
    let mut range = range;
    range["dry_run"] = json!(false);
    let made = api
        .post("app", &format!("{job}/backfill"), range)
        .expect(200);
    assert_eq!(fields(&planned, "tick_at"), fields(&made, "tick_at"));
    assert_eq!(fields(&made, "action"), ["CREATE", "CREATE"]);

    let ticks = api
        .get("reader", &format!("{job}/ticks?outcome=RUN&max=1"))
        .expect(200);
    assert_eq!(
        fields(&ticks["items"], "tick_at"),
        ["2025-01-01T00:00:00+00:00"]
    );
    assert_eq!(ticks["next"], "2025-01-01T00:00:00+00:00");
    let after = "after=2025-01-01T00:00:00Z";
    let ticks = api
        .get("reader", &format!("{job}/ticks?{after}"))
        .expect(200);
    assert_eq!(
        fields(&ticks["items"], "tick_at"),
        ["2024-01-01T00:00:00+00:00"]
    );
    let executions = api
        .get("reader", &format!("{job}/executions?origin=BACKFILL"))
        .expect(200);
    assert_eq!(executions["items"].as_array().unwrap().len(), 2);
    let versions = api
        .get("reader", &format!("{job}/versions?max=1"))
        .expect(200);
    assert_eq!(
        (&versions["items"][0]["version"], &versions["next"]),
        (&json!(2), &json!("2"))
    );
    let status = api.get("reader", &format!("{job}/status")).expect(200);
    assert_eq!(
        (&status["health"], &status["waiting"]),
        (&json!("IDLE"), &json!(3))
    );
    assert_sound(&mut api.session);
}

#[test]
fn crontab_is_applied_and_a_dry_run_changes_nothing() {
    let mut api = Api::start();
    let http = api.http.clone();
    let put = |query: &str, jobs: Value| {
        http.send(
            "app",
            "PUT",
            &format!("/workspaces/acme/crontabs/reports{query}"),
            Some(jobs),
            &[],
        )
    };
    let jobs = json!([{ "name": "nightly", "endpoint": "hook", "cron": "0 2 * * *" }]);
    let before = state(&mut api.session);
    let planned = put("?dry_run=true", jobs.clone()).expect(200);
    assert_eq!(fields(&planned, "action"), ["CREATE"]);
    assert_eq!(planned[0]["job_id"], Value::Null);
    assert_eq!(state(&mut api.session), before);
    assert_eq!(
        fields(&put("", jobs.clone()).expect(200), "action"),
        ["CREATE"]
    );
    assert_eq!(fields(&put("", jobs).expect(200), "action"), ["UNCHANGED"]);
    let wrong = json!([{ "name": "nightly", "endpoint": "hook", "cron": "61 2 * * *" }]);
    let problem = put("", wrong).expect_problem(400, "INVALID_CRON");
    assert_eq!(problem["job_name"], "nightly");
    put("", json!({})).expect(400);
    assert_eq!(
        fields(&put("", json!([])).expect(200), "action"),
        ["RETIRE"]
    );
    assert_sound(&mut api.session);
}

#[test]
fn connection_that_breaks_during_commit_leaves_the_outcome_open() {
    let mut api = Api::start();
    api.session
        .batch_execute(
            "create function public.end_session() returns trigger language plpgsql security definer
             as $$ begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(60); return null; end $$;
             create constraint trigger end_session after insert on kronos_internal.jobs
             initially deferred for each row execute function public.end_session();",
        )
        .unwrap();
    let create = |headers: &[(&str, &str)]| {
        let body = json!({ "endpoint": "hook", "cron": YEARLY });
        let reply = api.http.send("app", "POST", JOBS, Some(body), headers);
        let problem = reply.expect_problem(503, "OUTCOME_UNKNOWN");
        problem["detail"].as_str().unwrap().to_owned()
    };
    let key = [("idempotency-key", "once")];
    assert!(create(&key).contains("same Idempotency-Key is safe"));
    assert!(create(&[]).contains("read the current state"));
    let healed = "drop trigger end_session on kronos_internal.jobs";
    api.session.batch_execute(healed).unwrap();
    let job = json!({ "endpoint": "hook", "cron": YEARLY });
    let reply = api.http.send("app", "POST", JOBS, Some(job), &key);
    reply.expect(201);
    assert_sound(&mut api.session);
}
