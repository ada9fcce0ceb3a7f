//! The one module that knows pg_cron: its tables, functions, settings, and what its versions differ in.
//!
//! Supported: 1.4 (Debian 12) to 1.6. An entry belongs to an alarm by its name. It runs as the role that owns Kronos's
//! functions, since those that reach here are SECURITY DEFINER.

use crate::error::{self, KronosError, Result};
use crate::sql;
use pgrx::Uuid;
use serde_json::json;

/// What every entry runs.
pub const COMMAND: &str = "SELECT kronos.run_due()";

/// The entries of Kronos as a relation, for queries: which alarm, how often, and whether pg_cron would really fire it as
/// Kronos made it.
pub const ENTRIES: &str = "
select e.jobid,
       e.jobname::text as name,
       e.schedule,
       (e.active
        and e.command = 'SELECT kronos.run_due()'
        and e.database = current_database()
        and e.username = current_user
        and e.nodename = current_setting('cron.host', true)
        and e.nodeport = current_setting('port')::integer
        and (current_setting('cron.enable_superuser_jobs', true) = 'on'
             or not (select rolsuper from pg_catalog.pg_roles where rolname = e.username))) as live
from cron.job e
where e.jobname::text like 'kronos alarm %'";

/// Deletes at most $1 rows of pg_cron's history that are Kronos's own and older than a week.
pub const PRUNE_RUNS: &str = "
delete from cron.job_run_details
where runid in (select runid
                from cron.job_run_details
                where command = 'SELECT kronos.run_due()' and database = current_database()
                  and username = current_user and end_time < now() - interval '7 days'
                order by runid
                limit $1)";

/// The name of an alarm's entry, for queries over a row `a` of kronos.alarms.
pub const NAME_OF_ALARM: &str = "'kronos alarm ' || a.alarm_id";

/// Fails unless pg_cron is loaded, runs in this database, and starts jobs, without which no entry would ever fire.
///
/// A setting without a description is none of pg_cron's: a line in postgresql.conf for a library that is not loaded.
///
/// # Errors
/// `PG_CRON_UNAVAILABLE`.
pub fn require() -> Result<()> {
    let problem = sql::row(
        "select case
             when not exists (select from pg_catalog.pg_extension where extname = 'pg_cron')
                 then 'the extension pg_cron is not in this database'
             when not coalesce(bool_or(name = 'cron.database_name'), false) then 'pg_cron is not loaded by the server'
             when bool_or(name = 'cron.database_name' and setting <> current_database())
                 then 'pg_cron runs in another database'
             when bool_or(name = 'cron.launch_active_jobs' and setting = 'off')
                 then 'pg_cron starts no jobs: cron.launch_active_jobs is off'
         end as problem
         from pg_catalog.pg_settings
         where name in ('cron.database_name', 'cron.launch_active_jobs') and short_desc is not null",
        &[],
        |row| sql::get_opt::<String>(row, "problem"),
    )?;
    match problem.flatten() {
        None => Ok(()),
        Some(problem) => Err(KronosError::new(&error::PG_CRON_UNAVAILABLE, problem, json!({})).with_hint(
            "Set shared_preload_libraries = 'pg_cron' and cron.database_name to this database, and restart the server.",
        )),
    }
}

/// Fails unless the server's pg_cron has entries of seconds. They came with 1.5, as cron.timezone did.
///
/// # Errors
/// `CRON_NOT_SUPPORTED`, `PG_CRON_UNAVAILABLE`.
pub fn require_seconds(cron: &str) -> Result<()> {
    require()?;
    let too_old = sql::row(
        "select extversion from pg_catalog.pg_extension
         where extname = 'pg_cron'
           and not exists (select from pg_catalog.pg_settings where name = 'cron.timezone' and short_desc is not null)",
        &[],
        |row| sql::get::<String>(row, "extversion"),
    )?;
    match too_old {
        None => Ok(()),
        Some(version) => Err(KronosError::new(
            &error::CRON_NOT_SUPPORTED,
            format!("{cron:?} needs pg_cron 1.5 or later; this server has {version}"),
            json!({ "cron": cron, "pg_cron": version, "needed": "1.5" }),
        )
        .with_hint("The shortest interval that this server has is * * * * *, every minute.")),
    }
}

/// The time zone in which pg_cron reads its entries: cron.timezone (1.5 and later), or GMT. An older pg_cron takes no
/// notice of the setting; PostgreSQL then has it without a description.
pub fn timezone() -> Result<String> {
    let zone = sql::row(
        "select case when current_setting('cron.timezone', true) is null then 'GMT'
                     else coalesce((select setting from pg_catalog.pg_settings
                                    where name = 'cron.timezone' and short_desc is not null), 'GMT')
                end as timezone",
        &[],
        |row| sql::get(row, "timezone"),
    )?;
    Ok(zone.unwrap_or_default())
}

/// Whether an alarm's entry is there, live, and set to the alarm's times.
pub fn is_registered(alarm_id: Uuid, cron: &str) -> Result<bool> {
    let statement =
        format!("select from ({ENTRIES}) e where e.name = $1 and e.schedule = $2 and e.live");
    sql::exists(&statement, &[entry_name(alarm_id).into(), cron.into()])
}

/// Makes an alarm's entry.
///
/// # Errors
/// `PG_CRON_FAILED` with pg_cron's SQLSTATE; `PG_CRON_UNAVAILABLE` if its entry would not be one that pg_cron fires.
pub fn register(alarm_id: Uuid, cron: &str) -> Result<()> {
    step("register an alarm with cron.schedule", cron, || {
        sql::run(
            "select cron.schedule($1, $2, $3)",
            &[entry_name(alarm_id).into(), cron.into(), COMMAND.into()],
        )
    })?;
    if is_registered(alarm_id, cron)? {
        return Ok(());
    }
    Err(KronosError::new(
        &error::PG_CRON_UNAVAILABLE,
        "cron.schedule made no entry that pg_cron would fire",
        json!({ "alarm_cron": cron }),
    ))
}

/// Removes an alarm's entry. One that is gone already is no error: that is the state wanted.
///
/// # Errors
/// `PG_CRON_FAILED` with pg_cron's SQLSTATE.
pub fn unregister(alarm_id: Uuid, cron: &str) -> Result<()> {
    step("remove an alarm with cron.unschedule", cron, || {
        sql::run(
            "select cron.unschedule(jobid)
             from (select jobid from cron.job where jobname::text = $1 for update) as entry",
            &[entry_name(alarm_id).into()],
        )
    })
    .map(|_| ())
}

fn entry_name(alarm_id: Uuid) -> String {
    format!("kronos alarm {alarm_id}")
}

/// Gives pg_cron's errors to the caller as pg_cron raised them, with the step that failed.
fn step<T>(step: &'static str, cron: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let cron = cron.to_owned();
    sql::convert_errors(work, move |report| {
        let detail = json!({ "step": step, "alarm_cron": cron, "pg_cron_detail": report.detail() });
        let error = KronosError::new(&error::PG_CRON_FAILED, report.message(), detail)
            .with_sqlstate(report.sql_error_code());
        Some(match report.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    })
}
