//! Tests of the model: it accepts honest runs, and rejects forged ones by the rules that their lies break.

mod run;

use super::history::*;
use super::model::Rule::{self, *};
use super::model::violations;
use run::*;
use std::collections::BTreeSet;

fn broken_rules(change: fn(&mut Run)) -> BTreeSet<Rule> {
    let mut run = honest_run();
    change(&mut run);
    let violations = violations(&run.history, &run.state);
    violations.into_iter().map(|(rule, _)| rule).collect()
}

fn accepts(story: &str, change: fn(&mut Run)) {
    assert_eq!(broken_rules(change), BTreeSet::new(), "{story}");
}

fn rejects(lie: &str, rules: &[Rule], change: fn(&mut Run)) {
    let rules = BTreeSet::from_iter(rules.iter().copied());
    assert_eq!(broken_rules(change), rules, "{lie}");
}

#[test]
fn honest_runs_are_accepted() {
    accepts("nothing is changed", |_| {});
    accepts("an enqueue that failed did not happen", |run| {
        run.record("ann", 20.0, 21.0, Call::Enqueue { mark: 7 }, failed());
    });
    accepts("a report failed after the lease had expired", |run| {
        run.give_first_lease(5.5);
        run.call("fail", 0.0).outcome = failed();
        run.attempt(ONE_SHOT, 1).outcome = "LOST".into();
    });
    accepts("a cancelled job has no tick", |run| {
        run.remove_tick(CANCELLED_JOB);
    });
    accepts(
        "a tick came due while its job moved to another schedule",
        |run| {
            run.remove_tick(KEPT_JOB);
            let update = run.call("update", 0.0);
            update.invoked_at = at(29.5);
            update.call = Call::Update {
                job_id: KEPT_JOB,
                mark: 4,
                cron: Some("*/1 * * * *"),
            };
        },
    );
}

#[test]
fn calls_with_unknown_outcomes_may_have_happened() {
    for call in ["create", "update", "cancel", "enqueue", "fail", "complete"] {
        let mut run = honest_run();
        run.call(call, 0.0).outcome = Outcome::Unknown;
        assert_eq!(violations(&run.history, &run.state), vec![], "{call}");
    }
    accepts("an enqueue was repeated and acknowledged", |run| {
        run.record("ann", 0.5, 0.8, Call::Enqueue { mark: 3 }, Outcome::Unknown);
    });
    accepts("a completion was repeated and failed", |run| {
        run.call("complete", 0.0).outcome = Outcome::Unknown;
        let again = Call::Complete(lease(ONE_SHOT, 2, 60.0));
        run.record("bob", 10.0, 11.0, again, failed());
    });
    accepts("a claim happened, and its lease expired", |run| {
        run.call("claim", 0.0).outcome = Outcome::Unknown;
        run.forget("fail");
        run.attempt(ONE_SHOT, 1).outcome = "LOST".into();
    });
}

#[test]
fn calls_with_unknown_outcomes_may_not_have_happened() {
    let cron = "* * * * *";
    let calls = [
        Call::Create { mark: 7, cron },
        Call::Update {
            job_id: KEPT_JOB,
            mark: 7,
            cron: None,
        },
        Call::Cancel { job_id: KEPT_JOB },
        Call::Enqueue { mark: 7 },
    ];
    for call in calls {
        let mut run = honest_run();
        run.record("ann", 70.0, 71.0, call.clone(), Outcome::Unknown);
        assert_eq!(violations(&run.history, &run.state), vec![], "{call:?}");
    }
    accepts("a report did not happen, and the lease expired", |run| {
        run.give_first_lease(5.5);
        run.call("fail", 0.0).outcome = Outcome::Unknown;
        run.attempt(ONE_SHOT, 1).outcome = "LOST".into();
    });
}

