//! Compares a declared set with the live jobs.

use super::definition::Terms;
use super::error::job_not_in_set;
use super::find::Job;
use super::listed::{Listed, at, endpoint_of, handler_of};
use crate::authority::Authorised;
use crate::endpoint::Endpoint;
use crate::error::Result;
use crate::id::JobId;
use crate::sql;
use std::collections::HashMap;

/// A job that a set declares, checked.
pub struct Declared<'a> {
    pub place: usize,
    pub job: &'a Listed,
    pub name: &'a str,
    pub terms: Terms<'a>,
    /// Whether its ends_at is past.
    pub is_past: bool,
}

impl<'a> Declared<'a> {
    /// # Errors
    /// The errors of [`Listed::check`] and [`handler_of`].
    pub fn check(
        workspace: &Authorised,
        endpoints: &HashMap<String, Endpoint>,
        job: &'a Listed,
        place: usize,
    ) -> Result<Declared<'a>> {
        let mut terms = job.check(None)?;
        let is_past = terms.window.is_past(sql::now());
        if !is_past {
            terms.on_failure_id = handler_of(workspace, endpoints, job)?;
        }
        Ok(Declared {
            place,
            job,
            name: terms.name.unwrap_or_default(),
            terms,
            is_past,
        })
    }
}

/// A live job that belongs to the set, or whose name the set declares.
pub struct Live {
    pub job: Job,
    /// Whether the job was found by its name; otherwise it was found by its set.
    is_named: bool,
    declared_by: Option<String>,
    same_input: bool,
    same_metadata: bool,
}

/// Finds the live jobs that belong to a set, and the live jobs whose names the set declares, with one statement. A job
/// that matches both ways is returned twice.
///
/// # Errors
/// Fails only if SQL does.
pub fn find_live(
    workspace: &Authorised,
    set_name: &str,
    declared: &[Declared],
) -> Result<Vec<Live>> {
    let names: Vec<&str> = declared.iter().map(|declared| declared.name).collect();
    let inputs: Vec<_> = declared
        .iter()
        .map(|declared| declared.job.input())
        .collect();
    let metadata: Vec<_> = declared
        .iter()
        .map(|declared| declared.job.metadata())
        .collect();
    let args = [
        workspace.workspace_id.into(),
        set_name.into(),
        names.into(),
        inputs.into(),
        metadata.into(),
    ];
    sql::by_index(|| {
        sql::rows(include_str!("find_declared.sql"), &args, |row| {
            Ok(Live {
                job: Job::read(row)?,
                is_named: sql::get(row, "is_named")?,
                declared_by: sql::get_opt(row, "declared_by")?,
                same_input: sql::get_opt(row, "same_input")?.unwrap_or(false),
                same_metadata: sql::get_opt(row, "same_metadata")?.unwrap_or(false),
            })
        })
    })
}

/// The step for a declared job.
pub enum Step<'a> {
    Create {
        job_id: JobId,
        endpoint: &'a Endpoint,
    },
    Update {
        job: &'a Job,
        endpoint: &'a Endpoint,
        changed: Vec<String>,
    },
    Resume {
        job: &'a Job,
    },
    Leave {
        job: &'a Job,
    },
    /// The job's ends_at is past. The live job, if there is one, retires.
    End {
        job: Option<&'a Job>,
    },
}

/// The steps for the declared jobs, in the order of the array, and the jobs to retire.
pub struct Steps<'a> {
    pub declared: Vec<Step<'a>>,
    pub undeclared: Vec<&'a Job>,
}

impl Steps<'_> {
    /// The ids of the existing jobs that change.
    pub fn changing(&self) -> impl Iterator<Item = JobId> {
        let declared = self.declared.iter().filter_map(|step| match step {
            Step::Update { job, .. } | Step::Resume { job } | Step::End { job: Some(job) } => {
                Some(job.job_id)
            }
            Step::Create { .. } | Step::Leave { .. } | Step::End { job: None } => None,
        });
        declared.chain(self.undeclared.iter().map(|job| job.job_id))
    }
}

/// Decides the step for each declared job, and the jobs to retire.
///
/// # Errors
/// `JOB_EXISTS`, `ENDPOINT_NOT_FOUND`.
pub fn decide<'a>(
    workspace: &Authorised,
    set_name: &str,
    endpoints: &'a HashMap<String, Endpoint>,
    declared: &[Declared],
    live: &'a [Live],
) -> Result<Steps<'a>> {
    let mut named = HashMap::new();
    let mut undeclared = HashMap::new();
    for live in live {
        if live.is_named {
            named.insert(live.job.name(), live);
        } else {
            undeclared.insert(live.job.name(), &live.job);
        }
    }
    let mut steps = vec![];
    for declared in declared {
        sql::check_for_interrupts();
        undeclared.remove(declared.name);
        let live = named.get(declared.name).copied();
        let step = decide_one(workspace, set_name, endpoints, declared, live);
        steps.push(step.map_err(at(declared.place, Some(declared.name)))?);
    }
    let mut undeclared: Vec<&Job> = undeclared.into_values().collect();
    undeclared.sort_unstable_by_key(|job| job.name());
    Ok(Steps {
        declared: steps,
        undeclared,
    })
}

fn decide_one<'a>(
    workspace: &Authorised,
    set_name: &str,
    endpoints: &'a HashMap<String, Endpoint>,
    declared: &Declared,
    live: Option<&'a Live>,
) -> Result<Step<'a>> {
    let own = live.filter(|live| live.declared_by.as_deref() == Some(set_name));
    if declared.is_past {
        return Ok(Step::End {
            job: own.map(|live| &live.job),
        });
    }
    let endpoint = endpoint_of(workspace, endpoints, declared.job)?;
    let Some(live) = own else {
        return match live {
            None => Ok(Step::Create {
                job_id: JobId::generate(),
                endpoint,
            }),
            Some(other) => Err(job_not_in_set(
                &workspace.name,
                declared.name,
                other.job.job_id,
                set_name,
                other.declared_by.as_deref(),
            )),
        };
    };
    let job = &live.job;
    let mut changed = job.definition.differences(
        &declared.terms,
        endpoint.endpoint_id,
        live.same_input,
        live.same_metadata,
    );
    if changed.is_empty() {
        return Ok(if job.is_paused() {
            Step::Resume { job }
        } else {
            Step::Leave { job }
        });
    }
    if job.is_paused() {
        changed.push("status".to_owned());
    }
    Ok(Step::Update {
        job,
        endpoint,
        changed,
    })
}
