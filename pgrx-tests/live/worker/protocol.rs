//! The workers follow the protocol and the HTTP contract of docs/workers.md.

use super::*;

#[test]
fn worker_retries_after_a_server_error_with_the_same_key() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Status(500), Answer::Status(200)]);
        let _worker = scene.start_worker();
        scene.assert_ended("SUCCEEDED", 1, "FAILED SUCCEEDED");
        let row = scene
            .session
            .query_one(
                "select execution_id::text, output from kronos.attempts where attempt = 2",
                &[],
            )
            .unwrap();
        let id: String = row.get(0);
        let output = json!({ "status": 200, "body": "{\"done\": true}" });
        assert_eq!(row.get::<_, Value>(1), output);
        let requests = scene.target.requests();
        assert_eq!(requests.len(), 2);
        for (request, attempt) in requests.iter().zip(["1", "2"]) {
            assert_eq!(request.line, "POST /run HTTP/1.1");
            assert_eq!(request.header("idempotency-key"), id);
            assert_eq!(request.header("kronos-execution-id"), id);
            assert_eq!(request.header("kronos-attempt"), attempt);
            assert_eq!(request.header("content-type"), "application/json");
            assert_eq!(request.header("x-team"), "blue");
            assert_eq!(request.body, json!({ "n": 1 }));
        }
    }
}

#[test]
fn worker_does_not_retry_a_request_that_the_target_rejects() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Status(404)]);
        let _worker = scene.start_worker();
        scene.assert_ended("FAILED", 1, "FAILED");
        let error = scene.error();
        assert!(error.starts_with("HTTP status 404"), "{error}");
        assert_eq!(scene.target.requests().len(), 1);
    }
}

#[test]
fn worker_does_not_retry_an_execution_with_a_bad_spec() {
    let url = "http://127.0.0.1/";
    let specs = [
        json!({}),
        json!({ "url": "file:///etc/hostname" }),
        json!({ "url": "ftp://127.0.0.1/" }),
        json!({ "url": "gopher://127.0.0.1/" }),
        json!({ "url": "/run" }),
        json!({ "url": "http://" }),
        json!({ "url": "http://127.0.0.1:99999/" }),
        json!({ "url": "http://user@127.0.0.1/" }),
        json!({ "url": url, "method": "P OST" }),
        json!({ "url": url, "headers": ["X"] }),
        json!({ "url": url, "headers": { "X": 1 } }),
        json!({ "url": url, "headers": { "X": "a\r\nY: b" } }),
        json!({ "url": url, "headers": { "X Y": "a" } }),
        json!({ "url": url, "headers": { "host": "example.com" } }),
        json!({ "url": url, "headers": { "Content-Length": "1" } }),
        json!({ "url": url, "headers": { "Transfer-Encoding": "chunked" } }),
    ];
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Status(200)]);
        let _worker = scene.start_worker();
        for (spec, ended) in specs.iter().zip(scene.run_specs(&specs)) {
            let (status, failed_attempts, error) = ended;
            assert_eq!((&*status, failed_attempts), ("FAILED", 1), "{spec}");
            assert!(
                error.starts_with("bad endpoint spec: "),
                "{program:?}, {spec}: {error}"
            );
        }
    }
}

#[test]
fn worker_ends_a_hanging_request_at_the_deadline_and_retries() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Hang, Answer::Status(200)]);
        scene.set_timeout("5 seconds");
        let _worker = scene.start_worker();
        scene.assert_ended("SUCCEEDED", 1, "FAILED SUCCEEDED");
        scene.target.wait_until_given_up(0);
    }
}

#[test]
fn worker_retries_if_the_target_dies_in_the_middle_of_its_response() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Die, Answer::Status(200)]);
        let _worker = scene.start_worker();
        scene.assert_ended("SUCCEEDED", 1, "FAILED SUCCEEDED");
    }
}

#[test]
fn worker_waits_as_long_as_the_target_asks() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Later(429, 3600)]);
        let _worker = scene.start_worker();
        scene.assert_ended("RETRYING", 1, "FAILED");
        let late = "select count(*) from kronos.execution_details
                    where run_at - now() between interval '59 minutes' and interval '60 minutes'";
        assert_eq!(count(&mut scene.session, late), 1);
    }
}

