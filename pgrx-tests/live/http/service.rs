//! Health, readiness, metrics, the preview of schedules, and the life of the process.

use super::*;

#[test]
fn preview_returns_the_sentence_and_the_next_ticks() {
    let api = Api::start();
    let schedule = json!({ "cron": "30 2 * * *", "timezone": "Europe/Berlin", "after": "2026-03-28T00:00:00Z", "max": 2 });
    let preview = api
        .post("stranger", "/schedules/preview", schedule)
        .expect(200);
    assert_eq!(
        preview["description"],
        "At 02:30 (time zone Europe/Berlin)."
    );
    assert_eq!(
        preview["next_ticks"],
        json!(["2026-03-28T01:30:00+00:00", "2026-03-29T01:00:00+00:00"])
    );
    let wrong = json!({ "cron": "61 * * * *" });
    api.post("stranger", "/schedules/preview", wrong)
        .expect_problem(400, "INVALID_CRON");
}

#[test]
fn metrics_are_those_of_the_roles_workspaces() {
    let api = Api::start();
    api.create_job("report");
    let metrics = |role: &str| {
        let reply = api.get(role, "/metrics");
        assert_eq!(
            reply.header("content-type"),
            "text/plain; version=0.0.4; charset=utf-8"
        );
        assert_eq!(reply.status, 200);
        reply.text
    };
    let line = "kronos_jobs{status=\"ACTIVE\",workspace=\"acme\"} 1\n";
    let text = metrics("reader");
    assert!(
        text.contains(line) && text.contains("# TYPE kronos_jobs gauge\n"),
        "{text}"
    );
    assert!(!text.contains("workspace=\"default\""), "{text}");
    assert!(metrics("operator").contains("workspace=\"default\""));
    assert!(!metrics("stranger").contains("acme"));
}

#[test]
fn service_is_not_ready_while_doctor_finds_an_error() {
    let mut api = Api::start();
    assert_eq!(api.get("app", "/ready").expect(200)["status"], "ready");
    let broken = "alter role operator set default_transaction_read_only = on";
    api.session.batch_execute(broken).unwrap();
    let mut problem = Value::Null;
    wait_for("the verdict to change", || {
        let reply = api.get("app", "/ready");
        let is_broken = reply.status != 200;
        if is_broken {
            problem = reply.expect_problem(503, "NOT_READY");
        }
        is_broken
    });
    let finding = problem["findings"][0].as_object().unwrap();
    assert_eq!(finding["severity"], "ERROR");
    assert_eq!(finding.len(), 2, "anybody may ask: {finding:?}");
}

#[test]
fn service_starts_without_a_database_and_finds_it_later() {
    let mut api = Api::start();
    let job = api.create_job("report");
    api.server.stop();
    api.get("app", "/ready").expect(503);
    api.get("app", &job)
        .expect_problem(503, "DATABASE_UNAVAILABLE");

    api.process.kill().unwrap();
    api.process.wait().unwrap();
    api.process = Api::spawn(&api.server, &api.log, &[]);
    api.wait_for_address();
    assert_eq!(api.get("app", "/health").status, 200);
    api.get("app", &job)
        .expect_problem(503, "DATABASE_UNAVAILABLE");
    api.server.start_again();
    api.get("stranger", &job)
        .expect_problem(404, "WORKSPACE_NOT_FOUND");
    assert_eq!(api.get("app", &job).expect(200)["status"], "ACTIVE");
    wait_for("the service to be ready", || {
        api.get("app", "/ready").status == 200
    });
}

#[test]
fn restart_of_the_database_costs_no_more_than_the_requests_in_between() {
    let api = Api::start();
    let job = api.create_job("report");
    api.server.stop();
    api.server.start_again();
    wait_for("an answer", || {
        let reply = api.get("app", &job);
        assert!([200, 503].contains(&reply.status), "{}", reply.text);
        reply.status == 200
    });
}

#[test]
fn service_that_is_told_to_stop_answers_the_requests_that_run() {
    let mut api = Api::start();
    let job = api.create_job("report");
    let mut transaction = api.server.session();
    transaction
        .batch_execute("begin; select from kronos_internal.jobs for update")
        .unwrap();
    let pid = api.process.id().to_string();
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
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        wait_for("the service to stop", || {
            api.log().contains(r#""message":"stopping""#)
        });
        transaction.batch_execute("rollback").unwrap();
        assert_eq!(slow.join().unwrap().expect(200)["status"], "PAUSED");
    });
    assert!(api.process.wait().unwrap().success());
}

#[test]
fn document_lists_each_route_with_its_problems() {
    let api = Api::start();
    let document = api.send_raw("GET", "/openapi.json", None, &[]).expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    let create = &document["paths"]["/workspaces/{workspace}/jobs"]["post"];
    for status in [
        "200", "201", "400", "401", "403", "404", "409", "413", "422", "503",
    ] {
        assert!(create["responses"][status].is_object(), "{status}");
    }
    let problem = &create["responses"]["503"]["content"]["application/problem+json"];
    assert_eq!(problem["schema"]["$ref"], "#/components/schemas/Problem");
}
