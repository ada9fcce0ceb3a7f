//! The errors of jobs, one constructor each.

use super::job_ref::JobRef;
use crate::authority::Authorised;
use crate::calendar::Tick;
use crate::error::{self, KronosError, Result};
use crate::id::JobId;
use crate::sql;
use pgrx::PgSqlErrorCode;
use pgrx::datum::TimestampWithTimeZone;
use serde_json::json;

pub fn job_not_found(workspace: &Authorised, job: JobRef) -> KronosError {
    let name = &workspace.name;
    let detail = match job {
        JobRef::Id(job_id) => json!({ "workspace": name, "job_id": job_id.to_string() }),
        JobRef::Name(job_name) => json!({ "workspace": name, "job_name": job_name }),
    };
    KronosError::new(
        &error::JOB_NOT_FOUND,
        format!("job {job} does not exist in workspace {name:?}"),
        detail,
    )
}

pub fn job_retired(job_id: JobId, retired_at: TimestampWithTimeZone, reason: &str) -> KronosError {
    let since = sql::iso(retired_at);
    let why = match reason {
        "CANCELLED" => "it was cancelled",
        "UNDECLARED" => "its declared set no longer declares it",
        _ => "its ends_at is past",
    };
    KronosError::new(
        &error::JOB_RETIRED,
        format!("job {job_id} was retired at {since}: {why}"),
        json!({ "job_id": job_id.to_string(), "retired_at": since, "retired_reason": reason }),
    )
}

pub fn job_exists(workspace: &str, job_name: &str) -> KronosError {
    KronosError::new(
        &error::JOB_EXISTS,
        format!("job {job_name:?} already exists in workspace {workspace:?}"),
        json!({ "workspace": workspace, "job_name": job_name }),
    )
}

/// A declared job has the name of a live job that belongs to another set, or to no set.
pub fn job_not_in_set(
    workspace: &str,
    job_name: &str,
    job_id: JobId,
    set_name: &str,
    declared_by: Option<&str>,
) -> KronosError {
    let owner = match declared_by {
        Some(other) => format!("set {other:?} declares it"),
        None => "no set declares it".to_owned(),
    };
    KronosError::new(
        &error::JOB_EXISTS,
        format!("job {job_name:?} already exists and does not belong to set {set_name:?}: {owner}"),
        json!({
            "workspace": workspace, "job_name": job_name, "job_id": job_id.to_string(),
            "set_name": set_name, "declared_by": declared_by,
        }),
    )
}

pub fn job_paused(job_id: JobId, paused_at: Option<TimestampWithTimeZone>) -> KronosError {
    let since = paused_at.map(sql::iso);
    KronosError::new(
        &error::JOB_PAUSED,
        format!(
            "job {job_id} has been paused since {}",
            since.as_deref().unwrap_or_default()
        ),
        json!({ "job_id": job_id.to_string(), "paused_at": since }),
    )
}

pub fn job_not_paused(job_id: JobId) -> KronosError {
    KronosError::new(
        &error::JOB_NOT_PAUSED,
        format!("job {job_id} is not paused"),
        json!({ "job_id": job_id.to_string() }),
    )
}

pub fn version_conflict(job_id: JobId, current: i32, expected: i32) -> KronosError {
    KronosError::new(
        &error::VERSION_CONFLICT,
        format!("job {job_id} has version {current}, not {expected}"),
        json!({
            "job_id": job_id.to_string(), "expected_version": expected, "current_version": current,
        }),
    )
}

pub fn invalid_window(
    rule: &str,
    starts_at: Option<TimestampWithTimeZone>,
    ends_at: Option<TimestampWithTimeZone>,
) -> KronosError {
    KronosError::new(
        &error::INVALID_WINDOW,
        rule,
        json!({ "starts_at": iso_or_null(starts_at), "ends_at": iso_or_null(ends_at) }),
    )
}

/// A schedule has no future tick between `starts_at` and `ends_at`; `next` is its first tick after `ends_at`.
pub fn never_fires(
    cron: &str,
    starts_at: Option<TimestampWithTimeZone>,
    ends_at: Option<TimestampWithTimeZone>,
    next: Option<Tick>,
) -> KronosError {
    let message = match next {
        None => format!("{cron:?} never fires"),
        Some(_) => format!("{cron:?} does not fire between starts_at and ends_at"),
    };
    KronosError::new(
        &error::NEVER_FIRES,
        message,
        json!({
            "cron": cron, "starts_at": iso_or_null(starts_at), "ends_at": iso_or_null(ends_at),
            "next_tick_at": iso_or_null(next.map(sql::to_pg)),
        }),
    )
}

pub fn too_many_ticks(limit: usize, last: TimestampWithTimeZone) -> KronosError {
    KronosError::new(
        &error::TOO_MANY_TICKS,
        format!("the range has more than {limit} ticks; backfill it in parts"),
        json!({ "limit": limit, "limit_reached_at": sql::iso(last) }),
    )
}

fn iso_or_null(timestamp: Option<TimestampWithTimeZone>) -> Option<String> {
    timestamp
        .filter(|timestamp| sql::is_finite(*timestamp))
        .map(sql::iso)
}

/// Runs a statement that writes jobs, and translates violations of its constraints. The constraints decide whether a
/// name is free and whether an endpoint still exists, even if the transaction's snapshot is too old to show it.
///
/// # Errors
/// `taken` for a name that a live job has; `gone` for an endpoint that another session has deleted.
pub fn translate_constraints<T>(
    write: impl FnOnce() -> Result<T>,
    taken: impl Fn() -> KronosError,
    gone: impl Fn() -> KronosError,
) -> Result<T> {
    sql::convert_errors(write, |report| {
        if error::violates(
            report,
            PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION,
            "jobs_one_live_job_per_name",
        ) {
            return Some(taken());
        }
        error::violates(
            report,
            PgSqlErrorCode::ERRCODE_FOREIGN_KEY_VIOLATION,
            "jobs_live_job_has_live_endpoint",
        )
        .then(&gone)
    })
}
