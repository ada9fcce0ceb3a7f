//! Joining a schedule and leaving it.

use super::alarm;
use super::timing::{alarm_needed, check_supported, pg_cron_zone};
use crate::calendar::Timing;
use crate::error::{self, KronosError, Result};
use crate::sql;
use chrono::DateTime;
use pgrx::{PgSqlErrorCode, Uuid};
use serde_json::json;

const FIND_SCHEDULE: &str = "
select schedule_id, alarm_id from kronos.schedules where cron = $1 and timezone = $2 for key share";

const INSERT_SCHEDULE: &str = "
insert into kronos.schedules (cron, timezone, alarm_id, next_tick_at)
values ($1, $2, $3, $4)
on conflict (cron, timezone) do nothing
returning schedule_id";

/// The schedule of a timing, made with its alarm if no live job uses it yet, and held until the transaction ends.
/// Whoever gets it can rely on a pg_cron entry that is there, active, and set to the right times.
///
/// # Errors
/// What pg_cron raises; `CRON_NOT_SUPPORTED` by it; `CONCURRENT_CHANGE` where a stale snapshot hides what another session did.
pub fn join(timing: &Timing, timezone: &str) -> Result<Uuid> {
    let cron = timing.expr.text();
    let find = || {
        sql::row(FIND_SCHEDULE, &[cron.into(), timezone.into()], |row| {
            Ok((
                sql::get::<Uuid>(row, "schedule_id")?,
                sql::get::<Uuid>(row, "alarm_id")?,
            ))
        })
    };
    let mut found = find()?;
    if found.is_none() {
        // One session makes a schedule; the others wait here for what it does.
        lock_name(&format!("schedule {cron} {timezone}"))?;
        found = find()?;
    }
    if let Some((schedule_id, alarm_id)) = found {
        alarm::verify(alarm_id)?;
        return Ok(schedule_id);
    }
    check_supported(timing)?;
    let alarm_id = alarm::join(&alarm_needed(timing, &pg_cron_zone()?, sql::now()))?;
    let next_tick_at = timing
        .next_after(sql::now())
        .unwrap_or(DateTime::<chrono::Utc>::MAX_UTC);
    let args = [
        cron.into(),
        timezone.into(),
        alarm_id.into(),
        sql::to_pg(next_tick_at).into(),
    ];
    sql::row(INSERT_SCHEDULE, &args, |row| sql::get(row, "schedule_id"))?
        .ok_or_else(concurrent_change)
}

/// Takes a lock on a name until the transaction ends.
pub fn lock_name(name: &str) -> Result<()> {
    let name = format!("kronos {name}");
    sql::run(
        "select pg_advisory_xact_lock(hashtextextended($1, 0))",
        &[name.into()],
    )
    .map(|_| ())
}

/// The error of a session whose snapshot is older than what it would have to see.
pub fn concurrent_change() -> KronosError {
    KronosError::new(
        &error::CONCURRENT_CHANGE,
        "could not serialize access: another transaction changed the same schedule",
        json!({}),
    )
    .with_hint("Retry the transaction.")
}

/// A row that lives only while other rows refer to it.
pub struct Shared {
    /// Locks one row that refers to $1 and is not being taken away, if there is one.
    pub hold_another_user: &'static str,
    /// Locks row $1 against everybody.
    pub lock: &'static str,
    /// Finds any row that refers to $1.
    pub find_user: &'static str,
    /// Marks row $1 as still in use, so that a stale snapshot elsewhere fails rather than concludes the same.
    pub keep: &'static str,
    /// Deletes row $1, returning its alarm_id.
    pub delete: &'static str,
}

const SCHEDULE: Shared = Shared {
    hold_another_user: "select from kronos.jobs where schedule_id = $1 limit 1 for share skip locked",
    lock: "select from kronos.schedules where schedule_id = $1 for update",
    find_user: "select from kronos.jobs where schedule_id = $1 limit 1",
    keep: "update kronos.schedules set revision = revision + 1 where schedule_id = $1",
    delete: "delete from kronos.schedules where schedule_id = $1 returning alarm_id",
};

/// Deletes a shared row if nothing refers to it any more, and returns its alarm_id if it did.
///
/// Two sessions may each take away one of the last two users. Each looks for another user that it can hold, and so
/// keep from leaving before itself has committed; with such a witness the row stays in use, whatever others do. A
/// session without one locks the row itself, and so decides alone, after those before it and before those behind it.
pub fn delete_if_unused(shared: &Shared, id: Uuid) -> Result<Option<Uuid>> {
    if sql::exists(shared.hold_another_user, &[id.into()])? {
        return Ok(None);
    }
    sql::run(shared.lock, &[id.into()])?;
    if sql::exists(shared.find_user, &[id.into()])? {
        sql::run(shared.keep, &[id.into()])?;
        return Ok(None);
    }
    // A user that this transaction's snapshot is too old to show makes the foreign key fail.
    sql::convert_errors(
        || sql::row(shared.delete, &[id.into()], |row| sql::get(row, "alarm_id")),
        |report| {
            (report.sql_error_code() == PgSqlErrorCode::ERRCODE_FOREIGN_KEY_VIOLATION)
                .then(concurrent_change)
        },
    )
}

/// Lets go of a schedule for a job that has left it: with its last job it goes, and its alarm with its last schedule.
///
/// # Errors
/// What pg_cron raises when an entry cannot be removed; `CONCURRENT_CHANGE` as in [`join`].
pub fn release(schedule_id: Uuid) -> Result<()> {
    match delete_if_unused(&SCHEDULE, schedule_id)? {
        Some(alarm_id) => alarm::release(alarm_id),
        None => Ok(()),
    }
}
