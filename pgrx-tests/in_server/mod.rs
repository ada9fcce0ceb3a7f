//! In-server tests: each runs in a transaction of a real backend that rolls back.

mod arguments;
mod backfill;
mod calendar;
mod check;
mod crontab;
mod documentation;
mod endpoints;
mod enqueue;
mod execution_lists;
mod lifecycle;
mod listing;
mod names;
mod payload_specs;
mod prune;
mod workers;
mod workspaces;

use crate::sql;
use pgrx::prelude::*;
use serde_json::Value;

/// Makes workspace `acme` with endpoint `hook`, and lets further calls name no workspace.
fn create_acme() {
    run("select kronos.create_workspace('acme')");
    run("set local kronos.workspace = 'acme'");
    run("select kronos.create_endpoint('hook', 'HTTP')");
}

/// Makes a cron job of these arguments, and returns its id.
fn create(arguments: &str) -> String {
    text(&format!(
        "select job_id::text from kronos.create_cron_job('hook', {arguments})"
    ))
}

fn run(statement: &str) {
    Spi::run(statement).unwrap();
}

/// A statement's only value, as text.
fn text(statement: &str) -> String {
    Spi::get_one::<String>(statement)
        .unwrap()
        .unwrap_or("null".into())
}

fn count(statement: &str) -> i64 {
    Spi::get_one::<i64>(statement).unwrap().unwrap()
}

/// What a failing statement tells its caller.
struct Told {
    sqlstate: String,
    message: String,
    detail: Value,
}

/// The error of a statement that must fail.
fn error_of(statement: &str) -> Told {
    let failure = match sql::in_subtransaction(|| Ok(Spi::run(statement)?)) {
        Ok(_) => panic!("it must fail: {statement}"),
        Err(failure) => failure,
    };
    let detail = failure
        .report
        .detail()
        .and_then(|detail| serde_json::from_str(detail).ok());
    Told {
        sqlstate: failure.sqlstate(),
        message: failure.report.message().to_owned(),
        detail: detail.unwrap_or_default(),
    }
}

/// Asserts that a statement fails with a code of Kronos, and returns all it tells.
fn assert_code(statement: &str, code: &str) -> Told {
    let told = error_of(statement);
    assert_eq!(
        told.detail["code"], code,
        "{statement}: {} {}",
        told.sqlstate, told.message
    );
    let sqlstate = text(&format!(
        "select sqlstate from kronos.error_codes() where code = '{code}'"
    ));
    assert_eq!(told.sqlstate, sqlstate, "{statement}");
    told
}
