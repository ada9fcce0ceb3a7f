//! Faults of schedules and of their pg_cron entries: check() reports them, and reconcile() repairs them.
//!
//! A crash, an operator, a restore on another server, a change of cron.timezone or of the time zone data, and a clock
//! that was wrong leave such faults behind.

use super::entry::{self, ensure_upkeep};
use super::release::release;
use super::timing::{entry_cron, pg_cron_zone};
use crate::calendar::{CronExpr, Rule, Timing, Zone, timing};
use crate::error::Result;
use crate::id::ScheduleId;
use crate::pg_cron::{self, EVERY_MINUTE, Entry, Found};
use crate::{settings, sql};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What is wrong with a schedule or an entry.
pub enum Problem {
    /// No active job uses the schedule.
    Unused,
    /// This server no longer knows the expression or the time zone of the schedule.
    Unreadable,
    /// The entry of a schedule, or upkeep's, does not exist.
    Missing,
    /// pg_cron does not fire the entry as Kronos wants it.
    Altered,
    /// The entry does not fire at every tick of its schedule.
    Uncovered { entry_cron: String },
    /// The stored next tick is wrong.
    Mistimed {
        next_tick_at: DateTime<Utc>,
        by_rule: DateTime<Utc>,
    },
    /// The slot of the schedule is beyond kronos.max_entries.
    Surplus,
    /// Upkeep's entry wakes the schedule although a slot is free. This violates no invariant.
    WithoutSlot,
    /// The entry belongs to no schedule.
    Unowned,
}

/// A schedule, as far as its faults are concerned.
pub struct FaultySchedule {
    pub schedule_id: ScheduleId,
    pub workspace: String,
    pub cron: String,
    pub timezone: String,
}

/// A fault, with the schedule and the entry that it concerns.
pub struct Fault {
    pub problem: Problem,
    /// None for a fault of upkeep's entry and of an entry that belongs to no schedule.
    pub schedule: Option<Rc<FaultySchedule>>,
    /// None if there is no entry, or if the entry is not at fault.
    pub entry: Option<Found>,
}

impl Fault {
    /// What the fault is about: a schedule by its workspace and expression, or an entry by its name.
    pub fn subject(&self) -> String {
        match (&self.schedule, &self.entry) {
            (Some(schedule), _) => format!("schedule {} ({})", schedule.cron, schedule.timezone),
            (None, Some(entry)) => format!("pg_cron entry {} ({})", entry.name, entry.jobid),
            (None, None) => format!("pg_cron entry {}", Entry::Upkeep.name()),
        }
    }

    /// The facts about the fault.
    pub fn detail(&self) -> Value {
        let mut detail = Map::new();
        if let Some(schedule) = &self.schedule {
            detail.insert("workspace".into(), schedule.workspace.clone().into());
            detail.insert(
                "schedule_id".into(),
                schedule.schedule_id.to_string().into(),
            );
            detail.insert("cron".into(), schedule.cron.clone().into());
            detail.insert("timezone".into(), schedule.timezone.clone().into());
        }
        if let Some(entry) = &self.entry {
            detail.insert("jobid".into(), entry.jobid.into());
            detail.insert("name".into(), entry.name.clone().into());
            detail.insert("schedule".into(), entry.schedule.clone().into());
        }
        match &self.problem {
            Problem::Uncovered { entry_cron } => {
                detail.insert("entry_cron".into(), entry_cron.clone().into());
            }
            Problem::Mistimed {
                next_tick_at,
                by_rule,
            } => {
                detail.insert("tick_at".into(), sql::iso(sql::to_pg(*next_tick_at)).into());
                detail.insert("by_rule".into(), sql::iso(sql::to_pg(*by_rule)).into());
            }
            _ => {}
        }
        if detail.is_empty() {
            detail.insert("name".into(), Entry::Upkeep.name().into());
        }
        Value::Object(detail)
    }
}

struct Stored {
    timing: Rc<Timing>,
    next_tick_at: DateTime<Utc>,
    ticked_until: DateTime<Utc>,
    slot: Option<i32>,
    entry_cron: Option<String>,
}

impl Stored {
    /// Reads a schedule; None if this server no longer knows its expression or zone.
    fn read(row: &sql::Row) -> Result<Option<Stored>> {
        let cron: String = sql::get(row, "cron")?;
        let timezone: String = sql::get(row, "timezone")?;
        let Ok(timing) = timing(&cron, &timezone) else {
            return Ok(None);
        };
        Ok(Some(Stored {
            timing,
            next_tick_at: sql::from_pg(sql::get(row, "next_tick_at")?),
            ticked_until: sql::from_pg(sql::get(row, "ticked_until")?),
            slot: sql::get_opt(row, "slot")?,
            entry_cron: sql::get_opt(row, "entry_cron")?,
        }))
    }

