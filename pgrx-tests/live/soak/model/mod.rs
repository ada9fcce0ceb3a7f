//! What must be true of a recorded run. It is judged by the clients' records and the final state alone.
//!
//! A run ends when all ticks have been written and workers have completed every execution.

mod leases;
mod ticks;
mod writes;

use super::history::{Answer, Operation, Outcome, State};
use std::collections::HashMap;
use std::hash::Hash;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// What a client was told is committed is there, as the client was told.
    AcknowledgedIsThere,
    /// A call that failed changed nothing.
    FailedChangesNothing,
    /// A call whose answer was lost happened entirely or not at all.
    EntirelyOrNotAtAll,
    /// No call happened twice, and no execution exists twice.
    HappensOnce,
    /// Nothing is there that no client asked for.
    OnlyAskedFor,
    /// A job's versions follow each other without a gap, each from an instant within the call that began it.
    VersionsFollowEachOther,
    TickHappensOnce,
    /// A tick that is due is written by the first wake-ups that leave nothing to do.
    TickIsNotLost,
    /// No tick of a job runs that is due, or written, after the job was cancelled.
    NoTickAfterCancel,
    /// Each tick that ran has its execution, and each execution of a tick is in the ledger.
    LedgerMatchesExecutions,
    /// No two workers held an execution at one time.
    OneHolder,
    /// No attempt was given to two claims.
    AttemptIsGivenOnce,
    /// No report was accepted after its lease had expired, or another worker had claimed the execution.
    NoReportFromLostLease,
    CompletedOnce,
    /// Every execution succeeded in the end, with the attempt whose completion was accepted.
    SucceedsInTheEnd,
}

pub type Violation = (Rule, String);

/// The rules that a run breaks. `history` has the calls of all clients, in the order in which they began.
pub fn violations(history: &[Operation], state: &State) -> Vec<Violation> {
    let run = Run { history, state };
    let mut found = vec![];
    run.judge_effects(&mut found);
    run.judge_answers(&mut found);
    run.judge_versions(&mut found);
    run.judge_ledger(&mut found);
    run.judge_cancelled_jobs(&mut found);
    run.judge_lost_ticks(&mut found);
    run.judge_holders(&mut found);
    run.judge_reports(&mut found);
    run.judge_ends(&mut found);
    found
}

struct Run<'a> {
    history: &'a [Operation],
    state: &'a State,
}

impl<'a> Run<'a> {
    fn acknowledged(&self) -> impl Iterator<Item = (&'a Operation, &'a Answer)> {
        self.history.iter().filter_map(|it| match &it.outcome {
            Outcome::Ok(answer) => Some((it, answer)),
            _ => None,
        })
    }
}

impl Operation {
    fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Ok(_))
    }

    fn has_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }
}

fn group<K: Eq + Hash, V>(pairs: impl Iterator<Item = (K, V)>) -> HashMap<K, Vec<V>> {
    let mut groups: HashMap<K, Vec<V>> = HashMap::new();
    for (key, value) in pairs {
        groups.entry(key).or_default().push(value);
    }
    groups
}
