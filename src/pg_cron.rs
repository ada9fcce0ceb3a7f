//! The one module that knows pg_cron: its tables, functions and settings, and how its versions differ.
//!
//! Supported: 1.4 (Debian 12) to 1.6. Kronos finds its entries by their names. An entry runs as the role that called
//! cron.schedule. All code that reaches this module runs as Kronos's owner, but for the hook of DROP EXTENSION.

use crate::error::{self, KronosError, Result};
use crate::id::ScheduleId;
use crate::sql;
use pgrx::{Uuid, pg_sys};
use serde_json::json;
use std::cell::Cell;

/// The purpose of one of Kronos's entries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Wakes one schedule.
    Schedule(ScheduleId),
    /// Runs upkeep every minute.
    Upkeep,
}

/// When upkeep's entry fires. It wakes every schedule of minutes that has no entry of its own.
pub const EVERY_MINUTE: &str = "* * * * *";

/// The commands of the entries. Each acts only if the extension exists: an entry that outlives the extension must not
/// call somebody else's function of the same name.
const TICK_COMMAND: &str = "DO $$BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'kronos') \
                            THEN CALL kronos.tick(); END IF; END$$";
const UPKEEP_COMMAND: &str = "DO $$BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'kronos') \
                              THEN CALL kronos.upkeep(); END IF; END$$";

const UPKEEP_NAME: &str = "kronos upkeep";
const SCHEDULE_PREFIX: &str = "kronos schedule ";

impl Entry {
    /// The entry's name in cron.job.
    pub fn name(self) -> String {
        match self {
            Entry::Schedule(schedule_id) => format!("{SCHEDULE_PREFIX}{schedule_id}"),
            Entry::Upkeep => UPKEEP_NAME.into(),
        }
    }

    fn command(self) -> &'static str {
        match self {
            Entry::Schedule(_) => TICK_COMMAND,
            Entry::Upkeep => UPKEEP_COMMAND,
        }
    }

    /// The entry with a name in cron.job.
    fn named(name: &str) -> Option<Entry> {
        if name == UPKEEP_NAME {
            return Some(Entry::Upkeep);
        }
        let id = uuid::Uuid::parse_str(name.strip_prefix(SCHEDULE_PREFIX)?).ok()?;
        Some(Entry::Schedule(Uuid::from_bytes(*id.as_bytes()).into()))
    }
}

/// A row of cron.job.
pub struct Found {
    pub jobid: i64,
    pub name: String,
    /// None for a name that Kronos does not give.
    pub entry: Option<Entry>,
    pub schedule: String,
    /// Whether pg_cron fires it, in this database, with Kronos's command.
    pub is_live: bool,
}

const FIND: &str = include_str!("pg_cron_find.sql");
const FIND_ALL: &str = include_str!("pg_cron_find_all.sql");

fn read(row: &sql::Row) -> Result<Found> {
    let name: String = sql::get(row, "name")?;
    let command: String = sql::get(row, "command")?;
    let entry = Entry::named(&name);
    Ok(Found {
        jobid: sql::get(row, "jobid")?,
        is_live: sql::get::<bool>(row, "fires")?
            && entry.is_some_and(|entry| entry.command() == command),
        entry,
        name,
        schedule: sql::get(row, "schedule")?,
    })
}

/// Every entry with a name that Kronos gives. Entries of other names are somebody else's.
pub fn all() -> Result<Vec<Found>> {
    let mut found = sql::rows(FIND_ALL, &[], read)?;
    found.retain(|entry| entry.entry.is_some());
    Ok(found)
}

/// Returns the wanted entries that pg_cron would not fire as wanted: they are missing, altered or inactive.
pub fn find_broken<'a>(wanted: &[(Entry, &'a str)]) -> Result<Vec<(Entry, &'a str)>> {
    let names: Vec<String> = wanted.iter().map(|(entry, _)| entry.name()).collect();
    let found = step("cron.job", &names.join(", "), || {
        sql::rows(FIND, &[names.clone().into()], read)
    })?;
    let is_missing = |(entry, cron): &&(Entry, &'a str)| {
        !found
            .iter()
            .any(|it| it.entry == Some(*entry) && it.is_live && it.schedule == *cron)
    };
    Ok(wanted.iter().filter(is_missing).copied().collect())
}