    /// The next tick under the current rules.
    fn next_tick(&self) -> DateTime<Utc> {
        self.timing
            .next_after(self.ticked_until)
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Whether the entry fires at every tick under the current rules of the zones.
    fn is_covered(&self, pg_cron_zone: &Zone, now: DateTime<Utc>) -> bool {
        self.entry_cron
            .as_deref()
            .is_none_or(|entry| covers(entry, &entry_cron(&self.timing, pg_cron_zone, now)))
    }

    /// Whether the stored next tick follows from the rules. If the clock was ahead, the next wake-up corrects it.
    fn is_well_timed(&self, now: DateTime<Utc>) -> bool {
        self.next_tick() == self.next_tick_at || self.ticked_until > now + sql::CLOCK_TOLERANCE
    }

    fn problem(&self, zone: &Zone, now: DateTime<Utc>, free: &mut usize) -> Option<Problem> {
        if self.has_surplus_slot() {
            return Some(Problem::Surplus);
        }
        if !self.is_covered(zone, now) {
            let entry_cron = self.entry_cron.clone().unwrap_or_default();
            return Some(Problem::Uncovered { entry_cron });
        }
        if !self.is_well_timed(now) {
            return Some(Problem::Mistimed {
                next_tick_at: self.next_tick_at,
                by_rule: self.next_tick(),
            });
        }
        if self.slot.is_none() && *free > 0 {
            *free -= 1;
            return Some(Problem::WithoutSlot);
        }
        None
    }

    fn is_of_seconds(&self) -> bool {
        matches!(self.timing.expr.rule, Rule::Seconds(_))
    }

    fn has_surplus_slot(&self) -> bool {
        !self.is_of_seconds() && self.slot.is_some_and(|slot| slot > settings::max_entries())
    }
}

fn covers(entry: &str, ticks: &str) -> bool {
    match (CronExpr::parse(entry), CronExpr::parse(ticks)) {
        (Ok(entry), Ok(ticks)) => entry.covers(&ticks),
        _ => false,
    }
}

const FIND: &str = "
select s.schedule_id, coalesce(w.name, '') as workspace, s.cron, s.timezone, s.next_tick_at, s.ticked_until, s.slot, s.entry_cron,
       exists (select from kronos_internal.jobs j where j.schedule_id = s.schedule_id and j.status = 'ACTIVE') as is_used
from kronos_internal.schedules s join kronos_internal.workspaces w using (workspace_id)
order by s.schedule_id";

const LOCK: &str = "
select cron, timezone, next_tick_at, ticked_until, slot, entry_cron
from kronos_internal.schedules
where schedule_id = $1
for no key update skip locked";

/// Finds every fault.
///
/// # Errors
/// `INVALID_TIMEZONE` if this server does not know cron.timezone.
pub fn find_faults() -> Result<Vec<Fault>> {
    let (zone, now) = (pg_cron_zone()?, sql::now());
    let schedules = sql::rows_planned_anew(FIND, &[], |row| {
        let schedule = FaultySchedule {
            schedule_id: sql::get(row, "schedule_id")?,
            workspace: sql::get(row, "workspace")?,
            cron: sql::get(row, "cron")?,
            timezone: sql::get(row, "timezone")?,
        };
        let entry_cron: Option<String> = sql::get_opt(row, "entry_cron")?;
        let is_used: bool = sql::get(row, "is_used")?;
        Ok((schedule, entry_cron, is_used, Stored::read(row)?))
    })?;
    let mut entries = Entries::read()?;
    let mut faults = vec![];
    faults.extend(entries.take_upkeep(!schedules.is_empty()));
    let slots = schedules
        .iter()
        .filter_map(|(.., stored)| stored.as_ref()?.slot);
    let taken = slots
        .filter(|slot| *slot <= settings::max_entries())
        .count();
    let mut free = settings::max_entries() as usize - taken;
    for (schedule, entry_cron, is_used, stored) in schedules {
        sql::check_for_interrupts();
        let schedule = Rc::new(schedule);
        if let Some(cron) = entry_cron {
            faults.extend(entries.take(&schedule, &cron));
        }
        let problem = match stored {
            _ if !is_used => Some(Problem::Unused),
            None => Some(Problem::Unreadable),
            Some(stored) => stored.problem(&zone, now, &mut free),
        };
        faults.extend(problem.map(|problem| Fault {
            problem,
            schedule: Some(schedule),
            entry: None,
        }));
    }
    faults.extend(entries.into_unowned());
    Ok(faults)
}

/// The entries of Kronos that pg_cron has, by name.
struct Entries(BTreeMap<String, Vec<Found>>);

impl Entries {
    fn read() -> Result<Entries> {
        let mut by_name: BTreeMap<String, Vec<Found>> = BTreeMap::new();
        for entry in pg_cron::all()? {
            by_name.entry(entry.name.clone()).or_default().push(entry);
        }
        Ok(Entries(by_name))
    }

