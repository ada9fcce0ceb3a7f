//! Creates many cron jobs at once.

use super::create::{SCOPE, check_repeat, name_of};
use super::definition::Terms;
use super::error::job_exists;
use super::find::find_named;
use super::insert::{NewRow, Schedules, insert_jobs, release_all};
use super::listed::{self, Listed, at, endpoint_of, find_endpoints, handler_of};
use crate::authority::Authorised;
use crate::calendar::Tick;
use crate::endpoint::Endpoint;
use crate::error::{Result, concurrent_change};
use crate::id::JobId;
use crate::idempotency;
use crate::idempotency::Expiry;
use crate::named::Named;
use crate::sql::{self, Composite, Jsonb};
use crate::status::JobStatus;
use pgrx::datum::TimestampWithTimeZone;
use std::collections::HashMap;

/// Creates the cron jobs of a JSON array, and returns them in the order of the array. The result is that of
/// [`super::create`] for each job, but one statement inserts all jobs, and each schedule is joined only once.
///
/// # Errors
/// The errors of [`super::create`], with the job's place and name in DETAIL. After an error no job is created.
pub fn create_many(workspace: &Authorised, jobs: Jsonb) -> Result<Vec<Composite>> {
    let listed = listed::read(jobs)?;
    let endpoints = find_endpoints(workspace, &listed)?;
    let mut requested = vec![];
    for (place, job) in listed.iter().enumerate() {
        sql::check_for_interrupts();
        let check = || {
            Ok(Requested {
                job,
                endpoint: endpoint_of(workspace, &endpoints, job)?,
                terms: job.check(handler_of(workspace, &endpoints, job)?)?,
                job_id: JobId::generate(),
                plan: Plan::Undecided,
            })
        };
        requested.push(check().map_err(at(place, job.name()))?);
    }
    keep_named(workspace, &mut requested)?;
    let mut schedules = Schedules::default();
    for (place, requested) in requested.iter_mut().enumerate() {
        sql::check_for_interrupts();
        requested
            .decide(workspace)
            .map_err(at(place, requested.job.name()))?;
        if let Plan::Create(_) = requested.plan {
            schedules.add(&requested.terms);
        }
    }
    schedules.join(workspace.workspace_id)?;
    insert(workspace, &mut requested, &schedules)?;
    result_rows(&requested)
}

/// One element of the array, checked.
struct Requested<'a> {
    job: &'a Listed,
    endpoint: &'a Endpoint,
    terms: Terms<'a>,
    /// The id of the new job, or of the job that already exists.
    job_id: JobId,
    plan: Plan,
}

enum Plan {
    Undecided,
    /// The job already exists.
    Keep,
    /// Create the job, with this first tick.
    Create(Tick),
}

