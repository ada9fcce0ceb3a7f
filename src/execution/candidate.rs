//! The executions that a claim finds.

use crate::error::Result;
use crate::id::ExecutionId;
use crate::sql::{self, Row};
use chrono::{DateTime, Utc};
use pgrx::datum::Interval;

/// An execution that may start now.
pub struct Candidate {
    pub execution_id: ExecutionId,
    pub priority: i32,
    pub run_at: DateTime<Utc>,
    pub has_job: bool,
    /// None for an execution of a job, and if the claim is too small to measure inputs.
    pub input_bytes: Option<i32>,
    /// None for the common lane.
    pub lane: Option<Lane>,
}

/// The lane of a limited endpoint.
pub struct Lane {
    pub name: String,
    /// None without a rate limit.
    pub rate_interval: Option<Interval>,
}

impl Candidate {
    pub fn read(row: &Row, execution_id: ExecutionId, lane: Option<Lane>) -> Result<Candidate> {
        Ok(Candidate {
            lane,
            execution_id,
            priority: sql::get(row, "priority")?,
            run_at: sql::from_pg(sql::get(row, "run_at")?),
            has_job: sql::get(row, "has_job")?,
            input_bytes: sql::get_opt(row, "input_bytes")?,
        })
    }

    /// Executions start in this order.
    pub fn order(&self) -> (i32, DateTime<Utc>) {
        (self.priority, self.run_at)
    }
}