    /// Takes a schedule's entry out, and returns its fault.
    fn take(&mut self, schedule: &Rc<FaultySchedule>, cron: &str) -> Option<Fault> {
        let name = Entry::Schedule(schedule.schedule_id).name();
        self.take_named(&name, cron, Some(schedule.clone()))
    }

    /// Takes upkeep's entry out, and returns its fault.
    fn take_upkeep(&mut self, is_required: bool) -> Option<Fault> {
        let name = Entry::Upkeep.name();
        if !is_required && !self.0.contains_key(&name) {
            return None;
        }
        self.take_named(&name, EVERY_MINUTE, None)
    }

    /// Other entries of the same name stay, and belong to nobody.
    fn take_named(
        &mut self,
        name: &str,
        cron: &str,
        schedule: Option<Rc<FaultySchedule>>,
    ) -> Option<Fault> {
        let fault = |problem, entry| Fault {
            problem,
            schedule,
            entry,
        };
        let Some(found) = self.0.get_mut(name).filter(|found| !found.is_empty()) else {
            return Some(fault(Problem::Missing, None));
        };
        let live = found
            .iter()
            .position(|entry| entry.is_live && entry.schedule == cron);
        let entry = found.remove(live.unwrap_or_default());
        live.is_none().then(|| fault(Problem::Altered, Some(entry)))
    }

    fn into_unowned(self) -> impl Iterator<Item = Fault> {
        self.0.into_values().flatten().map(|entry| Fault {
            problem: Problem::Unowned,
            schedule: None,
            entry: Some(entry),
        })
    }
}

/// Repairs a fault, and returns true; false if the fault no longer exists, if another session has locked the schedule,
/// or if only the owner of the job can repair it.
///
/// # Errors
/// Any error of pg_cron.
pub fn repair(fault: &Fault) -> Result<bool> {
    let schedule_id = fault.schedule.as_ref().map(|schedule| schedule.schedule_id);
    match (&fault.problem, schedule_id, &fault.entry) {
        (Problem::Unused, Some(schedule_id), _) => release(schedule_id).map(|()| true),
        (Problem::Unowned, _, Some(entry)) => {
            // Its schedule may have been committed after the schedules were read.
            if let Some(Entry::Schedule(schedule_id)) = entry.entry
                && entry.is_live
                && sql::exists(HAS_ENTRY, &[schedule_id.into()])?
            {
                return Ok(false);
            }
            pg_cron::remove(entry).map(|()| true)
        }
        (Problem::Missing | Problem::Altered, None, _) => ensure_upkeep(false).map(|()| true),
        (_, Some(schedule_id), _) => repair_schedule(schedule_id, &fault.problem),
        _ => Ok(false),
    }
}

const HAS_ENTRY: &str =
    "select from kronos_internal.schedules where schedule_id = $1 and entry_cron is not null";

fn repair_schedule(schedule_id: ScheduleId, problem: &Problem) -> Result<bool> {
    let locked = sql::row(LOCK, &[schedule_id.into()], Stored::read)?.flatten();
    let Some(stored) = locked else {
        return Ok(false);
    };
    let (zone, now) = (pg_cron_zone()?, sql::now());
    match problem {
        Problem::Surplus if stored.has_surplus_slot() => {
            entry::take_slot(schedule_id)?;
        }
        Problem::WithoutSlot if stored.slot.is_none() => {
            return entry::give_slot(schedule_id, &stored.timing);
        }
        Problem::Mistimed { .. } if !stored.is_well_timed(now) => {
            let args = [schedule_id.into(), sql::to_pg(stored.next_tick()).into()];
            sql::run(SET_NEXT_TICK, &args)?;
        }
        Problem::Uncovered { .. } if !stored.is_covered(&zone, now) => {
            entry::renew(schedule_id, &entry_cron(&stored.timing, &zone, now))?;
        }
        Problem::Missing | Problem::Altered => {
            let Some(cron) = &stored.entry_cron else {
                return Ok(false);
            };
            entry::repair(schedule_id, cron)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

const SET_NEXT_TICK: &str =
    "update kronos_internal.schedules set next_tick_at = $2 where schedule_id = $1";