#[test]
fn run_that_lost_an_acknowledged_write_is_rejected() {
    rejects("the enqueue", &[AcknowledgedIsThere], |run| {
        run.remove_execution(ONE_SHOT);
    });
    rejects("the create", &[AcknowledgedIsThere], |run| {
        run.state.versions.retain(|v| v.job_id != CANCELLED_JOB);
    });
    rejects("the update", &[AcknowledgedIsThere], |run| {
        run.state.versions.retain(|v| v.version == 1);
        run.version(KEPT_JOB, 1).ended_at = None;
    });
    rejects("the cancel", &[AcknowledgedIsThere], |run| {
        run.state.retired_jobs.clear();
        run.version(CANCELLED_JOB, 1).ended_at = None;
    });
    rejects("the claim", &[AcknowledgedIsThere], |run| {
        run.give_first_lease(5.5);
        run.forget("fail");
        run.state.attempts.remove(0);
    });
    rejects("the failure", &[AcknowledgedIsThere], |run| {
        run.attempt(ONE_SHOT, 1).outcome = "LOST".into();
    });
    rejects("the completion", &[AcknowledgedIsThere], |run| {
        run.attempt(ONE_SHOT, 2).outcome = "LOST".into();
    });
}

#[test]
fn run_with_a_wrong_answer_is_rejected() {
    rejects("another execution", &[AcknowledgedIsThere], |run| {
        run.call("enqueue", 0.0).outcome = Outcome::Ok(Answer::Id(STRANGER));
    });
    rejects("another version", &[AcknowledgedIsThere], |run| {
        run.call("update", 0.0).outcome = Outcome::Ok(Answer::Version(3));
    });
    rejects("another worker", &[AcknowledgedIsThere], |run| {
        run.attempt(ONE_SHOT, 2).worker = "ann".into();
    });
}

#[test]
fn run_in_which_a_failed_call_happened_is_rejected() {
    for call in ["create", "update", "cancel", "enqueue", "fail", "complete"] {
        let mut run = honest_run();
        run.call(call, 0.0).outcome = failed();
        let violations = violations(&run.history, &run.state);
        let rules: Vec<Rule> = violations.iter().map(|(rule, _)| *rule).collect();
        // An attempt that did not end is still held when the next one begins.
        let expected = match call {
            "fail" => vec![FailedChangesNothing, OneHolder],
            _ => vec![FailedChangesNothing],
        };
        assert_eq!(rules, expected, "{call}");
    }
}

#[test]
fn run_in_which_half_a_call_happened_is_rejected() {
    rejects("the enqueue", &[EntirelyOrNotAtAll], |run| {
        run.call("enqueue", 0.0).outcome = Outcome::Unknown;
        run.execution(ONE_SHOT).priority += 1;
    });
    rejects("the update", &[EntirelyOrNotAtAll], |run| {
        run.call("update", 0.0).outcome = Outcome::Unknown;
        run.version(KEPT_JOB, 2).priority += 1;
    });
    rejects("the cancel", &[VersionsFollowEachOther], |run| {
        run.call("cancel", 0.0).outcome = Outcome::Unknown;
        run.version(CANCELLED_JOB, 1).ended_at = None;
    });
}

#[test]
fn run_in_which_something_happened_twice_is_rejected() {
    rejects("a repeated enqueue", &[HappensOnce], |run| {
        let execution_id = STRANGER;
        let again = Execution {
            execution_id,
            ..run.execution(ONE_SHOT).clone()
        };
        run.state.executions.push(again);
    });
    rejects("a repeated create", &[HappensOnce], |run| {
        let (job_id, ended_at) = (STRANGER, None);
        let again = Version {
            job_id,
            ended_at,
            ..run.version(KEPT_JOB, 1).clone()
        };
        run.state.versions.push(again);
    });
    rejects("an execution, live and in history", &[HappensOnce], |run| {
        let again = run.execution(ONE_SHOT).clone();
        run.state.executions.push(again);
    });
}

#[test]
fn run_in_which_something_happened_unasked_is_rejected() {
    rejects("an enqueue", &[OnlyAskedFor], |run| {
        let (execution_id, mark) = (STRANGER, Some(13));
        let execution = Execution {
            execution_id,
            mark,
            ..run.execution(ONE_SHOT).clone()
        };
        run.state.executions.push(execution);
    });
    rejects("a cancel", &[OnlyAskedFor], |run| {
        run.state.retired_jobs.push(KEPT_JOB);
        run.version(KEPT_JOB, 2).ended_at = Some(at(70.0));
    });
    rejects("a completion", &[OnlyAskedFor], |run| {
        run.forget("fail");
        run.give_first_lease(5.5);
    });
}

