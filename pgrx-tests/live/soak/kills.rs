//! The kill test. Clients create, update and cancel jobs, enqueue, tick, claim and report, while server processes are
//! killed with SIGKILL one after the other. After each recovery, no promise of the design may be broken; after the last,
//! the model judges what the clients recorded.

use super::calls::record;
use super::history::{Answer, Call, Mark, Operation, Outcome, State};
use super::load::{Caller, Jobs, WORKSPACES};
use super::model::{Rule, violations};
use super::{generator, seed, size};
use crate::domain::*;
use crate::seconds::pg_cron_supports_seconds;
use crate::server::{Server, kill, wait_for};
use chrono::{TimeDelta, Utc};
use postgres::{Client, IsolationLevel};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use std::collections::{BTreeMap, HashSet};
use std::fmt::{Display, Formatter};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const CLIENTS: usize = 8;
const KILLER: &str = "killer";

/// The process that a kill ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    ClientBackend,
    /// A session in which pg_cron runs an entry.
    PgCronBackend,
    /// pg_cron's scheduler.
    PgCronLauncher,
    Postmaster,
}

/// The victims, in turn. On pg_cron 1.4 a kill of its session waits for the next minute; a short run ends before it.
const VICTIMS: [Victim; 10] = [
    Victim::ClientBackend,
    Victim::PgCronLauncher,
    Victim::Postmaster,
    Victim::ClientBackend,
    Victim::PgCronLauncher,
    Victim::Postmaster,
    Victim::ClientBackend,
    Victim::ClientBackend,
    Victim::Postmaster,
    Victim::PgCronBackend,
];

#[test]
fn killed_backends_launchers_and_postmasters_lose_and_double_nothing() {
    let seed = seed();
    let server = Server::start();
    let mut session = server.session();
    create_workspaces(&mut session);
    let has_seconds = pg_cron_supports_seconds(&mut session);
    let created = has_seconds.then(|| create_job_of_seconds(&mut session));
    let jobs: [Jobs; 3] = Default::default();
    let caller = |number| Caller::new(&server, number, &jobs, generator(seed, number as u64));
    let is_over = AtomicBool::new(false);
    let mut history: Vec<Operation> = thread::scope(|scope| {
        let callers: Vec<_> = (0..CLIENTS)
            .map(caller)
            .map(|caller| scope.spawn(|| caller.work(&is_over)))
            .collect();
        let end = End(&is_over);
        let random = generator(seed, CLIENTS as u64);
        let kills = size(if has_seconds { 10 } else { 6 }, 100);
        let of_killer = kill_all(&server, random, kills);
        drop(end);
        let histories = callers.into_iter().map(|it| it.join().unwrap());
        histories
            .chain([of_killer])
            .flatten()
            .chain(created)
            .collect()
    });
    history.extend(caller(CLIENTS + 1).finish());
    history.sort_by_key(|operation| operation.invoked_at);

    let mut session = server.session();
    let state = State::read(&mut session);
    let tally = Tally::new(&history, &state);
    println!("{tally}");
    println!("runs of pg_cron: {:?}", runs_of_pg_cron(&mut session));
    let mut broken: BTreeMap<Rule, Vec<String>> = BTreeMap::new();
    for (rule, violation) in violations(&history, &state) {
        broken.entry(rule).or_default().push(violation);
    }
    for (rule, violations) in &broken {
        println!(
            "{rule:?} is broken {} times: {}",
            violations.len(),
            violations[0]
        );
    }
    assert!(broken.is_empty());
    tally.assert_mixed();
    assert_sound(&mut session);
}

fn create_workspaces(session: &mut Client) {
    session.batch_execute("select kronos.start()").unwrap();
    let retry_forever = "
        select kronos.update_endpoint('hook', retry_policy => '{\"max_attempts\": 1000, \"initial_delay_ms\": 0}',
                                      workspace => $1)";
    for workspace in WORKSPACES {
        create_workspace(session, workspace);
        session.execute(retry_forever, &[&workspace]).unwrap();
    }
}

/// Creates a job that pg_cron wakes every second, and that no client changes.
fn create_job_of_seconds(session: &mut Client) -> Operation {
    let set = format!("set kronos.workspace = '{}'", WORKSPACES[0]);
    session.batch_execute(&set).unwrap();
    let cron = "1 seconds";
    record(session, KILLER, Call::Create { mark: 1, cron })
}

