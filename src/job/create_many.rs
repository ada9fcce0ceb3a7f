//! Creating many cron jobs at once.

use super::create::{SCOPE, check_repeat, name_of};
use super::definition::Terms;
use super::error::job_exists;
use super::find::find_named;
use super::insert::{NewRow, Schedules, insert_jobs, release_all};
use super::listed::{self, Listed, at, endpoint_of, find_endpoints};
use crate::calendar::Tick;
use crate::endpoint::Endpoint;
use crate::error::{Result, concurrent_change};
use crate::id::JobId;
use crate::idempotency;
use crate::idempotency::Expiry;
use crate::sql::{self, Composite, Jsonb};
use crate::workspace::Workspace;
use pgrx::datum::TimestampWithTimeZone;
use std::collections::HashMap;

/// Creates the cron jobs of a JSON array, and returns them in its order. Each is created as [`super::create`] would, but
/// one statement inserts them all, and each schedule is joined once.
///
/// # Errors
/// Those of [`super::create`], with the job's place and name in DETAIL. No job is created then.
pub fn create_many(workspace: &Workspace, jobs: Jsonb) -> Result<Vec<Composite>> {
    let listed = listed::read(jobs)?;
    let endpoints = find_endpoints(workspace, &listed)?;
    let mut asked = vec![];
    for (place, job) in listed.iter().enumerate() {
        sql::check_for_interrupts();
        let check = || {
            Ok(Asked {
                job,
                endpoint: endpoint_of(workspace, &endpoints, job)?,
                terms: job.check()?,
                job_id: JobId::generate(),
                plan: Plan::Undecided,
            })
        };
        asked.push(check().map_err(at(place, job.name()))?);
    }
    keep_named(workspace, &mut asked)?;
    let mut schedules = Schedules::default();
    for (place, asked) in asked.iter_mut().enumerate() {
        sql::check_for_interrupts();
        asked
            .decide(workspace)
            .map_err(at(place, asked.job.name()))?;
        if let Plan::Create(_) = asked.plan {
            schedules.need(&asked.terms);
        }
    }
    schedules.join(workspace.workspace_id)?;
    insert(workspace, &mut asked, &schedules)?;
    describe(&asked)
}

/// One element of the array, checked.
struct Asked<'a> {
    job: &'a Listed,
    endpoint: &'a Endpoint,
    terms: Terms<'a>,
    /// The job to be created, or the one that was there.
    job_id: JobId,
    plan: Plan,
}

enum Plan {
    Undecided,
    /// The job was there.
    Keep,
    /// The job is to be created, with this as its first tick.
    Create(Tick),
}

impl Asked<'_> {
    fn decide(&mut self, workspace: &Workspace) -> Result<()> {
        if let Plan::Keep = self.plan {
            return Ok(());
        }
        let new = self.job.as_new();
        if let Some(key) = new.idempotency_key {
            let made = idempotency::reserve(
                workspace.workspace_id,
                SCOPE,
                key,
                self.job_id,
                Expiry::Never,
            )?;
            if let Some(made_id) = made {
                (self.job_id, self.plan) = (made_id, Plan::Keep);
                return check_repeat(
                    workspace,
                    key,
                    made_id,
                    &self.terms,
                    self.endpoint.endpoint_id,
                    new.input,
                    new.metadata,
                );
            }
        }
        self.endpoint.check_input(new.input)?;
        self.plan = Plan::Create(self.terms.first_tick()?);
        Ok(())
    }
}

const FIND_NAMED: &str = "
select job_id, name from kronos_internal.jobs where workspace_id = $1 and name = any ($2) and status <> 'RETIRED'";

/// Keeps the live jobs of those requests that have `if_not_exists`.
fn keep_named(workspace: &Workspace, asked: &mut [Asked]) -> Result<()> {
    let mut places = HashMap::new();
    for (place, asked) in asked.iter().enumerate() {
        if asked.job.as_new().if_not_exists {
            let name = name_of(&asked.terms).map_err(at(place, None))?;
            places.insert(name.to_owned(), place);
        }
    }
    if places.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = places.keys().cloned().collect();
    let args = [workspace.workspace_id.into(), names.into()];
    let found = sql::by_index(|| {
        sql::rows(FIND_NAMED, &args, |row| {
            Ok((
                sql::get::<JobId>(row, "job_id")?,
                sql::get::<String>(row, "name")?,
            ))
        })
    })?;
    for (job_id, name) in found {
        let asked = &mut asked[places[&name]];
        (asked.job_id, asked.plan) = (job_id, Plan::Keep);
    }
    Ok(())
}

