//! Declares every error of Kronos once, with its code, SQLSTATE, HTTP status and meaning, and has the constructors of
//! the errors that several modules raise.
//!
//! pgrx can raise only the SQLSTATEs that PostgreSQL defines. So an error has the standard SQLSTATE that fits best, and
//! carries Kronos's own code in a JSON object in DETAIL.

use crate::id::ExecutionId;
use pgrx::pg_sys::panic::{ErrorReport, ErrorReportWithLevel};
use pgrx::{PgSqlErrorCode, spi};
use serde_json::{Value, json};
use std::fmt;

/// The result of every function of the domain.
pub type Result<T> = std::result::Result<T, KronosError>;

/// A kind of error, with everything that an API layer needs.
pub struct ErrorKind {
    /// Kronos's code in DETAIL.
    pub code: &'static str,
    /// The SQLSTATE of the error.
    pub sqlstate: PgSqlErrorCode,
    /// A suitable status for an HTTP API.
    pub http_status: i32,
    /// What the error means to the caller.
    pub meaning: &'static str,
}

macro_rules! error_kinds {
    ($($name:ident $sqlstate:ident $http:literal $meaning:literal)*) => {
        $(pub static $name: ErrorKind = ErrorKind {
            code: stringify!($name), sqlstate: PgSqlErrorCode::$sqlstate, http_status: $http, meaning: $meaning,
        };)*
        /// All kinds, in the order of the documentation's table.
        pub static ALL: &[&ErrorKind] = &[$(&$name),*];
    };
}