/// The number of runs of pg_cron by their status.
fn runs_of_pg_cron(session: &mut Client) -> BTreeMap<String, i64> {
    let runs = "select status, count(*) from cron.job_run_details group by status";
    let rows = session.query(runs, &[]).unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Tells the clients to stop, even if the test panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Kills processes one after the other, and asserts after each recovery that no invariant is violated. Returns the
/// calls that it made itself.
fn kill_all(server: &Server, mut random: StdRng, kills: usize) -> Vec<Operation> {
    let mut history = vec![];
    let mut killed: BTreeMap<Victim, u32> = BTreeMap::new();
    let mut session = server.session();
    for victim in VICTIMS.into_iter().cycle().take(kills) {
        for _ in 0..random.random_range(1..8) {
            make_ticks_due(&mut session, &mut history);
            thread::sleep(Duration::from_millis(random.random_range(0..200)));
        }
        kill_one(server, &mut session, victim, &mut random);
        *killed.entry(victim).or_default() += 1;
        session = server.session_after_crash(session);
        upkeep(&mut session);
        let settled = record(&mut session, KILLER, Call::Settle);
        assert_eq!(settled.outcome, Outcome::Ok(Answer::Done));
        history.push(settled);
        assert_sound_in_one_snapshot(&mut session);
    }
    println!("killed: {killed:?}");
    history
}

/// Makes the ticks of the last four minutes due again. The jobs created since the last time do not have them yet; for
/// the others, the next wake-up must write none of them twice.
fn make_ticks_due(session: &mut Client, history: &mut Vec<Operation>) {
    let to = Utc::now() - TimeDelta::minutes(4);
    wait_for("ticks to be due", || {
        let rewind = record(session, KILLER, Call::Rewind { to });
        let is_done = matches!(rewind.outcome, Outcome::Ok(_));
        history.push(rewind);
        is_done
    });
}

fn kill_one(server: &Server, session: &mut Client, victim: Victim, random: &mut StdRng) {
    let victims = match victim {
        Victim::Postmaster => return server.kill_postmaster_and_start_again(),
        Victim::ClientBackend => {
            "backend_type = 'client backend' and application_name <> 'pg_cron' and pid <> pg_backend_pid()"
        }
        Victim::PgCronBackend => "application_name = 'pg_cron'",
        Victim::PgCronLauncher => "backend_type = 'pg_cron launcher'",
    };
    let statement = format!("select pid from pg_stat_activity where {victims} order by pid");
    let statement = session.prepare(&statement).unwrap();
    wait_for("a process to kill", || {
        let rows = session.query(&statement, &[]).unwrap();
        let pid = rows.choose(random).map(|row| row.get(0));
        pid.is_some_and(kill)
    });
}

/// Asserts that no invariant is violated, while clients change rows.
fn assert_sound_in_one_snapshot(session: &mut Client) {
    let mut transaction = session
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .start()
        .unwrap();
    assert_sound(&mut transaction);
}

/// What the clients were told, and what became of the attempts.
struct Tally<'a> {
    /// By call: "acknowledged", "unknown" or an error code.
    told: BTreeMap<&'a str, BTreeMap<&'a str, usize>>,
    outcomes: BTreeMap<&'a str, usize>,
    /// The updates that happened although their answers were lost.
    unknown_updates: usize,
    state: &'a State,
}

/// The failures that clients must expect.
const EXPECTED: [&str; 5] = [
    "JOB_RETIRED",
    "LEASE_LOST",
    "CONCURRENT_CHANGE",
    "40001",
    "40P01",
];

impl<'a> Tally<'a> {
    fn new(history: &'a [Operation], state: &'a State) -> Tally<'a> {
        let mut told: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for operation in history {
            let answer = match &operation.outcome {
                Outcome::Ok(_) => "acknowledged",
                Outcome::Unknown => "unknown",
                Outcome::Failed(code) => code,
            };
            let of_call = told.entry(operation.call.name()).or_default();
            *of_call.entry(answer).or_default() += 1;
        }
        let marks: HashSet<Mark> = state.versions.iter().filter_map(|v| v.mark).collect();
        let has_happened = |it: &&Operation| {
            it.outcome == Outcome::Unknown
                && matches!(it.call, Call::Update { mark, .. } if marks.contains(&mark))
        };
        let mut outcomes = BTreeMap::new();
        for attempt in &state.attempts {
            *outcomes.entry(attempt.outcome.as_str()).or_default() += 1;
        }
        Tally {
            told,
            outcomes,
            unknown_updates: history.iter().filter(has_happened).count(),
            state,
        }
    }

    /// Asserts that everything happened that the test is about, and that no call failed without reason.
    fn assert_mixed(&self) {
        for call in [
            "create", "update", "cancel", "enqueue", "tick", "claim", "complete", "fail",
        ] {
            assert!(self.told[call].contains_key("acknowledged"), "{call}");
        }
        assert!(self.told.values().any(|told| told.contains_key("unknown")));
        assert!(self.told["complete"].contains_key("LEASE_LOST"));
        assert!(self.outcomes.contains_key("LOST") && !self.state.ticks.is_empty());
        for answer in self.told.values().flat_map(BTreeMap::keys) {
            let is_expected =
                ["acknowledged", "unknown"].contains(answer) || EXPECTED.contains(answer);
            assert!(is_expected, "a call failed with {answer}");
        }
    }
}

impl Display for Tally<'_> {
    fn fmt(&self, f: &mut Formatter) -> std::fmt::Result {
        for (call, told) in &self.told {
            writeln!(f, "{call}: {told:?}")?;
        }
        writeln!(f, "unknown updates that happened: {}", self.unknown_updates)?;
        let State {
            versions,
            ticks,
            executions,
            ..
        } = self.state;
        let [versions, ticks, executions] = [versions.len(), ticks.len(), executions.len()];
        write!(
            f,
            "{versions} job versions, {ticks} ticks, {executions} executions, attempts: {:?}",
            self.outcomes
        )
    }
}
