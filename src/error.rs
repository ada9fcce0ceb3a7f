//! Every error of Kronos, once: its code, SQLSTATE, message, detail and hint.
//!
//! pgrx can only raise SQLSTATEs that PostgreSQL itself defines, so an error carries the standard one that fits best,
//! and Kronos's own code in a JSON object in DETAIL.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgSqlErrorCode, spi};
use serde_json::{Value, json};
use std::fmt;

/// The result of every function of the domain.
pub type Result<T> = std::result::Result<T, KronosError>;

/// What an API layer needs to know of one kind of error.
pub struct ErrorKind {
    /// Kronos's code, as it stands in DETAIL.
    pub code: &'static str,
    /// The SQLSTATE it is raised with.
    pub sqlstate: PgSqlErrorCode,
    /// The status that fits it in an HTTP API.
    pub http_status: i32,
    /// What it says to the caller.
    pub meaning: &'static str,
}

macro_rules! error_kinds {
    ($($name:ident $code:literal $sqlstate:ident $http:literal $meaning:literal)*) => {
        $(pub static $name: ErrorKind = ErrorKind {
            code: $code, sqlstate: PgSqlErrorCode::$sqlstate, http_status: $http, meaning: $meaning,
        };)*
        /// All kinds, in the order of the README's table.
        pub static ALL: &[&ErrorKind] = &[$(&$name),*];
    };
}

