//! Ticks that could not be written with the others: their job was locked, or writing failed.

use super::busy::split_off_busy;
use super::call::Call;
use super::jobs::{Job, lock_jobs_by_id};
use super::materialise::{Failures, JobWork, write_isolated};
use crate::calendar::{Tick, timing};
use crate::error::Result;
use crate::id::JobId;
use crate::named::Named;
use crate::sql;
use crate::status::JobStatus;
use chrono::{DateTime, Utc};
use pgrx::datum::TimestampWithTimeZone;
use std::collections::{HashMap, HashSet};

/// The most owed ticks that one transaction retries.
const BATCH: i64 = 1000;

/// How many times a failing tick is tried before it is given up. With pauses that double from 30 seconds, this takes
/// four hours.
const MAX_TRIES: i32 = 10;

const RECORD: &str = include_str!("record_owed.sql");

/// Records the ticks of works as owed. They are retried at once if their jobs were only locked, and after a pause if
/// writing them failed. A failure counts as a try only for a single job: in a group, another job may have caused it.
pub fn record(works: &[JobWork], failure: Option<&sql::Failure>) -> Result<()> {
    let (mut jobs, mut ticks) = (vec![], vec![]);
    for work in works {
        jobs.extend(std::iter::repeat_n(work.job_id, work.run.len()));
        ticks.extend(work.run.iter().copied().map(sql::to_pg));
    }
    if jobs.is_empty() {
        return Ok(());
    }
    let failure = failure.filter(|failure| !failure.is_contention());
    let args = [
        jobs.into(),
        ticks.into(),
        failure.map(sql::Failure::sqlstate).into(),
        failure
            .map(|failure| failure.report.message().to_owned())
            .into(),
        i32::from(failure.is_some() && works.len() == 1).into(),
    ];
    sql::run(RECORD, &args).map(|_| ())
}

const FAILING: &str = "
select distinct job_id from kronos_internal.owed where job_id = any ($1) and tries > 0";

/// Returns which jobs have failed alone and still owe the tick. Tried together with other jobs, they would make all of
/// them fail.
pub fn failing(jobs: Vec<JobId>) -> Result<HashSet<JobId>> {
    let failing = sql::rows(FAILING, &[jobs.into()], |row| sql::get(row, "job_id"))?;
    Ok(failing.into_iter().collect())
}

struct Owed {
    job_id: JobId,
    tick_at: Tick,
    tries: i32,
}

const LOCK_OWED: &str = include_str!("lock_owed.sql");

/// A locked job, with the columns that decide about its owed ticks.
struct Debtor {
    job: Job,
    status: JobStatus,
    version_since: DateTime<Utc>,
    cron: String,
    timezone: String,
}