thread_local! {
    /// Whether this server is known to run pg_cron in this database. This does not change while a backend lives.
    static IS_LOADED: Cell<bool> = const { Cell::new(false) };
}

const PROBLEM: &str = include_str!("pg_cron_problem.sql");

/// Fails unless pg_cron is loaded, runs in this database, and starts jobs: otherwise no entry would ever fire.
///
/// # Errors
/// `PG_CRON_UNAVAILABLE`.
pub fn require() -> Result<()> {
    let problem = if !IS_LOADED.get() {
        sql::row(PROBLEM, &[], |row| sql::get_opt::<String>(row, "problem"))?.flatten()
    } else if sql::setting(c"cron.launch_active_jobs").as_deref() == Some("off") {
        Some("pg_cron starts no jobs: cron.launch_active_jobs is off".into())
    } else {
        None
    };
    let Some(problem) = problem else {
        IS_LOADED.set(true);
        return Ok(());
    };
    Err(KronosError::new(&error::PG_CRON_UNAVAILABLE, problem, json!({})).with_hint(
        "Set shared_preload_libraries = 'pg_cron' and cron.database_name to this database, and restart the server.",
    ))
}

/// Whether the server's pg_cron has the setting cron.timezone. pg_cron 1.5 added it together with entries of seconds. A
/// line in postgresql.conf that no library has claimed is a setting without a description.
const HAS_TIMEZONE: &str = "
select from pg_catalog.pg_settings where name = 'cron.timezone' and short_desc is not null";

/// Fails unless the server's pg_cron supports entries of seconds.
///
/// # Errors
/// `CRON_NOT_SUPPORTED`, `PG_CRON_UNAVAILABLE`.
pub fn require_seconds(cron: &str) -> Result<()> {
    require()?;
    if sql::exists(HAS_TIMEZONE, &[])? {
        return Ok(());
    }
    let version = sql::row(
        "select extversion from pg_catalog.pg_extension where extname = 'pg_cron'",
        &[],
        |row| sql::get::<String>(row, "extversion"),
    )?
    .unwrap_or_default();
    Err(KronosError::new(
        &error::CRON_NOT_SUPPORTED,
        format!("{cron:?} needs pg_cron 1.5 or later; this server has {version}"),
        json!({ "cron": cron, "pg_cron": version, "needed": "1.5" }),
    )
    .with_hint("The shortest schedule on this server is * * * * *, every minute."))
}

/// The time zone in which pg_cron reads its entries: cron.timezone from 1.5 on, otherwise GMT.
pub fn timezone() -> Result<String> {
    match sql::setting(c"cron.timezone") {
        Some(timezone) if sql::exists(HAS_TIMEZONE, &[])? => Ok(timezone),
        _ => Ok("GMT".into()),
    }
}

/// Creates an entry, or changes the existing entry of its name.
///
/// # Errors
/// `PG_CRON_FAILED` with pg_cron's SQLSTATE; `PG_CRON_UNAVAILABLE` if pg_cron would not fire the entry.
pub fn register(entry: Entry, cron: &str) -> Result<()> {
    step("cron.schedule", cron, || {
        sql::run(
            "select cron.schedule($1, $2, $3)",
            &[entry.name().into(), cron.into(), entry.command().into()],
        )
    })?;
    if find_broken(&[(entry, cron)])?.is_empty() {
        return Ok(());
    }
    Err(KronosError::new(
        &error::PG_CRON_UNAVAILABLE,
        "cron.schedule did not create an entry that pg_cron would fire",
        json!({ "entry": entry.name(), "entry_cron": cron }),
    ))
}

const UNREGISTER: &str = "
select cron.unschedule(e.jobid)
from (select jobid from cron.job where jobname = $1 and username = current_user for update) as e";

/// Removes an entry. It is not an error if the entry does not exist.
///
/// # Errors
/// `PG_CRON_FAILED` with pg_cron's SQLSTATE.
pub fn unregister(entry: Entry) -> Result<()> {
    let name = entry.name();
    step("cron.unschedule", &name, || {
        sql::run(UNREGISTER, &[name.as_str().into()])
    })
    .map(|_| ())
}

