//! The states of jobs and executions, and the outcomes of attempts.

use crate::named::Named;

/// The state of a cron job.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    Active,
    Paused,
    Retired,
}

impl Named for JobStatus {
    const COLUMN: &'static str = "status";
    const ALL: &'static [Self] = &[Self::Active, Self::Paused, Self::Retired];

    fn name(self) -> &'static str {
        match self {
            JobStatus::Active => "ACTIVE",
            JobStatus::Paused => "PAUSED",
            JobStatus::Retired => "RETIRED",
        }
    }
}

/// The state of an execution.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Pending,
    Queued,
    Running,
    Retrying,
    Succeeded,
    Failed,
    Cancelled,
}

impl Named for Status {
    const COLUMN: &'static str = "status";
    const ALL: &'static [Self] = &[
        Self::Pending,
        Self::Queued,
        Self::Running,
        Self::Retrying,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    fn name(self) -> &'static str {
        match self {
            Status::Pending => "PENDING",
            Status::Queued => "QUEUED",
            Status::Running => "RUNNING",
            Status::Retrying => "RETRYING",
            Status::Succeeded => "SUCCEEDED",
            Status::Failed => "FAILED",
            Status::Cancelled => "CANCELLED",
        }
    }
}

/// How an attempt ended, or that it runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Running,
    Succeeded,
    Failed,
    /// The worker gave the execution back. The attempt does not count.
    Released,
    /// The lease expired before the attempt's deadline.
    Lost,
    /// The lease expired at the attempt's deadline.
    TimedOut,
}

impl Named for Outcome {
    const COLUMN: &'static str = "outcome";
    const ALL: &'static [Self] = &[
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Released,
        Self::Lost,
        Self::TimedOut,
    ];

    fn name(self) -> &'static str {
        match self {
            Outcome::Running => "RUNNING",
            Outcome::Succeeded => "SUCCEEDED",
            Outcome::Failed => "FAILED",
            Outcome::Released => "RELEASED",
            Outcome::Lost => "LOST",
            Outcome::TimedOut => "TIMED_OUT",
        }
    }
}
