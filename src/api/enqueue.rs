//! Enqueuing one-shots.

use super::Result;
use crate::args::require;
use crate::authority::{Capability, authorise_or_create};
use crate::execution::{self, OnConflict, OneShot};
use crate::named::Named;
use crate::sql::Jsonb;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::SetOfIterator;
use pgrx::prelude::*;

/// Enqueues a one-shot; see [`execution::enqueue`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
#[expect(clippy::too_many_arguments, reason = "SQL passes them by name")]
fn enqueue(
    endpoint: Option<&str>,
    input: default!(Option<Jsonb>, "'{}'"),
    run_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    priority: default!(Option<i32>, "5"),
    idempotency_key: default!(Option<&str>, "NULL"),
    metadata: default!(Option<Jsonb>, "'{}'"),
    concurrency_key: default!(Option<&str>, "NULL"),
    key: default!(Option<&str>, "NULL"),
    on_conflict: default!(Option<&str>, "'keep'"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.enqueued_execution")> {
    let new = OneShot {
        endpoint: require("endpoint", endpoint)?,
        input: require("input", input)?,
        run_at,
        priority: require("priority", priority)?,
        idempotency_key,
        metadata: require("metadata", metadata)?,
        concurrency_key,
        key,
        on_conflict: OnConflict::parse(require("on_conflict", on_conflict)?)?,
    };
    new.check()?;
    Ok(authorise_or_create(
        workspace,
        Capability::Producer,
        |workspace| execution::enqueue(workspace, &new),
    )?)
}

/// Enqueues a list of one-shots; see [`execution::enqueue_many`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn enqueue_many(
    executions: Option<Jsonb>,
    workspace: default!(Option<&str>, "NULL"),
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.enqueued_execution")>> {
    let executions = require("executions", executions)?;
    let enqueued = authorise_or_create(workspace, Capability::Producer, |workspace| {
        execution::enqueue_many(workspace, executions)
    })?;
    Ok(SetOfIterator::new(enqueued))
}
