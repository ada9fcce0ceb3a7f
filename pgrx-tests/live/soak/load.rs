//! Clients that call everything at random, and record each call and its answer.

use super::calls::record;
use super::history::{Answer, Call, Lease, Mark, Operation, Outcome};
use crate::domain::count;
use crate::server::{Server, wait_for};
use chrono::{TimeDelta, Utc};
use postgres::Client;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

pub const WORKSPACES: [&str; 3] = ["acme", "globex", "initech"];

/// Different schedules with the same ticks.
const EVERY_MINUTE: [&str; 3] = ["* * * * *", "*/1 * * * *", "0-59 * * * *"];

/// How many jobs a workspace has. Each further one is created after another was cancelled.
const MAX_JOBS: usize = 20;

/// How long after the lease's end a slow worker reports. By then another worker holds the execution.
const LATENESS: TimeDelta = TimeDelta::seconds(1);

/// The jobs of a workspace that a client has created and none has cancelled.
pub type Jobs = Mutex<Vec<Uuid>>;

/// A client that works in one workspace, as producer and as worker.
pub struct Caller<'a> {
    server: &'a Server,
    name: String,
    workspace: usize,
    jobs: &'a [Jobs; 3],
    random: StdRng,
    session: Option<Client>,
    last_mark: Mark,
    held: Vec<Lease>,
    /// Calls whose answers were lost. They are repeated, because they have an effect only once.
    to_repeat: Vec<Call>,
    history: Vec<Operation>,
}

impl<'a> Caller<'a> {
    pub fn new(server: &'a Server, number: usize, jobs: &'a [Jobs; 3], random: StdRng) -> Self {
        Caller {
            server,
            name: format!("client {number}"),
            workspace: number % WORKSPACES.len(),
            jobs,
            random,
            session: None,
            last_mark: (number as Mark + 1) * 1_000_000_000,
            held: vec![],
            to_repeat: vec![],
            history: vec![],
        }
    }

    /// Calls at random until told to stop.
    pub fn work(mut self, is_over: &AtomicBool) -> Vec<Operation> {
        while !is_over.load(Ordering::Relaxed) {
            self.connect();
            let call = self.to_repeat.pop().unwrap_or_else(|| self.choose());
            self.call(call);
        }
        self.history
    }

    /// Opens a session unless there is one. Waits while the server is down.
    fn connect(&mut self) {
        wait_for("the server to accept sessions", || {
            self.session.is_some() || self.try_connect()
        });
    }

    fn try_connect(&mut self) -> bool {
        let workspace = WORKSPACES[self.workspace];
        let set = format!("set kronos.workspace = '{workspace}'");
        let session = self.server.try_session("postgres");
        let ready = session.and_then(|mut session| session.batch_execute(&set).map(|()| session));
        self.session = ready.ok();
        self.session.is_some()
    }

    fn choose(&mut self) -> Call {
        self.last_mark += 1;
        let mark = self.last_mark;
        let cron = *EVERY_MINUTE.choose(&mut self.random).unwrap();
        let known = self.jobs[self.workspace].lock().unwrap();
        let job_id = known.choose(&mut self.random).copied();
        let is_full = known.len() >= MAX_JOBS;
        drop(known);
        match (self.random.random_range(0..100), job_id) {
            (0..20, _) => Call::Enqueue { mark },
            (20..24, _) => Call::Tick,
            (24..30, _) if !is_full => Call::Create { mark, cron },
            (30..38, Some(job_id)) => {
                let cron = self.random.random_bool(0.5).then_some(cron);
                Call::Update { job_id, mark, cron }
            }
            (38..44, Some(job_id)) if is_full => Call::Cancel { job_id },
            _ => self.choose_work(),
        }
    }

    /// Chooses a report about an execution that the client holds, or has held until its lease expired.
    fn choose_work(&mut self) -> Call {
        let now = Utc::now();
        let is_due = |lease: &Lease| !is_slow(lease) || now > lease.expires_at + LATENESS;
        match self.held.iter().position(is_due) {
            None => Call::Claim {
                any: self.random.random_bool(0.5),
            },
            Some(place) => {
                let lease = self.held.swap_remove(place);
                match self.random.random_bool(0.1) {
                    true => Call::Fail(lease),
                    false => Call::Complete(lease),
                }
            }
        }
    }

    /// Makes a call, and records it.
    fn call(&mut self, call: Call) -> Outcome {
        let session = self.session.as_mut().expect("a session");
        let operation = record(session, &self.name, call);
        let outcome = operation.outcome.clone();
        self.note(&operation.call, &outcome);
        self.history.push(operation);
        outcome
    }

    fn note(&mut self, call: &Call, outcome: &Outcome) {
        let mut jobs = self.jobs[self.workspace].lock().unwrap();
        match (call, outcome) {
            (Call::Create { .. }, Outcome::Ok(Answer::Id(job_id))) => jobs.push(*job_id),
            (Call::Cancel { job_id }, _) => jobs.retain(|known| known != job_id),
            (Call::Claim { .. }, Outcome::Ok(Answer::Claimed(leases))) => self.held.extend(leases),
            _ => {}
        }
        if *outcome == Outcome::Unknown {
            self.session = None;
            if !matches!(call, Call::Update { .. } | Call::Claim { .. } | Call::Tick) {
                self.to_repeat.push(call.clone());
            }
        }
    }

    /// Writes all due ticks, then completes all executions.
    pub fn finish(mut self) -> Vec<Operation> {
        self.connect();
        self.call(Call::Settle);
        let mut session = self.server.session();
        let unfinished =
            "select count(*) from kronos.executions where status not in ('SUCCEEDED', 'FAILED')";
        wait_for("all executions to be completed", || {
            while let Outcome::Ok(Answer::Claimed(leases)) = self.call(Call::Claim { any: true })
                && !leases.is_empty()
            {
                for lease in leases {
                    self.call(Call::Complete(lease));
                }
            }
            count(&mut session, unfinished) == 0
        });
        self.history
    }
}

/// Whether a worker is slow: with one execution in 30, in the first attempts.
fn is_slow(lease: &Lease) -> bool {
    lease.execution_id.as_u128().is_multiple_of(30) && lease.attempt <= 3
}