/// The decision about an owed tick.
enum Verdict {
    Run,
    /// The ledger records the tick as skipped, with the reason.
    Skip(&'static str),
    /// The tick is not a tick of the job.
    Forget,
}

impl Debtor {
    /// A tick that came due before the current version began belongs to an older version, and is written for the
    /// current one. A later tick must be a tick of the current version.
    fn judge(&self, tick: Tick) -> Verdict {
        let is_of_version = || timing(&self.cron, &self.timezone).is_ok_and(|it| it.is_tick(tick));
        match self.status {
            JobStatus::Paused => {
                Verdict::Skip("the job was paused before the tick could be written")
            }
            JobStatus::Retired => {
                Verdict::Skip("the job was retired before the tick could be written")
            }
            _ if tick < self.job.ledger_from => Verdict::Forget,
            _ if tick <= self.version_since => Verdict::Run,
            _ if !is_of_version() => Verdict::Forget,
            _ if self.job.has(tick) => Verdict::Run,
            _ if tick <= self.job.active_since => {
                Verdict::Skip("the job was paused before the tick could be written")
            }
            _ => Verdict::Forget,
        }
    }
}

/// Retries owed ticks whose next try is due at an instant, and returns whether more may be due. A tick whose job
/// another session still has locked is postponed past the instant, so that a caller that retries until no more are due
/// terminates.
pub fn retry(call: &mut Call, at: DateTime<Utc>) -> Result<bool> {
    let owed = sql::rows(LOCK_OWED, &[sql::to_pg(at).into(), BATCH.into()], |row| {
        Ok(Owed {
            job_id: sql::get(row, "job_id")?,
            tick_at: sql::from_pg(sql::get(row, "tick_at")?),
            tries: sql::get(row, "tries")?,
        })
    })?;
    if owed.is_empty() {
        return Ok(false);
    }
    retry_all(&owed, call)?;
    Ok(owed.len() as i64 == BATCH)
}

/// Retries the owed ticks of one job, whose row the caller has locked. Ticks that fail stay owed.
pub fn retry_of(job_id: JobId, call: &mut Call) -> Result<()> {
    let owed = sql::rows(
        "select tick_at, tries from kronos_internal.owed where job_id = $1 order by tick_at for update skip locked",
        &[job_id.into()],
        |row| {
            Ok(Owed {
                job_id,
                tick_at: sql::from_pg(sql::get(row, "tick_at")?),
                tries: sql::get(row, "tries")?,
            })
        },
    )?;
    if owed.is_empty() {
        Ok(())
    } else {
        retry_all(&owed, call)
    }
}

fn retry_all(owed: &[Owed], call: &mut Call) -> Result<()> {
    sql::by_index(|| settle_all(owed, call))
}

fn settle_all(owed: &[Owed], call: &mut Call) -> Result<()> {
    let debtors = lock_debtors(owed)?;
    let mut works: HashMap<JobId, JobWork> = HashMap::new();
    let (mut settled, mut skipped, mut waiting) = (vec![], vec![], vec![]);
    for tick in owed {
        let key = (tick.job_id, tick.tick_at);
        let Some(debtor) = debtors.get(&tick.job_id) else {
            waiting.push(key);
            continue;
        };
        settled.push(key);
        match debtor.judge(tick.tick_at) {
            Verdict::Forget => {}
            Verdict::Skip(reason) => skipped.push((key, reason.to_owned())),
            Verdict::Run => {
                let work = works.entry(tick.job_id).or_insert_with(|| JobWork {
                    job_id: tick.job_id,
                    workspace_id: debtor.job.workspace_id,
                    run: vec![],
                    dropped: None,
                });
                work.run.push(tick.tick_at);
            }
        }
    }
    let mut works: Vec<JobWork> = works.into_values().collect();
    works.iter_mut().for_each(|work| work.run.sort_unstable());
    works.sort_by_key(|work| (work.workspace_id, work.job_id));
    let replacing: Vec<JobId> = works
        .iter()
        .map(|work| work.job_id)
        .filter(|job_id| {
            debtors
                .get(job_id)
                .is_some_and(|debtor| debtor.job.replaces)
        })
        .collect();
    let (works, busy) = split_off_busy(works, replacing)?;
    let mut unsettled: HashSet<JobId> = busy.iter().map(|work| work.job_id).collect();
    waiting.extend(keys(&busy));
    let tries: HashMap<(JobId, Tick), i32> = owed
        .iter()
        .map(|tick| ((tick.job_id, tick.tick_at), tick.tries))
        .collect();
    // Jobs that have failed alone are tried alone, after the other jobs, and do not count against the jobs that a call
    // may isolate.
    let known = failing(works.iter().map(|work| work.job_id).collect())?;
    let (failing, fresh): (Vec<JobWork>, Vec<JobWork>) = works
        .into_iter()
        .partition(|work| known.contains(&work.job_id));
    let mut failures = vec![];
    let mut on_failure = |works: &[JobWork], failure: &sql::Failure| {
        unsettled.extend(works.iter().map(|work| work.job_id));
        if failure.is_contention() {
            waiting.extend(keys(works));
        } else {
            let error = failure.report.message().to_owned();
            let is_alone = works.len() == 1;
            failures.push((
                keys(works).collect::<Vec<_>>(),
                failure.sqlstate(),
                error,
                is_alone,
            ));
        }
        Ok(())
    };
    call.outcome.written += write_isolated(&fresh, &mut call.retry_failures, &mut on_failure)?;
    for work in &failing {
        let work = std::slice::from_ref(work);
        call.outcome.written += write_isolated(work, &mut Failures::default(), &mut on_failure)?;
    }
    settled.retain(|(job_id, _)| !unsettled.contains(job_id));
    for (keys, sqlstate, error, is_alone) in failures {
        let is_last_try =
            |key: &(JobId, Tick)| is_alone && tries.get(key).is_some_and(|it| it + 1 >= MAX_TRIES);
        let (given_up, retried): (Vec<_>, Vec<_>) = keys.into_iter().partition(is_last_try);
        let reason = format!("given up after {MAX_TRIES} tries: {sqlstate} {error}");
        settled.extend(&given_up);
        skipped.extend(given_up.into_iter().map(|key| (key, reason.clone())));
        record_failure(&retried, &sqlstate, &error, is_alone)?;
    }
    skip(&skipped)?;
    settle(&settled)?;
    postpone(&waiting)
}

fn keys(works: &[JobWork]) -> impl Iterator<Item = (JobId, Tick)> {
    works
        .iter()
        .flat_map(|work| work.run.iter().map(|tick| (work.job_id, *tick)))
}

/// Locks the jobs of owed ticks, retired jobs included, and skips jobs that another session has locked.
fn lock_debtors(owed: &[Owed]) -> Result<HashMap<JobId, Debtor>> {
    let jobs: HashSet<JobId> = owed.iter().map(|tick| tick.job_id).collect();
    let jobs: Vec<JobId> = jobs.into_iter().collect();
    let debtors = lock_jobs_by_id(jobs, |row| {
        let job = Job::read(row)?;
        Ok((
            job.job_id,
            Debtor {
                job,
                status: JobStatus::read(row)?,
                version_since: sql::from_pg(sql::get(row, "version_since")?),
                cron: sql::get(row, "cron")?,
                timezone: sql::get(row, "timezone")?,
            },
        ))
    })?;
    Ok(debtors.into_iter().collect())
}

fn arrays(keys: impl Iterator<Item = (JobId, Tick)>) -> (Vec<JobId>, Vec<TimestampWithTimeZone>) {
    keys.map(|(job_id, tick_at)| (job_id, sql::to_pg(tick_at)))
        .unzip()
}

const RECORD_FAILURE: &str = include_str!("record_failure.sql");

fn record_failure(
    ticks: &[(JobId, Tick)],
    sqlstate: &str,
    error: &str,
    is_alone: bool,
) -> Result<()> {
    if ticks.is_empty() {
        return Ok(());
    }
    let (jobs, instants) = arrays(ticks.iter().copied());
    let args = [
        jobs.into(),
        instants.into(),
        sqlstate.into(),
        error.into(),
        i32::from(is_alone).into(),
    ];
    sql::run(RECORD_FAILURE, &args).map(|_| ())
}

const SKIP: &str = include_str!("skip_owed.sql");

/// Writes ledger rows for ticks that will never run, with the reason.
pub fn skip(ticks: &[((JobId, Tick), String)]) -> Result<()> {
    if ticks.is_empty() {
        return Ok(());
    }
    let (jobs, instants) = arrays(ticks.iter().map(|(key, _)| *key));
    let reasons: Vec<&str> = ticks.iter().map(|(_, reason)| reason.as_str()).collect();
    sql::run(SKIP, &[jobs.into(), instants.into(), reasons.into()]).map(|_| ())
}

const SETTLE: &str = "
delete from kronos_internal.owed o
using unnest($1::uuid[], $2::timestamptz[]) s (job_id, tick_at)
where o.job_id = s.job_id and o.tick_at = s.tick_at";

fn settle(ticks: &[(JobId, Tick)]) -> Result<()> {
    if ticks.is_empty() {
        return Ok(());
    }
    let (jobs, instants) = arrays(ticks.iter().copied());
    sql::run(SETTLE, &[jobs.into(), instants.into()]).map(|_| ())
}

/// Ticks whose job another session has locked are retried after the others.
const POSTPONE: &str = "
update kronos_internal.owed o
set next_try_at = clock_timestamp() + interval '10 milliseconds'
from unnest($1::uuid[], $2::timestamptz[]) w (job_id, tick_at)
where o.job_id = w.job_id and o.tick_at = w.tick_at";

fn postpone(ticks: &[(JobId, Tick)]) -> Result<()> {
    if ticks.is_empty() {
        return Ok(());
    }
    let (jobs, instants) = arrays(ticks.iter().copied());
    sql::run(POSTPONE, &[jobs.into(), instants.into()]).map(|_| ())
}
