//! Invariants 1 and 2 under load: many sessions, few or many schedules, random rollbacks, every isolation level.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::{Client, Error, IsolationLevel};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Barrier;
use uuid::Uuid;

const SESSIONS: u64 = 32;
const ROUNDS: usize = 4;
const OPERATIONS_PER_ROUND: usize = 30;

#[test]
fn random_changes_by_32_sessions_over_5_schedules_keep_the_invariants() {
    let server = Server::start();
    change_at_random(&server, 5, IsolationLevel::ReadCommitted);
    assert!(entries(&mut server.session()) <= 5);
}

#[test]
fn random_changes_in_repeatable_read_keep_the_invariants() {
    let server = Server::start();
    change_at_random(&server, 5, IsolationLevel::RepeatableRead);
}

#[test]
fn random_changes_in_serializable_keep_the_invariants() {
    let server = Server::start();
    change_at_random(&server, 5, IsolationLevel::Serializable);
}

#[test]
fn random_changes_over_300_schedules_stay_within_max_entries() {
    let server = Server::start_with(&["kronos.max_entries = 10"]);
    change_at_random(&server, 300, IsolationLevel::ReadCommitted);
    let entries = entries(&mut server.session());
    assert!(entries <= 10, "{entries} entries");
}

#[test]
fn random_changes_over_300_schedules_stay_within_max_entries_in_repeatable_read() {
    let server = Server::start_with(&["kronos.max_entries = 10"]);
    change_at_random(&server, 300, IsolationLevel::RepeatableRead);
    let entries = entries(&mut server.session());
    assert!(entries <= 10, "{entries} entries");
}

#[test]
fn open_trigger_delays_neither_ticks_nor_updates() {
    let (server, mut session, job_id) = server_with_job();
    make_yearly_due(&mut session);
    let mut triggering = server.session();
    let mut transaction = triggering.transaction().unwrap();
    let trigger = "select status from kronos.trigger_cron_job($1, workspace => 'acme')";
    transaction.query_one(trigger, &[&job_id]).unwrap();

    assert_eq!(run_due(&mut session), 1);
    session.batch_execute("set lock_timeout = '5s'").unwrap();
    try_update(&mut session, job_id, None).unwrap();
    transaction.commit().unwrap();
    assert_eq!(executions(&mut session), 2);
    assert_sound(&mut session);
}

#[test]
fn calls_with_a_stale_snapshot_fail_with_40001() {
    let (server, mut session, job_id) = server_with_job();
    let calls = [
        "select kronos.update_cron_job($1, priority => 1, workspace => 'acme')",
        "select kronos.cancel_cron_job($1, workspace => 'acme')",
        "select kronos.pause_cron_job($1, workspace => 'acme')",
    ];
    for level in [IsolationLevel::RepeatableRead, IsolationLevel::Serializable] {
        for call in calls {
            let mut stale = server.session();
            let mut transaction = stale
                .build_transaction()
                .isolation_level(level)
                .start()
                .unwrap();
            count(&mut transaction, "select count(*) from kronos.jobs");
            try_update(&mut session, job_id, None).unwrap();
            let error = transaction.query_one(call, &[&job_id]).unwrap_err();
            assert_eq!(db_error(&error).code().code(), "40001", "{call}: {error:?}");
        }
        // A name and a key that the snapshot does not show.
        let name = format!("{level:?}");
        let calls = [
            format!("name => '{name}'"),
            format!("name => '{name}', if_not_exists => true"),
            format!("idempotency_key => '{name}'"),
        ];
        let create = |arguments: &str| {
            format!(
                "select kronos.create_cron_job('hook', '1 1 1 1 *', {arguments}, workspace => 'acme')"
            )
        };
        let mut stale: Vec<Client> = calls.iter().map(|_| server.session()).collect();
        let mut transactions: Vec<_> = stale
            .iter_mut()
            .map(|session| {
                let mut transaction = session
                    .build_transaction()
                    .isolation_level(level)
                    .start()
                    .unwrap();
                count(&mut transaction, "select count(*) from kronos.jobs");
                transaction
            })
            .collect();
        let both = format!("name => '{name}', idempotency_key => '{name}'");
        session.batch_execute(&create(&both)).unwrap();
        for (transaction, arguments) in transactions.iter_mut().zip(&calls) {
            let error = transaction.batch_execute(&create(arguments)).unwrap_err();
            assert_eq!(
                db_error(&error).code().code(),
                "40001",
                "{arguments}: {error:?}"
            );
        }
    }
    assert_sound(&mut session);
}

