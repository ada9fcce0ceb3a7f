//! The SQL interface: one file per noun. Each function reads its arguments, calls the domain, and returns the row.

#![allow(
    clippy::result_large_err,
    clippy::type_complexity,
    reason = "pgrx raises an ErrorReport as it is, and reads a table's columns from the return type"
)]

mod endpoint;
mod enqueue;
mod execution;
pub mod grant;
mod job;
mod payload_spec;
pub mod schedule;
mod statement;
mod upkeep;
mod worker;
mod workspace;

use crate::{error, sql};
use pgrx::pg_sys::panic::ErrorReport;

/// The result of a function that SQL calls. pgrx raises the error as an error of PostgreSQL.
type Result<T> = std::result::Result<T, ErrorReport>;

/// Runs `work`. A dry run rolls its effects back.
fn run_or_rehearse<T>(dry_run: bool, work: impl FnOnce() -> error::Result<T>) -> error::Result<T> {
    if dry_run { sql::dry_run(work) } else { work() }
}
