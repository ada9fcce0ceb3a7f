//! A target cannot keep a worker busy for ever, nor fill its memory.

use super::*;

#[test]
fn worker_stops_reading_a_response_that_is_too_large() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Flood]);
        let _worker = scene.start_worker();
        scene.assert_ended("SUCCEEDED", 0, "SUCCEEDED");
        scene.target.wait_until_given_up(0);
        let kept = "select length(output ->> 'body')::bigint from kronos.attempts";
        assert_eq!(count(&mut scene.session, kept), 4096, "{program:?}");
    }
}

#[test]
fn worker_stops_reading_headers_that_are_too_large() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::FloodOfHeaders, Answer::Status(200)]);
        let _worker = scene.start_worker();
        scene.assert_ended("SUCCEEDED", 1, "FAILED SUCCEEDED");
        scene.target.wait_until_given_up(0);
    }
}

#[test]
fn request_without_an_attempt_timeout_ends_after_the_time_limit_of_the_worker() {
    for program in PROGRAMS {
        let answers = [Answer::Hang, Answer::Drip, Answer::Status(200)];
        let mut scene = Scene::new(program, &answers);
        let _worker = scene.start_worker_with(&["--timeout", "1"]);
        scene.assert_ended("SUCCEEDED", 2, "FAILED FAILED SUCCEEDED");
        assert_eq!(scene.errors(), ["no response in time"; 2], "{program:?}");
        scene.target.wait_until_given_up(0);
        scene.target.wait_until_given_up(1);
    }
}

/// Listens with the shortest queue of connections, and fills it, so that further connections get no answer.
const FULL_LISTENER: &str = "
import socket, time
listener = socket.socket()
listener.bind(('127.0.0.1', 0))
listener.listen(0)
clients = [socket.socket() for _ in range(3)]
for client in clients:
    client.setblocking(False)
    client.connect_ex(listener.getsockname())
print(listener.getsockname()[1], flush=True)
time.sleep(3600)
";

#[test]
fn worker_stops_connecting_before_the_time_limit() {
    let listener = PythonServer::start(FULL_LISTENER, &[]);
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Status(200)]);
        scene.set_spec(json!({ "url": format!("http://127.0.0.1:{}/", listener.port) }));
        let once = "select kronos.update_endpoint('hook', retry_policy => '{\"max_attempts\": 1}', workspace => 'acme')";
        scene.session.batch_execute(once).unwrap();
        let _worker = scene.start_worker_with(&["--timeout", "3600"]);
        scene.assert_ended("FAILED", 1, "FAILED");
        let error = scene.error();
        assert!(error.starts_with("no response: "), "{program:?}: {error}");
        // The kernel would give up after two minutes.
        let early = "select count(*) from kronos.attempts where duration < interval '1 minute'";
        assert_eq!(count(&mut scene.session, early), 1, "{program:?}");
    }
}
