//! What is recorded of a run, as Jepsen does it: each call of each client, and what the views show in the end.

use chrono::{DateTime, Utc};
use postgres::Client;
use postgres::types::FromSqlOwned;
use uuid::Uuid;

/// The number of a write. It is stored with the write, so that its effect can be found even if the answer was lost.
pub type Mark = i64;

/// The priority of what a call writes. A write whose mark and priority disagree happened only in part.
pub fn priority(mark: Mark) -> i32 {
    (mark % 10) as i32
}

/// A call of a client, with the times at which it was made and answered. Clients and server share a clock.
#[derive(Clone, Debug)]
pub struct Operation {
    pub client: String,
    pub call: Call,
    pub invoked_at: DateTime<Utc>,
    pub returned_at: DateTime<Utc>,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    Create {
        mark: Mark,
        cron: &'static str,
    },
    Update {
        job_id: Uuid,
        mark: Mark,
        /// None keeps the schedule.
        cron: Option<&'static str>,
    },
    Cancel {
        job_id: Uuid,
    },
    Enqueue {
        mark: Mark,
    },
    Tick,
    /// Ticks until none is due or owed.
    Settle,
    /// Pretends that no wake-up has come since an instant, and that all active jobs are older than that.
    Rewind {
        to: DateTime<Utc>,
    },
    /// Claims from one workspace, or from any.
    Claim {
        any: bool,
    },
    Complete(Lease),
    Fail(Lease),
}

impl Call {
    pub fn name(&self) -> &'static str {
        match self {
            Call::Create { .. } => "create",
            Call::Update { .. } => "update",
            Call::Cancel { .. } => "cancel",
            Call::Enqueue { .. } => "enqueue",
            Call::Tick => "tick",
            Call::Settle => "settle",
            Call::Rewind { .. } => "rewind",
            Call::Claim { .. } => "claim",
            Call::Complete(_) => "complete",
            Call::Fail(_) => "fail",
        }
    }
}

/// An attempt that a client claimed. The client is its worker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lease {
    pub execution_id: Uuid,
    pub attempt: i32,
    pub expires_at: DateTime<Utc>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The call has committed.
    Ok(Answer),
    /// The call has failed, with this error code.
    Failed(String),
    /// The connection broke before the answer.
    Unknown,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The created job or execution.
    Id(Uuid),
    /// The version that an update began.
    Version(i32),
    Claimed(Vec<Lease>),
    Done,
}

/// What the views of schema kronos show after the run.
#[derive(Clone, Default)]
pub struct State {
    pub versions: Vec<Version>,
    pub retired_jobs: Vec<Uuid>,
    pub ticks: Vec<Tick>,
    pub executions: Vec<Execution>,
    pub attempts: Vec<Attempt>,
}

#[derive(Clone, Debug)]
pub struct Version {
    pub job_id: Uuid,
    pub version: i32,
    pub mark: Option<Mark>,
    pub priority: i32,
    pub began_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug)]
pub struct Tick {
    pub job_id: Uuid,
    pub tick_at: DateTime<Utc>,
    /// None for a tick that did not run.
    pub execution_id: Option<Uuid>,
    pub recorded_at: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub struct Execution {
    pub execution_id: Uuid,
    /// The job and the tick; None for a one-shot.
    pub of_tick: Option<(Uuid, DateTime<Utc>)>,
    pub mark: Option<Mark>,
    pub priority: i32,
    pub status: String,
    pub attempt: i32,
}

#[derive(Clone, Debug)]
pub struct Attempt {
    pub execution_id: Uuid,
    pub attempt: i32,
    pub worker: String,
    pub outcome: String,
}

impl State {
    pub fn read(session: &mut Client) -> State {
        let mut rows = |statement| session.query(statement, &[]).unwrap();
        let versions = rows(
            "select job_id, version, (input ->> 'mark')::bigint as mark, priority, began_at, ended_at
             from kronos.job_versions",
        );
        let retired_jobs = rows("select job_id from kronos.job_details where status = 'RETIRED'");
        let ticks = rows("select job_id, tick_at, execution_id, recorded_at from kronos.ticks");
        let executions = rows(
            "select execution_id, job_id, tick_at, (input ->> 'mark')::bigint as mark, priority, status, attempt
             from kronos.execution_details",
        );
        let attempts =
            rows("select execution_id, attempt, worker_id, outcome from kronos.attempts");
        State {
            versions: read(versions, |row| Version {
                job_id: get(row, "job_id"),
                version: get(row, "version"),
                mark: get(row, "mark"),
                priority: get(row, "priority"),
                began_at: get(row, "began_at"),
                ended_at: get(row, "ended_at"),
            }),
            retired_jobs: read(retired_jobs, |row| get(row, "job_id")),
            ticks: read(ticks, |row| Tick {
                job_id: get(row, "job_id"),
                tick_at: get(row, "tick_at"),
                execution_id: get(row, "execution_id"),
                recorded_at: get(row, "recorded_at"),
            }),
            executions: read(executions, |row| Execution {
                execution_id: get(row, "execution_id"),
                of_tick: get::<Option<Uuid>>(row, "job_id")
                    .map(|job_id| (job_id, get(row, "tick_at"))),
                mark: get(row, "mark"),
                priority: get(row, "priority"),
                status: get(row, "status"),
                attempt: get(row, "attempt"),
            }),
            attempts: read(attempts, |row| Attempt {
                execution_id: get(row, "execution_id"),
                attempt: get(row, "attempt"),
                worker: get(row, "worker_id"),
                outcome: get(row, "outcome"),
            }),
        }
    }
}

fn read<T>(rows: Vec<postgres::Row>, read: impl Fn(&postgres::Row) -> T) -> Vec<T> {
    rows.iter().map(read).collect()
}

fn get<T: FromSqlOwned>(row: &postgres::Row, column: &str) -> T {
    row.get(column)
}
