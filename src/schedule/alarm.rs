//! Alarms: the rows that stand for pg_cron's entries, and how many of them there may be.

use super::share::{Shared, concurrent_change, delete_if_unused, lock_name};
use crate::error::Result;
use crate::{pg_cron, settings, sql};
use pgrx::Uuid;

/// The alarm of every minute: it covers any schedule of minutes, and takes those that come when all slots are in use.
const CATCH_ALL: &str = "* * * * *";

/// Whether an alarm takes no slot: the catch-all, and those of seconds, which it does not cover. There are 59 of these.
fn needs_no_slot(cron: &str) -> bool {
    cron == CATCH_ALL || cron.ends_with("seconds")
}

const FIND_ALARM: &str = "select alarm_id from kronos.alarms where cron = $1 for key share";

/// A slot that no alarm has and no other session is about to take. The advisory lock reserves it, without waiting.
const RESERVE_SLOT: &str = "
with free as materialized (
    select slot
    from generate_series(1, $1) as slots (slot)
    where not exists (select from kronos.alarms a where a.slot = slots.slot)
)
select slot from free where pg_try_advisory_xact_lock(hashtext('kronos alarm slot'), slot) limit 1";

const INSERT_ALARM: &str = "
insert into kronos.alarms (cron, slot) values ($1, $2) on conflict do nothing returning alarm_id";

/// The alarm for an expression in pg_cron's zone, made and registered if there is none, and held until the
/// transaction ends. Past `kronos.max_alarms` it is the catch-all.
pub fn join(cron: &str) -> Result<Uuid> {
    let mut found = find(cron)?;
    if found.is_none() {
        lock_name(&format!("alarm {cron}"))?;
        found = find(cron)?;
    }
    if let Some(alarm_id) = found {
        verify(alarm_id)?;
        return Ok(alarm_id);
    }
    pg_cron::require()?;
    if needs_no_slot(cron) {
        return insert(cron, None)?.ok_or_else(concurrent_change);
    }
    // A slot can be gone by the time it is reserved, if its new owner has committed in between: the next look shows it.
    while let Some(slot) = reserve_slot()? {
        if let Some(alarm_id) = insert(cron, Some(slot))? {
            return Ok(alarm_id);
        }
    }
    join(CATCH_ALL)
}

fn find(cron: &str) -> Result<Option<Uuid>> {
    sql::row(FIND_ALARM, &[cron.into()], |row| sql::get(row, "alarm_id"))
}

fn reserve_slot() -> Result<Option<i32>> {
    sql::row(RESERVE_SLOT, &[settings::max_alarms().into()], |row| {
        sql::get(row, "slot")
    })
}

fn insert(cron: &str, slot: Option<i32>) -> Result<Option<Uuid>> {
    let alarm_id = sql::row(INSERT_ALARM, &[cron.into(), slot.into()], |row| {
        sql::get(row, "alarm_id")
    })?;
    if let Some(alarm_id) = alarm_id {
        pg_cron::register(alarm_id, cron)?;
    }
    Ok(alarm_id)
}

/// Makes sure that pg_cron would fire an alarm, and repairs its entry if not.
///
/// # Errors
/// What pg_cron raises: the caller never gets a job that would not be woken.
pub fn verify(alarm_id: Uuid) -> Result<()> {
    pg_cron::require()?;
    let cron = cron_of(
        "select cron from kronos.alarms where alarm_id = $1",
        alarm_id,
    )?;
    if pg_cron::is_registered(alarm_id, &cron)? {
        return Ok(());
    }
    // One session repairs; those that waited for it find the entry in order.
    cron_of(
        "select cron from kronos.alarms where alarm_id = $1 for no key update",
        alarm_id,
    )?;
    if pg_cron::is_registered(alarm_id, &cron)? {
        return Ok(());
    }
    pg_cron::unregister(alarm_id, &cron)?;
    pg_cron::register(alarm_id, &cron)
}

fn cron_of(statement: &str, alarm_id: Uuid) -> Result<String> {
    sql::row(statement, &[alarm_id.into()], |row| sql::get(row, "cron"))?
        .ok_or_else(concurrent_change)
}

const ALARM: Shared = Shared {
    hold_another_user: "select from kronos.schedules where alarm_id = $1 limit 1 for key share skip locked",
    lock: "select from kronos.alarms where alarm_id = $1 for update",
    find_user: "select from kronos.schedules where alarm_id = $1 limit 1",
    keep: "update kronos.alarms set revision = revision + 1 where alarm_id = $1",
    delete: "delete from kronos.alarms where alarm_id = $1 returning alarm_id",
};

/// Lets go of an alarm for a schedule that has been deleted: with its last schedule it goes, and its pg_cron entry too.
pub fn release(alarm_id: Uuid) -> Result<()> {
    let cron = cron_of(
        "select cron from kronos.alarms where alarm_id = $1",
        alarm_id,
    )?;
    if delete_if_unused(&ALARM, alarm_id)?.is_some() {
        pg_cron::unregister(alarm_id, &cron)?;
    }
    Ok(())
}
