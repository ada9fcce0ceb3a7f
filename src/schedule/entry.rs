//! The pg_cron entries of schedules: a bounded pool of slots, and upkeep's entry for the schedules without a slot.

use super::timing::{entry_cron, pg_cron_zone};
use crate::calendar::{Rule, Timing};
use crate::error::{self, KronosError, Result, concurrent_change};
use crate::id::ScheduleId;
use crate::pg_cron::{self, EVERY_MINUTE, Entry};
use crate::{settings, sql};
use pgrx::PgSqlErrorCode;
use serde_json::json;
use std::ops::RangeInclusive;

/// A schedule, with the expression of its own pg_cron entry if it has one.
pub struct Schedule {
    pub schedule_id: ScheduleId,
    pub entry_cron: Option<String>,
}

/// The slots of schedules of seconds. Upkeep's entry fires only every minute, so it cannot wake these schedules.
const SLOTS_OF_SECONDS: RangeInclusive<i32> = 10_001..=10_060;

/// The number of the lock on upkeep's entry. Slots are locked by their own numbers, from 1 on.
const UPKEEP_LOCK: u32 = 0;

const FREE_SLOTS: &str = "
select n as slot
from generate_series($1::integer, $2::integer) n
where not exists (select from kronos_internal.schedules s where s.slot = n)
order by n";

const IS_TAKEN: &str = "select from kronos_internal.schedules where slot = $1";

/// Reserves a free slot until the transaction ends. It never waits: it skips slots that other sessions are reserving.
fn reserve_slot(slots: RangeInclusive<i32>) -> Result<Option<i32>> {
    let args = [(*slots.start()).into(), (*slots.end()).into()];
    let free: Vec<i32> = sql::rows(FREE_SLOTS, &args, |row| sql::get(row, "slot"))?;
    for slot in free {
        // Another session may have taken the slot, and released its lock, since the list was read.
        if sql::try_lock_named_thing(slot as u32)? && !sql::exists(IS_TAKEN, &[slot.into()])? {
            return Ok(Some(slot));
        }
    }
    Ok(None)
}

const SET_ENTRY: &str = "
update kronos_internal.schedules set slot = $2, entry_cron = $3 where schedule_id = $1";

/// Gives a new schedule its own pg_cron entry if a slot is free. Otherwise upkeep's entry wakes the schedule.
///
/// # Errors
/// Any error of pg_cron; `TOO_MANY_ENTRIES` for a schedule of seconds.
pub fn create(schedule_id: ScheduleId, timing: &Timing) -> Result<()> {
    let of_seconds = matches!(timing.expr.rule, Rule::Seconds(_));
    let slots = if of_seconds {
        SLOTS_OF_SECONDS
    } else {
        1..=settings::max_entries()
    };
    let has_slot = reserve(schedule_id, timing, slots)?;
    if !has_slot && of_seconds {
        return Err(KronosError::new(
            &error::TOO_MANY_ENTRIES,
            "all 60 pg_cron entries for schedules of seconds are in use",
            json!({ "limit": SLOTS_OF_SECONDS.count() }),
        )
        .with_hint("Let jobs share schedules, or use a schedule of minutes."));
    }
    ensure_upkeep(!has_slot)
}

/// Gives a schedule a free slot and a pg_cron entry, and returns true; false if no slot is free.
fn reserve(schedule_id: ScheduleId, timing: &Timing, slots: RangeInclusive<i32>) -> Result<bool> {
    let Some(slot) = reserve_slot(slots)? else {
        return Ok(false);
    };
    let cron = entry_cron(timing, &pg_cron_zone()?, sql::now());
    let args = [schedule_id.into(), slot.into(), cron.as_str().into()];
    sql::convert_errors(
        || sql::run(SET_ENTRY, &args),
        |report| {
            let code = PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION;
            error::violates(report, code, "schedules_slot_unique").then(concurrent_change)
        },
    )?;
    pg_cron::register(Entry::Schedule(schedule_id), &cron)?;
    Ok(true)
}

/// Gives a schedule of minutes that the caller has locked its own pg_cron entry, and returns true; false if no slot is
/// free.
///
/// # Errors
/// Any error of pg_cron.
pub fn give_slot(schedule_id: ScheduleId, timing: &Timing) -> Result<bool> {
    reserve(schedule_id, timing, 1..=settings::max_entries())
}

/// Takes the pg_cron entry away from a schedule that the caller has locked. Upkeep's entry wakes the schedule from then
/// on.
///
/// # Errors
/// Any error of pg_cron.
pub fn take_slot(schedule_id: ScheduleId) -> Result<()> {
    let args = [schedule_id.into(), None::<i32>.into(), None::<&str>.into()];
    sql::run(SET_ENTRY, &args)?;
    pg_cron::unregister(Entry::Schedule(schedule_id))
}

const SET_ENTRY_CRON: &str =
    "update kronos_internal.schedules set entry_cron = $2 where schedule_id = $1";

/// Changes the expression of the entry of a schedule that the caller has locked.
///
/// # Errors
/// Any error of pg_cron.
pub fn renew(schedule_id: ScheduleId, cron: &str) -> Result<()> {
    sql::run(SET_ENTRY_CRON, &[schedule_id.into(), cron.into()])?;
    pg_cron::register(Entry::Schedule(schedule_id), cron)
}

/// Ensures that pg_cron fires upkeep's entry. If another transaction is creating the entry, the call waits for it only
/// if `must_wait`, and otherwise returns at once.
///
/// # Errors
/// Any error of pg_cron.
pub fn ensure_upkeep(must_wait: bool) -> Result<()> {
    let wanted = [(Entry::Upkeep, EVERY_MINUTE)];
    if pg_cron::find_broken(&wanted)?.is_empty() {
        return Ok(());
    }
    if must_wait {
        sql::lock_named_thing(UPKEEP_LOCK)?;
    } else if !sql::try_lock_named_thing(UPKEEP_LOCK)? {
        return Ok(());
    }
    if pg_cron::find_broken(&wanted)?.is_empty() {
        return Ok(());
    }
    replace(Entry::Upkeep, EVERY_MINUTE)
}

/// Ensures that pg_cron wakes a schedule that other jobs use already, and repairs its entries if not.
///
/// # Errors
/// Any error of pg_cron: a call never succeeds for a job that pg_cron would not wake.
pub fn verify(schedule: &Schedule) -> Result<()> {
    let mut wanted = vec![(Entry::Upkeep, EVERY_MINUTE)];
    let own = Entry::Schedule(schedule.schedule_id);
    if let Some(cron) = &schedule.entry_cron {
        wanted.push((own, cron.as_str()));
    }
    for (entry, cron) in pg_cron::find_broken(&wanted)? {
        match entry {
            Entry::Upkeep => ensure_upkeep(schedule.entry_cron.is_none())?,
            Entry::Schedule(_) => repair(schedule.schedule_id, cron)?,
        }
    }
    Ok(())
}

const LOCK_SCHEDULE: &str = "
select from kronos_internal.schedules where schedule_id = $1 for no key update";

/// Repairs an entry. Sessions that waited for this one find the entry repaired.
pub fn repair(schedule_id: ScheduleId, cron: &str) -> Result<()> {
    sql::run(LOCK_SCHEDULE, &[schedule_id.into()])?;
    let entry = Entry::Schedule(schedule_id);
    if pg_cron::find_broken(&[(entry, cron)])?.is_empty() {
        return Ok(());
    }
    replace(entry, cron)
}

fn replace(entry: Entry, cron: &str) -> Result<()> {
    pg_cron::unregister(entry)?;
    pg_cron::register(entry, cron)
}
