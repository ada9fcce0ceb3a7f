//! One worker holds an execution at a time, and only that one can end it.

use super::{Rule, Run, Violation, group};
use crate::soak::history::{Answer, Call, Lease, Operation};
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use uuid::Uuid;

type Given<'a> = (&'a Lease, &'a Operation);

impl<'a> Run<'a> {
    /// The leases that clients know of, and the claims that gave them, by execution.
    fn given(&self) -> HashMap<Uuid, Vec<Given<'a>>> {
        let claims = self
            .acknowledged()
            .filter_map(|(claim, answer)| match answer {
                Answer::Claimed(leases) => Some((claim, leases)),
                _ => None,
            });
        group(claims.flat_map(|(claim, leases)| {
            let given = move |lease: &'a Lease| (lease.execution_id, (lease, claim));
            leases.iter().map(given)
        }))
    }

    pub(super) fn judge_holders(&self, found: &mut Vec<Violation>) {
        let mut reported_at = HashMap::new();
        for report in self.history.iter().filter(|it| !it.has_failed()) {
            if let Call::Complete(lease) | Call::Fail(lease) = report.call {
                let attempt = (lease.execution_id, lease.attempt);
                reported_at.entry(attempt).or_insert(report.invoked_at);
            }
        }
        for (execution_id, mut given) in self.given() {
            let attempts = group(given.iter().map(|(lease, _)| (lease.attempt, ())));
            if attempts.values().any(|times| times.len() > 1) {
                found.push((Rule::AttemptIsGivenOnce, format!("{given:?}")));
            }
            // A worker certainly holds an execution from the answer of its claim until its lease expires, or until it
            // sends a report that may have been accepted.
            given.sort_by_key(|(_, claim)| claim.returned_at);
            let mut held_until = DateTime::<Utc>::MIN_UTC;
            for (lease, claim) in &given {
                if claim.returned_at < held_until {
                    found.push((Rule::OneHolder, format!("{given:?}")));
                }
                let report = reported_at.get(&(execution_id, lease.attempt));
                let end = report.map_or(lease.expires_at, |at| lease.expires_at.min(*at));
                held_until = held_until.max(end);
            }
        }
    }

    pub(super) fn judge_reports(&self, found: &mut Vec<Violation>) {
        let given = self.given();
        for (report, _) in self.acknowledged() {
            let (Call::Complete(lease) | Call::Fail(lease)) = report.call else {
                continue;
            };
            let given = given.get(&lease.execution_id).map_or(&[][..], |it| it);
            let is_own = |(own, claim): &Given| {
                own.attempt == lease.attempt && claim.client == report.client
            };
            let is_lost = |(other, claim): &Given| {
                other.attempt > lease.attempt && claim.returned_at < report.invoked_at
            };
            let is_expired = report.invoked_at > lease.expires_at;
            if is_expired || !given.iter().any(is_own) || given.iter().any(is_lost) {
                found.push((Rule::NoReportFromLostLease, format!("{report:?}")));
            }
        }
    }

    pub(super) fn judge_ends(&self, found: &mut Vec<Violation>) {
        let completions = group(self.acknowledged().filter_map(|(it, _)| match it.call {
            Call::Complete(lease) => Some((lease.execution_id, lease.attempt)),
            _ => None,
        }));
        for (execution_id, attempts) in &completions {
            if attempts.len() > 1 {
                let what = format!("{execution_id}, attempts {attempts:?}");
                found.push((Rule::CompletedOnce, what));
            }
        }
        let executions = group(self.state.executions.iter().map(|x| (x.execution_id, x)));
        for (execution_id, rows) in executions {
            if rows.len() > 1 {
                found.push((Rule::HappensOnce, format!("{rows:?}")));
            }
            let accepted = completions.get(&execution_id);
            let is_accepted = accepted.is_none_or(|attempts| attempts.contains(&rows[0].attempt));
            if rows[0].status != "SUCCEEDED" || !is_accepted {
                found.push((
                    Rule::SucceedsInTheEnd,
                    format!("{rows:?}, accepted {accepted:?}"),
                ));
            }
        }
    }
}
