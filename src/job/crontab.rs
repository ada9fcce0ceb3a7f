//! Declared sets of cron jobs: apply_crontab().

use super::cancel::retire;
use super::declared::{Declared, Step, Steps, decide, find_live};
use super::error::job_exists;
use super::insert::{NewRow, Schedules, insert_jobs, release_all};
use super::listed::{Listed, at, find_endpoints, read_declared};
use super::pause::write_resumed;
use super::update::{Version, write_version};
use crate::args;
use crate::authority::Authorised;
use crate::error::Result;
use crate::id::JobId;
use crate::sql::{self, Jsonb};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The action for one job.
pub struct Planned {
    pub name: String,
    /// `CREATE`, `UPDATE`, `RESUME`, `RETIRE`, `UNCHANGED` or `ENDED`.
    pub action: &'static str,
    /// None for a job that a dry run would create, and for a job that does not exist because its ends_at is past.
    pub job_id: Option<JobId>,
    /// The arguments that an update changes; also `status` if the update resumes the job.
    pub changed: Vec<String>,
}

/// Makes the live jobs of a declared set match an array: creates missing jobs, updates jobs that differ, resumes paused
/// jobs, and retires jobs that the array no longer has. A declared job whose ends_at is past is not created, and
/// retires if it is live. A dry run makes every change, including those to pg_cron, and rolls it back.
///
/// # Errors
/// The errors of create, update, resume and cancel, with the job's place and name in DETAIL; `JOB_EXISTS` for the name
/// of a live job that does not belong to the set.
pub fn apply(
    workspace: &Authorised,
    jobs: Jsonb,
    set_name: &str,
    dry_run: bool,
) -> Result<Vec<Planned>> {
    args::length("set_name", set_name, 200)?;
    let listed = read_declared(jobs)?;
    if !dry_run {
        return deploy(workspace, &listed, set_name);
    }
    let mut plan = sql::dry_run(|| deploy(workspace, &listed, set_name))?;
    for planned in plan.iter_mut().filter(|planned| planned.action == "CREATE") {
        planned.job_id = None;
    }
    Ok(plan)
}

fn deploy(workspace: &Authorised, listed: &[Listed], set_name: &str) -> Result<Vec<Planned>> {
    // Deployments of one set run one after the other.
    sql::lock_named_thing(lock_of(workspace, set_name))?;
    let endpoints = find_endpoints(workspace, listed)?;
    let check = |(place, job)| {
        sql::check_for_interrupts();
        Declared::check(workspace, &endpoints, job, place).map_err(at(place, job.name()))
    };
    let declared: Vec<Declared> = listed
        .iter()
        .enumerate()
        .map(check)
        .collect::<Result<_>>()?;
    // Every job that changes is locked before any schedule is locked, and is then compared again: another session may
    // have changed it meanwhile.
    let mut locked: HashSet<JobId> = HashSet::new();
    loop {
        let live = find_live(workspace, set_name, &declared)?;
        let steps = decide(workspace, set_name, &endpoints, &declared, &live)?;
        let unlocked: Vec<JobId> = steps
            .changing()
            .filter(|job_id| !locked.contains(job_id))
            .collect();
        if unlocked.is_empty() {
            carry_out(workspace, set_name, &declared, &steps)?;
            return Ok(report(&declared, &steps));
        }
        locked.extend(&unlocked);
        sql::by_index(|| sql::run(LOCK, &[unlocked.into()]))?;
    }
}

const LOCK: &str = "
select from kronos_internal.jobs where job_id = any ($1) order by job_id for no key update";

/// The number of the lock that serialises a set's deployments, far above the numbers that schedules use.
fn lock_of(workspace: &Authorised, set_name: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    (workspace.workspace_id, set_name).hash(&mut hasher);
    hasher.finish() as u32 | 1 << 31
}