#[test]
fn worker_extends_the_lease_of_a_long_execution() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Hang]);
        scene.set_timeout("10 seconds");
        let _worker = scene.start_worker();
        scene.target.wait_for_requests(1);
        wait_for("a lease to be extended", || {
            let extended = "select count(*) from kronos.execution_details x join kronos.attempts a using (execution_id)
                            where x.lease_expires_at > a.started_at + interval '6 seconds'";
            count(&mut scene.session, extended) == 1
        });
        assert_eq!(scene.execution(), ("RUNNING".into(), 0, "RUNNING".into()));
    }
}

#[test]
fn terminated_worker_releases_its_executions_and_exits_cleanly() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Hang, Answer::Status(200)]);
        let mut worker = scene.start_worker_with(&["--grace", "1"]);
        scene.target.wait_for_requests(1);
        worker.terminate();
        assert_eq!(worker.wait_for_exit().code(), Some(0), "{program:?}");
        assert_eq!(scene.execution(), ("QUEUED".into(), 0, "RELEASED".into()));
        let _other = scene.start_worker();
        scene.assert_ended("SUCCEEDED", 0, "RELEASED SUCCEEDED");
    }
}

#[test]
fn terminated_worker_waits_for_a_request_that_ends_in_time() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Hang]);
        scene.set_timeout("5 seconds");
        let mut worker = scene.start_worker_with(&["--grace", "60"]);
        scene.target.wait_for_requests(1);
        worker.terminate();
        assert_eq!(worker.wait_for_exit().code(), Some(0), "{program:?}");
        assert_eq!(scene.execution(), ("RETRYING".into(), 1, "FAILED".into()));
        assert_eq!(
            scene.target.requests().len(),
            1,
            "{program:?} claims no further execution"
        );
    }
}

#[test]
fn worker_releases_an_execution_that_it_is_asked_to_stop() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Hang]);
        let _worker = scene.start_worker();
        scene.target.wait_for_requests(1);
        scene
            .session
            .batch_execute(
                "select kronos.cancel_execution(execution_id, request_stop => true, workspace => 'acme') from kronos.execution_details",
            )
            .unwrap();
        scene.assert_ended("CANCELLED", 0, "RELEASED");
        scene.target.wait_until_given_up(0);
    }
}

#[test]
fn executions_of_a_killed_worker_run_on_another_after_the_lease_expires() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Hang, Answer::Status(200)]);
        let mut killed = scene.start_worker();
        scene.target.wait_for_requests(1);
        let _other = scene.start_worker();
        killed.kill();
        scene.assert_ended("SUCCEEDED", 1, "LOST SUCCEEDED");
        let requests = scene.target.requests();
        let keys = requests.iter().map(|r| r.header("idempotency-key"));
        assert_eq!(keys.collect::<std::collections::HashSet<_>>().len(), 1);
    }
}

#[test]
fn rust_worker_serves_all_workspaces_and_survives_a_lost_connection() {
    let mut scene = Scene::new(Program::Rust, &[Answer::Status(200)]);
    let mut command = Command::new(rust_worker());
    command
        .env("DATABASE_URL", scene.database())
        .args(["--allow-host", "127.0.0.1"]);
    let mut worker = scene.start(command);
    scene.assert_ended("SUCCEEDED", 0, "SUCCEEDED");
    let ended = "select count(*) from (select pg_terminate_backend(pid) from pg_stat_activity
                 where query like '%next_wakeup%' and pid <> pg_backend_pid()) t";
    wait_for("the worker to sleep", || {
        count(&mut scene.session, ended) == 1
    });
    enqueue(&mut scene.session, 1);
    let succeeded = "select count(*) from kronos.executions where status = 'SUCCEEDED'";
    wait_for("the second execution", || {
        count(&mut scene.session, succeeded) == 2
    });
    worker.terminate();
    assert_eq!(worker.wait_for_exit().code(), Some(0));
}
