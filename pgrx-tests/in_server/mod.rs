//! In-server tests. Each runs inside a backend, in a transaction that is rolled back.

mod arguments;
mod backfill;
mod calendar;
mod check;
mod crontab;
mod documentation;
mod endpoints;
mod enqueue;
mod execution_lists;
mod factory;
mod lifecycle;
mod listing;
mod names;
mod payload_specs;
mod prune;
mod settings;
mod workers;
mod workspaces;

use crate::sql;
use pgrx::prelude::*;
use serde_json::Value;

/// Creates workspace `acme` with endpoint `hook`, and makes `acme` the default of further calls.
fn create_acme() {
    run("select kronos.create_workspace('acme')");
    run("set local kronos.workspace = 'acme'");
    run("select kronos.create_endpoint('hook', 'HTTP')");
}

/// Creates a cron job with these further arguments, and returns its id.
fn create(arguments: &str) -> String {
    text(&format!(
        "select job_id::text from kronos.create_cron_job('hook', {arguments})"
    ))
}

fn run(statement: &str) {
    Spi::run(statement).unwrap();
}

/// The single value that a query returns, as text; `null` for NULL.
fn text(statement: &str) -> String {
    Spi::get_one::<String>(statement)
        .unwrap()
        .unwrap_or("null".into())
}

fn count(statement: &str) -> i64 {
    Spi::get_one::<i64>(statement).unwrap().unwrap()
}

/// An error that a statement raised.
struct RaisedError {
    sqlstate: String,
    message: String,
    detail: Value,
}

/// Runs a statement that must fail, and returns its error.
fn error_of(statement: &str) -> RaisedError {
    let failure = match sql::in_subtransaction(|| Ok(Spi::run(statement)?)) {
        Ok(_) => panic!("the statement succeeded: {statement}"),
        Err(failure) => failure,
    };
    let detail = failure
        .report
        .detail()
        .and_then(|detail| serde_json::from_str(detail).ok());
    RaisedError {
        sqlstate: failure.sqlstate(),
        message: failure.report.message().to_owned(),
        detail: detail.unwrap_or_default(),
    }
}

/// Asserts that a statement fails with an error code of Kronos and with its SQLSTATE, and returns the error.
fn assert_code(statement: &str, code: &str) -> RaisedError {
    let error = error_of(statement);
    assert_eq!(
        error.detail["code"], code,
        "{statement}: {} {}",
        error.sqlstate, error.message
    );
    let sqlstate = text(&format!(
        "select sqlstate from kronos.error_codes() where code = '{code}'"
    ));
    assert_eq!(error.sqlstate, sqlstate, "{statement}");
    error
}
