//! One batch: some of the due ticks, in one transaction.

use super::busy::split_off_busy;
use super::call::{Call, MAX_ROWS, MAX_SCHEDULES, Outcome};
use super::due::DueTicks;
use super::jobs::{
    Job, JobRange, count_jobs, lock_jobs, lock_jobs_by_id, read_jobs, set_back_jobs,
};
use super::materialise::{JobWork, write_isolated};
use super::owed;
use super::pass::{Due, Progress, lock_due, progress, record_progress};
use super::plain::{Plain, write_plain};
use crate::calendar::Tick;
use crate::error::Result;
use crate::id::JobId;
use crate::{settings, sql};
use std::collections::{HashMap, HashSet};

/// Handles a batch of due schedules, and returns whether more may be due.
///
/// Its statements are planned to read by index. A plan made while the ledger was empty would scan the whole ledger for
/// each tick once it is full.
pub fn run_batch(call: &mut Call) -> Result<bool> {
    sql::by_index(|| handle_batch(call))
}

fn handle_batch(call: &mut Call) -> Result<bool> {
    set_back_jobs(MAX_ROWS)?;
    let due = lock_due(call.until, call.schedule_limit, &mut call.unreadable)?;
    if due.is_empty() {
        return Ok(false);
    }
    let mut progress = vec![];
    let mut selected: Vec<(Due, DueTicks)> = vec![];
    let (locked, mut amount) = (due.len(), 0);
    for due in due {
        let ticks = due.ticks();
        amount += ticks.len();
        if ticks.is_empty() {
            progress.push(due.finished());
        } else if selected.is_empty() || amount <= MAX_ROWS {
            selected.push((due, ticks));
        } else {
            // After an outage a schedule may have thousands of ticks.
            break;
        }
    }
    progress.extend(handle(&selected, call)?);
    let finished = progress.iter().filter(|it| it.is_finished()).count();
    call.outcome.schedules += finished as i64;
    // About as many as a batch finishes, so that parallel wake-ups share the others.
    call.schedule_limit = if finished < locked {
        finished * 5 / 4 + 1
    } else {
        MAX_SCHEDULES
    };
    record_progress(&progress)?;
    Ok(true)
}

fn handle(due: &[(Due, DueTicks)], call: &mut Call) -> Result<Vec<Progress>> {
    if due.is_empty() {
        return Ok(vec![]);
    }
    let mut ranges: Vec<JobRange> = due
        .iter()
        .map(|(due, _)| JobRange::new(due.schedule_id, due.pass_job_id))
        .collect();
    let ticks: Option<Vec<Tick>> = due.iter().map(|(_, ticks)| ticks.single()).collect();
    if let Some(ticks) = ticks
        && let Some(plain) = write_plain(&ranges, &ticks, MAX_ROWS)?
    {
        handle_unwritten(due, &mut ranges, &ticks, plain, call)
    } else {
        handle_each(due, &mut ranges, call)
    }
}

/// Handles the jobs that [`write_plain`] has locked but not written, and the jobs that it has skipped.
fn handle_unwritten(
    due: &[(Due, DueTicks)],
    ranges: &mut Vec<JobRange>,
    ticks: &[Tick],
    plain: Plain,
    call: &mut Call,
) -> Result<Vec<Progress>> {
    call.outcome.written.executions += plain.executions;
    let end = plain.last.filter(|_| plain.locked == MAX_ROWS);
    end_at(ranges, end);
    let places: HashMap<JobId, usize> = plain.others.iter().map(|(p, job)| (*job, *p)).collect();
    let locked_elsewhere = if count_jobs(ranges)? == plain.locked {
        vec![]
    } else {
        let ticks: Vec<_> = ticks.iter().copied().map(Some).collect();
        let mut unwritten = read_jobs(ranges, &ticks[..ranges.len()])?;
        unwritten.retain(|(_, job)| !places.contains_key(&job.job_id));
        unwritten
    };
    let mut locked = if places.is_empty() {
        vec![]
    } else {
        lock_jobs_by_id(places.keys().copied().collect(), |row| {
            let job = Job::read(row)?;
            Ok((places[&job.job_id], job))
        })?
    };
    locked.sort_by_key(|(place, job)| (*place, job.job_id));
    let works = locked
        .iter()
        .map(|(place, job)| work_of(job, &due[*place]))
        .collect();
    write(due, &locked_elsewhere, &locked, works, call)?;
    Ok(progress(due, end))
}

