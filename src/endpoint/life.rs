//! The life of an endpoint: create, find, update, delete.

use super::retry_policy;
use super::{payload_spec, schema};
use crate::error::{self, KronosError, Result};
use crate::job::{check_length, find_workspace};
use crate::sql::{self, Row};
use pgrx::datum::Interval;
use pgrx::{JsonB, Uuid};
use serde_json::{Value, json};

/// An endpoint to be made.
pub struct NewEndpoint<'a> {
    pub workspace: &'a str,
    pub name: &'a str,
    pub kind: &'a str,
    pub spec: JsonB,
    pub retry_policy: JsonB,
    pub attempt_timeout: Option<Interval>,
    /// The name of a payload spec.
    pub payload_spec: Option<&'a str>,
}

const INSERT: &str = "
insert into kronos.endpoints (workspace_id, name, type, spec, retry_policy, attempt_timeout, payload_spec_id)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (workspace_id, name) where deleted_at is null do nothing
returning endpoint_id";

/// Makes an endpoint, and returns its id.
///
/// # Errors
/// `WORKSPACE_NOT_FOUND`, `PAYLOAD_SPEC_NOT_FOUND`, `INVALID_ARGUMENT`, `ENDPOINT_EXISTS`.
pub fn create(new: NewEndpoint) -> Result<Uuid> {
    check_length("name", new.name, 200)?;
    check_length("type", new.kind, 100)?;
    check_spec(&new.spec)?;
    check_timeout(new.attempt_timeout, "interval '0' < $1")?;
    let retry_policy = retry_policy::complete(new.retry_policy)?;
    let workspace_id = find_workspace(new.workspace)?;
    let payload_spec_id = match new.payload_spec {
        Some(name) => Some(payload_spec::find(workspace_id, new.workspace, name)?),
        None => None,
    };
    let args = [
        workspace_id.into(),
        new.name.into(),
        new.kind.into(),
        new.spec.into(),
        retry_policy.into(),
        new.attempt_timeout.into(),
        payload_spec_id.into(),
    ];
    sql::row(INSERT, &args, |row| sql::get(row, "endpoint_id"))?.ok_or_else(|| {
        KronosError::new(
            &error::ENDPOINT_EXISTS,
            format!(
                "endpoint {:?} exists already in workspace {:?}",
                new.name, new.workspace
            ),
            json!({ "workspace": new.workspace, "endpoint": new.name }),
        )
    })
}

fn check_spec(spec: &JsonB) -> Result<()> {
    if spec.0.is_object() {
        return Ok(());
    }
    Err(KronosError::new(
        &error::INVALID_ARGUMENT,
        "spec must be a JSON object",
        json!({ "argument": "spec" }),
    ))
}

fn check_timeout(timeout: Option<Interval>, lower: &str) -> Result<()> {
    let statement = format!("select where $1 is null or {lower} and $1 <= interval '30 days'");
    if sql::exists(&statement, &[timeout.into()])? {
        return Ok(());
    }
    Err(KronosError::new(
        &error::INVALID_ARGUMENT,
        "attempt_timeout must be more than 0 and at most 30 days",
        json!({ "argument": "attempt_timeout" }),
    ))
}

/// What creating a job needs to know of its endpoint.
pub struct Endpoint {
    pub endpoint_id: Uuid,
    pub name: String,
    payload_spec: Option<(String, Uuid)>,
}

impl Endpoint {
    /// Fails unless an input satisfies the endpoint's payload spec, if it has one.
    ///
    /// # Errors
    /// `INPUT_INVALID`.
    pub fn check_input(&self, input: &Value) -> Result<()> {
        let Some((name, revision_id)) = &self.payload_spec else {
            return Ok(());
        };
        let schema = || {
            sql::row(
                "select schema from kronos.payload_specs where revision_id = $1",
                &[(*revision_id).into()],
                |row| Ok(sql::get::<JsonB>(row, "schema")?.0),
            )?
            .ok_or_else(crate::schedule::concurrent_change)
        };
        schema::check_input(name, *revision_id, schema, input)
    }
}

const FIND: &str = "
select e.endpoint_id, e.name, p.name as payload_spec, p.revision_id
from kronos.endpoints e left join kronos.payload_specs p using (payload_spec_id)
where e.workspace_id = $1 and e.name = any ($2::text[]) and e.deleted_at is null";

fn read(row: &Row) -> Result<Endpoint> {
    let name: Option<String> = sql::get_opt(row, "payload_spec")?;
    Ok(Endpoint {
        endpoint_id: sql::get(row, "endpoint_id")?,
        name: sql::get(row, "name")?,
        payload_spec: match name {
            Some(name) => Some((name, sql::get(row, "revision_id")?)),
            None => None,
        },
    })
}

/// A workspace's endpoints of these names; one that is missing is no error here.
pub fn find_many(workspace_id: Uuid, names: &[&str]) -> Result<Vec<Endpoint>> {
    sql::rows(FIND, &[workspace_id.into(), names.to_vec().into()], read)
}