error_kinds! {
    NULL_ARGUMENT "NULL_ARGUMENT" ERRCODE_NULL_VALUE_NOT_ALLOWED 400 "An argument that needs a value is NULL or was left out."
    INVALID_ARGUMENT "INVALID_ARGUMENT" ERRCODE_INVALID_PARAMETER_VALUE 400 "An argument's value is out of its range."
    INVALID_CRON "INVALID_CRON" ERRCODE_INVALID_PARAMETER_VALUE 400 "The cron expression cannot be read; DETAIL names the field and the text."
    CRON_NOT_SUPPORTED "CRON_NOT_SUPPORTED" ERRCODE_FEATURE_NOT_SUPPORTED 400 "The cron expression is of a kind that Kronos does not run (@reboot), or that needs a later pg_cron (seconds)."
    NEVER_FIRES "NEVER_FIRES" ERRCODE_INVALID_PARAMETER_VALUE 400 "The schedule has no tick, ever or between starts_at and ends_at."
    INVALID_TIMEZONE "INVALID_TIMEZONE" ERRCODE_INVALID_PARAMETER_VALUE 400 "PostgreSQL knows no time zone of that name; POSIX rules and offsets are no names."
    INVALID_WINDOW "INVALID_WINDOW" ERRCODE_INVALID_PARAMETER_VALUE 400 "ends_at is not after starts_at, or is past."
    INPUT_TOO_LARGE "INPUT_TOO_LARGE" ERRCODE_PROGRAM_LIMIT_EXCEEDED 413 "The input is longer than 262144 bytes."
    INPUT_INVALID "INPUT_INVALID" ERRCODE_INVALID_PARAMETER_VALUE 422 "The input does not satisfy the endpoint's payload spec; DETAIL lists every violation by JSON path."
    INVALID_PAYLOAD_SPEC "INVALID_PAYLOAD_SPEC" ERRCODE_INVALID_PARAMETER_VALUE 400 "The payload spec is no JSON Schema that Kronos can use; DETAIL lists every violation by JSON path."
    OUTPUT_TOO_LARGE "OUTPUT_TOO_LARGE" ERRCODE_PROGRAM_LIMIT_EXCEEDED 413 "The output of an execution is longer than 262144 bytes, or the data of a log line than 65536."
    TOO_MANY_TICKS "TOO_MANY_TICKS" ERRCODE_PROGRAM_LIMIT_EXCEEDED 413 "The range has more than 10000 ticks."
    WORKSPACE_NOT_FOUND "WORKSPACE_NOT_FOUND" ERRCODE_NO_DATA_FOUND 404 "There is no workspace of that name."
    ENDPOINT_NOT_FOUND "ENDPOINT_NOT_FOUND" ERRCODE_NO_DATA_FOUND 404 "The workspace has no endpoint of that name."
    PAYLOAD_SPEC_NOT_FOUND "PAYLOAD_SPEC_NOT_FOUND" ERRCODE_NO_DATA_FOUND 404 "The workspace has no payload spec of that name."
    JOB_NOT_FOUND "JOB_NOT_FOUND" ERRCODE_NO_DATA_FOUND 404 "The workspace has no job of that id."
    EXECUTION_NOT_FOUND "EXECUTION_NOT_FOUND" ERRCODE_NO_DATA_FOUND 404 "There is no execution of that id (in the workspace)."
    WORKSPACE_EXISTS "WORKSPACE_EXISTS" ERRCODE_UNIQUE_VIOLATION 409 "There is a workspace of that name already."
    ENDPOINT_EXISTS "ENDPOINT_EXISTS" ERRCODE_UNIQUE_VIOLATION 409 "The workspace has an endpoint of that name already."
    ENDPOINT_IN_USE "ENDPOINT_IN_USE" ERRCODE_FOREIGN_KEY_VIOLATION 409 "Live jobs use the endpoint."
    PAYLOAD_SPEC_EXISTS "PAYLOAD_SPEC_EXISTS" ERRCODE_UNIQUE_VIOLATION 409 "The workspace has a payload spec of that name already."
    PAYLOAD_SPEC_IN_USE "PAYLOAD_SPEC_IN_USE" ERRCODE_FOREIGN_KEY_VIOLATION 409 "Endpoints use the payload spec."
    JOB_EXISTS "JOB_EXISTS" ERRCODE_UNIQUE_VIOLATION 409 "The workspace has a live job of that name already."
    IDEMPOTENCY_CONFLICT "IDEMPOTENCY_CONFLICT" ERRCODE_UNIQUE_VIOLATION 409 "The idempotency key was used for a job with other arguments."
    JOB_RETIRED "JOB_RETIRED" ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "The job version is retired; DETAIL says since when, why, and by what it was replaced."
    JOB_PAUSED "JOB_PAUSED" ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "The job is paused already; DETAIL says since when."
    JOB_NOT_PAUSED "JOB_NOT_PAUSED" ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "The job is not paused."
    VERSION_CONFLICT "VERSION_CONFLICT" ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "expected_version is not the job's version; DETAIL has the current one."
    EXECUTION_RUNNING "EXECUTION_RUNNING" ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "A worker runs the execution; request_stop => true asks it to stop."
    EXECUTION_FINISHED "EXECUTION_FINISHED" ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "The execution has ended already; DETAIL says how and when."
    LEASE_LOST "LEASE_LOST" ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "The caller does not hold the execution (any more); DETAIL says who does, and its status. Nothing was changed."
    INVALID_TRANSITION "INVALID_TRANSITION" ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 409 "An execution cannot go from the one status to the other."
    CONCURRENT_CHANGE "CONCURRENT_CHANGE" ERRCODE_T_R_SERIALIZATION_FAILURE 503 "Another transaction changed the same schedule; retry the transaction."
    PG_CRON_UNAVAILABLE "PG_CRON_UNAVAILABLE" ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE 503 "pg_cron is not loaded, runs in another database, or starts no jobs."
    PG_CRON_FAILED "PG_CRON_FAILED" ERRCODE_INTERNAL_ERROR 503 "pg_cron raised an error: its own SQLSTATE (this one if it has none) and message, and in DETAIL the step that failed."
    INTERNAL_ERROR "INTERNAL_ERROR" ERRCODE_INTERNAL_ERROR 500 "Kronos and its own tables disagree: a defect of Kronos."
}

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
    /// An error of a kind; `detail` is a JSON object to which the code is added.
    pub fn new(kind: &'static ErrorKind, message: impl Into<String>, detail: Value) -> Self {
        KronosError {
            code: kind.code,
            sqlstate: kind.sqlstate,
            message: message.into(),
            detail,
            hint: None,
        }
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with the SQLSTATE of another, for errors that pass through Kronos.
    pub fn with_sqlstate(mut self, sqlstate: PgSqlErrorCode) -> Self {
        self.sqlstate = sqlstate;
        self
    }

    /// The same error with one more fact in DETAIL.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.detail[key] = json!(value);
        self
    }

    pub fn null_argument(argument: &str) -> Self {
        Self::new(
            &NULL_ARGUMENT,
            format!("{argument} must not be null"),
            json!({ "argument": argument }),
        )
    }

    /// Raises it as PostgreSQL's error.
    pub fn into_report(self) -> ErrorReport {
        let mut detail = self.detail;
        detail["code"] = json!(self.code);
        let report =
            ErrorReport::new(self.sqlstate, self.message, "kronos").set_detail(detail.to_string());
        match self.hint {
            Some(hint) => report.set_hint(hint),
            None => report,
        }
    }
}

impl fmt::Display for KronosError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// SPI fails as a value only where Kronos and its own SQL disagree (a column's type, a missing row): a defect.
impl From<spi::Error> for KronosError {
    fn from(error: spi::Error) -> Self {
        KronosError {
            code: INTERNAL_ERROR.code,
            sqlstate: INTERNAL_ERROR.sqlstate,
            message: format!("Kronos failed to run its own SQL: {error}"),
            detail: json!({}),
            hint: None,
        }
    }
}

/// Raises a domain error at the face, as PostgreSQL's own.
pub fn or_raise<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => {
            error.into_report().report(pgrx::PgLogLevel::ERROR);
            unreachable!("reporting an ERROR does not return")
        }
    }
}
