//! Limits under load: 32 sessions in every isolation level claim without pause, while limits and pauses change. The
//! attempts that Kronos records prove afterwards that no limit was exceeded.

use crate::domain::*;
use crate::server::{Server, wait_for};
use crate::soak::{generator, seed, size};
use postgres::{Client, IsolationLevel};
use rand::Rng;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SESSIONS: u64 = 32;

const LEVELS: [IsolationLevel; 3] = [
    IsolationLevel::ReadCommitted,
    IsolationLevel::RepeatableRead,
    IsolationLevel::Serializable,
];

/// The most attempts of one key that ran at the same time. An attempt that ends when another starts does not overlap it.
const MOST_CONCURRENT: &str = "
select coalesce(max(running), 0)
from (select sum(d.change) over (partition by x.concurrency_key order by d.at, d.change) as running
      from kronos.attempts a
      join kronos.execution_details x using (execution_id)
      cross join lateral (values (a.started_at, 1), (a.finished_at, -1)) d (at, change)
      where x.endpoint = $1) r";

/// The shortest time from an attempt of a key to the twentieth after it.
const SHORTEST: &str = "
select min(extract(epoch from a.started_at - a.before))::float8
from (select t.started_at, lag(t.started_at, 20) over (partition by x.concurrency_key order by t.started_at) as before
      from kronos.attempts t
      join kronos.execution_details x using (execution_id)
      where x.endpoint = $1) a";

fn start_server(endpoints: &str) -> (Server, Client) {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session.batch_execute(endpoints).unwrap();
    (server, session)
}

/// Enqueues one-shots on an endpoint, with keys `k0`, `k1` and none in turn.
fn enqueue_on(session: &mut Client, endpoint: &str, count: i32) {
    let statement = "
        select count(*) from kronos.enqueue_many(
            (select jsonb_agg(jsonb_build_object('endpoint', $1::text, 'concurrency_key', case when n % 3 < 2 then 'k' || n % 3 end))
             from generate_series(1, $2::integer) n), workspace => 'acme')";
    session.execute(statement, &[&endpoint, &count]).unwrap();
}

/// Claims and reports until `is_over`. A third of the sessions claims in each isolation level, some from all workspaces.
/// Some claims roll back, and some attempts are released, fail or are lost.
fn work(server: &Server, number: u64, seed: u64, is_over: &AtomicBool) {
    let mut session = server.session();
    let mut random = generator(seed, number);
    let worker = format!("worker-{number}");
    let level = LEVELS[(number % 3) as usize];
    let claim = if number.is_multiple_of(4) {
        "select execution_id, attempt from kronos.claim_any_executions($1, $2, lease => '2 seconds')"
    } else {
        "select execution_id, attempt from kronos.claim_executions($1, $2, lease => '2 seconds', workspace => 'acme')"
    };
    while !is_over.load(Ordering::Relaxed) {
        let mut transaction = session
            .build_transaction()
            .isolation_level(level)
            .start()
            .unwrap();
        if !matches!(level, IsolationLevel::ReadCommitted) {
            // The snapshot is older than what other claims do meanwhile.
            transaction
                .batch_execute("select from kronos.workspaces")
                .unwrap();
            std::thread::sleep(Duration::from_millis(random.random_range(0..10)));
        }
        let max: i32 = random.random_range(1..8);
        let held: Vec<Held> = match transaction.query(claim, &[&worker, &max]) {
            Ok(rows) => rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
            Err(error) => {
                assert_eq!(db_error(&error).code().code(), "40001", "{error:?}");
                continue;
            }
        };
        if random.random_range(0..20) == 0 {
            transaction.rollback().unwrap();
            continue;
        }
        if transaction.commit().is_err() || held.is_empty() {
            // As long as a worker sleeps at least, so that 32 of them leave the machine to those that found something.
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        for one in held {
            std::thread::sleep(Duration::from_millis(random.random_range(0..4)));
            match random.random_range(0..40) {
                0 => drop(fail(&mut session, &worker, one)),
                1 => {
                    let release = "select kronos.release_execution($1, $2, $3)";
                    drop(session.execute(release, &[&one.0, &one.1, &worker]));
                }
                // The worker forgets the execution, whose lease ends.
                2 if random.random_range(0..10) == 0 => {}
                _ => drop(complete(&mut session, &worker, one)),
            }
        }
    }
}

fn unfinished(session: &mut Client) -> i64 {
    let statement =
        "select count(*) from kronos.executions where status not in ('SUCCEEDED', 'FAILED')";
    count(session, statement)
}

/// Runs workers until nothing is unfinished. Calls `change` every 20 ms.
fn run_until_done(server: &Server, session: &mut Client, mut change: impl FnMut(&mut Client)) {
    let seed = seed();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..SESSIONS)
            .map(|number| {
                let is_over = &is_over;
                scope.spawn(move || work(server, number, seed, is_over))
            })
            .collect();
        // The workers end even if the wait fails.
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for("all executions to finish", || {
                change(session);
                unfinished(session) == 0
            })
        }));
        is_over.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().unwrap();
        }
        if let Err(panic) = waited {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn limits_hold_exactly_with_32_sessions_in_every_isolation_level() {
    let (server, mut session) = start_server(
        "select kronos.create_endpoint('slots', 'HTTP', '{}', '{\"max_attempts\": 1000, \"initial_delay_ms\": 0}',
                                       max_concurrent => 3, workspace => 'acme');
         select kronos.create_endpoint('rated', 'HTTP', '{}', '{\"max_attempts\": 1000, \"initial_delay_ms\": 0}',
                                       rate_limit => 20, rate_interval => '0.5 seconds', workspace => 'acme')",
    );
    let count = size(900, 9000);
    enqueue_on(&mut session, "slots", count);
    enqueue_on(&mut session, "rated", count);
    enqueue(&mut session, count);
    run_until_done(&server, &mut session, |_| {});

    let most: i64 = session
        .query_one(&format!("select ({MOST_CONCURRENT})::bigint"), &[&"slots"])
        .unwrap()
        .get(0);
    assert_eq!(most, 3, "attempts at once, of 3");
    let shortest: f64 = session.query_one(SHORTEST, &[&"rated"]).unwrap().get(0);
    assert!(shortest >= 0.5, "21 starts within {shortest} s");
    // Three keys start 120 a second; an execution more or less than one attempt each.
    let took = "select extract(epoch from max(a.finished_at) - min(a.started_at))::float8
                from kronos.attempts a join kronos.execution_details x using (execution_id) where x.endpoint = 'rated'";
    let took: f64 = session.query_one(took, &[]).unwrap().get(0);
    let least = f64::from(count) / 120.0;
    assert!(took < 4.0 * least + 10.0, "{took} s instead of {least} s");
    assert_sound(&mut session);
}

