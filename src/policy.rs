//! The policies of a job.

use crate::named::Named;

/// Which missed ticks a job catches up.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchupPolicy {
    None,
    #[default]
    Last,
    All,
}

impl Named for CatchupPolicy {
    const COLUMN: &'static str = "catchup_policy";
    const ALL: &'static [Self] = &[Self::None, Self::Last, Self::All];

    fn name(self) -> &'static str {
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

impl Named for OverlapPolicy {
    const COLUMN: &'static str = "overlap_policy";
    const ALL: &'static [Self] = &[Self::Allow, Self::Skip, Self::QueueOne, Self::Replace];

    fn name(self) -> &'static str {
        match self {
            OverlapPolicy::Allow => "allow",
            OverlapPolicy::Skip => "skip",
            OverlapPolicy::QueueOne => "queue_one",
            OverlapPolicy::Replace => "replace",
        }
    }
}
