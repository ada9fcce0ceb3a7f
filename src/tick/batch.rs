//! One batch: some of what is due, in one transaction.

use super::busy::set_busy_apart;
use super::call::{Call, MAX_ROWS, MAX_SCHEDULES, Outcome};
use super::due::DueTicks;
use super::jobs::{Job, Stretch, count_jobs, lock_jobs, lock_jobs_by_id, read_jobs};
use super::materialise::{JobWork, write_isolated};
use super::owed;
use super::pass::{Due, Progress, lock_due, progress, record_progress};
use super::plain::{Plain, write_plain};
use crate::calendar::Tick;
use crate::error::Result;
use crate::id::JobId;
use crate::sql;
use std::collections::{HashMap, HashSet};

/// Handles a batch of what is due, and says whether there may be more.
///
/// The plans of its statements read by index: one that was made while the ledger was empty would read all of it for each
/// tick once it is full.
pub fn run_batch(call: &mut Call) -> Result<bool> {
    sql::by_index(|| handle_batch(call))
}

fn handle_batch(call: &mut Call) -> Result<bool> {
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
    let mut stretches: Vec<Stretch> = due
        .iter()
        .map(|(due, _)| Stretch::new(due.schedule_id, due.pass_job_id))
        .collect();
    let ticks: Option<Vec<Tick>> = due.iter().map(|(_, ticks)| ticks.single()).collect();
    if let Some(ticks) = ticks
        && let Some(plain) = write_plain(&stretches, &ticks, MAX_ROWS)?
    {
        handle_others(due, &mut stretches, &ticks, plain, call)
    } else {
        handle_each(due, &mut stretches, call)
    }
}

/// Handles the jobs that [`write_plain`] has locked or passed over, and not written.
fn handle_others(
    due: &[(Due, DueTicks)],
    stretches: &mut Vec<Stretch>,
    ticks: &[Tick],
    plain: Plain,
    call: &mut Call,
) -> Result<Vec<Progress>> {
    call.outcome.written.executions += plain.executions;
    let end = plain.last.filter(|_| plain.locked == MAX_ROWS);
    end_at(stretches, end);
    let places: HashMap<JobId, usize> = plain.others.iter().map(|(p, job)| (*job, *p)).collect();
    let elsewhere = if count_jobs(stretches)? == plain.locked {
        vec![]
    } else {
        let ticks: Vec<_> = ticks.iter().copied().map(Some).collect();
        let mut unwritten = read_jobs(stretches, &ticks[..stretches.len()])?;
        unwritten.retain(|(_, job)| !places.contains_key(&job.job_id));
        unwritten
    };
    let mut held = if places.is_empty() {
        vec![]
    } else {
        lock_jobs_by_id(places.keys().copied().collect(), |row| {
            let job = Job::read(row)?;
            Ok((places[&job.job_id], job))
        })?
    };
    held.sort_by_key(|(place, job)| (*place, job.job_id));
    let works = held
        .iter()
        .map(|(place, job)| work_of(job, &due[*place]))
        .collect();
    write(due, &elsewhere, &held, works, call)?;
    Ok(progress(due, end))
}

/// Handles jobs one by one in Rust: each may have several ticks.
fn handle_each(
    due: &[(Due, DueTicks)],
    stretches: &mut Vec<Stretch>,
    call: &mut Call,
) -> Result<Vec<Progress>> {
    let is_single = due.iter().all(|(_, ticks)| ticks.is_single());
    let limit = if is_single { MAX_ROWS } else { call.job_limit };
    let mut held = lock_jobs(stretches, limit)?;
    let mut is_exhausted = held.len() < limit;
    let mut works: Vec<JobWork> = vec![];
    let mut rows = 0;
    for (place, job) in &held {
        let work = work_of(job, &due[*place]);
        rows += work.run.len();
        works.push(work);
        if rows >= MAX_ROWS && works.len() < held.len() {
            is_exhausted = false;
            break;
        }
    }
    if !is_single {
        // About as many jobs as fill a batch, so that few are locked in vain.
        call.job_limit = (works.len() * 5 / 4 + 1).min(MAX_ROWS);
    }
    held.truncate(works.len());
    let last = held.last().filter(|_| !is_exhausted);
    let end = last.map(|(place, job)| (*place, job.job_id));
    end_at(stretches, end);
    let elsewhere = if count_jobs(stretches)? == held.len() {
        vec![]
    } else {
        let ids: HashSet<JobId> = held.iter().map(|(_, job)| job.job_id).collect();
        let mut all = read_jobs(stretches, &vec![None; stretches.len()])?;
        all.retain(|(_, job)| !ids.contains(&job.job_id));
        all
    };
    write(due, &elsewhere, &held, works, call)?;
    Ok(progress(due, end))
}

/// Ends the stretches at the last job of a batch, if it has not come to their end.
fn end_at(stretches: &mut Vec<Stretch>, end: Option<(usize, JobId)>) {
    if let Some((place, job_id)) = end {
        stretches.truncate(place + 1);
        stretches[place].up_to = job_id;
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

/// Writes what the held jobs have. What cannot be written, and the ticks of jobs that other sessions hold or that are known
/// to fail, are owed.
fn write(
    due: &[(Due, DueTicks)],
    elsewhere: &[(usize, Job)],
    held: &[(usize, Job)],
    works: Vec<JobWork>,
    call: &mut Call,
) -> Result<()> {
    if elsewhere.is_empty() && held.is_empty() {
        return Ok(());
    }
    let mut owing: Vec<JobWork> = elsewhere
        .iter()
        .map(|(place, job)| work_of(job, &due[*place]))
        .collect();
    let replacing = held
        .iter()
        .filter(|(_, job)| job.replaces)
        .map(|(_, job)| job.job_id)
        .collect();
    let (works, busy) = set_busy_apart(works, replacing)?;
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

/// One batch, and the owed ticks, in the caller's transaction.
pub fn run_due() -> Result<Outcome> {
    let mut call = Call::begin();
    run_batch(&mut call)?;
    owed::retry(&mut call, sql::now())?;
    Ok(call.outcome)
}
