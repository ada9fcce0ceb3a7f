//! Writes the ticks that an update leaves to the old version of its job.

use super::call::Call;
use super::due::DueTicks;
use super::jobs::Job;
use super::materialise::{JobWork, write};
use super::owed;
use crate::calendar::timing;
use crate::error::Result;
use crate::id::JobId;
use crate::sql;
use chrono::{DateTime, Utc};
use pgrx::datum::TimestampWithTimeZone;

const FIND: &str = include_str!("find_unhandled.sql");

struct Unhandled {
    job: Job,
    cron: String,
    timezone: String,
    ticked_until: DateTime<Utc>,
    is_owed: bool,
}

/// Writes, for the current version, the ticks of an active job that came due up to an instant and that no wake-up has
/// handled yet, and returns whether that is all of them. The caller holds the job's row lock.
///
/// A tick that cannot be written does not fail the call, so that an update can repair a failing job. `tick()` writes
/// the tick for the next version; but if the job `leaves_schedule`, the ledger records the tick as skipped, with the
/// reason.
///
/// # Errors
/// `CONCURRENT_CHANGE` if the snapshot is too old to show the current ledger.
pub fn write_unhandled(job_id: JobId, until: DateTime<Utc>, leaves_schedule: bool) -> Result<bool> {
    let args = [job_id.into(), sql::to_pg(until).into()];
    let read = |row: &sql::Row| {
        let time = |column| -> Result<DateTime<Utc>> {
            Ok(sql::from_pg(sql::get::<TimestampWithTimeZone>(
                row, column,
            )?))
        };
        Ok(Unhandled {
            job: Job::read(row)?,
            cron: sql::get(row, "cron")?,
            timezone: sql::get(row, "timezone")?,
            ticked_until: time("handled_until")?,
            is_owed: sql::get(row, "is_owed")?,
        })
    };
    let found = sql::by_index(|| sql::row(FIND, &args, read))?;
    let Some(found) = found else { return Ok(true) };
    let Ok(timing) = timing(&found.cron, &found.timezone) else {
        return Ok(true);
    };
    let mut call = Call::begin();
    if found.is_owed {
        owed::retry_of(job_id, &mut call)?;
    }
    let ticks = DueTicks::new(&timing, found.ticked_until.min(until), until).of(&found.job);
    let work = JobWork {
        job_id,
        workspace_id: found.job.workspace_id,
        run: ticks.run,
        dropped: ticks.dropped,
    };
    if work.is_empty() {
        return Ok(true);
    }
    match sql::in_subtransaction(|| sql::by_index(|| write(std::slice::from_ref(&work)))) {
        Ok(_) => Ok(true),
        Err(failure) if failure.is_interruption() || failure.is_contention() => failure.rethrow(),
        Err(_) if !leaves_schedule => Ok(false),
        Err(failure) => {
            let reason = format!("the job failed: {}", failure.report.message());
            let ticks = work
                .run
                .iter()
                .map(|tick| ((job_id, *tick), reason.clone()));
            owed::skip(&ticks.collect::<Vec<_>>())?;
            Ok(true)
        }
    }
}