#[test]
fn concurrent_creates_with_one_name_create_one_job() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let jobs: Vec<Uuid> = std::thread::scope(|scope| {
        let requests: Vec<_> = (0..8)
            .map(|n| {
                let server = &server;
                scope.spawn(move || {
                    // Each uses a schedule of its own, and the schedules that no job uses must be deleted.
                    let statement = format!(
                        "select job_id from kronos.create_cron_job('hook', '{n} 1 1 1 *', name => 'report',
                                                                   if_not_exists => true, workspace => 'acme')"
                    );
                    server.session().query_one(&statement, &[]).unwrap().get(0)
                })
            })
            .collect();
        requests
            .into_iter()
            .map(|request| request.join().unwrap())
            .collect()
    });
    assert!(jobs.iter().all(|job_id| *job_id == jobs[0]), "{jobs:?}");
    assert_eq!(entries(&mut session), 1);
    assert_sound(&mut session);
}

/// Changes jobs at random in many sessions, and checks the invariants after every round.
fn change_at_random(server: &Server, schedules: u32, level: IsolationLevel) {
    let mut session = server.session();
    create_acme(&mut session);
    let barrier = Barrier::new(SESSIONS as usize + 1);
    let tally = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..SESSIONS)
            .map(|seed| {
                let barrier = &barrier;
                let mut worker = Worker {
                    session: server.session(),
                    random: StdRng::seed_from_u64(seed),
                    jobs: vec![],
                    schedules,
                    level,
                    tally: Tally::default(),
                };
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        for _ in 0..OPERATIONS_PER_ROUND {
                            worker.change();
                        }
                        barrier.wait();
                        barrier.wait();
                    }
                    worker.tally
                })
            })
            .collect();
        for _ in 0..ROUNDS {
            barrier.wait();
            assert_sound_or_exit(&mut session);
            barrier.wait();
        }
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .fold(Tally::default(), Tally::plus)
    });
    assert!(tally.committed > 500, "{tally:?}");
    println!("{level:?}, {schedules} schedules: {tally:?}");
}

/// Asserts that no invariant is violated. Exits the process if one is, because a panic would leave the workers waiting
/// at the barrier for ever.
fn assert_sound_or_exit(session: &mut Client) {
    let sound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let violations = session
            .query(
                "select invariant, problem, detail::text from kronos.check()",
                &[],
            )
            .unwrap();
        let violations: Vec<(i32, String, String)> = violations
            .iter()
            .map(|row| (row.get(0), row.get(1), row.get(2)))
            .collect();
        assert!(violations.is_empty(), "{violations:#?}");
        assert_sound(session);
    }));
    if sound.is_err() {
        std::process::exit(101);
    }
}

#[derive(Default, Debug)]
struct Tally {
    committed: u32,
    rolled_back: u32,
    retryable: u32,
}

impl Tally {
    fn plus(self, other: Tally) -> Tally {
        Tally {
            committed: self.committed + other.committed,
            rolled_back: self.rolled_back + other.rolled_back,
            retryable: self.retryable + other.retryable,
        }
    }
}

struct Worker {
    session: Client,
    random: StdRng,
    jobs: Vec<Uuid>,
    schedules: u32,
    level: IsolationLevel,
    tally: Tally,
}

