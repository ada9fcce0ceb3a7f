//! Moving entries of pg_cron itself into jobs.

use super::find::find_named;
use super::job_ref::JobRef;
use super::pause::pause;
use super::statement::{self, Scheduled};
use crate::authority::Authorised;
use crate::error::Result;
use crate::pg_cron::{self, Foreign};
use crate::sql;

/// What became of an entry.
pub struct Imported {
    pub entry: Foreign,
    /// MOVE, LEAVE (it cannot become a job) or FAIL (it is wrong; only a dry run lists it).
    pub action: &'static str,
    pub job_name: Option<String>,
    pub reason: Option<String>,
}

/// Makes jobs of entries: each with an SQL endpoint of its name, which runs as the entry's role. An entry of another
/// database, and one of @reboot, is left. The caller removes the moved entries.
///
/// # Errors
/// The first error of an entry that is wrong. A dry run lists them instead.
pub fn import(
    workspace: &Authorised,
    entries: Vec<Foreign>,
    dry_run: bool,
) -> Result<Vec<Imported>> {
    let timezone = match pg_cron::timezone()?.as_str() {
        "GMT" => "UTC".to_owned(),
        timezone => timezone.to_owned(),
    };
    let move_all = || -> Result<Vec<Imported>> {
        entries
            .into_iter()
            .map(|entry| import_one(workspace, entry, &timezone, dry_run))
            .collect()
    };
    if dry_run {
        sql::dry_run(move_all)
    } else {
        move_all()
    }
}

fn import_one(
    workspace: &Authorised,
    entry: Foreign,
    timezone: &str,
    dry_run: bool,
) -> Result<Imported> {
    sql::check_for_interrupts();
    let reason = if !entry.is_of_this_database {
        Some("it runs in another database")
    } else if entry.schedule.trim().eq_ignore_ascii_case("@reboot") {
        Some("Kronos has no @reboot")
    } else {
        None
    };
    if let Some(reason) = reason {
        return Ok(Imported {
            entry,
            action: "LEAVE",
            job_name: None,
            reason: Some(reason.to_owned()),
        });
    }
    let name = match &entry.name {
        Some(name) => name.clone(),
        None => format!("pg_cron job {}", entry.jobid),
    };
    let failure = if dry_run {
        let made = sql::in_subtransaction(|| make(workspace, &entry, &name, timezone));
        made.err()
            .map(|failure| failure.report.message().to_owned())
    } else {
        make(workspace, &entry, &name, timezone)
            .map_err(|error| error.with("pg_cron_jobid", entry.jobid))?;
        None
    };
    Ok(Imported {
        entry,
        action: if failure.is_some() { "FAIL" } else { "MOVE" },
        job_name: Some(name),
        reason: failure,
    })
}

fn make(workspace: &Authorised, entry: &Foreign, name: &str, timezone: &str) -> Result<()> {
    if find_named(workspace, name)?.is_some() {
        return Err(super::error::job_exists(&workspace.name, name));
    }
    let role = entry.role()?;
    workspace.require_role(role, name)?;
    let scheduled = Scheduled {
        name,
        cron: &entry.schedule,
        statement: &entry.command,
        timezone: Some(timezone),
        mode: None,
        settings: None,
        retry_policy: None,
        attempt_timeout: None,
        overlap_policy: None,
        catchup_policy: None,
        catchup_window: None,
        jitter: None,
        priority: None,
        on_failure: None,
        max_consecutive_failures: None,
    };
    statement::make(workspace, &scheduled, Some(role))?;
    if !entry.is_active {
        let reason = Some("its pg_cron entry was not active");
        pause(workspace, JobRef::Name(name), reason)?;
    }
    Ok(())
}
