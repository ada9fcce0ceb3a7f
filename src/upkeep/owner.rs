//! Moves Kronos to another owner, so that nothing of it runs as a superuser.
//!
//! The owner of the tables is the role with whose rights Kronos acts and as which pg_cron runs the entries. The functions
//! and views stay with the superuser who created the extension: their owner could replace them with code of its own, and
//! every superuser who calls Kronos would run it.

use crate::authority::{Capability, authorise_instance, require_superuser};
use crate::error::{Result, invalid_argument};
use crate::id::ScheduleId;
use crate::pg_cron::{self, Entry};
use crate::{schedule, sql};
use pgrx::Spi;

const FIND_ROLE: &str = "select rolcanlogin from pg_catalog.pg_roles where rolname = $1";

/// The statements that give the role $1 the tables of Kronos, and the privileges that their owner needs.
const CHANGES: &str = include_str!("owner_changes.sql");

const ENTRIES: &str = "
select schedule_id, entry_cron from kronos_internal.schedules where entry_cron is not null order by schedule_id";

/// Makes a role the owner of Kronos's tables and pg_cron entries, and grants it the privileges that it needs: USAGE on the
/// schemas, pg_cron's tables, and membership in pg_monitor.
///
/// # Errors
/// `PERMISSION_DENIED` unless the caller is a superuser; `INVALID_ARGUMENT` for a role that does not exist or cannot log
/// in; any error of pg_cron.
pub fn set_owner(role: &str) -> Result<()> {
    require_superuser("set_owner")?;
    // pgrx would raise an internal error.
    sql::refuse_on_standby(c"ALTER TABLE");
    let can_log_in = sql::row(FIND_ROLE, &[role.into()], |row| {
        sql::get(row, "rolcanlogin")
    })?;
    match can_log_in {
        Some(true) => {}
        Some(false) => {
            return Err(invalid_argument(
                "role",
                "must be able to log in: pg_cron connects as this role",
            )
            .with("value", role));
        }
        None => return Err(invalid_argument("role", "must name a role").with("value", role)),
    }
    let changes: Vec<String> = sql::rows(CHANGES, &[role.into()], |row| sql::get(row, "change"))?;
    for change in changes {
        Spi::run(&change)?;
    }
    let old = pg_cron::all()?;
    for entry in &old {
        pg_cron::remove(entry)?;
    }
    // The new owner runs this, and pg_cron runs an entry as the role that creates it.
    authorise_instance(Capability::Admin, || {
        let entries = sql::rows(ENTRIES, &[], |row| {
            let schedule_id: ScheduleId = sql::get(row, "schedule_id")?;
            Ok((schedule_id, sql::get::<String>(row, "entry_cron")?))
        })?;
        for (schedule_id, cron) in entries {
            pg_cron::register(Entry::Schedule(schedule_id), &cron)?;
        }
        if old.is_empty() {
            return Ok(());
        }
        schedule::ensure_upkeep(true)
    })
}
