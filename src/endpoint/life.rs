//! Creates, updates and deletes endpoints.

use super::limits::Limits;
use super::lookup::{self, endpoint_exists};
use super::pause::paused_or_missing;
use super::payload_spec;
use super::retry_policy::RetryPolicy;
use super::sql_spec;
use crate::args;
use crate::authority::Authorised;
use crate::error::{self, KronosError, Result, endpoint_not_found, invalid_argument};
use crate::id::EndpointId;
use crate::sql::{self, Jsonb};
use pgrx::datum::Interval;
use pgrx::{PgSqlErrorCode, pg_sys};
use serde_json::json;

/// An endpoint to create.
pub struct NewEndpoint<'a> {
    pub name: &'a str,
    pub endpoint_type: &'a str,
    pub spec: Jsonb,
    pub retry_policy: Jsonb,
    pub attempt_timeout: Option<Interval>,
    /// The name of a payload spec.
    pub payload_spec: Option<&'a str>,
    /// The name of the endpoint that handles failures.
    pub on_failure: Option<&'a str>,
    /// The role of an SQL endpoint, whose privileges the caller has; None for the caller.
    pub run_as: Option<pg_sys::Oid>,
    pub limits: Limits,
}

/// Creates an endpoint and returns its id. With `if_not_exists`, an existing endpoint of that name is left unchanged.
///
/// # Errors
/// `INVALID_ARGUMENT`, `VALUE_TOO_LARGE`, `PAYLOAD_SPEC_NOT_FOUND`, `ENDPOINT_NOT_FOUND` for `on_failure`;
/// `ENDPOINT_EXISTS` unless `if_not_exists`.
pub fn create(workspace: &Authorised, new: NewEndpoint, if_not_exists: bool) -> Result<EndpointId> {
    args::length("name", new.name, 200)?;
    args::length("endpoint_type", new.endpoint_type, 100)?;
    check_spec(new.spec)?;
    let (spec, run_as) = if new.endpoint_type == sql_spec::SQL {
        (
            sql_spec::complete(new.spec)?,
            Some(sql_spec::check_role(new.run_as.unwrap_or(workspace.user))?),
        )
    } else {
        (new.spec, None)
    };
    let attempt_timeout = new
        .attempt_timeout
        .map(|timeout| read_timeout(&timeout, 1, "must be more than 0 and at most 30 days"))
        .transpose()?;
    let policy = RetryPolicy::read(new.retry_policy)?;
    let limits = new.limits.check_new()?;
    let payload_spec_id = new
        .payload_spec
        .map(|name| payload_spec::find(workspace, name))
        .transpose()?;
    let on_failure_id = new
        .on_failure
        .map(|name| lookup::find_handler(workspace, name))
        .transpose()?;
    let args = [
        workspace.workspace_id.into(),
        new.name.into(),
        new.endpoint_type.into(),
        spec.into(),
        policy.max_attempts.into(),
        policy.backoff.into(),
        policy.initial_delay_ms.into(),
        policy.max_delay_ms.into(),
        policy.jitter.into(),
        attempt_timeout.into(),
        payload_spec_id.into(),
        on_failure_id.into(),
        run_as.into(),
        limits.max_concurrent.into(),
        limits.rate_limit.into(),
        limits.rate_interval.into(),
    ];
    let inserted = translate_constraints(workspace, new.name, new.payload_spec, || {
        sql::row(include_str!("insert_endpoint.sql"), &args, |row| {
            sql::get(row, "endpoint_id")
        })
    });
    match inserted? {
        Some(endpoint_id) => Ok(endpoint_id),
        None if if_not_exists => match lookup::find_many(workspace, &[new.name])?.pop() {
            Some(existing) => Ok(existing.endpoint_id),
            None => Err(error::concurrent_change()),
        },
        None => Err(endpoint_exists(&workspace.name, new.name)),
    }
}

