//! What SQL sees: one file per noun. Each function reads its arguments, calls the domain, and returns the row.

mod endpoint;
mod execution;
mod job;
mod listing;
mod payload_spec;
pub mod schedule;
mod upkeep;
mod worker;
mod workspace;

use crate::error::{KronosError, Result};
use crate::sql;
use pgrx::datum::DatumWithOid;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pgbox::AllocatedByRust;

/// A row of one of Kronos's tables, as SQL gets it.
type TableRow = PgHeapTuple<'static, AllocatedByRust>;

/// An argument that must not be NULL.
fn needed<T>(argument: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| KronosError::null_argument(argument))
}

/// The row that a function returns, by a statement that yields it as one composite column.
fn fetch(statement: &str, args: &[DatumWithOid]) -> Result<TableRow> {
    sql::composite(statement, args)?.ok_or_else(|| pgrx::spi::Error::InvalidPosition.into())
}
