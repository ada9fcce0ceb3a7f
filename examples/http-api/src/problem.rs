//! Every answer that is not a success: RFC 9457's application/problem+json. This file is the one place that maps errors
//! to HTTP statuses. The statuses of Kronos's own codes come from `kronos.error_codes()`.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use deadpool_postgres::{PoolError, TimeoutType};
use serde_json::{Map, Value};
use std::collections::HashMap;
use tokio_postgres::error::{DbError, SqlState};

/// How many seconds a client that gets 503 should wait.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// The members that a problem sets itself. Members of DETAIL with these names are renamed.
const OWN_MEMBERS: [&str; 7] = [
    "type",
    "title",
    "status",
    "detail",
    "code",
    "request_id",
    "hint",
];

/// The codes of Kronos, each with its HTTP status and its meaning.
pub type Codes = HashMap<String, (StatusCode, String)>;

/// Why a request failed, in words that the client may read.
#[derive(Clone, Debug)]
pub struct Problem {
    pub status: StatusCode,
    pub code: String,
    title: Box<str>,
    detail: String,
    members: Map<String, Value>,
    /// What only the log may say.
    pub internal: Option<Box<str>>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Problem {
        Problem {
            status,
            code: code.to_owned(),
            title: status.canonical_reason().unwrap_or_default().into(),
            detail: detail.into(),
            members: Map::new(),
            internal: None,
        }
    }

    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", detail)
    }

    /// A bug, or a mistake of the operator, whose cause the client must not see.
    pub fn internal(cause: impl Into<String>) -> Problem {
        let detail = "the service failed; its log has the cause under this request_id";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", detail).caused_by(cause)
    }

    pub fn unavailable(code: &str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
    }

    /// COMMIT was sent and its answer never came, so that the transaction may have committed or not.
    pub fn outcome_unknown(has_key: bool, cause: impl Into<String>) -> Problem {
        let advice = match has_key {
            true => "repeating the request with the same Idempotency-Key is safe",
            false => "read the current state before repeating the request",
        };
        let detail = format!(
            "the connection to the database broke during COMMIT, so the outcome is unknown; {advice}"
        );
        Problem::unavailable("OUTCOME_UNKNOWN", detail).caused_by(cause)
    }

    pub fn caused_by(mut self, cause: impl Into<String>) -> Problem {
        self.internal = Some(cause.into().into());
        self
    }

    pub fn with(mut self, member: &str, value: Value) -> Problem {
        self.members.insert(member.to_owned(), value);
        self
    }

    /// The same problem, for a request whose precondition (If-Match) named the version.
    pub fn of_precondition(mut self) -> Problem {
        if self.code == "VERSION_CONFLICT" {
            self.status = StatusCode::PRECONDITION_FAILED;
        }
        self
    }

    /// An error of the database before COMMIT: the transaction has no effect.
    pub fn from_postgres(error: &tokio_postgres::Error, codes: &Codes) -> Problem {
        match error.as_db_error() {
            Some(error) => Problem::from_report(&Report::from(error), codes),
            None if error.is_closed() || has_io_cause(error) => connection_lost(error),
            None => Problem::internal(with_causes(error)),
        }
    }

    fn from_report(report: &Report, codes: &Codes) -> Problem {
        let mut detail = report.members();
        let code = detail.remove("code").unwrap_or_default();
        let code = code.as_str().unwrap_or_default();
        let Some((status, meaning)) = codes.get(code) else {
            return Problem::from_sqlstate(report);
        };
        if *status == StatusCode::INTERNAL_SERVER_ERROR {
            return Problem::internal(report.describe());
        }
        let mut problem = Problem::new(*status, code, report.message);
        problem.title = meaning.as_str().into();
        problem.internal = (status.as_u16() >= 500).then(|| report.describe().into());
        for (name, value) in detail {
            let name = match OWN_MEMBERS.contains(&name.as_str()) {
                true => format!("current_{name}"),
                false => name,
            };
            problem.members.insert(name, value);
        }
        match report.hint {
            Some(hint) => problem.with("hint", hint.into()),
            None => problem,
        }
    }

    /// An error without a code of Kronos. Only errors about the client's own values show their message, because others
    /// may quote SQL or settings.
    fn from_sqlstate(report: &Report) -> Problem {
        let about_value = |status| Problem::new(status, "INVALID_VALUE", report.message);
        let class = report.sqlstate.get(..2).unwrap_or_default();
        let problem = match (report.sqlstate, class) {
            (_, "22") => about_value(StatusCode::BAD_REQUEST),
            (_, "54") => about_value(StatusCode::PAYLOAD_TOO_LARGE),
            ("57014", _) => Problem::new(
                StatusCode::GATEWAY_TIMEOUT,
                "STATEMENT_TIMEOUT",
                "the database did not finish in time; nothing was changed",
            ),
            ("42501", _) => Problem::new(
                StatusCode::FORBIDDEN,
                "PERMISSION_DENIED",
                "the role of the token lacks a privilege; it needs USAGE on schema kronos",
            ),
            (_, "40") | ("55P03", _) => Problem::unavailable(
                "CONCURRENT_CHANGE",
                "another transaction changed or locked the same rows; nothing was changed",
            ),
            ("42883" | "3F000" | "42P01", _) => Problem::unavailable(
                "KRONOS_NOT_INSTALLED",
                "the database lacks the extension kronos, or has another version of it",
            ),
            ("25006", _) => Problem::unavailable("READ_ONLY", "the database accepts no writes"),
            (_, "08" | "53" | "57" | "58") => Problem::unavailable(
                "DATABASE_UNAVAILABLE",
                "the database is not available; nothing was changed",
            ),
            _ => return Problem::internal(report.describe()),
        };
        problem.caused_by(report.describe())
    }

    /// Why there is no connection for a request.
    pub fn from_pool(error: &PoolError) -> Problem {
        match error {
            PoolError::Timeout(TimeoutType::Wait) => Problem::unavailable(
                "POOL_TIMEOUT",
                "all connections to the database are in use; nothing was changed",
            ),
            _ => Problem::unavailable(
                "DATABASE_UNAVAILABLE",
                "the service cannot connect to the database; nothing was changed",
            ),
        }
        .caused_by(with_causes(error))
    }

    /// The final answer, with the id of its request.
    pub fn render(mut self, request_id: &str) -> Response {
        let urn = format!("urn:kronos:problem:{}", self.code);
        self = self
            .with("type", urn.into())
            .with("request_id", request_id.into());
        let Problem {
            status,
            code,
            title,
            detail,
            mut members,
            ..
        } = self;
        members.insert("title".into(), title.into_string().into());
        members.insert("status".into(), status.as_u16().into());
        members.insert("detail".into(), detail.into());
        members.insert("code".into(), code.into());
        let body = Value::Object(members).to_string();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        let content_type = HeaderValue::from_static("application/problem+json");
        headers.insert(CONTENT_TYPE, content_type);
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

/// Leaves the problem in the response's extensions, for the layer that knows the id of the request.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Problem {
        Problem::bad_request(format!("path: {}", rejection.body_text()))
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Problem {
        Problem::bad_request(format!("query: {}", rejection.body_text()))
    }
}