impl Worker {
    /// Makes one to three changes in a transaction, and commits it or rolls it back.
    fn change(&mut self) {
        let mut jobs = self.jobs.clone();
        let mut transaction = self
            .session
            .build_transaction()
            .isolation_level(self.level)
            .start()
            .unwrap();
        for _ in 0..self.random.random_range(1..=3) {
            let cron = expression(self.random.random_range(0..self.schedules));
            let result = match (self.random.random_range(0..3), jobs.len()) {
                (0, _) | (_, 0) => {
                    try_create(&mut transaction, &cron).map(|job_id| jobs.push(job_id))
                }
                (1, count) => {
                    let place = self.random.random_range(0..count);
                    try_update(&mut transaction, jobs[place], Some(&cron)).map(|_| ())
                }
                (_, count) => {
                    let job_id = jobs.swap_remove(self.random.random_range(0..count));
                    try_cancel(&mut transaction, job_id)
                }
            };
            if let Err(error) = result {
                assert_retryable(&error);
                self.tally.retryable += 1;
                return;
            }
        }
        if self.random.random_bool(0.2) {
            transaction.rollback().unwrap();
            self.tally.rolled_back += 1;
            return;
        }
        match transaction.commit() {
            Ok(()) => {
                self.jobs = jobs;
                self.tally.committed += 1;
            }
            Err(error) => {
                assert_retryable(&error);
                self.tally.retryable += 1;
            }
        }
    }
}

/// Asserts that an error is one that a client retries: a deadlock or a serialization failure.
fn assert_retryable(error: &Error) {
    let error = db_error(error);
    assert!(
        ["40P01", "40001"].contains(&error.code().code()),
        "{error:?}"
    );
}

/// A distinct expression for each number, spread over the day.
fn expression(number: u32) -> String {
    format!("{} {} * * *", number % 60, number / 60)
}

/// At every isolation level and in either order, no live job is left on a deleted endpoint.
#[test]
fn endpoint_is_never_deleted_under_a_job_being_created() {
    let server = Server::start();
    let mut session = server.session();
    for level in ["read committed", "repeatable read", "serializable"] {
        for deletes_first in [true, false] {
            let workspace = format!("{level} {deletes_first}");
            create_workspace(&mut session, &workspace);
            let delete =
                format!("select kronos.delete_endpoint('hook', workspace => '{workspace}')");
            let create = format!(
                "select kronos.create_cron_job('hook', '{YEARLY}', workspace => '{workspace}')"
            );
            let (first, second, code) = if deletes_first {
                (delete, create, "ENDPOINT_NOT_FOUND")
            } else {
                (create, delete, "ENDPOINT_IN_USE")
            };
            let begin = format!("begin isolation level {level}; select count(*) from kronos.jobs");
            let (mut one, mut other) = (server.session(), server.session());
            for caller in [&mut one, &mut other] {
                caller.batch_execute(&begin).unwrap();
            }
            one.batch_execute(&first).unwrap();
            let pid = backend_pid(&mut other);
            let error = std::thread::scope(|scope| {
                let later = scope.spawn(move || other.batch_execute(&format!("{second}; commit")));
                wait_for("the second call to wait for the first", || {
                    is_waiting(&mut session, pid)
                });
                one.batch_execute("commit").unwrap();
                later
                    .join()
                    .unwrap()
                    .expect_err("only one of the calls can succeed")
            });
            let error = db_error(&error);
            let is_named = error.detail().is_some_and(|detail| detail.contains(code));
            assert!(
                is_named || error.code().code() == "40001",
                "{workspace}: {error:?}"
            );
        }
    }
    let orphans = "select count(*) from kronos_internal.jobs j join kronos_internal.endpoints e using (endpoint_id)
                   where j.status <> 'RETIRED' and e.deleted_at is not null";
    assert_eq!(count(&mut session, orphans), 0);
}
