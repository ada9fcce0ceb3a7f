//! An honest run, and the means to change it.

use crate::soak::history::*;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

pub const KEPT_JOB: Uuid = Uuid::from_u128(1);
pub const CANCELLED_JOB: Uuid = Uuid::from_u128(2);
pub const ONE_SHOT: Uuid = Uuid::from_u128(3);
pub const TICK_OF_KEPT: Uuid = Uuid::from_u128(4);
pub const TICK_OF_CANCELLED: Uuid = Uuid::from_u128(5);
pub const STRANGER: Uuid = Uuid::from_u128(6);

/// An instant of the run. Second 30 begins a minute.
pub fn at(second: f64) -> DateTime<Utc> {
    let minute = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    minute + TimeDelta::milliseconds(((second - 30.0) * 1000.0) as i64)
}

/// A run, which the forgeries change.
pub struct Run {
    pub history: Vec<Operation>,
    pub state: State,
}

impl Run {
    /// Records a call of client "ann" or "bob".
    pub fn record(&mut self, client: &str, from: f64, to: f64, call: Call, outcome: Outcome) {
        self.history.push(Operation {
            client: client.into(),
            call,
            invoked_at: at(from),
            returned_at: at(to),
            outcome,
        });
        self.history.sort_by_key(|operation| operation.invoked_at);
    }

    /// The first call of a kind that began at a second or later.
    pub fn call(&mut self, name: &str, from: f64) -> &mut Operation {
        let mut calls = self.history.iter_mut();
        let is_wanted = |it: &&mut Operation| it.call.name() == name && it.invoked_at >= at(from);
        calls.find(is_wanted).unwrap()
    }

    pub fn execution(&mut self, id: Uuid) -> &mut Execution {
        let mut executions = self.state.executions.iter_mut();
        executions.find(|x| x.execution_id == id).unwrap()
    }

    pub fn version(&mut self, job_id: Uuid, number: i32) -> &mut Version {
        let mut versions = self.state.versions.iter_mut();
        versions
            .find(|v| (v.job_id, v.version) == (job_id, number))
            .unwrap()
    }

    pub fn attempt(&mut self, execution_id: Uuid, number: i32) -> &mut Attempt {
        let mut attempts = self.state.attempts.iter_mut();
        attempts
            .find(|a| (a.execution_id, a.attempt) == (execution_id, number))
            .unwrap()
    }

    pub fn tick(&mut self, job_id: Uuid) -> &mut Tick {
        self.state
            .ticks
            .iter_mut()
            .find(|t| t.job_id == job_id)
            .unwrap()
    }

    pub fn forget(&mut self, call: &str) {
        self.history.retain(|it| it.call.name() != call);
    }

    /// Changes when ann's lease on the one-shot expires.
    pub fn give_first_lease(&mut self, expires: f64) {
        let lease = lease(ONE_SHOT, 1, expires);
        self.call("claim", 0.0).outcome = Outcome::Ok(Answer::Claimed(vec![lease]));
        for operation in &mut self.history {
            if operation.call.name() == "fail" {
                operation.call = Call::Fail(lease);
            }
        }
    }

    pub fn remove_execution(&mut self, id: Uuid) {
        self.state.executions.retain(|x| x.execution_id != id);
    }

    pub fn remove_tick(&mut self, job_id: Uuid) {
        self.state.ticks.retain(|t| t.job_id != job_id);
        self.state
            .executions
            .retain(|x| x.of_tick.is_none_or(|(of, _)| of != job_id));
    }
}

pub fn lease(execution_id: Uuid, attempt: i32, expires: f64) -> Lease {
    Lease {
        execution_id,
        attempt,
        expires_at: at(expires),
    }
}

pub fn failed() -> Outcome {
    Outcome::Failed("LEASE_LOST".into())
}

