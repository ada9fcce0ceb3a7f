//! `check`: the invariants of the design, each as a query for its violations.

use crate::error::Result;
use crate::id::ScheduleId;
use crate::pg_cron::{self, EVERY_MINUTE, Entry};
use crate::schedule::{Faulty, Problem};
use crate::{schedule, settings, sql};
use pgrx::JsonB;
use serde_json::{Value, json};
use std::collections::HashMap;

/// One violated invariant.
pub struct Violation {
    /// The number of the invariant in the design.
    pub invariant: i32,
    /// What is wrong.
    pub problem: String,
    /// The ids and names concerned.
    pub detail: JsonB,
}

impl Violation {
    fn new(invariant: i32, problem: &str, detail: Value) -> Violation {
        Violation {
            invariant,
            problem: problem.into(),
            detail: JsonB(detail),
        }
    }
}

const CHECK: &str = include_str!("check.sql");

/// Finds every violation; none when all is well. Reads live rows, and the ledger of the last day.
pub fn check() -> Result<Vec<Violation>> {
    let mut violations = sql::rows(CHECK, &[], |row| {
        Ok(Violation {
            invariant: sql::get(row, "invariant")?,
            problem: sql::get(row, "problem")?,
            detail: sql::get(row, "detail")?,
        })
    })?;
    violations.extend(check_entries()?);
    violations.extend(schedule::find_faulty()?.into_iter().map(describe_fault));
    violations.sort_by_key(|found| found.invariant);
    Ok(violations)
}

fn describe_fault(faulty: Faulty) -> Violation {
    let (schedule_id, cron) = (faulty.schedule_id.to_string(), faulty.cron);
    match faulty.problem {
        Problem::Uncovered { entry_cron } => Violation::new(
            1,
            "a pg_cron entry does not cover the ticks of its schedule",
            json!({ "schedule_id": schedule_id, "cron": cron, "entry_cron": entry_cron }),
        ),
        Problem::Mistimed {
            next_tick_at,
            by_rule,
        } => Violation::new(
            4,
            "the next tick of a schedule does not follow from its rule: CALL kronos.upkeep() corrects it",
            json!({
                "schedule_id": schedule_id, "cron": cron, "tick_at": sql::iso(sql::to_pg(next_tick_at)),
                "by_rule": sql::iso(sql::to_pg(by_rule)),
            }),
        ),
        Problem::Unreadable => Violation::new(
            4,
            "this server does not know the expression or the time zone of a schedule: its jobs do not tick",
            json!({ "schedule_id": schedule_id, "cron": cron, "timezone": faulty.timezone }),
        ),
    }
}

const ENTRIES_OF_SCHEDULES: &str = "
select schedule_id, entry_cron from kronos_internal.schedules";

/// Checks invariants 1 and 2 against cron.job.
fn check_entries() -> Result<Vec<Violation>> {
    let mut violations = vec![];
    if let Err(problem) = pg_cron::require() {
        violations.push(Violation::new(1, &problem.to_string(), json!({})));
    }
    let schedules = sql::rows(ENTRIES_OF_SCHEDULES, &[], |row| {
        Ok((
            sql::get::<ScheduleId>(row, "schedule_id")?,
            sql::get_opt::<String>(row, "entry_cron")?,
        ))
    })?;
    let mut wanted: HashMap<String, String> = HashMap::new();
    if !schedules.is_empty() {
        wanted.insert(Entry::Upkeep.name(), EVERY_MINUTE.into());
    }
    for (schedule_id, entry_cron) in schedules {
        if let Some(cron) = entry_cron {
            wanted.insert(Entry::Schedule(schedule_id).name(), cron);
        }
    }
    let found = pg_cron::all()?;
    let limit = 1 + settings::max_entries() as usize + 60;
    if found.len() > limit {
        violations.push(Violation::new(
            2,
            "there are more pg_cron entries than kronos.max_entries allows",
            json!({ "entries": found.len(), "limit": limit }),
        ));
    }
    for entry in &found {
        let detail =
            json!({ "jobid": entry.jobid, "name": entry.name, "schedule": entry.schedule });
        match wanted.remove(&entry.name) {
            Some(cron) if entry.is_live && entry.schedule == cron => {}
            Some(_) => violations.push(Violation::new(
                1,
                "a pg_cron entry is altered or inactive, so it does not wake its schedule",
                detail,
            )),
            None if entry.entry == Some(Entry::Upkeep) && entry.is_live => {}
            None => violations.push(Violation::new(
                2,
                "a pg_cron entry of Kronos has no schedule",
                detail,
            )),
        }
    }
    for (name, cron) in wanted {
        violations.push(Violation::new(
            1,
            "a pg_cron entry is missing",
            json!({ "name": name, "schedule": cron }),
        ));
    }
    Ok(violations)
}