/// Kronos's own code of an error, if it is one of Kronos.
pub fn kronos_code(error: &DbError) -> Option<String> {
    match Report::from(error).members().remove("code") {
        Some(Value::String(code)) => Some(code),
        _ => None,
    }
}

/// What the database reports about an error.
struct Report<'a> {
    sqlstate: &'a str,
    message: &'a str,
    detail: Option<&'a str>,
    hint: Option<&'a str>,
}

impl<'a> From<&'a DbError> for Report<'a> {
    fn from(error: &'a DbError) -> Self {
        Report {
            sqlstate: error.code().code(),
            message: error.message(),
            detail: error.detail(),
            hint: error.hint(),
        }
    }
}

impl Report<'_> {
    /// DETAIL, which is a JSON object in errors of Kronos.
    fn members(&self) -> Map<String, Value> {
        let detail = self.detail.map(serde_json::from_str);
        detail.and_then(Result::ok).unwrap_or_default()
    }

    fn describe(&self) -> String {
        format!("{} ({})", self.message, self.sqlstate)
    }
}

fn connection_lost(error: &tokio_postgres::Error) -> Problem {
    let detail = "the connection to the database broke before COMMIT; nothing was changed";
    Problem::unavailable("DATABASE_UNAVAILABLE", detail).caused_by(with_causes(error))
}

/// Whether an error during COMMIT leaves the outcome open: the server reported nothing, or that it ends the session, which
/// it may do after it has written the commit.
pub fn is_outcome_unknown(error: &tokio_postgres::Error) -> bool {
    match error.code().map(SqlState::code) {
        Some(code) => code.starts_with("57P") || code.starts_with("08"),
        None => true,
    }
}

