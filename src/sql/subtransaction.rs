//! Subtransactions, and their failures.

use super::sqlstate_text;
use crate::error::{KronosError, Result};
use pgrx::pg_sys::panic::{CaughtError, ErrorReportWithLevel};
use pgrx::prelude::*;
use std::panic::AssertUnwindSafe;

/// The error that ended a subtransaction.
pub struct Failure {
    pub report: Box<ErrorReportWithLevel>,
}

impl Failure {
    /// The five characters of the SQLSTATE.
    pub fn sqlstate(&self) -> String {
        sqlstate_text(self.report.sql_error_code())
    }

    /// Whether another transaction caused the failure (a deadlock, an old snapshot, a lock timeout), so that a retry is
    /// enough.
    pub fn is_contention(&self) -> bool {
        let sqlstate = self.sqlstate();
        sqlstate.starts_with("40") || sqlstate == "55P03"
    }

    /// Raises the error again.
    pub fn rethrow(self) -> ! {
        CaughtError::PostgresError(*self.report).rethrow()
    }

    /// The error as psql shows it, with an SQLSTATE, detail and hint. [`Failure::sqlstate`] is XX000 for an SQLSTATE that
    /// PostgreSQL does not define.
    pub fn describe(&self, sqlstate: &str) -> String {
        let mut text = format!("{} (SQLSTATE {sqlstate})", self.report.message());
        let parts = [
            ("DETAIL", self.report.detail()),
            ("HINT", self.report.hint()),
        ];
        for (name, part) in parts {
            if let Some(part) = part {
                text += &format!("\n{name}: {part}");
            }
        }
        text
    }

    /// Whether the statement was interrupted: it was cancelled, or the server is shutting down.
    pub fn is_interruption(&self) -> bool {
        self.sqlstate().starts_with("57")
    }
}

/// Runs `work` in a subtransaction. If `work` fails, rolls it back and returns the failure.
pub fn in_subtransaction<T>(work: impl FnOnce() -> Result<T>) -> std::result::Result<T, Failure> {
    run_and_end(work, End::Commit)
}

/// Runs `work` in a subtransaction, rolls it back, and returns the result of `work`.
pub fn dry_run<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    match run_and_end(work, End::RollBack) {
        Ok(value) => Ok(value),
        Err(failure) => failure.rethrow(),
    }
}

/// How a successful subtransaction ends.
#[derive(Clone, Copy)]
enum End {
    Commit,
    RollBack,
}

/// Follows the protocol of PL/pgSQL's exception blocks (`exec_stmt_block` in pl_exec.c).
fn run_and_end<T>(work: impl FnOnce() -> Result<T>, end: End) -> std::result::Result<T, Failure> {
    // SAFETY: the subtransaction begins and ends in this frame, also after an error; the memory context and the
    // resource owner are restored as in PL/pgSQL.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let outcome = PgTryBuilder::new(AssertUnwindSafe(|| {
            let value = crate::error::or_raise(work());
            match end {
                End::Commit => pg_sys::ReleaseCurrentSubTransaction(),
                End::RollBack => pg_sys::RollbackAndReleaseCurrentSubTransaction(),
            }
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

/// Runs `work`, and lets `convert` replace an error of PostgreSQL by one of Kronos. The transaction is aborted in
/// either case, so the error must reach the caller.
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
