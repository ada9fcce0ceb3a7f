//! Keys of one-shots under load: many sessions on few keys, with claims and reports beside.

use crate::domain::*;
use crate::server::Server;
use postgres::{Client, Error};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use uuid::Uuid;

const SESSIONS: u64 = 32;
const KEYS: u32 = 10;
const CALLS: usize = 150;

#[derive(Default, Debug)]
struct Tally {
    created: usize,
    found: usize,
    in_use: usize,
    retryable: usize,
}

/// Enqueues at random, alone or in a list, in transactions of one call of which some roll back.
fn enqueue_at_random(mut session: Client, seed: u64) -> Tally {
    let mut random = StdRng::seed_from_u64(seed);
    let mut tally = Tally::default();
    for _ in 0..CALLS {
        let rule = ["keep", "replace", "error"][random.random_range(0..3)];
        let first = random.random_range(0..KEYS).to_string();
        let second = random.random_range(0..KEYS).to_string();
        let is_list = random.random_bool(0.3);
        let mut transaction = session.transaction().unwrap();
        let called: Result<Vec<bool>, Error> = if is_list {
            let list = "select created from kronos.enqueue_many(
                            (select jsonb_agg(jsonb_build_object('endpoint', 'hook', 'key', k, 'on_conflict', $1::text))
                             from unnest($2::text[]) k), workspace => 'acme')";
            let rows = transaction.query(list, &[&rule, &vec![first, second]]);
            rows.map(|rows| rows.iter().map(|row| row.get(0)).collect())
        } else {
            let one = "select created from kronos.enqueue('hook', key => $2, on_conflict => $1, workspace => 'acme')";
            let rows = transaction.query(one, &[&rule, &first]);
            rows.map(|rows| rows.iter().map(|row| row.get(0)).collect())
        };
        match called {
            Ok(created) => {
                tally.created += created.iter().filter(|created| **created).count();
                tally.found += created.iter().filter(|created| !**created).count();
                if random.random_bool(0.8) {
                    transaction.commit().unwrap();
                }
            }
            Err(error) => match db_error(&error).code().code() {
                "23505" => {
                    assert_code::<()>(Err(error), "KEY_IN_USE");
                    assert_ne!(rule, "keep");
                    tally.in_use += 1;
                }
                "40001" => {
                    assert_code::<()>(Err(error), "CONCURRENT_CHANGE");
                    tally.retryable += 1;
                }
                _ => panic!("{error:?}"),
            },
        }
    }
    tally
}

/// Claims and reports until told to stop.
fn work_at_random(mut session: Client, worker: &str, stop: &AtomicBool) {
    let mut random = StdRng::seed_from_u64(99);
    while !stop.load(Ordering::Relaxed) {
        for held in claim(&mut session, worker, 3) {
            let report = match random.random_range(0..4) {
                0 => fail(&mut session, worker, held),
                _ => complete(&mut session, worker, held),
            };
            report.unwrap();
        }
    }
}

#[test]
fn sessions_on_few_keys_never_leave_two_unfinished_executions_of_one_key() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute(
            "select kronos.update_endpoint('hook', retry_policy => '{\"max_attempts\": 2, \"initial_delay_ms\": 5}',
                                           workspace => 'acme')",
        )
        .unwrap();
    let stop = AtomicBool::new(false);
    let tally = thread::scope(|scope| {
        for worker in ["w1", "w2", "w3"] {
            let (session, stop) = (server.session(), &stop);
            scope.spawn(move || work_at_random(session, worker, stop));
        }
        let callers: Vec<_> = (0..SESSIONS)
            .map(|seed| {
                let session = server.session();
                scope.spawn(move || enqueue_at_random(session, seed))
            })
            .collect();
        let mut doubled = 0;
        while callers.iter().any(|caller| !caller.is_finished()) {
            doubled += count(
                &mut session,
                "select count(*) from (select from kronos.execution_details
                                       where key is not null and finished_at is null
                                       group by key having count(*) > 1) d",
            );
        }
        // The workers must end even if a caller has failed.
        stop.store(true, Ordering::Relaxed);
        assert_eq!(doubled, 0, "keys had two unfinished executions");
        let mut tally = Tally::default();
        for caller in callers {
            let one = caller.join().unwrap();
            tally.created += one.created;
            tally.found += one.found;
            tally.in_use += one.in_use;
            tally.retryable += one.retryable;
        }
        tally
    });
    println!("{tally:?}");
    assert!(
        tally.created > 100 && tally.found > 100 && tally.in_use > 10,
        "{tally:?}"
    );
    assert_sound(&mut session);
}

#[test]
fn concurrent_keeps_of_a_free_key_all_get_the_same_execution() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let start = Barrier::new(8);
    let found: Vec<Vec<Uuid>> = thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|_| {
                let (mut session, start) = (server.session(), &start);
                scope.spawn(move || {
                    let call = "select execution_id from kronos.enqueue('hook', key => $1, workspace => 'acme')";
                    let put = |round: i32| {
                        start.wait();
                        let row = session.query_one(call, &[&round.to_string()]);
                        row.map_or(Uuid::nil(), |row| row.get(0))
                    };
                    (0..20).map(put).collect()
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect()
    });
    assert!(found.iter().all(|ids| *ids == found[0]), "{found:?}");
    assert_eq!(executions(&mut session), 20);
}
