//! Invariant 8 under load: many worker processes, some of which are killed or hang while they hold leases.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::{Client, NoTls};
use rand::Rng;
use std::process::{Child, Command};

const WORKERS: usize = 16;
const EXECUTIONS: i32 = 20_000;
/// The environment variable with the directory of the server's socket, for worker processes.
const SOCKET_DIR: &str = "KRONOS_FLEET_SOCKET_DIR";
const LEASE: &str = "3 seconds";

fn start_worker(server: &Server, number: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "fleet::worker_process",
            "--ignored",
            "--nocapture",
        ])
        .env(SOCKET_DIR, server.socket_dir())
        .env("KRONOS_FLEET_WORKER", format!("worker-{number}"))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// The code of a worker process. It is a test only so that the test binary can run it.
#[test]
#[ignore = "started by the fleet test as a separate process"]
fn worker_process() {
    let Some(dir) = std::env::var_os(SOCKET_DIR) else {
        return;
    };
    let name = std::env::var("KRONOS_FLEET_WORKER").unwrap();
    let mut session = postgres::Config::new()
        .host_path(dir)
        .user("postgres")
        .dbname("postgres")
        .connect(NoTls)
        .unwrap();
    let mut rng = rand::rng();
    // One worker is sure to hang.
    let mut must_hang = name == format!("worker-{}", WORKERS - 1);
    while count(
        &mut session,
        "select count(*) from (select from kronos_internal.live_executions limit 1) x",
    ) > 0
    {
        let held = claim_for(&mut session, &name, rng.random_range(1..60), LEASE);
        if held.is_empty() {
            continue;
        }
        let list = list_of(&held);
        let hangs = std::mem::take(&mut must_hang) || rng.random_range(0..160) == 0;
        match rng.random_range(0..20) {
            _ if hangs => {
                // Hang until the leases have expired, and report too late.
                wait_for("the leases to expire", || {
                    let left = "select count(*) from kronos.execution_details where worker_id = $1 and lease_expires_at > clock_timestamp()";
                    session.query_one(left, &[&name]).unwrap().get::<_, i64>(0) == 0
                });
                report(&mut session, &name, "complete", &list);
            }
            0 => report(&mut session, &name, "release", &list),
            1 => report(&mut session, &name, "fail", &list),
            2 => {
                let beat = "select kronos.heartbeat_executions($1, $2, $3::text::interval)";
                session.execute(beat, &[&name, &list, &LEASE]).unwrap();
                report(&mut session, &name, "complete", &list);
            }
            _ => report(&mut session, &name, "complete", &list),
        }
    }
}

/// Reports a batch, and records which reports Kronos accepted.
fn report(session: &mut Client, worker: &str, kind: &str, list: &serde_json::Value) {
    let statement = format!(
        "insert into public.reports
         select execution_id, attempt, $1, '{kind}', accepted from kronos.{kind}_executions($1, $2)"
    );
    session.execute(&statement, &[&worker, list]).unwrap();
}

#[test]
fn fleet_with_killed_and_hanging_workers_finishes_every_execution_exactly_once() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute(
            "select kronos.update_endpoint('hook', retry_policy => '{\"max_attempts\": 1000, \"initial_delay_ms\": 0}',
                                           workspace => 'acme');
             create table public.reports (execution_id uuid, attempt integer, worker text, kind text, accepted boolean);
             create table public.ends (execution_id uuid, status text);
             create function public.note_end() returns trigger language plpgsql as
               $$ begin insert into public.ends values (new.execution_id, new.status); return null; end $$;
             create trigger note_end after insert on kronos_internal.history
             for each row execute function public.note_end();",
        )
        .unwrap();
    enqueue(&mut session, EXECUTIONS / 2);
    enqueue(&mut session, EXECUTIONS / 2);
    let mut workers: Vec<Child> = (0..WORKERS)
        .map(|number| start_worker(&server, number))
        .collect();
    // Kill six workers, each while it holds leases and work is left.
    for (nth, worker) in workers.iter_mut().take(6).enumerate() {
        let name = format!("worker-{nth}");
        let progress = i64::from(EXECUTIONS) * (nth as i64 + 1) / 10;
        wait_for("the worker to hold leases", || {
            let held = "select (select count(*) from public.ends) > $1
                               and exists (select from kronos_internal.live_executions where worker_id = $2)";
            session.query_one(held, &[&progress, &name]).unwrap().get(0)
        });
        worker.kill().unwrap();
        worker.wait().unwrap();
        *worker = start_worker(&server, WORKERS + nth);
    }
    for worker in &mut workers {
        assert!(worker.wait().unwrap().success());
    }

    let violations = [
        ("executions that did not succeed", "select count(*) from kronos.executions where status <> 'SUCCEEDED'"),
        (
            "executions that did not finish exactly once",
            "select count(*) from kronos.execution_details x
             where 1 <> (select count(*) from public.ends e where e.execution_id = x.execution_id)",
        ),
        (
            "attempts that overlap",
            "select count(*) from (select started_at < lag(finished_at) over (partition by execution_id order by attempt) as early
                                   from kronos.attempts) a where early",
        ),
        (
            "attempt numbers with gaps",
            "select count(*) from (select x.attempt, count(*), max(a.attempt) from kronos.execution_details x join kronos.attempts a using (execution_id)
                                   group by x.execution_id, x.attempt having count(*) <> x.attempt or max(a.attempt) <> x.attempt) a",
        ),
        (
            "reports accepted from a worker that did not hold the attempt",
            "select count(*) from public.reports r left join kronos.attempts a using (execution_id, attempt)
             where r.accepted and (a.worker_id <> r.worker
                                   or a.outcome <> case r.kind when 'complete' then 'SUCCEEDED' when 'fail' then 'FAILED' else 'RELEASED' end)",
        ),
        (
            "attempts with two accepted reports",
            "select count(*) from (select from public.reports where accepted group by execution_id, attempt having count(*) > 1) a",
        ),
    ];
    for (violation, statement) in violations {
        assert_eq!(count(&mut session, statement), 0, "{violation}");
    }
    let events = [
        (
            "lost leases",
            "select count(*) from kronos.attempts where outcome = 'LOST'",
        ),
        (
            "refused reports",
            "select count(*) from public.reports where not accepted",
        ),
        (
            "retries",
            "select count(*) from kronos.execution_details where attempt > 1",
        ),
    ];
    for (event, statement) in events {
        assert!(count(&mut session, statement) > 0, "{event}");
    }
    assert_eq!(executions(&mut session), i64::from(EXECUTIONS));
    assert_sound(&mut session);
}
