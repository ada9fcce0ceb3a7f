//! `check`: the invariants of the design, each as a query for its violations.

use crate::error::Result;
use crate::schedule::{Fault, Problem};
use crate::{pg_cron, schedule, sql};
use pgrx::JsonB;
use pgrx::datum::TimestampWithTimeZone;
use serde_json::{Value, json};

/// One violated invariant.
pub struct Violation {
    /// The number of the invariant in the design.
    pub invariant: i32,
    /// What is wrong.
    pub problem: String,
    /// The ids and names concerned.
    pub detail: JsonB,
    /// Since when; None if that is unknown.
    pub since: Option<TimestampWithTimeZone>,
    /// What mends it; None if Kronos has a bug or somebody has changed its tables.
    pub remedy: Option<String>,
}

impl Violation {
    fn new(invariant: i32, problem: &str, detail: Value, remedy: &str) -> Violation {
        Violation {
            invariant,
            problem: problem.into(),
            detail: JsonB(detail),
            since: None,
            remedy: Some(remedy.into()),
        }
    }
}

const CHECK: &str = include_str!("check.sql");

/// Finds every violation; none when all is well. Reads live rows, and the ledger of the last day.
pub fn check() -> Result<Vec<Violation>> {
    let mut violations = sql::rows_planned_anew(CHECK, &[], |row| {
        Ok(Violation {
            invariant: sql::get(row, "invariant")?,
            problem: sql::get(row, "problem")?,
            detail: sql::get(row, "detail")?,
            since: sql::get_opt(row, "since")?,
            remedy: sql::get_opt(row, "remedy")?,
        })
    })?;
    if let Err(problem) = pg_cron::require() {
        violations.push(Violation::new(
            1,
            &problem.to_string(),
            json!({}),
            "set shared_preload_libraries, cron.database_name and cron.launch_active_jobs, and restart the server",
        ));
    }
    for fault in schedule::find_faults()? {
        violations.extend(describe_fault(fault)?);
    }
    violations.sort_by_key(|found| found.invariant);
    Ok(violations)
}

/// The names of some of the jobs of a schedule; the ids of jobs without a name.
const JOBS: &str = "
select coalesce(j.name, j.job_id::text) as job
from kronos_internal.jobs j
where j.schedule_id = $1
order by j.job_id
limit 5";

/// The violation that a fault is, if it is one.
fn describe_fault(fault: Fault) -> Result<Option<Violation>> {
    let (invariant, problem) = match fault.problem {
        Problem::Missing => (1, "a pg_cron entry is missing"),
        Problem::Altered => (
            1,
            "a pg_cron entry is altered or inactive, so it does not wake its schedule",
        ),
        Problem::Uncovered { .. } => (
            1,
            "a pg_cron entry does not cover the ticks of its schedule",
        ),
        Problem::Unused => (2, "a schedule has no active job"),
        Problem::Unowned => (2, "a pg_cron entry of Kronos has no schedule"),
        Problem::Surplus => (
            2,
            "a schedule has a pg_cron entry beyond kronos.max_entries",
        ),
        Problem::Mistimed { .. } => (
            4,
            "the next tick of a schedule does not follow from its rule",
        ),
        Problem::Unreadable => (
            4,
            "this server does not know the expression or the time zone of a schedule: its jobs do not tick",
        ),
        Problem::WithoutSlot => return Ok(None),
    };
    let remedy = match fault.problem {
        Problem::Unreadable => {
            "update its jobs to a time zone of pg_timezone_names, or cancel them"
        }
        _ => "SELECT * FROM kronos.reconcile(); upkeep does it within a minute",
    };
    let mut detail = fault.detail();
    if let Some(schedule) = &fault.schedule {
        let jobs: Vec<String> = sql::rows(JOBS, &[schedule.schedule_id.into()], |row| {
            sql::get(row, "job")
        })?;
        detail["jobs"] = jobs.into();
    }
    Ok(Some(Violation::new(invariant, problem, detail, remedy)))
}
