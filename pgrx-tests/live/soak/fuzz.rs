//! Every function with random arguments, as each kind of role: each call succeeds or fails with a documented error.

use super::functions::functions;
use super::random_calls::Generator;
use super::verdict::Judge;
use super::{assert_sound_after_upkeep, generator, seed, size};
use crate::domain::*;
use crate::server::Server;
use postgres::{Client, Error};
use rand::Rng;
use rand::seq::IndexedRandom;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The roles: the capability that each has, and where. The owner is a superuser, the stranger has no grant.
const ROLES: [(&str, &str, &str); 7] = [
    ("postgres", "", ""),
    ("operator", "admin", "all_workspaces => true"),
    ("acme_admin", "admin", "workspace => 'acme'"),
    ("producer", "producer", "workspace => 'acme'"),
    ("worker", "worker", "workspace => 'acme'"),
    ("viewer", "viewer", "workspace => 'acme'"),
    ("stranger", "", ""),
];

/// A call that takes longer hangs. A CALL outside a transaction block ignores statement_timeout.
const HANG: Duration = Duration::from_secs(20);

/// How many calls each role makes before the next one has its turn.
const TURN: u32 = 50;

#[test]
fn every_call_with_random_arguments_succeeds_or_fails_with_a_documented_error() {
    let server = Server::start_with(&["log_min_error_statement = panic"]);
    let mut owner = server.session();
    create_acme(&mut owner);
    create_workspace(&mut owner, "other");
    owner
        .batch_execute("grant usage on schema kronos to public")
        .unwrap();
    for (role, ..) in &ROLES[1..] {
        owner
            .batch_execute(&format!("create role {role} login"))
            .unwrap();
    }
    let mut fuzz = Fuzz {
        judge: Judge::new(&mut owner),
        generator: Generator::new(&functions(&mut owner), generator(seed(), 0)),
        faults: BTreeSet::new(),
        ended: BTreeMap::new(),
        slowest: Default::default(),
    };
    let mut sessions = ROLES.map(|(role, ..)| server.session_as(role));
    for session in &mut sessions {
        let set = format!(
            "set statement_timeout = {}; set kronos.workspace = 'acme'",
            HANG.as_millis()
        );
        session.batch_execute(&set).unwrap();
    }
    let calls = size(1_000, 100_000);
    for turn in 0..calls / TURN {
        if turn % 20 == 0 {
            tidy(&mut owner);
        }
        restock(&mut owner);
        fuzz.generator.look(&mut owner);
        for ((role, ..), session) in ROLES.iter().zip(&mut sessions) {
            fuzz.take_turn(role, session);
        }
    }
    fuzz.report();

    drop(sessions);
    assert_sound_after_upkeep(&mut owner);
    let failed = "select coalesce(string_agg(distinct return_message, '; '), '') from cron.job_run_details where status = 'failed'";
    let failed: String = owner.query_one(failed, &[]).unwrap().get(0);
    assert_eq!(failed, "", "entries of pg_cron that failed");
    for trouble in ["terminated by signal", "PANIC"] {
        assert!(!server.log().contains(trouble), "the log has {trouble:?}");
    }
}

/// Deletes executions, ticks and retired jobs: calls get slower as the tables grow.
fn tidy(owner: &mut Client) {
    forget_ticks(owner);
    owner
        .batch_execute(
            "delete from kronos_internal.attempts;
             delete from kronos_internal.execution_logs;
             delete from kronos_internal.idempotency_keys;
             delete from kronos_internal.jobs where status = 'RETIRED';
             analyze",
        )
        .unwrap();
}

/// Gives Kronos its owner back, the roles their grants, and the workspace an endpoint that takes any input, a job and
/// executions.
fn restock(owner: &mut Client) {
    owner
        .batch_execute(
            "select kronos.set_owner('postgres') from pg_tables where tablename = 'schedules' and tableowner <> 'postgres';
             delete from kronos_internal.workspace_grants;
             select kronos.create_workspace(w, if_not_exists => true) from unnest('{acme,other}'::text[]) w;
             set kronos.workspace = 'acme';
             select kronos.create_endpoint('hook', 'HTTP', if_not_exists => true);
             select kronos.update_endpoint('hook', payload_spec => '');
             select kronos.create_cron_job('hook', '@hourly');
             select kronos.pause_cron_job(job_id) from kronos.create_cron_job('hook', '@daily');
             select kronos.enqueue('hook') from generate_series(1, 10);
             select kronos.claim_executions('w1', 5);",
        )
        .unwrap();
    for (role, capability, place) in ROLES {
        if !capability.is_empty() {
            let grant = format!("select kronos.grant_workspace('{role}', '{capability}', {place})");
            owner.batch_execute(&grant).unwrap();
        }
    }
}