fn has_io_cause(error: &tokio_postgres::Error) -> bool {
    let cause = std::error::Error::source(error);
    cause.is_some_and(|cause| cause.is::<std::io::Error>())
}

/// The text of an error and of what caused it.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes() -> Codes {
        let code = |code: &str, status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            (code.to_owned(), (status, format!("meaning of {code}")))
        };
        Codes::from([
            code("EXECUTION_FINISHED", 409),
            code("VERSION_CONFLICT", 409),
            code("PG_CRON_FAILED", 503),
            code("INTERNAL_ERROR", 500),
        ])
    }

    fn problem(sqlstate: &str, message: &str, detail: Option<&str>) -> Problem {
        let hint = Some("a hint");
        let report = Report {
            sqlstate,
            message,
            detail,
            hint,
        };
        Problem::from_report(&report, &codes())
    }

    #[test]
    fn error_of_kronos_has_the_status_of_its_code_and_the_members_of_its_detail() {
        let detail = r#"{"code":"EXECUTION_FINISHED","status":"FAILED","execution_id":"x"}"#;
        let problem = problem("55000", "it has finished", Some(detail));
        assert_eq!(problem.status, 409);
        assert_eq!(&*problem.title, "meaning of EXECUTION_FINISHED");
        assert_eq!(problem.detail, "it has finished");
        // `status` of a problem is the HTTP status.
        assert_eq!(problem.members["current_status"], "FAILED");
        assert_eq!(problem.members["execution_id"], "x");
        assert_eq!(problem.members["hint"], "a hint");
        assert!(!problem.members.contains_key("current_code"));
    }

    #[test]
    fn error_of_pg_cron_keeps_the_status_of_its_code_whatever_its_sqlstate() {
        let detail = r#"{"code":"PG_CRON_FAILED","step":"cron.schedule"}"#;
        let problem = problem("22023", "invalid schedule", Some(detail));
        assert_eq!(problem.status, 503);
        assert_eq!(problem.members["step"], "cron.schedule");
    }

    #[test]
    fn version_conflict_is_a_failed_precondition_if_the_request_has_one() {
        let detail = r#"{"code":"VERSION_CONFLICT","current_version":2}"#;
        let problem = problem("55000", "version 2", Some(detail));
        assert_eq!(problem.status, 409);
        assert_eq!(problem.of_precondition().status, 412);
    }

    #[test]
    fn error_without_a_code_is_mapped_by_its_sqlstate() {
        for (sqlstate, status, code) in [
            ("22P02", 400, "INVALID_VALUE"),
            ("54000", 413, "INVALID_VALUE"),
            ("42501", 403, "PERMISSION_DENIED"),
            ("57014", 504, "STATEMENT_TIMEOUT"),
            ("40P01", 503, "CONCURRENT_CHANGE"),
            ("55P03", 503, "CONCURRENT_CHANGE"),
            ("53300", 503, "DATABASE_UNAVAILABLE"),
            ("57P01", 503, "DATABASE_UNAVAILABLE"),
            ("3F000", 503, "KRONOS_NOT_INSTALLED"),
            ("25006", 503, "READ_ONLY"),
            ("23505", 500, "INTERNAL_ERROR"),
            ("XX000", 500, "INTERNAL_ERROR"),
        ] {
            let problem = problem(sqlstate, "text", None);
            assert_eq!(
                (problem.status.as_u16(), &*problem.code),
                (status, code),
                "{sqlstate}"
            );
        }
    }

    #[test]
    fn message_that_may_quote_sql_is_only_logged() {
        let detail = r#"{"code":"INTERNAL_ERROR","secret":"x"}"#;
        for (sqlstate, detail) in [("XX000", Some(detail)), ("42703", None), ("57P01", None)] {
            let problem = problem(sqlstate, "secret", detail);
            assert!(problem.internal.as_ref().unwrap().contains("secret"));
            assert!(!problem.detail.contains("secret"), "{sqlstate}");
            assert!(problem.members.is_empty());
        }
    }

    #[test]
    fn unknown_outcome_is_safe_to_repeat_only_with_a_key() {
        let problem = |has_key| Problem::outcome_unknown(has_key, "").detail;
        assert!(problem(true).contains("same Idempotency-Key is safe"));
        assert!(problem(false).contains("read the current state"));
    }
}
