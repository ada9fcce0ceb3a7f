//! The common case of a tick: one statement locks the jobs, decides, and writes, so that no row passes through Rust.

use super::jobs::{Stretch, columns};
use crate::calendar::Tick;
use crate::error::Result;
use crate::execution::Startable;
use crate::id::JobId;
use crate::sql;

/// What the statement has locked and written.
#[derive(Default)]
pub struct Plain {
    pub locked: usize,
    pub executions: i64,
    /// The last of the locked jobs, with the place of its stretch.
    pub last: Option<(usize, JobId)>,
    /// The locked jobs that are not plain, each with the place of its stretch.
    pub others: Vec<(usize, JobId)>,
}

const WRITE_PLAIN: &str = include_str!("write_plain.sql");

/// Locks the jobs of the stretches, `limit` at most and in order, and writes the tick of each stretch for those that are
/// plain. None if the statement fails, of which nothing then remains: for one of its jobs, or because the ledger has a tick.
pub fn write_plain(stretches: &[Stretch], ticks: &[Tick], limit: usize) -> Result<Option<Plain>> {
    match sql::in_subtransaction(|| write(stretches, ticks, limit)) {
        Ok(plain) => Ok(Some(plain)),
        Err(failure) if failure.is_interruption() => failure.rethrow(),
        Err(_) => Ok(None),
    }
}

fn write(stretches: &[Stretch], ticks: &[Tick], limit: usize) -> Result<Plain> {
    let (schedules, after, up_to) = columns(stretches);
    let ticks: Vec<_> = ticks.iter().copied().map(sql::to_pg).collect();
    let args = [
        schedules.into(),
        after.into(),
        up_to.into(),
        ticks.into(),
        (limit as i64).into(),
    ];
    let mut plain = Plain::default();
    let mut startable = Startable::default();
    sql::rows(WRITE_PLAIN, &args, |row| {
        let place = sql::get::<i64>(row, "place")? as usize;
        plain.locked += sql::get::<i64>(row, "jobs")? as usize;
        plain.executions += sql::get::<i64>(row, "executions")?;
        plain.last = plain.last.max(Some((place, sql::get(row, "last_job_id")?)));
        let others: Option<Vec<JobId>> = sql::get_opt(row, "others")?;
        plain
            .others
            .extend(others.into_iter().flatten().map(|job_id| (place, job_id)));
        startable.add(
            sql::get(row, "workspace_id")?,
            sql::get_opt(row, "first_run_at")?,
        );
        Ok(())
    })?;
    startable.notify();
    Ok(plain)
}