error_kinds! {
    NULL_ARGUMENT ERRCODE_NULL_VALUE_NOT_ALLOWED 400 "An argument that needs a value is NULL or was left out."
    INVALID_ARGUMENT ERRCODE_INVALID_PARAMETER_VALUE 400 "The value of an argument is out of range."
    INVALID_CRON ERRCODE_INVALID_PARAMETER_VALUE 400 "The cron expression cannot be read; DETAIL names the field and the text."
    CRON_NOT_SUPPORTED ERRCODE_FEATURE_NOT_SUPPORTED 400 "Kronos does not run this kind of cron expression (@reboot), or it needs a later pg_cron (seconds)."
    NEVER_FIRES ERRCODE_INVALID_PARAMETER_VALUE 400 "The schedule has no tick, ever or between starts_at and ends_at."
    INVALID_TIMEZONE ERRCODE_INVALID_PARAMETER_VALUE 400 "The server does not know a time zone of that name. POSIX rules and UTC offsets are not accepted; use an IANA name."
    INVALID_WINDOW ERRCODE_INVALID_PARAMETER_VALUE 400 "ends_at is not after starts_at, or is in the past."
    INVALID_INPUT ERRCODE_INVALID_PARAMETER_VALUE 422 "The input does not satisfy the endpoint's payload spec; DETAIL lists the violations by JSON path."
    INVALID_PAYLOAD_SPEC ERRCODE_INVALID_PARAMETER_VALUE 400 "The schema is not a valid JSON Schema, or Kronos cannot evaluate it within bounds; DETAIL lists the violations by JSON path."
    VALUE_TOO_LARGE ERRCODE_PROGRAM_LIMIT_EXCEEDED 413 "A value is larger than Kronos stores; DETAIL names the argument and the limit."
    TOO_MANY_TICKS ERRCODE_PROGRAM_LIMIT_EXCEEDED 413 "The range has more than 10000 ticks."
    TOO_MANY_ENTRIES ERRCODE_CONFIGURATION_LIMIT_EXCEEDED 503 "All 60 pg_cron entries for schedules of seconds are in use."
    PERMISSION_DENIED ERRCODE_INSUFFICIENT_PRIVILEGE 403 "The caller has no grant for the call; DETAIL names the capability that it needs."
    WORKSPACE_NOT_FOUND ERRCODE_NO_DATA_FOUND 404 "There is no workspace of that name."
    ENDPOINT_NOT_FOUND ERRCODE_NO_DATA_FOUND 404 "The workspace has no endpoint of that name."
    PAYLOAD_SPEC_NOT_FOUND ERRCODE_NO_DATA_FOUND 404 "The workspace has no payload spec of that name."
    JOB_NOT_FOUND ERRCODE_NO_DATA_FOUND 404 "The workspace has no job of that id or name."
    EXECUTION_NOT_FOUND ERRCODE_NO_DATA_FOUND 404 "There is no execution of that id (in the workspace)."
    WORKSPACE_EXISTS ERRCODE_UNIQUE_VIOLATION 409 "A workspace of that name already exists."
    WORKSPACE_IN_USE ERRCODE_OBJECT_IN_USE 409 "The workspace has live jobs or unfinished executions; DETAIL counts them."
    ENDPOINT_EXISTS ERRCODE_UNIQUE_VIOLATION 409 "The workspace already has an endpoint of that name."
    ENDPOINT_IN_USE ERRCODE_FOREIGN_KEY_VIOLATION 409 "Live jobs use the endpoint."
    ENDPOINT_PAUSED ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "The endpoint is paused; DETAIL says since when."
    ENDPOINT_NOT_PAUSED ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "The endpoint is not paused."
    PAYLOAD_SPEC_EXISTS ERRCODE_UNIQUE_VIOLATION 409 "The workspace already has a payload spec of that name."
    PAYLOAD_SPEC_IN_USE ERRCODE_FOREIGN_KEY_VIOLATION 409 "Endpoints use the payload spec."
    JOB_EXISTS ERRCODE_UNIQUE_VIOLATION 409 "The workspace already has a live job of that name."
    KEY_IN_USE ERRCODE_UNIQUE_VIOLATION 409 "An unfinished execution has the key, and on_conflict does not keep it or cannot replace it; DETAIL has its id and status."
    IDEMPOTENCY_CONFLICT ERRCODE_UNIQUE_VIOLATION 409 "The idempotency key was used for a request with other arguments; DETAIL lists them."
    JOB_RETIRED ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "The job is retired; DETAIL says since when and why."
    JOB_PAUSED ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "The job is already paused; DETAIL says since when."
    JOB_NOT_PAUSED ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "The job is not paused."
    VERSION_CONFLICT ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "The job does not have the expected version; DETAIL has the current one."
    EXECUTION_RUNNING ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "A worker is running the execution, so it can be neither cancelled (request_stop => true asks the worker to stop) nor rescheduled."
    EXECUTION_UNFINISHED ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "The execution waits or runs, so it cannot be retried; DETAIL has its status."
    EXECUTION_SUCCEEDED ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "The execution has succeeded; only FAILED and CANCELLED executions can be retried."
    EXECUTION_FINISHED ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "The execution has finished; DETAIL says how and when."
    LEASE_LOST ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "The worker does not hold the execution; DETAIL says who does, and its status. Nothing was changed."
    INVALID_TRANSITION ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "An execution cannot change from its status to the requested one."
    CONCURRENT_CHANGE ERRCODE_T_R_SERIALIZATION_FAILURE 503 "Another transaction changed the same rows; retry the transaction."
    PG_CRON_UNAVAILABLE ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 503 "pg_cron is not loaded, runs in another database, or starts no jobs."
    LIBRARY_MISMATCH ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 503 "The session has loaded another version of the library than the extension has: an upgrade is under way."
    PG_CRON_FAILED ERRCODE_INTERNAL_ERROR 503 "pg_cron raised an error. The error has pg_cron's message and SQLSTATE (this one if pg_cron gave none); DETAIL names the failed step."
    INTERNAL_ERROR ERRCODE_INTERNAL_ERROR 500 "Kronos and its own tables disagree: a bug in Kronos."
}

/// The longest DETAIL of an error, in bytes.
const MAX_DETAIL_BYTES: usize = 8 * 1024;

/// An error on its way to the caller.
#[derive(Debug)]
pub struct KronosError {
    code: &'static str,
    sqlstate: PgSqlErrorCode,
    message: String,
    detail: Value,
    hint: Option<String>,
}

impl KronosError {
    /// Creates an error of a kind. `detail` is a JSON object; the code is added to it.
    pub fn new(kind: &'static ErrorKind, message: impl Into<String>, detail: Value) -> Self {
        KronosError {
            code: kind.code,
            sqlstate: kind.sqlstate,
            message: message.into(),
            detail,
            hint: None,
        }
    }

    /// A bug in Kronos: its code and its own tables disagree.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(&INTERNAL_ERROR, message, json!({}))
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with another SQLSTATE, for an error of pg_cron that passes through Kronos.
    pub fn with_sqlstate(mut self, sqlstate: PgSqlErrorCode) -> Self {
        self.sqlstate = sqlstate;
        self
    }

