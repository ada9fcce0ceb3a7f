//! Clients, services and servers that die in the middle of requests.

use super::*;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const WAITING: &str =
    "select count(*) from pg_stat_activity where usename = 'api' and wait_event_type = 'Lock'";
const BUSY: &str =
    "select count(*) from pg_stat_activity where usename = 'api' and state <> 'idle'";

fn create(api: &Http, name: &str) -> Reply {
    let job = json!({ "endpoint": "hook", "cron": "5 5 5 5 *", "name": name });
    api.send("app", "POST", JOBS, Some(job), &[("idempotency-key", name)])
}

/// Sends a request that creates job `lost`, which waits before its pg_cron entry is written, and does not read the answer.
fn send_and_hold(api: &mut Api) -> (Client, TcpStream) {
    let mut blocker = api.server.session();
    blocker
        .batch_execute("begin; lock table cron.job in share mode")
        .unwrap();
    let body = json!({ "endpoint": "hook", "cron": "5 5 5 5 *", "name": "lost" }).to_string();
    let mut stream = TcpStream::connect(&api.address).unwrap();
    write!(
        stream,
        "POST {JOBS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nIdempotency-Key: lost\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        token("app"),
        body.len()
    )
    .unwrap();
    wait_for("the request to wait", || {
        count(&mut api.session, WAITING) > 0
    });
    (blocker, stream)
}

fn assert_made_once(api: &mut Api) {
    let reply = create(api, "lost");
    assert!([200, 201].contains(&reply.status), "{}", reply.text);
    let made = "select count(*) from kronos.jobs where job_name = 'lost'";
    assert_eq!(count(&mut api.session, made), 1);
    assert_sound(&mut api.session);
}

#[test]
fn client_that_dies_before_the_answer_leaves_no_half_made_job() {
    let mut api = Api::start();
    let (mut blocker, stream) = send_and_hold(&mut api);
    drop(stream);
    blocker.batch_execute("rollback").unwrap();
    wait_for("the request to end", || count(&mut api.session, BUSY) == 0);
    assert_sound(&mut api.session);
    assert_made_once(&mut api);
}

#[test]
fn service_that_is_killed_leaves_no_half_made_job() {
    let mut api = Api::start();
    let before = state(&mut api.session);
    let (mut blocker, _stream) = send_and_hold(&mut api);
    api.process.kill().unwrap();
    api.process.wait().unwrap();
    blocker.batch_execute("rollback").unwrap();
    wait_for("the session to end", || count(&mut api.session, BUSY) == 0);
    assert_eq!(state(&mut api.session), before);
    api.process = Api::spawn(&api.server, &api.log, &[]);
    api.wait_for_address();
    assert_made_once(&mut api);
}

#[test]
fn clients_that_retry_get_each_job_once_while_the_database_restarts() {
    let api = Api::start();
    let is_over = AtomicBool::new(false);
    let created: Vec<usize> = thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|client| {
                let (http, is_over) = (&api.http, &is_over);
                scope.spawn(move || {
                    let mut created = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        create_until_done(http, &format!("job {client} {created}"));
                        created += 1;
                    }
                    created
                })
            })
            .collect();
        for round in 1..=3 {
            wait_for("requests to succeed", || {
                let session = api.server.try_session("postgres");
                let jobs = "select count(*) from kronos.jobs";
                session.is_ok_and(|mut session| count(&mut session, jobs) > 40 * round)
            });
            if round == 2 {
                api.server.kill_postmaster_and_start_again();
            } else {
                api.server.stop();
                api.server.start_again();
            }
        }
        is_over.store(true, Ordering::Relaxed);
        let clients = clients.into_iter();
        clients.map(|client| client.join().unwrap()).collect()
    });
    let mut session = api.server.session();
    let made = "select count(*) from kronos.jobs where job_name like 'job %'";
    assert_eq!(
        count(&mut session, made) as usize,
        created.iter().sum::<usize>()
    );
    assert_sound(&mut session);
    api.get("operator", "/ready").expect(200);
}

/// Repeats a request with its key until it succeeds, as a client should.
fn create_until_done(api: &Http, name: &str) {
    wait_for("the request to succeed", || {
        let reply = create(api, name);
        assert!([200, 201, 503].contains(&reply.status), "{}", reply.text);
        reply.status != 503
    });
}
