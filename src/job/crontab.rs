//! The declared set of a workspace's cron jobs, made true.

use super::create::{DIFFERING, NewCronJob, create, differing_args};
use super::read::{JobRef, find_workspace};
use super::rules::{DEFAULT_PRIORITY, Policies};
use super::update::{Changes, update};
use super::{cancel, resume};
use crate::endpoint;
use crate::error::{self, KronosError, Result};
use crate::schedule::{lock_name, parse_timing};
use crate::sql;
use chrono::{DateTime, Utc};
use pgrx::datum::{DatumWithOid, Interval, TimestampWithTimeZone};
use pgrx::{FromDatum, IntoDatum, JsonB, Uuid};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashSet;

/// What is done about one job.
pub struct Planned {
    pub name: String,
    /// `CREATE`, `UPDATE`, `RESUME`, `RETIRE` or `UNCHANGED`.
    pub action: &'static str,
    /// The version that is live afterwards, or was the last; None for one that a dry run would make.
    pub job_id: Option<Uuid>,
    /// What an update changes; `status` if it also resumes the job.
    pub changed: Vec<String>,
}

/// A job as it is declared: what is left out has its default, not its old value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declaration {
    name: String,
    endpoint: String,
    cron: String,
    timezone: Option<String>,
    input: Option<Value>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    catchup_policy: Option<String>,
    catchup_window: Option<String>,
    overlap_policy: Option<String>,
    jitter: Option<String>,
    priority: Option<i32>,
}

/// Makes the cron jobs of a workspace that come from declarations be those declared: creates them, updates those that
/// differ, resumes those that are paused, and retires those that are declared no longer. A dry run does all of it, pg_cron
/// included, and takes it back.
///
/// # Errors
/// Those of create, update, resume and cancel, with the job's name in DETAIL; `INVALID_ARGUMENT` for what is no
/// declaration; `JOB_EXISTS` for a name that a live job has which was not made here.
pub fn apply(workspace: &str, jobs: JsonB, dry_run: bool) -> Result<Vec<Planned>> {
    let declared = read(jobs.0)?;
    if !dry_run {
        return make_true(workspace, &declared);
    }
    let mut plan = None;
    let taken_back = sql::in_subtransaction(|| -> Result<()> {
        plan = Some(make_true(workspace, &declared)?);
        Err(KronosError::new(
            &error::INTERNAL_ERROR,
            "dry run",
            json!({}),
        ))
    });
    match (plan, taken_back) {
        (Some(mut plan), _) => {
            for planned in &mut plan {
                if ["CREATE", "UPDATE"].contains(&planned.action) {
                    planned.job_id = None;
                }
            }
            Ok(plan)
        }
        (None, Err(failure)) => failure.rethrow(),
        (None, Ok(())) => unreachable!("the subtransaction fails in any case"),
    }
}

fn read(jobs: Value) -> Result<Vec<Declaration>> {
    let refuse = |problem: String| {
        KronosError::new(
            &error::INVALID_ARGUMENT,
            problem,
            json!({ "argument": "jobs" }),
        )
    };
    let Value::Array(jobs) = jobs else {
        return Err(refuse("jobs must be a JSON array".into()));
    };
    let mut names = HashSet::new();
    let mut declared = vec![];
    for (index, job) in jobs.into_iter().enumerate() {
        let job: Declaration = serde_json::from_value(job)
            .map_err(|problem| refuse(format!("jobs[{index}]: {problem}")))?;
        if !names.insert(job.name.clone()) {
            return Err(refuse(format!(
                "jobs[{index}]: {:?} is declared twice",
                job.name
            )));
        }
        declared.push(job);
    }
    Ok(declared)
}

struct Live {
    job_id: Uuid,
    name: String,
    declared: bool,
    is_paused: bool,
}

const FIND_LIVE: &str = "
select job_id, name, declared, status = 'PAUSED' as is_paused
from kronos.jobs
where workspace_id = $1 and status <> 'RETIRED' and (declared or name = any ($2::text[]))
order by name";

fn make_true(workspace: &str, declared: &[Declaration]) -> Result<Vec<Planned>> {
    let workspace_id = find_workspace(workspace)?;
    // Deployments of one workspace come one after the other.
    lock_name(&format!("crontab {workspace_id}"))?;
    let names: Vec<&str> = declared.iter().map(|job| job.name.as_str()).collect();
    let live = sql::rows(
        FIND_LIVE,
        &[workspace_id.into(), names.clone().into()],
        |row| {
            Ok(Live {
                job_id: sql::get(row, "job_id")?,
                name: sql::get(row, "name")?,
                declared: sql::get(row, "declared")?,
                is_paused: sql::get(row, "is_paused")?,
            })
        },
    )?;
    if let Some(other) = live.iter().find(|job| !job.declared) {
        return Err(KronosError::new(
            &error::JOB_EXISTS,
            format!(
                "job {:?} exists, and was not made by apply_crontab",
                other.name
            ),
            json!({ "workspace": workspace, "job_name": other.name, "job_id": other.job_id.to_string() }),
        ));
    }
    let mut retired = vec![];
    for job in live
        .iter()
        .filter(|job| !names.contains(&job.name.as_str()))
    {
        cancel(workspace, JobRef::Id(job.job_id))
            .map_err(|error| error.with("job_name", &job.name))?;
        retired.push(Planned {
            name: job.name.clone(),
            action: "RETIRE",
            job_id: Some(job.job_id),
            changed: vec![],
        });
    }
    let mut plan: Vec<Planned> = vec![];
    for job in declared {
        let live = live.iter().find(|live| live.name == job.name);
        let planned = make_one_true(workspace, workspace_id, job, live);
        plan.push(planned.map_err(|error| error.with("job_name", &job.name))?);
    }
    plan.extend(retired);
    Ok(plan)
}

