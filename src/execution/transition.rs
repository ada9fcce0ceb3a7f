//! The state machine of live executions: the trigger live_executions_transitions.

use crate::error::{self, KronosError, or_raise};
use crate::id::ExecutionId;
use pgrx::datum::UnboxDatum;
use pgrx::pgbox::AllocatedByPostgres;
use pgrx::prelude::*;
use serde_json::json;

/// Refuses changes of status other than the three that exist within the table: an execution that waits starts (to
/// RUNNING), one that runs waits again (to QUEUED, PENDING or RETRYING), and one that waits for its first attempt, or was
/// given back, is rescheduled (between PENDING and QUEUED).
///
/// PostgreSQL parses a trigger's WHEN at each statement, which was 4 % of the time of a claim and its report.
#[pg_trigger(sql = false)]
fn refuse_transition<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, PgTriggerError> {
    let (Some(old), Some(new)) = (trigger.old(), trigger.new()) else {
        return Ok(None);
    };
    or_raise(check(&old, &new));
    Ok(Some(new))
}

type Execution<'a> = PgHeapTuple<'a, AllocatedByPostgres>;

fn check(old: &Execution, new: &Execution) -> error::Result<()> {
    let from: &str = column(old, "status")?;
    let to: &str = column(new, "status")?;
    let starts_or_ends = (from == "RUNNING") != (to == "RUNNING");
    let is_rescheduled = matches!((from, to), ("PENDING", "QUEUED") | ("QUEUED", "PENDING"));
    if from == to || starts_or_ends || is_rescheduled {
        return Ok(());
    }
    let execution_id = column::<ExecutionId>(old, "execution_id")?.to_string();
    Err(KronosError::new(
        &error::INVALID_TRANSITION,
        format!("execution {execution_id} cannot go from {from} to {to}"),
        json!({ "execution_id": execution_id, "from": from, "to": to }),
    ))
}

fn column<'a, T>(row: &'a Execution, name: &str) -> error::Result<T>
where
    T: FromDatum + IntoDatum + UnboxDatum<As<'a> = T> + 'a,
{
    let value = row
        .get_by_name(name)
        .map_err(|error| KronosError::internal(error.to_string()))?;
    value.ok_or_else(|| KronosError::internal(format!("column {name} is null")))
}