/// A workspace's endpoint.
///
/// # Errors
/// `ENDPOINT_NOT_FOUND`.
pub fn find(workspace_id: Uuid, workspace: &str, name: &str) -> Result<Endpoint> {
    find_many(workspace_id, &[name])?
        .pop()
        .ok_or_else(|| not_found(workspace, name))
}

/// The error for an endpoint that is not there.
pub fn not_found(workspace: &str, name: &str) -> KronosError {
    KronosError::new(
        &error::ENDPOINT_NOT_FOUND,
        format!("endpoint {name:?} does not exist in workspace {workspace:?}"),
        json!({ "workspace": workspace, "endpoint": name }),
    )
}

/// The endpoint with an id, also a deleted one.
pub fn find_by_id(endpoint_id: Uuid) -> Result<Endpoint> {
    let statement = "
select e.endpoint_id, e.name, p.name as payload_spec, p.revision_id
from kronos.endpoints e left join kronos.payload_specs p using (payload_spec_id)
where e.endpoint_id = $1";
    sql::row(statement, &[endpoint_id.into()], read)?
        .ok_or_else(|| pgrx::spi::Error::InvalidPosition.into())
}

/// What is to change; None keeps the old value.
pub struct Changes<'a> {
    pub name: Option<&'a str>,
    pub spec: Option<JsonB>,
    pub retry_policy: Option<JsonB>,
    /// 0 takes the bound away.
    pub attempt_timeout: Option<Interval>,
    /// The empty name takes it away.
    pub payload_spec: Option<&'a str>,
}

const UPDATE: &str = "
update kronos.endpoints
set name = coalesce($2, name), spec = coalesce($3, spec), retry_policy = coalesce($4, retry_policy),
    attempt_timeout = nullif(coalesce($5, attempt_timeout), interval '0'),
    payload_spec_id = case when $6 then $7 else payload_spec_id end,
    updated_at = clock_timestamp()
where endpoint_id = $1";

/// Changes an endpoint, for all executions that are not finished too, and returns its id.
///
/// # Errors
/// Those of [`create`], `ENDPOINT_NOT_FOUND`.
pub fn update(workspace: &str, name: &str, changes: Changes) -> Result<Uuid> {
    let workspace_id = find_workspace(workspace)?;
    let endpoint_id = find(workspace_id, workspace, name)?.endpoint_id;
    if let Some(name) = changes.name {
        check_length("new_name", name, 200)?;
    }
    if let Some(spec) = &changes.spec {
        check_spec(spec)?;
    }
    check_timeout(changes.attempt_timeout, "interval '0' <= $1")?;
    let retry_policy = changes
        .retry_policy
        .map(retry_policy::complete)
        .transpose()?;
    let payload_spec_id = match changes.payload_spec {
        None | Some("") => None,
        Some(name) => Some(payload_spec::find(workspace_id, workspace, name)?),
    };
    let args = [
        endpoint_id.into(),
        changes.name.into(),
        changes.spec.into(),
        retry_policy.into(),
        changes.attempt_timeout.into(),
        changes.payload_spec.is_some().into(),
        payload_spec_id.into(),
    ];
    let (workspace, new_name) = (
        workspace.to_owned(),
        changes.name.unwrap_or(name).to_owned(),
    );
    sql::convert_errors(
        || sql::run(UPDATE, &args),
        move |report| {
            let taken = report
                .message()
                .contains("endpoints_name_unique_in_workspace");
            taken.then(|| {
                KronosError::new(
                    &error::ENDPOINT_EXISTS,
                    format!("endpoint {new_name:?} exists already in workspace {workspace:?}"),
                    json!({ "workspace": workspace, "endpoint": new_name }),
                )
            })
        },
    )?;
    Ok(endpoint_id)
}

const DELETE: &str = "
update kronos.endpoints
set deleted_at = clock_timestamp(), payload_spec_id = null
where endpoint_id = $1 and deleted_at is null";

/// Deletes an endpoint, and returns its id; PostgreSQL's foreign key refuses it while a live job uses it. Its row stays for
/// the history, and for executions of retired jobs that are left to run.
///
/// # Errors
/// `WORKSPACE_NOT_FOUND`, `ENDPOINT_NOT_FOUND`, `ENDPOINT_IN_USE`.
pub fn delete(workspace: &str, name: &str) -> Result<Uuid> {
    let endpoint_id = find(find_workspace(workspace)?, workspace, name)?.endpoint_id;
    let (workspace, name) = (workspace.to_owned(), name.to_owned());
    let in_use = {
        let (workspace, name) = (workspace.clone(), name.clone());
        move || {
            KronosError::new(
                &error::ENDPOINT_IN_USE,
                format!("endpoint {name:?} of workspace {workspace:?} is used by live jobs"),
                json!({ "workspace": workspace, "endpoint": name }),
            )
        }
    };
    let deleted = sql::convert_errors(
        || sql::run(DELETE, &[endpoint_id.into()]),
        move |report| {
            let used = report.message().contains("jobs_live_job_has_live_endpoint");
            used.then(&in_use)
        },
    )?;
    match deleted {
        0 => Err(not_found(&workspace, &name)),
        _ => Ok(endpoint_id),
    }
}
