//! One-shots with a key, which names them in their workspace while they are unfinished.

use crate::endpoint;
use crate::error::{self, KronosError, Result};
use crate::id::{EndpointId, ExecutionId, WorkspaceId};
use crate::named::Named;
use crate::sql::{self, Composite, Jsonb, Row};
use crate::status::Status;
use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use serde_json::json;

/// What happens to a request whose key an unfinished execution has.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// Returns the execution unchanged.
    #[default]
    Keep,
    /// Replaces the execution, unless it is running.
    Replace,
    Error,
}

impl Named for OnConflict {
    const COLUMN: &'static str = "on_conflict";
    const ALL: &'static [Self] = &[Self::Keep, Self::Replace, Self::Error];

    fn name(self) -> &'static str {
        match self {
            OnConflict::Keep => "keep",
            OnConflict::Replace => "replace",
            OnConflict::Error => "error",
        }
    }
}

/// A one-shot with a key, to be written.
pub struct Keyed<'a> {
    pub execution_id: ExecutionId,
    pub workspace_id: WorkspaceId,
    pub endpoint_id: EndpointId,
    pub endpoint_type: &'a str,
    /// None for now.
    pub run_at: Option<TimestampWithTimeZone>,
    pub priority: i32,
    pub input: Jsonb,
    pub metadata: Jsonb,
    pub key: &'a str,
    pub concurrency_key: Option<&'a str>,
    pub on_conflict: OnConflict,
}

const FIND: &str = "
select row(execution_id, status, run_at, false)::kronos.enqueued_execution, execution_id, status
from kronos_internal.live_executions
where workspace_id = $1 and key = $2";

/// How many times a session looks for an execution that other sessions keep creating and finishing, before it gives up.
const ATTEMPTS: u32 = 10;

/// Writes a one-shot, or finds or replaces the unfinished execution that has its key. Returns the row of type
/// kronos.enqueued_execution, and the id.
///
/// The unique index decides which of two sessions creates the execution: the other one waits for it and looks again. A
/// request that keeps an execution which is there waits for nobody.
///
/// # Errors
/// `KEY_IN_USE`, `CONCURRENT_CHANGE`.
pub fn put(new: &Keyed) -> Result<(Composite, ExecutionId)> {
    for _ in 0..ATTEMPTS {
        sql::check_for_interrupts();
        let replaces = new.on_conflict == OnConflict::Replace;
        if replaces && let Some(replaced) = replace(new)? {
            return Ok(replaced);
        }
        match find(new)? {
            None => {
                if let Some(inserted) = insert(new)? {
                    return Ok(inserted);
                }
            }
            Some((found, _)) if new.on_conflict == OnConflict::Keep => return Ok(found),
            // Its last attempt has ended since this session tried to replace it.
            Some((_, status)) if replaces && status != Status::Running => {}
            Some(((_, execution_id), status)) => return Err(in_use(new.key, execution_id, status)),
        }
    }
    Err(error::concurrent_change())
}

fn read(row: &Row) -> Result<(Composite, ExecutionId)> {
    Ok((sql::first(row)?, sql::get(row, "execution_id")?))
}

fn find(new: &Keyed) -> Result<Option<((Composite, ExecutionId), Status)>> {
    let args = [new.workspace_id.into(), new.key.into()];
    sql::by_index(|| sql::row(FIND, &args, |row| Ok((read(row)?, Status::read(row)?))))
}

fn insert(new: &Keyed) -> Result<Written> {
    write(new, |args| {
        sql::row(include_str!("insert_keyed.sql"), args, read)
    })
}

fn replace(new: &Keyed) -> Result<Written> {
    write(new, |args| {
        sql::by_index(|| sql::row(include_str!("replace_keyed.sql"), args, read))
    })
}

type Written = Option<(Composite, ExecutionId)>;

/// Runs a statement that writes the one-shot, and notifies workers if it did.
fn write(new: &Keyed, run: impl FnOnce(&[DatumWithOid]) -> Result<Written>) -> Result<Written> {
    let now = sql::now_pg();
    let args = [
        new.execution_id.into(),
        new.workspace_id.into(),
        new.endpoint_id.into(),
        new.endpoint_type.into(),
        new.run_at.into(),
        now.into(),
        new.priority.into(),
        new.input.into(),
        new.metadata.into(),
        new.key.into(),
        new.concurrency_key.into(),
    ];
    Ok(run(&args)?.inspect(|_| notify(new, now)))
}

fn notify(new: &Keyed, now: TimestampWithTimeZone) {
    let run_at = sql::from_pg(new.run_at.unwrap_or(now));
    super::notify_workers(new.workspace_id, run_at);
    if new.endpoint_type == endpoint::SQL {
        super::wake_sql_workers(run_at);
    }
}

fn in_use(key: &str, execution_id: ExecutionId, status: Status) -> KronosError {
    KronosError::new(
        &error::KEY_IN_USE,
        format!(
            "key {key:?} belongs to execution {execution_id}, which is {}",
            status.name()
        ),
        json!({ "key": key, "execution_id": execution_id.to_string(), "status": status.name() }),
    )
}