    /// The same error with one more field in DETAIL.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.detail[key] = value.into();
        self
    }

    /// Converts the error to one of PostgreSQL.
    pub fn into_report(self) -> ErrorReport {
        let mut detail = self.detail;
        detail["code"] = json!(self.code);
        let mut text = detail.to_string();
        if text.len() > MAX_DETAIL_BYTES {
            text = json!({ "code": self.code, "truncated": true }).to_string();
        }
        let report =
            ErrorReport::new(self.sqlstate, shorten(&self.message), "kronos").set_detail(text);
        match self.hint {
            Some(hint) => report.set_hint(shorten(&hint)),
            None => report,
        }
    }
}

/// Shortens a text to 2000 characters: a caller's argument must not flood the server's log.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(2000) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Display for KronosError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<KronosError> for ErrorReport {
    fn from(error: KronosError) -> Self {
        error.into_report()
    }
}

/// SPI returns an error only if Kronos and its own SQL disagree, for example about a column's type.
impl From<spi::Error> for KronosError {
    fn from(error: spi::Error) -> Self {
        KronosError::internal(format!("Kronos failed to run its own SQL: {error}"))
    }
}

/// Raises an error of the domain as an error of PostgreSQL.
pub fn or_raise<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => {
            error.into_report().report(pgrx::PgLogLevel::ERROR);
            unreachable!("reporting an ERROR does not return")
        }
    }
}

/// The error for an argument that must not be NULL.
pub fn null_argument(argument: &str) -> KronosError {
    KronosError::new(
        &NULL_ARGUMENT,
        format!("{argument} must not be null"),
        json!({ "argument": argument }),
    )
}

/// The error for an argument that breaks a rule: `max must be from 1 to 10000`.
pub fn invalid_argument(argument: &str, rule: &str) -> KronosError {
    KronosError::new(
        &INVALID_ARGUMENT,
        format!("{argument} {rule}"),
        json!({ "argument": argument }),
    )
}

/// A value is larger than Kronos stores.
pub fn value_too_large(argument: &str, bytes: usize, limit: usize) -> KronosError {
    KronosError::new(
        &VALUE_TOO_LARGE,
        format!("{argument} has {bytes} bytes; at most {limit} are allowed"),
        json!({ "argument": argument, "bytes": bytes, "limit": limit }),
    )
    .with_hint("Store large data in a table of your own, and pass its key.")
}

pub fn workspace_not_found(workspace: &str) -> KronosError {
    KronosError::new(
        &WORKSPACE_NOT_FOUND,
        format!("workspace {workspace:?} does not exist"),
        json!({ "workspace": workspace }),
    )
}

pub fn endpoint_not_found(workspace: &str, endpoint: &str) -> KronosError {
    KronosError::new(
        &ENDPOINT_NOT_FOUND,
        format!("endpoint {endpoint:?} does not exist in workspace {workspace:?}"),
        json!({ "workspace": workspace, "endpoint": endpoint }),
    )
}

pub fn execution_not_found(execution_id: ExecutionId) -> KronosError {
    KronosError::new(
        &EXECUTION_NOT_FOUND,
        format!("execution {execution_id} does not exist"),
        json!({ "execution_id": execution_id.to_string() }),
    )
}

/// The error for an idempotency key that was used for a request with other arguments.
pub fn idempotency_conflict(
    key: &str,
    made_id: impl fmt::Display,
    differing: &[String],
) -> KronosError {
    KronosError::new(
        &IDEMPOTENCY_CONFLICT,
        format!(
            "idempotency key {key:?} was used for {made_id} with a different {}",
            differing.join(", ")
        ),
        json!({ "idempotency_key": key, "made_id": made_id.to_string(), "differing": differing }),
    )
}

/// The error of a session whose snapshot is too old to show the rows that it needs.
pub fn concurrent_change() -> KronosError {
    KronosError::new(
        &CONCURRENT_CHANGE,
        "could not serialize access: another transaction changed the same rows",
        json!({}),
    )
    .with_hint("Retry the transaction.")
}

/// Whether an error of PostgreSQL is a violation of one of Kronos's constraints or unique indexes. It compares the
/// SQLSTATE as well, because a message can contain a user's text.
pub fn violates(report: &ErrorReportWithLevel, sqlstate: PgSqlErrorCode, constraint: &str) -> bool {
    report.sql_error_code() == sqlstate && report.message().contains(constraint)
}
