//! Many clients of several roles on few connections.

use super::*;
use std::time::Instant;

/// How long the clients go on: a minute, in the soak.
fn duration() -> Duration {
    let is_soak = std::env::var_os("KRONOS_SOAK").is_some();
    Duration::from_secs(if is_soak { 60 } else { 15 })
}

// Invariant 9.
#[test]
fn request_runs_as_the_role_of_its_token_however_connections_are_shared() {
    let mut api = Api::start_with(&["--pool-size", "3", "--pool-wait-ms", "60000"]);
    for role in ROLES {
        api.session
            .batch_execute(&format!(
                "alter role {role} login; select kronos.create_workspace('of {role}');
                 select kronos.grant_workspace('{role}', 'admin', workspace => 'of {role}');"
            ))
            .unwrap();
    }
    let api = &api.http;
    thread::scope(|scope| {
        for client in 0..64 {
            scope.spawn(move || {
                let (role, other) = (ROLES[client % 4], ROLES[(client + 1) % 4]);
                for turn in 0..6 {
                    let own = format!("/workspaces/of%20{role}");
                    api.get(role, &own).expect(200);
                    let foreign = api.get(role, &format!("/workspaces/of%20{other}/jobs"));
                    match role {
                        // A grant for all workspaces.
                        "operator" => drop(foreign.expect(200)),
                        _ => drop(foreign.expect_problem(404, "WORKSPACE_NOT_FOUND")),
                    }
                    // An endpoint of type SQL tells as which role the request ran.
                    let endpoint = json!({
                        "name": format!("{client} {turn}"), "endpoint_type": "SQL", "spec": { "statement": "select 1" }
                    });
                    let endpoints = format!("{own}/endpoints");
                    let created = api.post(role, &endpoints, endpoint.clone()).expect(201);
                    assert_eq!(created["run_as"], role);
                    // A request that fails leaves its connection as clean as one that succeeds.
                    api.post(role, &endpoints, endpoint).expect_problem(409, "ENDPOINT_EXISTS");
                }
            });
        }
    });
}

#[test]
fn clients_that_mix_all_routes_get_no_error_of_the_server() {
    let mut api = Api::start_with(&["--pool-size", "8", "--pool-wait-ms", "60000"]);
    let until = Instant::now() + duration();
    thread::scope(|scope| {
        for client in 0..64 {
            let api = &api.http;
            scope.spawn(move || {
                let mut turn = 0;
                while Instant::now() < until {
                    mix(api, client, turn);
                    turn += 1;
                }
            });
        }
    });
    assert_sound(&mut api.session);
}

/// Sends a request of every kind, and each succeeds.
fn mix(api: &Http, client: usize, turn: usize) {
    let send = |role, method, path: &str, body| {
        let reply = api.send(role, method, path, body, &[]);
        assert!(reply.status < 400, "{method} {path}: {}", reply.text);
        reply.body
    };
    let name = format!("job {client} {turn}");
    let job = json!({ "endpoint": "hook", "cron": YEARLY, "name": name });
    let created = send("app", "POST", JOBS, Some(job));
    let job = format!("{JOBS}/{}", created["job_id"].as_str().unwrap());
    let one_shot = json!({ "endpoint": "hook", "run_at": "2100-01-01T00:00:00Z" });
    let created = send("app", "POST", EXECUTIONS, Some(one_shot));
    let execution = format!("{EXECUTIONS}/{}", created["execution_id"].as_str().unwrap());
    let changes = json!({ "cron": format!("{} 3 1 1 *", client % 60) });
    send("app", "PATCH", &job, Some(changes));
    for command in ["pause", "resume", "trigger"] {
        send("app", "POST", &format!("{job}/{command}"), None);
    }
    let range =
        json!({ "tick_from": "2020-01-01T00:00:00Z", "tick_before": "2022-01-01T00:00:00Z" });
    send("app", "POST", &format!("{job}/backfill"), Some(range));
    for part in ["", "/versions", "/ticks", "/status", "/executions"] {
        send("reader", "GET", &format!("{job}{part}"), None);
    }
    for part in ["", "/attempts", "/logs"] {
        send("reader", "GET", &format!("{execution}{part}"), None);
    }
    let time = json!({ "run_at": "2101-01-01T00:00:00Z" });
    send(
        "app",
        "POST",
        &format!("{execution}/reschedule"),
        Some(time),
    );
    send("app", "POST", &format!("{execution}/cancel"), None);
    send("app", "POST", &format!("{execution}/retry"), None);
    let set = json!([{ "name": format!("declared {client}"), "endpoint": "hook", "cron": YEARLY }]);
    send(
        "app",
        "PUT",
        &format!("/workspaces/acme/crontabs/set%20{client}"),
        Some(set),
    );
    let preview = json!({ "cron": "*/5 * * * *", "timezone": "Europe/Berlin" });
    send("app", "POST", "/schedules/preview", Some(preview));
    let endpoint = json!({ "name": name, "endpoint_type": "HTTP" });
    send("operator", "POST", ENDPOINTS, Some(endpoint));
    for path in [
        JOBS,
        EXECUTIONS,
        ENDPOINTS,
        PAYLOAD_SPECS,
        "/workspaces",
        "/workspaces/acme/queues",
    ] {
        send("reader", "GET", path, None);
    }
    send("operator", "GET", "/metrics", None);
    send("app", "DELETE", &job, None);
}
