//! Running statements and reading their rows.
//!
//! In READ COMMITTED every statement sees the rows committed before it began. The lock protocols rely on this.

use super::planning::without_jit;
use super::plans::{kept_plan, prepare};
use crate::error::{KronosError, Result};
use pgrx::datum::DatumWithOid;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pgbox::AllocatedByRust;
use pgrx::spi::SpiHeapTupleData;
use pgrx::{FromDatum, IntoDatum, Spi, pg_sys};
use std::cell::Cell;
use std::os::raw::c_char;

thread_local! {
    /// Whether the current statements run within [`newest`].
    static NEWEST: Cell<bool> = const { Cell::new(false) };
}

/// Restores [`NEWEST`].
struct SavedNewest(bool);

impl Drop for SavedNewest {
    fn drop(&mut self) {
        NEWEST.set(self.0);
    }
}

/// Runs `work` with statements that see everything committed before they begin, in every isolation level, as checks of
/// foreign keys do. In REPEATABLE READ a statement would otherwise see the state of the transaction's first one.
pub fn newest<T>(work: impl FnOnce() -> T) -> T {
    let _saved = SavedNewest(NEWEST.replace(true));
    work()
}

/// A row of a result.
pub type Row<'a> = SpiHeapTupleData<'a>;

/// A composite value that a function returns.
pub type Composite = PgHeapTuple<'static, AllocatedByRust>;

/// Plans a statement; see [`super::plans`].
type Planner = fn(&'static str, &[DatumWithOid]) -> pg_sys::SPIPlanPtr;

/// Runs a statement, and calls `read` for each row of its result.
fn execute(
    planner: Planner,
    sql: &'static str,
    args: &[DatumWithOid],
    mut read: impl FnMut(&Row) -> Result<()>,
) -> Result<u64> {
    Spi::connect_mut(|_| {
        let plan = planner(sql, args);
        let mut values: Vec<pg_sys::Datum> = args
            .iter()
            .map(|arg| {
                arg.datum()
                    .map_or(pg_sys::Datum::null(), |datum| datum.sans_lifetime())
            })
            .collect();
        let nulls: Vec<c_char> = args
            .iter()
            .map(|arg| if arg.datum().is_some() { b' ' } else { b'n' } as c_char)
            .collect();
        // SAFETY: the session is connected to SPI; the plan was made for arguments of these types; the tuples are read
        // before the connection ends, which frees them.
        unsafe {
            let status = without_jit(|| {
                let (values, nulls) = (values.as_mut_ptr(), nulls.as_ptr());
                if !NEWEST.get() || pg_sys::XactIsoLevel < pg_sys::XACT_REPEATABLE_READ as i32 {
                    return pg_sys::SPI_execute_plan(plan, values, nulls, false, 0);
                }
                let (snapshot, none) = (pg_sys::GetLatestSnapshot(), std::ptr::null_mut());
                pg_sys::SPI_execute_snapshot(plan, values, nulls, snapshot, none, false, true, 0)
            });
            if status < 0 {
                return Err(KronosError::internal(format!(
                    "SPI returned {status} for: {sql}"
                )));
            }
            let processed = pg_sys::SPI_processed;
            let table = pg_sys::SPI_tuptable;
            if !table.is_null() {
                let tuples = std::slice::from_raw_parts((*table).vals, processed as usize);
                for tuple in tuples {
                    if let Some(row) = SpiHeapTupleData::new((*table).tupdesc, *tuple)? {
                        read(&row)?;
                    }
                }
            }
            Ok(processed)
        }
    })
}

/// Runs a statement and reads each row of its result.
pub fn rows<T>(
    sql: &'static str,
    args: &[DatumWithOid],
    read: impl FnMut(&Row) -> Result<T>,
) -> Result<Vec<T>> {
    collect(kept_plan, sql, args, read)
}

/// Like [`rows`], with a plan for this call alone: for rare statements that read whole tables. A plan that was made while
/// the tables were empty would join them row by row.
pub fn rows_planned_anew<T>(
    sql: &'static str,
    args: &[DatumWithOid],
    read: impl FnMut(&Row) -> Result<T>,
) -> Result<Vec<T>> {
    collect(prepare, sql, args, read)
}

fn collect<T>(
    planner: Planner,
    sql: &'static str,
    args: &[DatumWithOid],
    mut read: impl FnMut(&Row) -> Result<T>,
) -> Result<Vec<T>> {
    let mut found = vec![];
    execute(planner, sql, args, |row| {
        found.push(read(row)?);
        Ok(())
    })?;
    Ok(found)
}

/// Runs a statement that returns at most one row, and reads it.
pub fn row<T>(
    sql: &'static str,
    args: &[DatumWithOid],
    read: impl FnMut(&Row) -> Result<T>,
) -> Result<Option<T>> {
    Ok(rows(sql, args, read)?.into_iter().next())
}

/// Runs a statement and returns whether its result has a row.
pub fn exists(sql: &'static str, args: &[DatumWithOid]) -> Result<bool> {
    Ok(execute(kept_plan, sql, args, |_| Ok(()))? > 0)
}

/// Runs a statement and returns how many rows it changed.
pub fn run(sql: &'static str, args: &[DatumWithOid]) -> Result<u64> {
    execute(kept_plan, sql, args, |_| Ok(()))
}

/// A column that is never null.
pub fn get<T: FromDatum + IntoDatum>(row: &Row, column: &str) -> Result<T> {
    row.get_by_name(column)?
        .ok_or_else(|| KronosError::internal(format!("column {column} is null")))
}

/// A column that may be null.
pub fn get_opt<T: FromDatum + IntoDatum>(row: &Row, column: &str) -> Result<Option<T>> {
    Ok(row.get_by_name(column)?)
}

/// The composite value in a row's first column.
pub fn first(row: &Row) -> Result<Composite> {
    row.get(1)?
        .ok_or_else(|| KronosError::internal("a composite is null"))
}

/// The composite results of a statement whose first column is a composite.
pub fn composites(sql: &'static str, args: &[DatumWithOid]) -> Result<Vec<Composite>> {
    rows(sql, args, first)
}

/// The composite result of a statement that returns at most one row.
pub fn composite(sql: &'static str, args: &[DatumWithOid]) -> Result<Option<Composite>> {
    Ok(composites(sql, args)?.into_iter().next())
}
