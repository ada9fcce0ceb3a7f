//! The policies of a job.

use crate::args::one_of;
use crate::error::Result;
use crate::sql::{self, Row};

/// Which missed ticks a job catches up.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchupPolicy {
    None,
    #[default]
    Last,
    All,
}

impl CatchupPolicy {
    /// # Errors
    /// `INVALID_ARGUMENT` for a name that is not `none`, `last` or `all`.
    pub fn parse(name: &str) -> Result<CatchupPolicy> {
        one_of("catchup_policy", name, &["none", "last", "all"])?;
        Ok(match name {
            "none" => CatchupPolicy::None,
            "last" => CatchupPolicy::Last,
            _ => CatchupPolicy::All,
        })
    }

    /// Column `catchup_policy` of a row.
    pub fn read(row: &Row) -> Result<CatchupPolicy> {
        CatchupPolicy::parse(&sql::get::<String>(row, "catchup_policy")?)
    }

    pub fn name(self) -> &'static str {
        match self {
            CatchupPolicy::None => "none",
            CatchupPolicy::Last => "last",
            CatchupPolicy::All => "all",
        }
    }
}

/// What happens to a tick of a job while an execution of the job is unfinished.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum OverlapPolicy {
    #[default]
    Allow,
    Skip,
    QueueOne,
    Replace,
}

impl OverlapPolicy {
    /// # Errors
    /// `INVALID_ARGUMENT` for a name that is not `allow`, `skip`, `queue_one` or `replace`.
    pub fn parse(name: &str) -> Result<OverlapPolicy> {
        one_of(
            "overlap_policy",
            name,
            &["allow", "skip", "queue_one", "replace"],
        )?;
        Ok(match name {
            "allow" => OverlapPolicy::Allow,
            "skip" => OverlapPolicy::Skip,
            "queue_one" => OverlapPolicy::QueueOne,
            _ => OverlapPolicy::Replace,
        })
    }

    /// Column `overlap_policy` of a row.
    pub fn read(row: &Row) -> Result<OverlapPolicy> {
        OverlapPolicy::parse(&sql::get::<String>(row, "overlap_policy")?)
    }

    pub fn name(self) -> &'static str {
        match self {
            OverlapPolicy::Allow => "allow",
            OverlapPolicy::Skip => "skip",
            OverlapPolicy::QueueOne => "queue_one",
            OverlapPolicy::Replace => "replace",
        }
    }
}