impl Requested<'_> {
    fn decide(&mut self, workspace: &Authorised) -> Result<()> {
        if let Plan::Keep = self.plan {
            return Ok(());
        }
        let new = self.job.as_new();
        if let Some(key) = new.idempotency_key {
            let earlier = idempotency::reserve(
                workspace.workspace_id,
                SCOPE,
                key,
                self.job_id,
                Expiry::Never,
            )?;
            if let Some(made_id) = earlier {
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

/// Finds the live jobs that exist already among the requests with `if_not_exists`, and keeps them.
fn keep_named(workspace: &Authorised, requested: &mut [Requested]) -> Result<()> {
    let mut places = HashMap::new();
    for (place, requested) in requested.iter().enumerate() {
        if requested.job.as_new().if_not_exists {
            let name = name_of(&requested.terms).map_err(at(place, None))?;
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
        let requested = &mut requested[places[&name]];
        (requested.job_id, requested.plan) = (job_id, Plan::Keep);
    }
    Ok(())
}

/// Inserts the new jobs.
fn insert(
    workspace: &Authorised,
    requested: &mut [Requested],
    schedules: &Schedules,
) -> Result<()> {
    let instant = sql::now();
    let mut rows = vec![];
    for (place, requested) in requested.iter_mut().enumerate() {
        let Plan::Create(first_tick) = requested.plan else {
            continue;
        };
        if first_tick <= instant {
            // The tick came due while the session waited for a schedule.
            requested.plan = Plan::Create(
                requested
                    .terms
                    .first_tick()
                    .map_err(at(place, requested.job.name()))?,
            );
        }
    }
    for requested in requested.iter() {
        if let Plan::Create(_) = requested.plan {
            let new = requested.job.as_new();
            rows.push(NewRow {
                job_id: requested.job_id,
                terms: &requested.terms,
                endpoint: requested.endpoint,
                input: new.input,
                metadata: new.metadata,
                schedule_id: schedules.id_for(&requested.terms)?,
            });
        }
    }
    let inserted = insert_jobs(workspace.workspace_id, &rows, None, instant)?;
    let mut unused = vec![];
    for (place, requested) in requested.iter_mut().enumerate() {
        let Plan::Create(_) = requested.plan else {
            continue;
        };
        if !inserted.contains(&requested.job_id) {
            requested.job_id =
                find_concurrent(workspace, requested).map_err(at(place, requested.job.name()))?;
            requested.plan = Plan::Keep;
            unused.push(schedules.id_for(&requested.terms)?);
        }
    }
    release_all(unused)
}

/// The job that another session has created meanwhile under the name of a requested job.
///
/// # Errors
/// `JOB_EXISTS` unless the request has `if_not_exists`; `CONCURRENT_CHANGE` if the snapshot does not show the job, or
/// if an idempotency key was reserved for the requested job.
fn find_concurrent(workspace: &Authorised, requested: &Requested) -> Result<JobId> {
    let new = requested.job.as_new();
    let name = requested.terms.name.unwrap_or_default();
    if !new.if_not_exists {
        return Err(job_exists(&workspace.name, name));
    }
    find_named(workspace, name)?
        .filter(|_| new.idempotency_key.is_none())
        .ok_or_else(concurrent_change)
}

/// The columns of a result row that are stored with the job.
struct Stored {
    name: Option<String>,
    version: i32,
    status: JobStatus,
    cron: String,
    timezone: String,
    next_tick_at: Option<TimestampWithTimeZone>,
}

/// The rows of the result, in the order of the array.
fn result_rows(requested: &[Requested]) -> Result<Vec<Composite>> {
    let kept = requested
        .iter()
        .filter(|requested| matches!(requested.plan, Plan::Keep));
    let kept: Vec<JobId> = kept.map(|requested| requested.job_id).collect();
    let mut stored: HashMap<JobId, Stored> = HashMap::new();
    if !kept.is_empty() {
        let found = sql::by_index(|| {
            sql::rows(include_str!("find_created.sql"), &[kept.into()], |row| {
                let stored = Stored {
                    name: sql::get_opt(row, "job_name")?,
                    version: sql::get(row, "version")?,
                    status: JobStatus::read(row)?,
                    cron: sql::get(row, "cron")?,
                    timezone: sql::get(row, "timezone")?,
                    next_tick_at: sql::get_opt(row, "next_tick_at")?,
                };
                Ok((sql::get::<JobId>(row, "job_id")?, stored))
            })
        })?;
        stored.extend(found);
    }
    for requested in requested {
        if let Plan::Create(first_tick) = requested.plan {
            let created = Stored {
                name: requested.terms.name.map(str::to_owned),
                version: 1,
                status: JobStatus::Active,
                cron: requested.terms.cron().to_owned(),
                timezone: requested.terms.timezone.clone(),
                next_tick_at: Some(sql::to_pg(first_tick)),
            };
            stored.insert(requested.job_id, created);
        }
    }
    let mut rows = vec![];
    for requested in requested {
        rows.push(
            stored
                .get(&requested.job_id)
                .ok_or_else(concurrent_change)?,
        );
    }
    fn column<T>(rows: &[&Stored], value: impl Fn(&Stored) -> T) -> Vec<T> {
        rows.iter().map(|row| value(row)).collect()
    }
    let job_ids: Vec<JobId> = requested.iter().map(|requested| requested.job_id).collect();
    let created: Vec<bool> = requested
        .iter()
        .map(|requested| matches!(requested.plan, Plan::Create(_)))
        .collect();
    let args = [
        job_ids.into(),
        column(&rows, |row| row.name.clone()).into(),
        column(&rows, |row| row.version).into(),
        column(&rows, |row| row.status.name()).into(),
        column(&rows, |row| row.cron.clone()).into(),
        column(&rows, |row| row.timezone.clone()).into(),
        column(&rows, |row| row.next_tick_at).into(),
        created.into(),
    ];
    sql::composites(include_str!("describe_created.sql"), &args)
}