/// Two jobs, of which one is updated and one cancelled, each with a tick at second 30; and a one-shot that ann fails and
/// bob completes.
pub fn honest_run() -> Run {
    use Answer::*;
    use Outcome::Ok;
    let cron = "* * * * *";
    let mut run = Run {
        history: vec![],
        state: State::default(),
    };
    run.record(
        "ann",
        0.0,
        1.0,
        Call::Create { mark: 1, cron },
        Ok(Id(KEPT_JOB)),
    );
    run.record(
        "bob",
        0.0,
        1.0,
        Call::Create { mark: 2, cron },
        Ok(Id(CANCELLED_JOB)),
    );
    run.record("ann", 1.0, 2.0, Call::Enqueue { mark: 3 }, Ok(Id(ONE_SHOT)));
    let claim = |leases: &[Lease]| (Call::Claim { any: true }, Ok(Claimed(leases.to_vec())));
    let first = lease(ONE_SHOT, 1, 60.0);
    let (call, answer) = claim(&[first]);
    run.record("ann", 2.0, 3.0, call, answer);
    run.record("ann", 4.0, 5.0, Call::Fail(first), Ok(Done));
    let second = lease(ONE_SHOT, 2, 60.0);
    let (call, answer) = claim(&[second]);
    run.record("bob", 6.0, 7.0, call, answer);
    run.record("bob", 8.0, 9.0, Call::Complete(second), Ok(Done));
    run.record("bob", 30.5, 32.0, Call::Tick, Ok(Done));
    let kept = Call::Update {
        job_id: KEPT_JOB,
        mark: 4,
        cron: None,
    };
    run.record("ann", 40.0, 41.0, kept, Ok(Version(2)));
    let cancel = Call::Cancel {
        job_id: CANCELLED_JOB,
    };
    run.record("bob", 50.0, 51.0, cancel, Ok(Done));
    let ticks = [
        lease(TICK_OF_KEPT, 1, 120.0),
        lease(TICK_OF_CANCELLED, 1, 120.0),
    ];
    let (call, answer) = claim(&ticks);
    run.record("ann", 60.0, 61.0, call, answer);
    for tick in ticks {
        run.record("ann", 62.0, 63.0, Call::Complete(tick), Ok(Done));
    }
    run.record("ann", 80.0, 81.0, Call::Settle, Ok(Done));

    let version =
        |job_id, version, mark, began: f64, ended: Option<f64>| crate::soak::history::Version {
            job_id,
            version,
            mark: Some(mark),
            priority: priority(mark),
            began_at: at(began),
            ended_at: ended.map(at),
        };
    run.state.versions = vec![
        version(KEPT_JOB, 1, 1, 0.5, Some(40.5)),
        version(KEPT_JOB, 2, 4, 40.5, None),
        version(CANCELLED_JOB, 1, 2, 0.5, Some(50.5)),
    ];
    run.state.retired_jobs = vec![CANCELLED_JOB];
    for (job_id, execution_id) in [(KEPT_JOB, TICK_OF_KEPT), (CANCELLED_JOB, TICK_OF_CANCELLED)] {
        run.state.ticks.push(Tick {
            job_id,
            tick_at: at(30.0),
            execution_id: Some(execution_id),
            recorded_at: at(31.0),
        });
    }
    let execution = |execution_id, of_tick: Option<Uuid>, mark, attempt| Execution {
        execution_id,
        of_tick: of_tick.map(|job_id| (job_id, at(30.0))),
        mark: Some(mark),
        priority: priority(mark),
        status: "SUCCEEDED".into(),
        attempt,
    };
    run.state.executions = vec![
        execution(ONE_SHOT, None, 3, 2),
        execution(TICK_OF_KEPT, Some(KEPT_JOB), 1, 1),
        execution(TICK_OF_CANCELLED, Some(CANCELLED_JOB), 2, 1),
    ];
    let attempt = |execution_id, attempt, worker: &str, outcome: &str| Attempt {
        execution_id,
        attempt,
        worker: worker.into(),
        outcome: outcome.into(),
    };
    run.state.attempts = vec![
        attempt(ONE_SHOT, 1, "ann", "FAILED"),
        attempt(ONE_SHOT, 2, "bob", "SUCCEEDED"),
        attempt(TICK_OF_KEPT, 1, "ann", "SUCCEEDED"),
        attempt(TICK_OF_CANCELLED, 1, "ann", "SUCCEEDED"),
    ];
    run
}