/// Runs a statement that writes an endpoint, and translates violations of its constraints: its name is taken, it would
/// have half a rate limit, or another session has deleted its payload spec.
fn translate_constraints<T>(
    workspace: &Authorised,
    name: &str,
    payload_spec: Option<&str>,
    write: impl FnOnce() -> Result<T>,
) -> Result<T> {
    sql::convert_errors(write, |report| {
        if error::violates(
            report,
            PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION,
            "endpoints_name_unique_in_workspace",
        ) {
            return Some(endpoint_exists(&workspace.name, name));
        }
        if error::violates(
            report,
            PgSqlErrorCode::ERRCODE_CHECK_VIOLATION,
            "endpoints_rate_limit_has_interval",
        ) {
            let rule = "and rate_interval need each other: the endpoint has neither";
            return Some(invalid_argument("rate_limit", rule));
        }
        error::violates(
            report,
            PgSqlErrorCode::ERRCODE_FOREIGN_KEY_VIOLATION,
            "endpoints_payload_spec_in_same_workspace",
        )
        .then(|| payload_spec::not_found(workspace, payload_spec.unwrap_or_default()))
    })
}

fn check_spec(spec: Jsonb) -> Result<()> {
    args::json_size("spec", spec, args::MAX_SPEC_BYTES)?;
    if spec.text().starts_with('{') {
        return Ok(());
    }
    Err(invalid_argument("spec", "must be a JSON object"))
}

/// Reads a timeout from `shortest` microseconds to 30 days.
fn read_timeout(timeout: &Interval, shortest: i64, rule: &str) -> Result<Interval> {
    args::duration("attempt_timeout", timeout, shortest..=30 * args::DAY, rule)
}

/// The changes of an update. None keeps the old value.
pub struct Changes<'a> {
    pub name: Option<&'a str>,
    pub spec: Option<Jsonb>,
    /// The whole policy: a field that is left out gets its default.
    pub retry_policy: Option<Jsonb>,
    /// 0 clears the timeout.
    pub attempt_timeout: Option<Interval>,
    /// The empty name clears the payload spec.
    pub payload_spec: Option<&'a str>,
    /// The empty name clears it.
    pub on_failure: Option<&'a str>,
    pub limits: Limits,
}

/// Updates an endpoint and returns its id. Unfinished executions use the endpoint as it is when a worker claims them. Who
/// writes the statement of an SQL endpoint becomes its run_as.
///
/// # Errors
/// `PERMISSION_DENIED` for an SQL endpoint whose role the caller does not have; `INVALID_ARGUMENT`, `VALUE_TOO_LARGE`,
/// `ENDPOINT_NOT_FOUND`, `ENDPOINT_EXISTS`, `PAYLOAD_SPEC_NOT_FOUND`.
pub fn update(workspace: &Authorised, name: &str, changes: Changes) -> Result<EndpointId> {
    if let Some(name) = changes.name {
        args::length("new_name", name, 200)?;
    }
    changes.spec.map(check_spec).transpose()?;
    let locked = lock(workspace, name)?;
    let (spec, run_as) = match locked.run_as {
        Some(_) => match changes.spec {
            Some(spec) => (
                Some(sql_spec::complete(spec)?),
                Some(sql_spec::check_role(workspace.user)?),
            ),
            None => (None, None),
        },
        None => (changes.spec, None),
    };
    let attempt_timeout = changes
        .attempt_timeout
        .map(|timeout| read_timeout(&timeout, 0, "must be at most 30 days; 0 clears it"))
        .transpose()?;
    let policy = changes.retry_policy.map(RetryPolicy::read).transpose()?;
    let limits = changes.limits.check_changes()?;
    let payload_spec_id = match changes.payload_spec {
        None | Some("") => None,
        Some(payload_spec) => Some(payload_spec::find(workspace, payload_spec)?),
    };
    let on_failure_id = match changes.on_failure {
        None | Some("") => None,
        Some(handler) => Some(lookup::find_handler(workspace, handler)?),
    };
    let args = [
        locked.endpoint_id.into(),
        changes.name.into(),
        spec.into(),
        policy.as_ref().map(|policy| policy.max_attempts).into(),
        policy.as_ref().map(|policy| policy.backoff.clone()).into(),
        policy.as_ref().map(|policy| policy.initial_delay_ms).into(),
        policy.as_ref().map(|policy| policy.max_delay_ms).into(),
        policy.as_ref().map(|policy| policy.jitter).into(),
        attempt_timeout.into(),
        changes.payload_spec.is_some().into(),
        payload_spec_id.into(),
        changes.on_failure.is_some().into(),
        on_failure_id.into(),
        run_as.into(),
        limits.max_concurrent.into(),
        limits.rate_limit.into(),
        limits.rate_interval.into(),
    ];
    let new_name = changes.name.unwrap_or(name);
    translate_constraints(workspace, new_name, changes.payload_spec, || {
        sql::run(include_str!("update_endpoint.sql"), &args)
    })?;
    Ok(locked.endpoint_id)
}