/// Inserts the jobs that are to be created.
fn insert(workspace: &Workspace, asked: &mut [Asked], schedules: &Schedules) -> Result<()> {
    let instant = sql::now();
    let mut rows = vec![];
    for (place, asked) in asked.iter_mut().enumerate() {
        let Plan::Create(first_tick) = asked.plan else {
            continue;
        };
        if first_tick <= instant {
            // The session waited for a schedule while the tick came due.
            asked.plan = Plan::Create(
                asked
                    .terms
                    .first_tick()
                    .map_err(at(place, asked.job.name()))?,
            );
        }
    }
    for asked in asked.iter() {
        if let Plan::Create(_) = asked.plan {
            let new = asked.job.as_new();
            rows.push(NewRow {
                job_id: asked.job_id,
                terms: &asked.terms,
                endpoint: asked.endpoint,
                input: new.input,
                metadata: new.metadata,
                schedule_id: schedules.of(&asked.terms)?,
            });
        }
    }
    let inserted = insert_jobs(workspace.workspace_id, &rows, None, instant)?;
    let mut unused = vec![];
    for (place, asked) in asked.iter_mut().enumerate() {
        let Plan::Create(_) = asked.plan else {
            continue;
        };
        if !inserted.contains(&asked.job_id) {
            asked.job_id =
                other_of_that_name(workspace, asked).map_err(at(place, asked.job.name()))?;
            asked.plan = Plan::Keep;
            unused.push(schedules.of(&asked.terms)?);
        }
    }
    release_all(unused)
}

/// The job that another session has created meanwhile under the name of one that was to be created.
///
/// # Errors
/// `JOB_EXISTS` unless the request has `if_not_exists`; `CONCURRENT_CHANGE` if the job cannot be seen, or a key was reserved
/// for the job that was not created.
fn other_of_that_name(workspace: &Workspace, asked: &Asked) -> Result<JobId> {
    let new = asked.job.as_new();
    let name = asked.terms.name.unwrap_or_default();
    if !new.if_not_exists {
        return Err(job_exists(&workspace.name, name));
    }
    find_named(workspace, name)?
        .filter(|_| new.idempotency_key.is_none())
        .ok_or_else(concurrent_change)
}

/// A row of the result, as far as the database knows it.
struct Stored {
    name: Option<String>,
    version: i32,
    status: String,
    cron: String,
    timezone: String,
    next_tick_at: Option<TimestampWithTimeZone>,
}

/// The rows of the result, in the order of the array.
fn describe(asked: &[Asked]) -> Result<Vec<Composite>> {
    let kept = asked
        .iter()
        .filter(|asked| matches!(asked.plan, Plan::Keep));
    let kept: Vec<JobId> = kept.map(|asked| asked.job_id).collect();
    let mut stored: HashMap<JobId, Stored> = HashMap::new();
    if !kept.is_empty() {
        let found = sql::by_index(|| {
            sql::rows(include_str!("find_created.sql"), &[kept.into()], |row| {
                let stored = Stored {
                    name: sql::get_opt(row, "job_name")?,
                    version: sql::get(row, "version")?,
                    status: sql::get(row, "status")?,
                    cron: sql::get(row, "cron")?,
                    timezone: sql::get(row, "timezone")?,
                    next_tick_at: sql::get_opt(row, "next_tick_at")?,
                };
                Ok((sql::get::<JobId>(row, "job_id")?, stored))
            })
        })?;
        stored.extend(found);
    }
    for asked in asked {
        if let Plan::Create(first_tick) = asked.plan {
            let created = Stored {
                name: asked.terms.name.map(str::to_owned),
                version: 1,
                status: "ACTIVE".to_owned(),
                cron: asked.terms.cron().to_owned(),
                timezone: asked.terms.timezone.clone(),
                next_tick_at: Some(sql::to_pg(first_tick)),
            };
            stored.insert(asked.job_id, created);
        }
    }
    let mut rows = vec![];
    for asked in asked {
        rows.push(stored.get(&asked.job_id).ok_or_else(concurrent_change)?);
    }
    fn column<T>(rows: &[&Stored], value: impl Fn(&Stored) -> T) -> Vec<T> {
        rows.iter().map(|row| value(row)).collect()
    }
    let job_ids: Vec<JobId> = asked.iter().map(|asked| asked.job_id).collect();
    let created: Vec<bool> = asked
        .iter()
        .map(|asked| matches!(asked.plan, Plan::Create(_)))
        .collect();
    let args = [
        job_ids.into(),
        column(&rows, |row| row.name.clone()).into(),
        column(&rows, |row| row.version).into(),
        column(&rows, |row| row.status.clone()).into(),
        column(&rows, |row| row.cron.clone()).into(),
        column(&rows, |row| row.timezone.clone()).into(),
        column(&rows, |row| row.next_tick_at).into(),
        created.into(),
    ];
    sql::composites(include_str!("describe_created.sql"), &args)
}
