//! The common case of a tick: one statement locks the jobs, decides and writes, so that no row passes through Rust.

use super::jobs::{JobRange, columns};
use crate::calendar::Tick;
use crate::error::Result;
use crate::execution::Startable;
use crate::id::JobId;
use crate::sql;

/// The jobs that the statement has locked, and the executions that it has written.
#[derive(Default)]
pub struct Plain {
    pub locked: usize,
    pub executions: i64,
    /// The last locked job, with the place of its range.
    pub last: Option<(usize, JobId)>,
    /// The locked jobs that are not plain, each with the place of its range.
    pub others: Vec<(usize, JobId)>,
}

const WRITE_PLAIN: &str = include_str!("write_plain.sql");

/// Locks at most `limit` jobs of the ranges, in order, and writes the tick of each range for the plain jobs. Returns
/// None, with no effect, if the statement fails: for one of its jobs, or because a tick is in the ledger already.
pub fn write_plain(ranges: &[JobRange], ticks: &[Tick], limit: usize) -> Result<Option<Plain>> {
    match sql::in_subtransaction(|| write(ranges, ticks, limit)) {
        Ok(plain) => Ok(Some(plain)),
        Err(failure) if failure.is_interruption() => failure.rethrow(),
        Err(_) => Ok(None),
    }
}

fn write(ranges: &[JobRange], ticks: &[Tick], limit: usize) -> Result<Plain> {
    let (schedules, after, up_to) = columns(ranges);
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
        startable.add(row)?;
        Ok(())
    })?;
    startable.notify();
    Ok(plain)
}
