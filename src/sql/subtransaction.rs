//! Subtransactions, and what goes wrong in them.

use super::sqlstate_text;
use crate::error::{KronosError, Result};
use pgrx::pg_sys::panic::{CaughtError, ErrorReportWithLevel};
use pgrx::prelude::*;
use std::panic::AssertUnwindSafe;

/// What went wrong in a subtransaction.
pub struct Failure {
    pub report: Box<ErrorReportWithLevel>,
}

impl Failure {
    /// The five characters of the SQLSTATE.
    pub fn sqlstate(&self) -> String {
        sqlstate_text(self.report.sql_error_code())
    }

    /// Whether another transaction was in the way (a deadlock, a stale snapshot, a lock timeout): a retry is all it needs.
    pub fn is_contention(&self) -> bool {
        let sqlstate = self.sqlstate();
        sqlstate.starts_with("40") || sqlstate == "55P03"
    }

    /// Raises it again.
    pub fn rethrow(self) -> ! {
        CaughtError::PostgresError(*self.report).rethrow()
    }

    /// Whether the statement was stopped from outside: it was cancelled, or the server shuts down.
    pub fn is_interruption(&self) -> bool {
        self.sqlstate().starts_with("57")
    }
}

/// Runs `work` in a subtransaction: it has all of its effects, or none and the failure is returned.
///
/// The protocol is that of PL/pgSQL's exception blocks (`exec_stmt_block` in pl_exec.c).
pub fn in_subtransaction<T>(work: impl FnOnce() -> Result<T>) -> std::result::Result<T, Failure> {
    // SAFETY: the subtransaction begins and ends in this frame, on either way out; memory context and resource owner
    // are put back as PL/pgSQL does.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let outcome = PgTryBuilder::new(AssertUnwindSafe(|| {
            let value = crate::error::or_raise(work());
            pg_sys::ReleaseCurrentSubTransaction();
            Ok(value)
        }))
        .catch_others(|caught| match caught {
            CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => Err(Failure {
                report: Box::new(report),
            }),
            panic => {
                pg_sys::RollbackAndReleaseCurrentSubTransaction();
                panic.rethrow()
            }
        })
        .execute();
        if outcome.is_err() {
            pg_sys::MemoryContextSwitchTo(context);
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
        outcome
    }
}

/// Runs `work` in a subtransaction, rolls its effects back, and returns what it returned.
pub fn dry_run<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut returned = None;
    let rolled_back = in_subtransaction(|| -> Result<()> {
        returned = Some(work()?);
        Err(KronosError::internal("rolled back by a dry run"))
    });
    match (returned, rolled_back) {
        (Some(value), _) => Ok(value),
        (None, Err(failure)) => failure.rethrow(),
        (None, Ok(())) => unreachable!("the subtransaction always fails"),
    }
}

/// Runs `work`, and lets `convert` turn an error that PostgreSQL raises in it into one of Kronos's. The transaction is
/// aborted either way: the error must reach the caller.
pub fn convert_errors<T>(
    work: impl FnOnce() -> Result<T>,
    convert: impl Fn(&ErrorReportWithLevel) -> Option<KronosError>,
) -> Result<T> {
    let convert = AssertUnwindSafe(convert);
    PgTryBuilder::new(AssertUnwindSafe(work))
        .catch_others(move |caught| match &caught {
            CaughtError::PostgresError(report) => match (*convert)(report) {
                Some(error) => Err(error),
                None => caught.rethrow(),
            },
            _ => caught.rethrow(),
        })
        .execute()
}