/// Deletes an endpoint and returns its id. Its row stays for the history and for existing executions, which still run.
///
/// # Errors
/// `ENDPOINT_NOT_FOUND`; `PERMISSION_DENIED` as for [`update`]; `ENDPOINT_IN_USE` while a live job uses it;
/// `ENDPOINT_PAUSED`, because nobody could resume it.
pub fn delete(workspace: &Authorised, name: &str) -> Result<EndpointId> {
    let endpoint_id = lock(workspace, name)?.endpoint_id;
    let (workspace_name, endpoint) = (workspace.name.clone(), name.to_owned());
    let deleted = sql::convert_errors(
        || {
            let args = [endpoint_id.into()];
            sql::run(include_str!("delete_endpoint.sql"), &args)
        },
        move |report| {
            error::violates(
                report,
                PgSqlErrorCode::ERRCODE_FOREIGN_KEY_VIOLATION,
                "jobs_live_job_has_live_endpoint",
            )
            .then(|| {
                KronosError::new(
                    &error::ENDPOINT_IN_USE,
                    format!(
                        "endpoint {endpoint:?} of workspace {workspace_name:?} is used by live jobs"
                    ),
                    json!({ "workspace": workspace_name, "endpoint": endpoint }),
                )
            })
        },
    )?;
    if deleted == 0 {
        return Err(paused_or_missing(workspace, name)?);
    }
    Ok(endpoint_id)
}

const LOCK: &str = "
select endpoint_id, run_as::oid as run_as
from kronos_internal.endpoints
where workspace_id = $1 and name = $2 and deleted_at is null
for no key update";

/// An endpoint that the transaction has locked: nobody else changes it, its name or its role.
struct Locked {
    endpoint_id: EndpointId,
    /// The role of an SQL endpoint, whose privileges the caller has.
    run_as: Option<pg_sys::Oid>,
}

/// Locks the live endpoint of a name.
///
/// # Errors
/// `ENDPOINT_NOT_FOUND`; `PERMISSION_DENIED` for an SQL endpoint without the privileges of its role; `CONCURRENT_CHANGE` if
/// another endpoint has got the name while the call waited.
fn lock(workspace: &Authorised, name: &str) -> Result<Locked> {
    let args = [workspace.workspace_id.into(), name.into()];
    let found = sql::row(LOCK, &args, |row| {
        Ok(Locked {
            endpoint_id: sql::get(row, "endpoint_id")?,
            run_as: sql::get_opt(row, "run_as")?,
        })
    })?;
    match found {
        Some(locked) => {
            if let Some(role) = locked.run_as {
                workspace.require_role(role, name)?;
            }
            Ok(locked)
        }
        None if lookup::find_many(workspace, &[name])?.is_empty() => {
            Err(endpoint_not_found(&workspace.name, name))
        }
        None => Err(error::concurrent_change()),
    }
}