fn carry_out(
    workspace: &Authorised,
    set_name: &str,
    declared: &[Declared],
    steps: &Steps,
) -> Result<()> {
    let mut schedules = Schedules::default();
    for (declared, step) in declared.iter().zip(&steps.declared) {
        sql::check_for_interrupts();
        check_step(declared, step).map_err(at(declared.place, Some(declared.name)))?;
        if joins(step) {
            schedules.add(&declared.terms);
        }
    }
    schedules.join(workspace.workspace_id)?;
    let instant = sql::now();
    let mut rows = vec![];
    let mut ended = vec![];
    let mut left = vec![];
    for (declared, step) in declared.iter().zip(&steps.declared) {
        sql::check_for_interrupts();
        match step {
            Step::Create { job_id, endpoint } => rows.push(NewRow {
                job_id: *job_id,
                terms: &declared.terms,
                endpoint,
                input: declared.job.input(),
                metadata: declared.job.metadata(),
                schedule_id: schedules.id_for(&declared.terms)?,
            }),
            Step::Update { job, endpoint, .. } => {
                let schedule_id = schedules.id_for(&declared.terms)?;
                left.extend(job.schedule_id.filter(|left| *left != schedule_id));
                let next = Version {
                    terms: &declared.terms,
                    endpoint,
                    input: Some(declared.job.input()),
                    metadata: Some(declared.job.metadata()),
                    schedule_id: Some(schedule_id),
                };
                write_version(&workspace.name, job, &next, instant)
                    .map_err(at(declared.place, Some(declared.name)))?;
            }
            Step::Resume { job } => {
                write_resumed(job.job_id, schedules.id_for(&declared.terms)?, instant)?
            }
            Step::End { job: Some(job) } => ended.push(*job),
            Step::Leave { .. } | Step::End { job: None } => {}
        }
    }
    let inserted = insert_jobs(workspace.workspace_id, &rows, Some(set_name), instant)?;
    for (declared, step) in declared.iter().zip(&steps.declared) {
        if let Step::Create { job_id, .. } = step
            && !inserted.contains(job_id)
        {
            let error = job_exists(&workspace.name, declared.name);
            return Err(at(declared.place, Some(declared.name))(error));
        }
    }
    for (jobs, reason) in [(&steps.undeclared, "UNDECLARED"), (&ended, "ENDED")] {
        retire(jobs.iter().map(|job| job.job_id).collect(), reason)?;
        left.extend(jobs.iter().filter_map(|job| job.schedule_id));
    }
    release_all(left)
}

/// Whether a step joins the declared schedule. A job joins its schedule even if the schedule stays the same: joining
/// verifies the pg_cron entry.
fn joins(step: &Step) -> bool {
    matches!(
        step,
        Step::Create { .. } | Step::Update { .. } | Step::Resume { .. }
    )
}

/// Checks the rules that apply only to a job that changes.
fn check_step(declared: &Declared, step: &Step) -> Result<()> {
    match step {
        Step::Create { endpoint, .. } | Step::Update { endpoint, .. } => {
            endpoint.check_input(declared.job.input())?;
            declared.terms.first_tick().map(|_| ())
        }
        Step::Resume { .. } => declared.terms.first_tick().map(|_| ()),
        Step::Leave { .. } | Step::End { .. } => Ok(()),
    }
}

/// The rows of the result: the declared jobs in the order of the array, then the retired ones by name.
fn report(declared: &[Declared], steps: &Steps) -> Vec<Planned> {
    let declared = declared
        .iter()
        .zip(&steps.declared)
        .map(|(declared, step)| {
            let (action, job_id, changed) = match step {
                Step::Create { job_id, .. } => ("CREATE", Some(*job_id), vec![]),
                Step::Update { job, changed, .. } => ("UPDATE", Some(job.job_id), changed.clone()),
                Step::Resume { job } => ("RESUME", Some(job.job_id), vec![]),
                Step::Leave { job } => ("UNCHANGED", Some(job.job_id), vec![]),
                Step::End { job } => ("ENDED", job.map(|job| job.job_id), vec![]),
            };
            Planned {
                name: declared.name.to_owned(),
                action,
                job_id,
                changed,
            }
        });
    let retired = steps.undeclared.iter().map(|job| Planned {
        name: job.name().to_owned(),
        action: "RETIRE",
        job_id: Some(job.job_id),
        changed: vec![],
    });
    declared.chain(retired).collect()
}
