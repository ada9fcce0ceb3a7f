//! The state of one call of tick(), and the limits of a batch.

use super::materialise::{Failures, Written};
use crate::id::ScheduleId;
use crate::sql;
use chrono::{DateTime, Utc};

/// The most jobs that a batch handles, and about the most rows that it writes to the ledger. It bounds the memory, how
/// long locks are held, and how much work a crash loses.
pub const MAX_ROWS: usize = 10_000;

/// The most schedules that a batch locks.
pub const MAX_SCHEDULES: usize = 1000;

/// The results of a call.
#[derive(Clone, Copy, Default)]
pub struct Outcome {
    /// How many schedules have finished their pass.
    pub schedules: i64,
    pub written: Written,
}

/// The state that a call keeps from batch to batch.
pub struct Call {
    /// The start of the call. Ticks that come due later have a wake-up of their own.
    pub until: DateTime<Utc>,
    pub outcome: Outcome,
    /// The failures in passes.
    pub failures: Failures,
    /// The failures in retries of owed ticks.
    pub retry_failures: Failures,
    /// How many schedules the next batch locks.
    pub schedule_limit: usize,
    /// How many jobs the next batch locks if some may have several ticks.
    pub job_limit: usize,
    /// Schedules whose expression or zone this server cannot read.
    pub unreadable: Vec<ScheduleId>,
}

impl Call {
    /// Begins a call. The clock is read before the first snapshot, so that no job is missed that only a later snapshot
    /// shows. A transaction with one snapshot for all its statements handles only the ticks that were due when it
    /// began.
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