struct Fuzz {
    judge: Judge,
    generator: Generator,
    faults: BTreeSet<String>,
    /// How many calls of a function have succeeded and failed, by role and function.
    ended: BTreeMap<(&'static str, String), [u32; 2]>,
    slowest: (Duration, String),
}

impl Fuzz {
    /// Makes the calls of a role's turn, half of them in transaction blocks.
    fn take_turn(&mut self, role: &'static str, session: &mut Client) {
        let mut left = TURN;
        while left > 0 {
            if self.generator.random.random_bool(0.8) {
                self.make_call(role, session);
                left -= 1;
            } else {
                let calls = self.generator.random.random_range(1..=6).min(left);
                self.make_block(role, session, calls);
                left -= calls;
            }
        }
    }

    /// Makes calls in one transaction block, most of them behind savepoints.
    fn make_block(&mut self, role: &'static str, session: &mut Client, calls: u32) {
        let modes = [
            "isolation level read committed",
            "isolation level repeatable read",
            "isolation level serializable",
            "isolation level serializable read only",
        ];
        let mode = modes.choose(&mut self.generator.random).unwrap();
        session.batch_execute(&format!("begin {mode}")).unwrap();
        let mut is_aborted = false;
        for _ in 0..calls {
            if is_aborted {
                session.batch_execute("rollback; begin").unwrap();
            }
            let has_savepoint = self.generator.random.random_bool(0.7);
            if has_savepoint {
                session.batch_execute("savepoint s").unwrap();
            }
            is_aborted = !self.make_call(role, session);
            if has_savepoint && (is_aborted || self.generator.random.random_bool(0.3)) {
                session.batch_execute("rollback to s").unwrap();
                is_aborted = false;
            }
        }
        let end = if self.generator.random.random_bool(0.7) {
            "commit"
        } else {
            "rollback"
        };
        if let Err(error) = session.batch_execute(end) {
            self.note_fault(end, &error);
        }
    }

    /// Makes a call, and returns whether it succeeded.
    fn make_call(&mut self, role: &'static str, session: &mut Client) -> bool {
        let extremes = [0.0, 0.0, 0.0, 0.1, 0.6].choose(&mut self.generator.random);
        let call = self.generator.any_call(*extremes.unwrap());
        let start = Instant::now();
        let result = session.batch_execute(&call.statement);
        if start.elapsed() > self.slowest.0 {
            self.slowest = (start.elapsed(), call.statement.clone());
        }
        let counts = self.ended.entry((role, call.function.clone()));
        counts.or_default()[usize::from(result.is_err())] += 1;
        if let Err(error) = &result {
            self.generator.learn(&call, error);
            self.note_fault(&call.statement, error);
        }
        result.is_ok()
    }

    fn note_fault(&mut self, statement: &str, error: &Error) {
        if let Some(fault) = self.judge.fault(error) {
            assert!(!error.is_closed(), "{fault}\n{statement}");
            if self.faults.insert(fault.clone()) {
                println!("{fault}\n{statement}");
            }
        }
    }

    /// Prints figures, and fails if there was a fault or a function that never succeeded.
    fn report(&self) {
        for (role, ..) in ROLES {
            let of_role = self.ended.iter().filter(|((of, _), _)| *of == role);
            let [succeeded, failed] = of_role.fold([0, 0], |[succeeded, failed], (_, counts)| {
                [succeeded + counts[0], failed + counts[1]]
            });
            println!("{role}: {succeeded} calls succeeded, {failed} failed");
        }
        println!("slowest call: {:?}", self.slowest);
        assert!(self.faults.is_empty(), "{:#?}", self.faults);
        assert!(self.slowest.0 < HANG, "a call hangs");
        let mut successes: BTreeMap<&str, u32> = BTreeMap::new();
        for ((_, function), [succeeded, _]) in &self.ended {
            *successes.entry(function).or_default() += succeeded;
        }
        successes.retain(|_, succeeded| *succeeded == 0);
        // A short run may miss some.
        assert!(
            successes.len() <= size(5, 0),
            "never succeeded: {successes:?}"
        );
    }
}