#[test]
fn run_with_contradictory_versions_is_rejected() {
    rejects("a number is left out", &[VersionsFollowEachOther], |run| {
        run.call("update", 0.0).outcome = Outcome::Unknown;
        run.version(KEPT_JOB, 2).version = 3;
    });
    rejects("two overlap", &[VersionsFollowEachOther], |run| {
        run.version(KEPT_JOB, 1).ended_at = Some(at(40.8));
    });
    rejects(
        "one began before its update",
        &[VersionsFollowEachOther],
        |run| {
            run.version(KEPT_JOB, 1).ended_at = Some(at(39.0));
            run.version(KEPT_JOB, 2).began_at = at(39.0);
        },
    );
}

#[test]
fn run_with_a_lost_or_doubled_tick_is_rejected() {
    rejects("doubled in the ledger", &[TickHappensOnce], |run| {
        let again = run.tick(KEPT_JOB).clone();
        run.state.ticks.push(again);
    });
    rejects(
        "two executions",
        &[TickHappensOnce, LedgerMatchesExecutions],
        |run| {
            let execution_id = STRANGER;
            let again = Execution {
                execution_id,
                ..run.execution(TICK_OF_KEPT).clone()
            };
            run.state.executions.push(again);
        },
    );
    rejects("lost", &[TickIsNotLost], |run| run.remove_tick(KEPT_JOB));
    rejects("lost before the cancel", &[TickIsNotLost], |run| {
        run.remove_tick(CANCELLED_JOB);
        run.record("bob", 31.0, 32.0, Call::Settle, Outcome::Ok(Answer::Done));
    });
    rejects("written late", &[TickIsNotLost], |run| {
        run.tick(KEPT_JOB).recorded_at = at(33.0);
        run.record("bob", 31.0, 32.0, Call::Settle, Outcome::Ok(Answer::Done));
    });
    rejects("lost after a rewind", &[TickIsNotLost], |run| {
        let rewind = Call::Rewind { to: at(-40.0) };
        run.record("ann", 2.0, 3.0, rewind, Outcome::Ok(Answer::Done));
    });
    rejects("written after the cancel", &[NoTickAfterCancel], |run| {
        run.tick(CANCELLED_JOB).recorded_at = at(52.0);
    });
    rejects("without an execution", &[LedgerMatchesExecutions], |run| {
        run.remove_execution(TICK_OF_KEPT);
    });
    rejects("not in the ledger", &[LedgerMatchesExecutions], |run| {
        run.state.ticks.retain(|t| t.job_id != CANCELLED_JOB);
    });
}

#[test]
fn run_in_which_a_lost_lease_counted_is_rejected() {
    rejects("two workers hold an execution", &[OneHolder], |run| {
        run.forget("fail");
        run.attempt(ONE_SHOT, 1).outcome = "LOST".into();
    });
    let rules = [AttemptIsGivenOnce, OneHolder, AcknowledgedIsThere];
    rejects("the attempt was given twice", &rules, |run| {
        let leases = vec![lease(ONE_SHOT, 1, 60.0)];
        let answer = Outcome::Ok(Answer::Claimed(leases));
        run.record("bob", 2.0, 3.0, Call::Claim { any: true }, answer);
    });
    rejects("the lease had expired", &[NoReportFromLostLease], |run| {
        run.give_first_lease(3.5);
    });
    rejects(
        "another worker had claimed it",
        &[NoReportFromLostLease, OneHolder],
        |run| {
            run.call("fail", 0.0).returned_at = at(7.9);
            run.call("fail", 0.0).invoked_at = at(7.5);
        },
    );
    rejects("the worker had no lease", &[NoReportFromLostLease], |run| {
        run.call("complete", 0.0).client = "ann".into();
    });
}

#[test]
fn run_with_a_doubled_or_missing_completion_is_rejected() {
    rejects("both workers completed", &[CompletedOnce], |run| {
        run.call("fail", 0.0).call = Call::Complete(lease(ONE_SHOT, 1, 60.0));
        run.attempt(ONE_SHOT, 1).outcome = "SUCCEEDED".into();
    });
    rejects("an execution is unfinished", &[SucceedsInTheEnd], |run| {
        run.execution(TICK_OF_CANCELLED).status = "QUEUED".into();
    });
    rejects("another attempt ended it", &[SucceedsInTheEnd], |run| {
        run.execution(ONE_SHOT).attempt = 3;
    });
}
