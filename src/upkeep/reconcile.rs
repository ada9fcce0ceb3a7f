//! `reconcile`: repairs what a crash, an operator, a restore or a change of the server has left behind.

use crate::error::Result;
use crate::id::JobId;
use crate::job::{self, Ended, Failing};
use crate::schedule::{self, Fault, Problem};
use crate::{pg_cron, sql};
use chrono::Duration;

/// A repair.
pub struct Repair {
    /// None for an entry that belongs to no workspace.
    pub workspace: Option<String>,
    /// The job, schedule or pg_cron entry that was repaired.
    pub subject: String,
    /// Why it was repaired.
    pub problem: String,
    /// What was done.
    pub action: &'static str,
    /// Why the repair failed; None if it did not.
    pub error: Option<String>,
}

/// The longest that a repair waits for a lock. A transaction that a workspace holds open must not hold up the repairs
/// of others, so a repair that waits for longer is left to the next run.
const LOCK_TIMEOUT: &str = "10ms";

/// How long one call goes on with repairs. Repairs lock schedules until the transaction ends.
const MAX_TIME: Duration = Duration::seconds(1);

/// Repairs schedules and pg_cron entries, retires jobs whose `ends_at` is past, and pauses jobs that have failed too
/// often in a row: at most `max` of each, and for one second. Each repair runs in a subtransaction of its own, so that
/// one that fails does not keep others from being done. Repairs of what another session has locked are left to the next
/// call.
///
/// Jobs retire after the repairs: a next tick that was wrong may lie before their end.
///
/// # Errors
/// `PG_CRON_UNAVAILABLE`.
pub fn reconcile(max: usize) -> Result<Vec<Repair>> {
    pg_cron::require()?;
    sql::with_lock_timeout(LOCK_TIMEOUT, || {
        let end = sql::now() + MAX_TIME;
        let mut repairs = vec![];
        for fault in schedule::find_faults()? {
            if repairs.len() >= max || sql::now() >= end {
                break;
            }
            if let Some(repair) = describe_repair(&fault) {
                repairs.extend(attempt(repair, || schedule::repair(&fault))?);
            }
        }
        for ended in job::find_ended(max as i64)? {
            if sql::now() >= end {
                break;
            }
            let repair = describe_end(&ended);
            repairs.extend(attempt(repair, || job::retire_ended(ended.job_id))?);
        }
        for failing in job::find_failing(max as i64)? {
            if sql::now() >= end {
                break;
            }
            let repair = describe_failing(&failing);
            repairs.extend(attempt(repair, || job::pause_failing(failing.job_id))?);
        }
        Ok(repairs)
    })
}

/// Runs a repair, and returns it if it was done or has failed.
fn attempt(mut repair: Repair, work: impl FnOnce() -> Result<bool>) -> Result<Option<Repair>> {
    match sql::in_subtransaction(work) {
        Ok(true) => Ok(Some(repair)),
        Ok(false) => Ok(None),
        Err(failure) if failure.is_contention() => Ok(None),
        Err(failure) if failure.is_interruption() => failure.rethrow(),
        Err(failure) => {
            repair.error = Some(failure.report.message().to_owned());
            Ok(Some(repair))
        }
    }
}

fn subject(job_id: JobId, job_name: Option<&str>) -> String {
    match job_name {
        Some(name) => format!("job {name}"),
        None => format!("job {job_id}"),
    }
}

fn describe_failing(failing: &Failing) -> Repair {
    Repair {
        workspace: Some(failing.workspace.clone()),
        subject: subject(failing.job_id, failing.job_name.as_deref()),
        problem: format!("its last executions failed: {}", failing.times),
        action: "paused the job",
        error: None,
    }
}

fn describe_end(ended: &Ended) -> Repair {
    Repair {
        workspace: Some(ended.workspace.clone()),
        subject: subject(ended.job_id, ended.job_name.as_deref()),
        problem: format!("its ends_at is past: {}", sql::iso(ended.ends_at)),
        action: "retired the job",
        error: None,
    }
}

/// The repair of a fault; None for a fault that reconcile() cannot repair.
fn describe_repair(fault: &Fault) -> Option<Repair> {
    let (problem, action) = match fault.problem {
        Problem::Unused => (
            "no active job uses it",
            "deleted the schedule and its entry",
        ),
        Problem::Missing => ("its pg_cron entry was missing", "created the entry"),
        Problem::Altered => (
            "its pg_cron entry was altered or inactive",
            "replaced the entry",
        ),
        Problem::Uncovered { .. } => (
            "its pg_cron entry did not fire at every tick",
            "changed the expression of the entry",
        ),
        Problem::Mistimed { .. } => (
            "its next tick did not follow from its rule",
            "corrected the next tick",
        ),
        Problem::Surplus => (
            "its pg_cron entry was beyond kronos.max_entries",
            "removed the entry: the entry of upkeep wakes the schedule",
        ),
        Problem::WithoutSlot => (
            "it had no pg_cron entry of its own although a slot was free",
            "created the entry",
        ),
        Problem::Unowned => ("it belongs to no schedule", "removed the entry"),
        Problem::Unreadable => return None,
    };
    Some(Repair {
        workspace: fault.schedule.as_ref().map(|it| it.workspace.clone()),
        subject: fault.subject(),
        problem: problem.to_owned(),
        action,
        error: None,
    })
}
