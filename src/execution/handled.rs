//! Calls that handle the executions that pass a filter. Such a call fails for none of them: it reports what it did to
//! each.

use crate::authority::Authorised;
use crate::endpoint;
use crate::error::Result;
use crate::id::{EndpointId, ExecutionId};
use crate::named::Named;
use crate::sql::{self, Row};
use crate::status::Status;
use chrono::{DateTime, Utc};
use pgrx::datum::TimestampWithTimeZone;

/// An execution that passes a filter, as it was before the call.
pub struct Found {
    pub execution_id: ExecutionId,
    /// None for a one-shot, and for a job without a name.
    pub job_name: Option<String>,
    /// None if the endpoint was deleted and has been pruned.
    pub endpoint: Option<String>,
    pub status: Status,
}

impl Found {
    pub fn read(row: &Row) -> Result<Found> {
        Ok(Found {
            execution_id: sql::get(row, "execution_id")?,
            job_name: sql::get_opt(row, "job_name")?,
            endpoint: sql::get_opt(row, "endpoint")?,
            status: Status::read(row)?,
        })
    }

    pub fn done(self, action: &'static str) -> Handled {
        Handled {
            found: self,
            action,
            reason: None,
        }
    }

    pub fn skipped(self, reason: &'static str) -> Handled {
        Handled {
            found: self,
            action: "SKIP",
            reason: Some(reason),
        }
    }

    /// Left alone because of another session, for which the call does not wait.
    pub fn contended(self) -> Handled {
        self.skipped("another session has changed or locked it")
    }
}

/// What a call did to an execution.
pub struct Handled {
    pub found: Found,
    pub action: &'static str,
    /// Why the call left the execution alone.
    pub reason: Option<&'static str>,
}

/// The instants `from <= at < before`. None is no bound.
pub struct Range {
    pub from: Option<TimestampWithTimeZone>,
    pub before: Option<TimestampWithTimeZone>,
}

impl Range {
    pub fn start(&self) -> TimestampWithTimeZone {
        self.from
            .unwrap_or_else(|| sql::to_pg(DateTime::<Utc>::MIN_UTC))
    }

    pub fn end(&self) -> TimestampWithTimeZone {
        self.before
            .unwrap_or_else(|| sql::to_pg(DateTime::<Utc>::MAX_UTC))
    }
}

/// The id of the endpoint that a filter names.
///
/// # Errors
/// `ENDPOINT_NOT_FOUND`.
pub fn find_endpoint(workspace: &Authorised, name: Option<&str>) -> Result<Option<EndpointId>> {
    match name {
        None => Ok(None),
        Some(name) => Ok(Some(endpoint::find(workspace, name)?.endpoint_id)),
    }
}