/// Removes an entry that belongs to no schedule, whoever owns it.
///
/// # Errors
/// `PG_CRON_FAILED` with pg_cron's SQLSTATE.
pub fn remove(entry: &Found) -> Result<()> {
    step("cron.unschedule", &entry.name, || {
        sql::run("select cron.unschedule($1)", &[entry.jobid.into()])
    })
    .map(|_| ())
}

/// Deletes at most $1 of Kronos's rows from pg_cron's history that are older than a week.
const PRUNE_RUNS: &str = include_str!("pg_cron_prune_runs.sql");

/// Deletes old rows of Kronos's entries from pg_cron's history, `max` at most, and returns how many.
pub fn prune_runs(max: i64) -> Result<u64> {
    let commands = vec![TICK_COMMAND, UPKEEP_COMMAND];
    sql::run(PRUNE_RUNS, &[max.into(), commands.into()])
}

/// Returns what keeps pg_cron from firing the entries of Kronos, one row per finding.
///
/// # Errors
/// Fails only if SQL does.
pub fn diagnose<T>(read: impl FnMut(&sql::Row) -> Result<T>) -> Result<Vec<T>> {
    let commands = vec![TICK_COMMAND, UPKEEP_COMMAND];
    sql::rows(
        include_str!("pg_cron_diagnose.sql"),
        &[commands.into(), free_workers().into()],
        read,
    )
}

/// Passes an error of pg_cron to the caller as pg_cron raised it, with the step that failed.
fn step<T>(step: &'static str, subject: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    sql::convert_errors(work, |report| {
        let detail = json!({ "step": step, "subject": subject, "pg_cron_detail": report.detail() });
        let error = KronosError::new(&error::PG_CRON_FAILED, report.message(), detail)
            .with_sqlstate(report.sql_error_code());
        Some(match report.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    })
}

/// How many of max_worker_processes are left beside pg_cron's own processes and that of logical replication.
pub fn free_workers() -> i32 {
    let number = |name| sql::setting(name).and_then(|text| text.parse::<i32>().ok());
    let is_on = |name| sql::setting(name).is_some_and(|text| text == "on");
    let of_pg_cron = if is_on(c"cron.use_background_workers") {
        1 + number(c"cron.max_running_jobs").unwrap_or(5)
    } else {
        1
    };
    number(c"max_worker_processes").unwrap_or(8) - 1 - of_pg_cron
}

/// An entry that is not Kronos's.
pub struct Foreign {
    pub jobid: i64,
    pub name: Option<String>,
    pub schedule: String,
    pub command: String,
    /// The name of the role as which it runs.
    pub role: String,
    pub is_active: bool,
    pub is_of_this_database: bool,
}

impl Foreign {
    /// The role as which it runs.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if the role does not exist.
    pub fn role(&self) -> Result<pg_sys::Oid> {
        sql::find_role(&self.role)?.ok_or_else(|| {
            error::invalid_argument(
                "filter",
                &format!(
                    "finds an entry of role {:?}, which does not exist",
                    self.role
                ),
            )
        })
    }
}

/// The entries that are not Kronos's and that the effective user sees, whose names match a LIKE pattern. Callers have not
/// become the owner: pg_cron shows a role its own entries only.
///
/// # Errors
/// `PG_CRON_FAILED` with PostgreSQL's SQLSTATE: the caller may lack the privilege to read cron.job.
pub fn foreign_entries(filter: &str) -> Result<Vec<Foreign>> {
    let args = [filter.into()];
    let read = || {
        sql::rows(include_str!("pg_cron_foreign.sql"), &args, |row| {
            Ok(Foreign {
                jobid: sql::get(row, "jobid")?,
                name: sql::get_opt(row, "name")?,
                schedule: sql::get(row, "schedule")?,
                command: sql::get(row, "command")?,
                role: sql::get(row, "role")?,
                is_active: sql::get(row, "active")?,
                is_of_this_database: sql::get(row, "is_of_this_database")?,
            })
        })
    };
    step("cron.job", filter, read)
}

/// Removes an entry that is not Kronos's, with the rights of the effective user.
///
/// # Errors
/// `PG_CRON_FAILED` with pg_cron's SQLSTATE.
pub fn remove_foreign(entry: &Foreign) -> Result<()> {
    step("cron.unschedule", &entry.role, || {
        sql::run("select cron.unschedule($1)", &[entry.jobid.into()])
    })
    .map(|_| ())
}
