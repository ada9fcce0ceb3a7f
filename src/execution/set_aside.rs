//! Moving executions between the common lane and the lanes of gated endpoints.
//!
//! Writers put executions into the common lane unless they know better, and pausing or limiting an endpoint changes no
//! execution. A claim that meets an execution of a gated endpoint moves it to its lane, and a claim that meets lanes of
//! an endpoint that is no longer gated moves the executions back. So each execution moves at most once per change of the
//! endpoint, however many claims pass.

use crate::error::Result;
use crate::id::{EndpointId, ExecutionId, WorkspaceId};
use crate::sql;
use chrono::{DateTime, Utc};

/// How many executions of an endpoint that is no longer gated one claim moves back.
const RETURNED_AT_ONCE: i64 = 1000;

/// Moves those of the locked executions that belong to gated endpoints to their lanes, and further ones among the first
/// `window` of their queues. Returns whether there were any.
///
/// # Errors
/// Fails only if SQL does.
pub fn set_aside(execution_ids: Vec<ExecutionId>, window: i64, now: DateTime<Utc>) -> Result<bool> {
    let queues = move_aside(execution_ids)?;
    for (workspace_id, endpoint_type) in &queues {
        if window == 0 {
            break;
        }
        let args = [
            (*workspace_id).into(),
            endpoint_type.as_str().into(),
            sql::to_pg(now).into(),
            window.into(),
        ];
        let found = sql::newest(|| {
            sql::by_index(|| {
                sql::rows(include_str!("find_to_set_aside.sql"), &args, |row| {
                    sql::get(row, "execution_id")
                })
            })
        })?;
        if !found.is_empty() {
            move_aside(found)?;
        }
    }
    Ok(!queues.is_empty())
}

/// Moves executions of gated endpoints to their lanes, and returns their workspaces and endpoint types.
fn move_aside(execution_ids: Vec<ExecutionId>) -> Result<Vec<(WorkspaceId, String)>> {
    let mut queues: Vec<(WorkspaceId, String)> = sql::newest(|| {
        sql::by_index(|| {
            sql::rows(
                include_str!("set_aside.sql"),
                &[execution_ids.into()],
                |row| {
                    Ok((
                        sql::get(row, "workspace_id")?,
                        sql::get(row, "endpoint_type")?,
                    ))
                },
            )
        })
    })?;
    queues.sort_unstable();
    queues.dedup();
    Ok(queues)
}

/// Moves executions of an endpoint that is no longer gated back to the common lane. Returns whether there were any.
///
/// # Errors
/// Fails only if SQL does.
pub fn return_to_common_lane(
    workspace_id: WorkspaceId,
    endpoint_type: &str,
    endpoint_id: EndpointId,
) -> Result<bool> {
    let args = [
        workspace_id.into(),
        endpoint_type.into(),
        endpoint_id.into(),
        RETURNED_AT_ONCE.into(),
    ];
    let statement = include_str!("return_to_common_lane.sql");
    Ok(sql::by_index(|| sql::run(statement, &args))? > 0)
}
