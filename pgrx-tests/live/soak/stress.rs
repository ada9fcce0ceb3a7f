//! Invariant 9 under load: 32 sessions of four workspaces call every function. No deadlock involves two workspaces, and
//! no session waits for another workspace longer than for a statement.

use super::functions::{Function, functions};
use super::random_calls::Generator;
use super::verdict::Judge;
use super::waits::{KRONOS, Waits, watch};
use super::{assert_sound_after_upkeep, generator, seed, size};
use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::{Client, Error, IsolationLevel};
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

const WORKSPACES: [&str; 4] = ["a", "b", "c", "d"];
const SESSIONS_PER_WORKSPACE: u64 = 8;

/// Calls of workspace a that lock as much as they can. Their transaction stays open for long.
const HOLDING: &str = "
select kronos.create_endpoint('hook', 'HTTP', if_not_exists => true);
select kronos.update_endpoint('hook', payload_spec => '');
select kronos.update_endpoint(endpoint, spec => '{\"held\": true}') from kronos.endpoints where deleted_at is null;
select kronos.set_retention('31 days');
select kronos.create_cron_job('hook', '*/7 * * * *');
select kronos.apply_crontab('[{\"name\": \"held\", \"endpoint\": \"hook\", \"cron\": \"* * * * *\"}]', set_name => 'held');
select kronos.update_cron_job(job_id, priority => 1) from kronos.jobs where status = 'ACTIVE';
select kronos.trigger_cron_job(job_id) from kronos.jobs where status = 'ACTIVE';
select kronos.claim_executions('holder', 100);
select kronos.grant_workspace('b', 'viewer');
";

/// Makes every schedule due that no transaction has locked, unless too many executions wait.
const MAKE_DUE: &str = "
update kronos_internal.schedules
set next_tick_at = now() - interval '1 minute', ticked_until = now() - interval '2 minutes'
where schedule_id in (select schedule_id from kronos_internal.schedules for no key update skip locked)
  and (select count(*) from kronos_internal.live_executions) < 20000";

/// Calls for all workspaces.
const MAINTAINING: [&str; 9] = [
    MAKE_DUE,
    "call kronos.tick()",
    "select kronos.run_due()",
    "call kronos.upkeep()",
    "select kronos.expire_leases()",
    "select kronos.claim_any_executions('fleet', 20, '1 second')",
    "select kronos.prune()",
    "select kronos.reconcile()",
    "select kronos.check()",
];

/// What the sessions of a workspace have done.
#[derive(Default, Debug)]
struct Tally {
    committed: AtomicUsize,
    rolled_back: AtomicUsize,
    calls_succeeded: AtomicUsize,
    calls_failed: AtomicUsize,
    deadlocks: AtomicUsize,
}

struct Stress<'a> {
    server: &'a Server,
    judge: Judge,
    functions: Vec<Function>,
    seed: u64,
    is_over: AtomicBool,
    holds: AtomicUsize,
    tallies: [Tally; WORKSPACES.len()],
    /// The workspace of each backend.
    places: Mutex<HashMap<i32, usize>>,
    faults: Mutex<BTreeSet<String>>,
    /// How often each function has succeeded.
    succeeded: Mutex<BTreeMap<String, usize>>,
}

#[test]
fn sessions_of_four_workspaces_never_wait_for_another_workspace() {
    let server = Server::start();
    let mut owner = server.session();
    owner
        .batch_execute(
            "select kronos.start(); grant usage on schema kronos to public; create role guest",
        )
        .unwrap();
    for workspace in WORKSPACES {
        create_workspace(&mut owner, workspace);
        owner
            .batch_execute(&format!(
                "create role {workspace} login;
                 alter role {workspace} set kronos.workspace = '{workspace}';
                 alter role {workspace} set application_name = '{workspace}';
                 alter role {workspace} set lock_timeout = '500ms';
                 select kronos.grant_workspace('{workspace}', 'admin', workspace => '{workspace}');"
            ))
            .unwrap();
    }
    let stress = Stress {
        server: &server,
        judge: Judge::new(&mut owner),
        functions: functions(&mut owner),
        seed: seed(),
        is_over: AtomicBool::new(false),
        holds: AtomicUsize::new(0),
        tallies: Default::default(),
        places: Mutex::default(),
        faults: Mutex::default(),
        succeeded: Mutex::default(),
    };
    let end = Instant::now() + Duration::from_secs(size(15, 900));
    let waits = thread::scope(|scope| {
        let stress = &stress;
        let watching = scope.spawn(|| watch(&mut server.session(), &stress.is_over));
        for place in 0..WORKSPACES.len() {
            for nth in 0..SESSIONS_PER_WORKSPACE {
                let random = generator(stress.seed, place as u64 * SESSIONS_PER_WORKSPACE + nth);
                scope.spawn(move || match (place, nth) {
                    (0, 0) => stress.hold(),
                    _ => stress.work(place, random),
                });
            }
        }
        scope.spawn(|| stress.maintain());
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(100));
        }
        stress.is_over.store(true, Relaxed);
        watching.join().unwrap()
    });
    stress.report(&waits);
    assert_sound_after_upkeep(&mut owner);
}

