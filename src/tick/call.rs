//! What one call of tick() keeps from batch to batch, and how much a batch handles.

use super::materialise::{Failures, Written};
use crate::id::ScheduleId;
use crate::sql;
use chrono::{DateTime, Utc};

/// The most jobs that a batch handles, and about the most rows that it writes to the ledger: it bounds memory, how long
/// locks are held, and what a crash throws away.
pub const MAX_ROWS: usize = 10_000;

/// The most schedules that a batch locks.
pub const MAX_SCHEDULES: usize = 1000;

/// What a call has done.
#[derive(Clone, Copy, Default)]
pub struct Outcome {
    /// Schedules whose pass it has finished.
    pub schedules: i64,
    pub written: Written,
}

/// What a call keeps from batch to batch.
pub struct Call {
    /// What comes due later than the call's start has a wake-up of its own.
    pub until: DateTime<Utc>,
    pub outcome: Outcome,
    /// The jobs that have failed in passes.
    pub failures: Failures,
    /// The jobs that have failed when what they owe was retried.
    pub retry_failures: Failures,
    /// How many schedules the next batch locks.
    pub schedule_limit: usize,
    /// How many jobs the next batch locks if some may have several ticks.
    pub job_limit: usize,
    /// Schedules whose expression or zone this server cannot read.
    pub unreadable: Vec<ScheduleId>,
}

impl Call {
    /// A call that begins now. The instant is read before the first snapshot: a job that only a later snapshot shows is
    /// never passed over. A transaction with one snapshot for all its statements handles only what was due when it began.
    pub fn begin() -> Call {
        Call {
            until: sql::now().min(sql::snapshot_limit()),
            outcome: Outcome::default(),
            failures: Failures::default(),
            retry_failures: Failures::default(),
            schedule_limit: MAX_SCHEDULES,
            job_limit: MAX_ROWS,
            unreadable: vec![],
        }
    }
}
