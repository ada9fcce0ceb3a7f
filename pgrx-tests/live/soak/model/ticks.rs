//! Every tick has one row in the ledger and one execution.

use super::{Rule, Run, Violation, group};
use crate::soak::history::{Answer, Call, Operation};
use chrono::{DateTime, Utc};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

impl Run<'_> {
    pub(super) fn judge_ledger(&self, found: &mut Vec<Violation>) {
        let state = self.state;
        let written = state.ticks.iter().map(|t| ((t.job_id, t.tick_at), ()));
        let run = state
            .executions
            .iter()
            .filter_map(|x| Some((x.of_tick?, ())));
        for (tick, times) in group(written).into_iter().chain(group(run)) {
            if times.len() > 1 {
                found.push((Rule::TickHappensOnce, format!("{tick:?}")));
            }
        }
        let ledger: HashSet<_> = state
            .ticks
            .iter()
            .filter_map(|t| Some(((t.job_id, t.tick_at), t.execution_id?)))
            .collect();
        let executions: HashSet<_> = state
            .executions
            .iter()
            .filter_map(|x| Some((x.of_tick?, x.execution_id)))
            .collect();
        for unmatched in ledger.symmetric_difference(&executions) {
            found.push((Rule::LedgerMatchesExecutions, format!("{unmatched:?}")));
        }
    }

    pub(super) fn judge_cancelled_jobs(&self, found: &mut Vec<Violation>) {
        let cancelled_at: HashMap<Uuid, DateTime<Utc>> = self
            .acknowledged()
            .filter_map(|(it, _)| match it.call {
                Call::Cancel { job_id } => Some((job_id, it.returned_at)),
                _ => None,
            })
            .collect();
        for tick in self.state.ticks.iter().filter(|t| t.execution_id.is_some()) {
            let cancelled_at = cancelled_at.get(&tick.job_id);
            if cancelled_at.is_some_and(|at| tick.tick_at > *at || tick.recorded_at > *at) {
                found.push((Rule::NoTickAfterCancel, format!("{tick:?}")));
            }
        }
    }

    /// Whenever all due ticks have been written, a job that no client has tried to cancel has every tick since its
    /// creation, or since an instant to which its schedule was rewound later. Only a tick that comes due while a call
    /// moves the job to another schedule may be left out.
    pub(super) fn judge_lost_ticks(&self, found: &mut Vec<Violation>) {
        let ledger = self.state.ticks.iter().filter(|t| t.execution_id.is_some());
        let written_at: HashMap<_, _> = ledger
            .map(|t| ((t.job_id, t.tick_at), t.recorded_at))
            .collect();
        let settled = self
            .acknowledged()
            .filter(|(it, _)| it.call == Call::Settle);
        let settled: Vec<&Operation> = settled.map(|(it, _)| it).collect();
        let rewinds = self.acknowledged().filter_map(|(it, _)| match it.call {
            Call::Rewind { to } => Some((it, to)),
            _ => None,
        });
        let rewinds: Vec<_> = rewinds.collect();
        let changes = self.history.iter().filter(|it| !it.has_failed());
        let changes = group(changes.filter_map(|it| match it.call {
            Call::Update { job_id, .. } | Call::Cancel { job_id } => Some((job_id, it)),
            _ => None,
        }));
        for (create, answer) in self.acknowledged() {
            let (Call::Create { cron, .. }, Answer::Id(job_id)) = (&create.call, answer) else {
                continue;
            };
            let changes = changes.get(job_id).map_or(&[][..], |it| it);
            let is_cancel = |it: &&&Operation| matches!(it.call, Call::Cancel { .. });
            let cancelled_at = changes.iter().find(is_cancel).map(|it| it.invoked_at);
            let created_at = create.returned_at;
            let is_alive = |it: &&&Operation| {
                created_at < it.invoked_at && cancelled_at.is_none_or(|at| it.returned_at < at)
            };
            for settled in settled.iter().filter(is_alive) {
                let is_earlier = |it: &Operation| {
                    created_at < it.invoked_at && it.returned_at < settled.invoked_at
                };
                let rewound = rewinds.iter().filter(|(it, _)| is_earlier(it));
                let since = rewound.map(|(_, to)| *to).fold(created_at, DateTime::min);
                for tick_at in ticks(cron, since, settled.invoked_at) {
                    let is_moving = |it: &&Operation| {
                        matches!(it.call, Call::Update { cron: Some(_), .. })
                            && (it.invoked_at..=it.returned_at).contains(&tick_at)
                    };
                    let written_at = written_at.get(&(*job_id, tick_at));
                    let is_written = written_at.is_some_and(|at| *at <= settled.returned_at);
                    if !is_written && !changes.iter().any(is_moving) {
                        let what = format!("job {job_id}, {tick_at}, written at {written_at:?}");
                        found.push((Rule::TickIsNotLost, what));
                    }
                }
            }
        }
    }
}

/// The ticks after an instant, up to and including another, of a schedule of minutes or of seconds.
fn ticks(
    cron: &str,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> impl Iterator<Item = DateTime<Utc>> {
    let seconds = cron.strip_suffix(" seconds").map(|number| number.parse());
    let period: i64 = seconds.map_or(60, |seconds| seconds.expect("a number of seconds"));
    let first = after.timestamp().div_euclid(period) + 1;
    let ticks = (first..).map_while(move |n| DateTime::from_timestamp(n * period, 0));
    ticks.take_while(move |tick| *tick <= until)
}