/// Handles jobs one by one in Rust: each may have several ticks.
fn handle_each(
    due: &[(Due, DueTicks)],
    ranges: &mut Vec<JobRange>,
    call: &mut Call,
) -> Result<Vec<Progress>> {
    let is_single = due.iter().all(|(_, ticks)| ticks.is_single());
    let limit = if is_single { MAX_ROWS } else { call.job_limit };
    let mut locked = lock_jobs(ranges, limit)?;
    let mut is_exhausted = locked.len() < limit;
    let mut works: Vec<JobWork> = vec![];
    let mut rows = 0;
    for (place, job) in &locked {
        let work = work_of(job, &due[*place]);
        rows += work.run.len();
        works.push(work);
        if rows >= MAX_ROWS && works.len() < locked.len() {
            is_exhausted = false;
            break;
        }
    }
    if !is_single {
        // About as many jobs as fill a batch, so that few jobs are locked for nothing.
        call.job_limit = (works.len() * 5 / 4 + 1).min(MAX_ROWS);
    }
    locked.truncate(works.len());
    let last = locked.last().filter(|_| !is_exhausted);
    let end = last.map(|(place, job)| (*place, job.job_id));
    end_at(ranges, end);
    let locked_elsewhere = if count_jobs(ranges)? == locked.len() {
        vec![]
    } else {
        let ids: HashSet<JobId> = locked.iter().map(|(_, job)| job.job_id).collect();
        let mut all = read_jobs(ranges, &vec![None; ranges.len()])?;
        all.retain(|(_, job)| !ids.contains(&job.job_id));
        all
    };
    write(due, &locked_elsewhere, &locked, works, call)?;
    Ok(progress(due, end))
}

/// Ends the ranges at the last job of a batch that has not reached the end of all ranges.
fn end_at(ranges: &mut Vec<JobRange>, end: Option<(usize, JobId)>) {
    if let Some((place, job_id)) = end {
        ranges.truncate(place + 1);
        ranges[place].up_to = job_id;
    }
}

fn work_of(job: &Job, (_, ticks): &(Due, DueTicks)) -> JobWork {
    let ticks = ticks.of(job);
    JobWork {
        job_id: job.job_id,
        workspace_id: job.workspace_id,
        run: ticks.run,
        dropped: ticks.dropped,
    }
}

/// Writes the ticks of the locked jobs. Ticks that cannot be written, and ticks of jobs that other sessions have locked
/// or that are known to fail, become owed.
fn write(
    due: &[(Due, DueTicks)],
    locked_elsewhere: &[(usize, Job)],
    locked: &[(usize, Job)],
    works: Vec<JobWork>,
    call: &mut Call,
) -> Result<()> {
    if locked_elsewhere.is_empty() && locked.is_empty() {
        return Ok(());
    }
    let mut owing: Vec<JobWork> = locked_elsewhere
        .iter()
        .map(|(place, job)| work_of(job, &due[*place]))
        .collect();
    let replacing = locked
        .iter()
        .filter(|(_, job)| job.replaces)
        .map(|(_, job)| job.job_id)
        .collect();
    let (works, busy) = split_off_busy(works, replacing)?;
    owing.extend(busy);
    let known = owed::failing(works.iter().map(|work| work.job_id).collect())?;
    let (failing, works): (Vec<JobWork>, Vec<JobWork>) = works
        .into_iter()
        .filter(|work| !work.is_empty())
        .partition(|work| !work.run.is_empty() && known.contains(&work.job_id));
    owing.extend(failing);
    owed::record(&owing, None)?;
    call.outcome.written += write_isolated(&works, &mut call.failures, &mut |works, failure| {
        owed::record(works, Some(failure))
    })?;
    Ok(())
}

/// Runs one batch, and retries owed ticks, in the caller's transaction. Does nothing if kronos.enabled is off.
pub fn run_due() -> Result<Outcome> {
    let mut call = Call::begin();
    if settings::enabled() {
        run_batch(&mut call)?;
        owed::retry(&mut call, sql::now())?;
    }
    Ok(call.outcome)
}
