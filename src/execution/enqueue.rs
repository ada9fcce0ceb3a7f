//! Enqueuing one-shots: executions without a job.

use super::keyed::{self, Keyed, OnConflict};
use crate::args::{self, MAX_INPUT_BYTES};
use crate::authority::Authorised;
use crate::endpoint::{self, Endpoint};
use crate::error::{self, Result};
use crate::id::{EndpointId, ExecutionId, WorkspaceId};
use crate::idempotency;
use crate::idempotency::Expiry;
use crate::sql::{self, Composite, Jsonb};
use pgrx::datum::TimestampWithTimeZone;

/// The scope of the idempotency keys of enqueue() and enqueue_many().
pub const SCOPE: &str = "enqueue";

/// A one-shot to be written.
pub struct OneShot<'a> {
    pub endpoint: &'a str,
    pub input: Jsonb,
    /// None for now.
    pub run_at: Option<TimestampWithTimeZone>,
    pub priority: i32,
    pub idempotency_key: Option<&'a str>,
    pub metadata: Jsonb,
    /// The name of the one-shot while it is unfinished.
    pub key: Option<&'a str>,
    pub on_conflict: OnConflict,
    pub concurrency_key: Option<&'a str>,
}

impl OneShot<'_> {
    /// Fails unless the arguments are within their bounds.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, `VALUE_TOO_LARGE`.
    pub fn check(&self) -> Result<()> {
        args::json_size("input", self.input, MAX_INPUT_BYTES)?;
        args::metadata(self.metadata)?;
        args::priority(self.priority)?;
        args::concurrency_key(self.concurrency_key)?;
        if let Some(run_at) = self.run_at {
            args::instant("run_at", run_at)?;
        }
        if let Some(key) = self.key {
            args::length("key", key, 200)?;
        }
        Ok(())
    }
}

/// Enqueues a one-shot and returns its row of type kronos.enqueued_execution. It runs a single statement unless there is
/// a key, an idempotency key or a payload spec.
///
/// # Errors
/// `ENDPOINT_NOT_FOUND`, `INVALID_INPUT`, `IDEMPOTENCY_CONFLICT`, `KEY_IN_USE`, `CONCURRENT_CHANGE`.
pub fn enqueue(workspace: &Authorised, new: &OneShot) -> Result<Composite> {
    let execution_id = ExecutionId::generate();
    if new.idempotency_key.is_none()
        && new.key.is_none()
        && let Some(written) = insert(execution_id, &workspace.name, new, None)?
    {
        return Ok(written);
    }
    let endpoint = endpoint::find(workspace, new.endpoint)?;
    endpoint.require_use(workspace)?;
    endpoint.check_input(new.input)?;
    if let Some(key) = new.idempotency_key {
        let workspace_id = workspace.workspace_id;
        let earlier = idempotency::reserve(
            workspace_id,
            SCOPE,
            key,
            execution_id,
            Expiry::After(new.run_at),
        )?;
        if let Some(made_id) = earlier {
            let request = Request {
                endpoint_id: endpoint.endpoint_id,
                run_at: new.run_at,
                priority: new.priority,
                input: new.input,
                metadata: new.metadata,
                key: new.key,
                concurrency_key: new.concurrency_key,
            };
            return find_repeated(workspace_id, key, made_id, &request);
        }
    }
    if endpoint.is_sql() {
        super::wake_sql_workers(new.run_at.map_or_else(sql::now, sql::from_pg));
    }
    let Some(key) = new.key else {
        return insert(execution_id, &workspace.name, new, Some(&endpoint))?
            .ok_or_else(error::concurrent_change);
    };
    let (enqueued, found_id) = keyed::put(&Keyed {
        execution_id,
        workspace_id: workspace.workspace_id,
        endpoint_id: endpoint.endpoint_id,
        endpoint_type: &endpoint.endpoint_type,
        run_at: new.run_at,
        priority: new.priority,
        input: new.input,
        metadata: new.metadata,
        key,
        concurrency_key: new.concurrency_key,
        on_conflict: new.on_conflict,
    })?;
    if let Some(idempotency_key) = new.idempotency_key
        && found_id != execution_id
    {
        idempotency::point_to(workspace.workspace_id, SCOPE, idempotency_key, found_id)?;
    }
    Ok(enqueued)
}

const ENQUEUE: &str = include_str!("enqueue.sql");

/// Inserts a one-shot, unless its workspace or endpoint is missing, or the request must be checked for the endpoint first.
/// `checked` is the endpoint for which it has been.
fn insert(
    execution_id: ExecutionId,
    workspace: &str,
    new: &OneShot,
    checked: Option<&Endpoint>,
) -> Result<Option<Composite>> {
    let now = sql::now();
    let args = [
        execution_id.into(),
        workspace.into(),
        new.endpoint.into(),
        new.run_at.into(),
        sql::to_pg(now).into(),
        new.priority.into(),
        new.input.into(),
        new.metadata.into(),
        checked.map(|endpoint| endpoint.endpoint_id).into(),
        checked.and_then(|endpoint| endpoint.run_as).into(),
        new.concurrency_key.into(),
    ];
    let written = sql::by_index(|| {
        sql::row(ENQUEUE, &args, |row| {
            Ok((
                sql::first(row)?,
                sql::get::<WorkspaceId>(row, "workspace_id")?,
            ))
        })
    })?;
    Ok(written.map(|(enqueued, workspace_id)| {
        super::notify_workers(workspace_id, new.run_at.map_or(now, sql::from_pg));
        enqueued
    }))
}

/// The arguments of a request that is compared with an earlier one.
pub struct Request<'a> {
    pub endpoint_id: EndpointId,
    pub run_at: Option<TimestampWithTimeZone>,
    pub priority: i32,
    pub input: Jsonb,
    pub metadata: Jsonb,
    pub key: Option<&'a str>,
    pub concurrency_key: Option<&'a str>,
}

const COMPARE: &str = include_str!("compare.sql");

/// The execution whose retention is over before that of its key: cancelled long before its run_at.
const PRUNED: &str =
    "select row($1::uuid, null::text, null::timestamptz, false)::kronos.enqueued_execution";

/// The execution that an earlier request with the key created.
///
/// # Errors
/// `IDEMPOTENCY_CONFLICT` if that request had other arguments.
pub fn find_repeated(
    workspace_id: WorkspaceId,
    key: &str,
    made_id: ExecutionId,
    request: &Request,
) -> Result<Composite> {
    let args = [
        workspace_id.into(),
        made_id.into(),
        request.endpoint_id.into(),
        request.run_at.into(),
        request.priority.into(),
        request.input.into(),
        request.metadata.into(),
        request.key.into(),
        request.concurrency_key.into(),
    ];
    let found = sql::row(COMPARE, &args, |row| {
        Ok((sql::first(row)?, sql::get::<Vec<String>>(row, "differing")?))
    })?;
    match found {
        Some((enqueued, differing)) if differing.is_empty() => Ok(enqueued),
        Some((_, differing)) => Err(error::idempotency_conflict(key, made_id, &differing)),
        None => sql::composite(PRUNED, &[made_id.into()])?.ok_or_else(error::concurrent_change),
    }
}