impl Stress<'_> {
    fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    fn open_session(&self, place: usize) -> Client {
        let mut session = self.server.session_as(WORKSPACES[place]);
        let pid = backend_pid(&mut session);
        self.places.lock().unwrap().insert(pid, place);
        session
    }

    /// Runs transactions of random calls until the run is over.
    fn work(&self, place: usize, random: StdRng) {
        let mut session = self.open_session(place);
        let mut generator = Generator::new(&self.functions, random);
        // A workspace whose admin has revoked his own grant would do nothing any more.
        generator.teach("revoke_workspace", "role", vec!["guest".into()]);
        while !self.is_over() {
            generator.look(&mut session);
            for _ in 0..20 {
                let tally = &self.tallies[place];
                match self.transact(&mut session, &mut generator, tally) {
                    Ok(true) => tally.committed.fetch_add(1, Relaxed),
                    Ok(false) => tally.rolled_back.fetch_add(1, Relaxed),
                    Err(error) => {
                        self.note(&error, tally);
                        tally.rolled_back.fetch_add(1, Relaxed)
                    }
                };
            }
        }
    }

    /// Makes up to five calls in one transaction, and returns whether it was committed.
    fn transact(
        &self,
        session: &mut Client,
        generator: &mut Generator,
        tally: &Tally,
    ) -> Result<bool, Error> {
        let level = if generator.random.random_bool(0.8) {
            IsolationLevel::ReadCommitted
        } else {
            IsolationLevel::RepeatableRead
        };
        let start = session.build_transaction().isolation_level(level);
        let mut transaction = start.start()?;
        for _ in 0..generator.random.random_range(1..=5) {
            let call = generator.any_call(0.01);
            let mut savepoint = transaction.savepoint("call")?;
            if let Err(error) = savepoint.batch_execute(&call.statement) {
                savepoint.rollback()?;
                generator.learn(&call, &error);
                self.note(&error, tally);
                tally.calls_failed.fetch_add(1, Relaxed);
            } else {
                savepoint.commit()?;
                tally.calls_succeeded.fetch_add(1, Relaxed);
                let mut succeeded = self.succeeded.lock().unwrap();
                *succeeded.entry(call.function).or_default() += 1;
            }
        }
        if generator.random.random_bool(0.8) {
            transaction.commit().map(|()| true)
        } else {
            transaction.rollback().map(|()| false)
        }
    }

    fn note(&self, error: &Error, tally: &Tally) {
        if error.code().is_some_and(|code| code.code() == "40P01") {
            tally.deadlocks.fetch_add(1, Relaxed);
        }
        if let Some(fault) = self.judge.fault(error) {
            self.faults.lock().unwrap().insert(fault);
        }
    }

    /// Keeps transactions with many locks open, each until the other workspaces have committed a hundred.
    fn hold(&self) {
        let mut session = self.open_session(0);
        let committed = |places: &[Tally]| -> usize {
            places
                .iter()
                .map(|tally| tally.committed.load(Relaxed))
                .sum()
        };
        while !self.is_over() {
            let mut transaction = session.transaction().unwrap();
            match transaction.batch_execute(HOLDING) {
                Err(error) => self.note(&error, &self.tallies[0]),
                Ok(()) => {
                    let start = committed(&self.tallies[1..]);
                    wait_for("the other workspaces to go on", || {
                        self.is_over() || committed(&self.tallies[1..]) >= start + 100
                    });
                    self.holds.fetch_add(1, Relaxed);
                }
            }
            transaction.rollback().unwrap();
            let start = committed(&self.tallies[..1]);
            wait_for("workspace a to go on", || {
                self.is_over() || committed(&self.tallies[..1]) >= start + 10
            });
        }
    }

    /// Does what pg_cron's entries and a fleet of workers do.
    fn maintain(&self) {
        let mut session = self.server.session();
        session
            .batch_execute(&format!("set application_name = '{KRONOS}'"))
            .unwrap();
        while !self.is_over() {
            for statement in MAINTAINING {
                if let Err(error) = session.batch_execute(statement) {
                    self.note(&error, &Tally::default());
                }
            }
        }
    }

    /// Prints figures, and fails if a workspace had to wait for another or a call had a fault.
    fn report(&self, waits: &Waits) {
        for (workspace, tally) in WORKSPACES.iter().zip(&self.tallies) {
            println!("{workspace}: {tally:?}");
            assert!(
                tally.committed.load(Relaxed) > 50,
                "{workspace} stood still"
            );
        }
        let holds = self.holds.load(Relaxed);
        println!("long transactions: {holds}, samples: {}", waits.samples);
        for ((waiting, blocking), (count, longest)) in &waits.by_names {
            println!("{waiting} waited for {blocking}: {count} times, at most {longest:.3} s");
        }
        let succeeded = self.succeeded.lock().unwrap();
        let names = self.functions.iter().map(|function| &function.name);
        let never: Vec<_> = names
            .filter(|name| !succeeded.contains_key(*name))
            .collect();
        println!("never succeeded: {never:?}");
        let deadlocks = deadlocks(&self.server.log());
        println!("waits that ended in a deadlock: {}", deadlocks.len());
        assert!(holds > 0);
        let places = self.places.lock().unwrap();
        for (pid, other) in deadlocks {
            let (place, other) = (places.get(&pid), places.get(&other));
            assert_eq!(place, other, "a deadlock of two workspaces");
        }
        let faults = self.faults.lock().unwrap();
        assert!(faults.is_empty(), "{faults:#?}");
        assert!(waits.too_long.is_empty(), "{:#?}", waits.too_long);
    }
}

/// The processes of each deadlock in the log, in pairs of who waits for whom.
fn deadlocks(log: &str) -> Vec<(i32, i32)> {
    let read = |line: &str| {
        let (waiting, blocking) = line.split_once(" waits for ")?;
        let waiting = waiting.rsplit(' ').next()?.parse().ok()?;
        let blocking = blocking.rsplit("blocked by process ").next()?;
        Some((waiting, blocking.trim_end_matches('.').parse().ok()?))
    };
    log.lines().filter_map(read).collect()
}