fn make_one_true(
    workspace: &str,
    workspace_id: Uuid,
    job: &Declaration,
    live: Option<&Live>,
) -> Result<Planned> {
    let new = job.to_new(workspace)?;
    let planned = |action, job_id, changed| Planned {
        name: job.name.clone(),
        action,
        job_id: Some(job_id),
        changed,
    };
    let Some(live) = live else {
        return Ok(planned("CREATE", create(new)?, vec![]));
    };
    let mut changed = changes_to(live, workspace_id, &new)?;
    let id = JobRef::Id(live.job_id);
    match (changed.is_empty(), live.is_paused) {
        (true, true) => return Ok(planned("RESUME", resume(workspace, id)?, vec![])),
        (true, false) => return Ok(planned("UNCHANGED", live.job_id, vec![])),
        (false, _) => {}
    }
    let never = |infinity: DateTime<Utc>| Some(sql::to_pg(infinity));
    let changes = Changes {
        name: None,
        endpoint: Some(new.endpoint),
        cron: Some(new.cron),
        timezone: Some(new.timezone),
        input: Some(new.input),
        starts_at: new.starts_at.or(never(DateTime::<Utc>::MIN_UTC)),
        ends_at: new.ends_at.or(never(DateTime::<Utc>::MAX_UTC)),
        policies: new.policies,
        priority: Some(new.priority),
        expected_version: None,
    };
    let new_id = update(workspace, id, changes)?;
    if live.is_paused {
        resume(workspace, JobRef::Id(new_id))?;
        changed.push("status".into());
    }
    Ok(planned("UPDATE", new_id, changed))
}

/// The arguments in which a live job differs from what is declared.
fn changes_to(live: &Live, workspace_id: Uuid, new: &NewCronJob) -> Result<Vec<String>> {
    let (timing, timezone) = parse_timing(new.cron, new.timezone)?;
    let endpoint_id = endpoint::find(workspace_id, new.workspace, new.endpoint)?.endpoint_id;
    let mut args = differing_args(new, timing.expr.text(), &timezone);
    args.extend([live.job_id.into(), endpoint_id.into()]);
    let statement = format!(
        "select {DIFFERING} || case when endpoint_id <> $13 then array['endpoint'] else '{{}}' end as differing
         from kronos.jobs where job_id = $12"
    );
    Ok(sql::row(&statement, &args, |row| sql::get(row, "differing"))?.unwrap_or_default())
}

impl Declaration {
    fn to_new<'a>(&'a self, workspace: &'a str) -> Result<NewCronJob<'a>> {
        let interval = |field, text: &Option<String>, default| {
            value::<Interval>(field, "interval", Some(text.as_deref().unwrap_or(default)))
        };
        let instant = |field, text: &Option<String>| {
            value::<TimestampWithTimeZone>(field, "timestamptz", text.as_deref())
        };
        Ok(NewCronJob {
            workspace,
            endpoint: &self.endpoint,
            name: Some(&self.name),
            cron: &self.cron,
            timezone: self.timezone.as_deref().unwrap_or("UTC"),
            input: JsonB(self.input.clone().unwrap_or_else(|| json!({}))),
            starts_at: instant("starts_at", &self.starts_at)?,
            ends_at: instant("ends_at", &self.ends_at)?,
            policies: Policies {
                catchup_policy: Some(self.catchup_policy.as_deref().unwrap_or("last")),
                catchup_window: interval("catchup_window", &self.catchup_window, "1 hour")?,
                overlap_policy: Some(self.overlap_policy.as_deref().unwrap_or("allow")),
                jitter: interval("jitter", &self.jitter, "0")?,
            },
            priority: self.priority.unwrap_or(DEFAULT_PRIORITY),
            idempotency_key: None,
            declared: true,
        })
    }
}

/// A value that PostgreSQL reads from a declaration's text.
fn value<T: FromDatum + IntoDatum>(
    field: &'static str,
    sql_type: &str,
    text: Option<&str>,
) -> Result<Option<T>> {
    let statement = format!("select $1::{sql_type} as value");
    let args: [DatumWithOid; 1] = [text.into()];
    let read = || sql::row(&statement, &args, |row| sql::get_opt(row, "value"));
    let found = sql::convert_errors(read, move |report| {
        Some(KronosError::new(
            &error::INVALID_ARGUMENT,
            format!("{field}: {}", report.message()),
            json!({ "argument": field }),
        ))
    })?;
    Ok(found.flatten())
}
