//! Acknowledged writes are there once, failed ones are not, and a write whose answer was lost is whole or absent.

use super::{Rule, Run, Violation, group};
use crate::soak::history::{Answer, Call, Mark, Operation, State, Version, priority};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// The trace that a call leaves in the state, whatever the client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Effect {
    Written(Mark),
    Retired(Uuid),
    Completed(Uuid, i32),
    Failed(Uuid, i32),
}

impl Operation {
    fn effect(&self) -> Option<Effect> {
        match self.call {
            Call::Create { mark, .. } | Call::Update { mark, .. } | Call::Enqueue { mark } => {
                Some(Effect::Written(mark))
            }
            Call::Cancel { job_id } => Some(Effect::Retired(job_id)),
            Call::Complete(lease) => Some(Effect::Completed(lease.execution_id, lease.attempt)),
            Call::Fail(lease) => Some(Effect::Failed(lease.execution_id, lease.attempt)),
            Call::Tick | Call::Settle | Call::Rewind { .. } | Call::Claim { .. } => None,
        }
    }
}

impl State {
    /// The effects that happened. An effect that happened twice is listed twice.
    fn effects(&self) -> impl Iterator<Item = Effect> {
        let one_shots = self.executions.iter().filter(|x| x.of_tick.is_none());
        let marks = self.versions.iter().map(|v| v.mark);
        let marks = marks.chain(one_shots.map(|x| x.mark));
        let written = marks.map(|mark| Effect::Written(mark.unwrap_or_default()));
        let retired = self.retired_jobs.iter().copied().map(Effect::Retired);
        let ended = self
            .attempts
            .iter()
            .filter_map(|a| match a.outcome.as_str() {
                "SUCCEEDED" => Some(Effect::Completed(a.execution_id, a.attempt)),
                "FAILED" => Some(Effect::Failed(a.execution_id, a.attempt)),
                _ => None,
            });
        written.chain(retired).chain(ended)
    }
}

impl<'a> Run<'a> {
    /// The operations that asked for each effect. A call whose answer was lost is repeated, so there may be several.
    fn asked(&self) -> HashMap<Effect, Vec<&'a Operation>> {
        group(
            self.history
                .iter()
                .filter_map(|it| Some((it.effect()?, it))),
        )
    }

    pub(super) fn judge_effects(&self, found: &mut Vec<Violation>) {
        let asked = self.asked();
        let happened = group(self.state.effects().map(|effect| (effect, ())));
        for (effect, operations) in &asked {
            if !happened.contains_key(effect) {
                if operations.iter().any(|it| it.is_acknowledged()) {
                    found.push((Rule::AcknowledgedIsThere, format!("{operations:?}")));
                }
            } else if operations.iter().all(|it| it.has_failed()) {
                found.push((Rule::FailedChangesNothing, format!("{operations:?}")));
            }
        }
        for (effect, times) in &happened {
            if times.len() > 1 {
                found.push((Rule::HappensOnce, format!("{effect:?}")));
            }
            if !asked.contains_key(effect) {
                found.push((Rule::OnlyAskedFor, format!("{effect:?}")));
            }
        }
        let versions = self.state.versions.iter().map(|v| (v.mark, v.priority));
        let executions = self.state.executions.iter().map(|x| (x.mark, x.priority));
        for (mark, found_priority) in versions.chain(executions) {
            if mark.map(priority) != Some(found_priority) {
                let what = format!("mark {mark:?}, priority {found_priority}");
                found.push((Rule::EntirelyOrNotAtAll, what));
            }
        }
    }

    pub(super) fn judge_answers(&self, found: &mut Vec<Violation>) {
        let versions = self.state.versions.iter();
        let versions: HashSet<_> = versions.map(|v| (v.job_id, v.version, v.mark)).collect();
        let executions = self.state.executions.iter();
        let executions: HashSet<_> = executions.map(|x| (x.execution_id, x.mark)).collect();
        let attempts = self.state.attempts.iter();
        let attempts: HashSet<_> = attempts
            .map(|a| (a.execution_id, a.attempt, a.worker.as_str()))
            .collect();
        for (operation, answer) in self.acknowledged() {
            let is_there = match (&operation.call, answer) {
                (Call::Create { mark, .. }, Answer::Id(job_id)) => {
                    versions.contains(&(*job_id, 1, Some(*mark)))
                }
                (Call::Update { job_id, mark, .. }, Answer::Version(version)) => {
                    versions.contains(&(*job_id, *version, Some(*mark)))
                }
                (Call::Enqueue { mark }, Answer::Id(id)) => {
                    executions.contains(&(*id, Some(*mark)))
                }
                (Call::Claim { .. }, Answer::Claimed(leases)) => leases.iter().all(|lease| {
                    attempts.contains(&(lease.execution_id, lease.attempt, &operation.client))
                }),
                _ => true,
            };
            if !is_there {
                found.push((Rule::AcknowledgedIsThere, format!("{operation:?}")));
            }
        }
    }

    pub(super) fn judge_versions(&self, found: &mut Vec<Violation>) {
        let asked = self.asked();
        let began_by = |version: &Version| {
            let operations = asked.get(&Effect::Written(version.mark?))?;
            let is_within = operations.first()?.invoked_at <= version.began_at
                && version.began_at <= operations.last()?.returned_at;
            is_within.then_some(&operations[0].call)
        };
        let retired: HashSet<Uuid> = self.state.retired_jobs.iter().copied().collect();
        for (job_id, mut versions) in group(self.state.versions.iter().map(|v| (v.job_id, v))) {
            versions.sort_by_key(|version| version.version);
            let are_joined = versions
                .windows(2)
                .all(|pair| pair[0].ended_at == Some(pair[1].began_at));
            let is_ended = versions.last().is_some_and(|it| it.ended_at.is_some());
            let are_asked_for = versions.iter().zip(1..).all(|(version, number)| {
                version.version == number
                    && match began_by(version) {
                        Some(Call::Create { .. }) => number == 1,
                        Some(Call::Update { job_id: of, .. }) => number > 1 && *of == job_id,
                        _ => false,
                    }
            });
            if !are_joined || !are_asked_for || is_ended != retired.contains(&job_id) {
                found.push((Rule::VersionsFollowEachOther, format!("{versions:?}")));
            }
        }
    }
}