/// The changes, one every 0.7 seconds.
const CHANGES: [&str; 4] = [
    "select kronos.pause_endpoint('hook'); insert into public.pauses values (clock_timestamp(), null)",
    "select kronos.update_endpoint('slots', max_concurrent => 4)",
    "update public.pauses set to_at = clock_timestamp() where to_at is null; select kronos.resume_endpoint('hook')",
    "select kronos.update_endpoint('slots', max_concurrent => 2)",
];

#[test]
fn changed_limits_and_pauses_hold_under_load() {
    let (server, mut session) = start_server(
        "select kronos.create_endpoint('slots', 'HTTP', '{}', '{\"max_attempts\": 1000, \"initial_delay_ms\": 0}',
                                       max_concurrent => 2, workspace => 'acme')",
    );
    let count = size(1500, 10_000);
    enqueue_on(&mut session, "slots", count);
    enqueue(&mut session, count);
    session
        .batch_execute(
            "create table public.pauses (from_at timestamptz, to_at timestamptz);
             set kronos.workspace = 'acme'",
        )
        .unwrap();
    let mut steps = CHANGES.iter().cycle();
    let mut changed_at = Instant::now();
    run_until_done(&server, &mut session, |session| {
        if changed_at.elapsed() > Duration::from_millis(700) {
            session.batch_execute(steps.next().unwrap()).unwrap();
            changed_at = Instant::now();
        }
    });
    let most: i64 = session
        .query_one(&format!("select ({MOST_CONCURRENT})::bigint"), &[&"slots"])
        .unwrap()
        .get(0);
    assert!((2..=4).contains(&most), "{most} attempts at once");
    // A claim that began before the pause was committed may still start executions.
    let during = "
        select count(*)
        from kronos.attempts a
        join kronos.execution_details x using (execution_id)
        join public.pauses p on a.started_at between p.from_at + interval '0.7 seconds' and p.to_at
        where x.endpoint = 'hook'";
    assert_eq!(
        crate::domain::count(&mut session, during),
        0,
        "starts while paused"
    );
    let pauses = "select count(*) from public.pauses where to_at - from_at > interval '1 second'";
    assert!(crate::domain::count(&mut session, pauses) > 0);
    assert_sound(&mut session);
}
