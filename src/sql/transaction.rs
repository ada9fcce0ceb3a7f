//! The transactions of background processes and procedures.

use super::settings::with_safe_search_path;
use super::statement::run;
use super::subtransaction::Failure;
use crate::error::{Result, or_raise};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::prelude::*;
use std::os::raw::c_int;
use std::panic::AssertUnwindSafe;

/// Makes the transaction READ COMMITTED and READ WRITE, whatever the defaults of the role and the database are. It must
/// not have a snapshot yet.
pub fn set_transaction() {
    // SAFETY: SET TRANSACTION sets the same variables.
    unsafe {
        pg_sys::XactIsoLevel = pg_sys::XACT_READ_COMMITTED as c_int;
        pg_sys::XactReadOnly = false;
    }
}

/// transaction_timeout came with PostgreSQL 17.
const SET_TIMEOUTS: &str = "
select set_config(s.name, s.value, true)
from (values ('lock_timeout', $1::text), ('transaction_timeout', '0')) s (name, value)
where current_setting(s.name, true) is not null";

/// Sets the timeouts of the transaction, whatever the role's are: that of locks (0: none), and none for the whole.
pub fn set_timeouts(lock_timeout: &str) -> Result<()> {
    run(SET_TIMEOUTS, &[lock_timeout.into()]).map(|_| ())
}

/// Runs `work` in a transaction of a background process, and commits it. If `work` or the commit fails, rolls back and
/// returns the failure. `work` pushes the snapshots that it needs.
pub fn in_transaction<T>(work: impl FnOnce() -> Result<T>) -> std::result::Result<T, Failure> {
    or_roll_back(|| {
        // SAFETY: no transaction is open, and this one ends here.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
            set_transaction();
            let value = work()?;
            pg_sys::CommitTransactionCommand();
            Ok(value)
        }
    })
}

/// Runs `work` in a transaction that has no snapshot. An error is raised.
pub fn in_short_transaction(work: impl FnOnce()) {
    // SAFETY: no transaction is open, and this one ends here, or when the error is caught.
    unsafe {
        pg_sys::StartTransactionCommand();
        work();
        pg_sys::CommitTransactionCommand();
    }
}

/// Runs `work` of a background process, which begins and ends transactions itself. If it fails, rolls back whatever is
/// open and returns the failure.
pub fn or_roll_back<T>(work: impl FnOnce() -> Result<T>) -> std::result::Result<T, Failure> {
    // SAFETY: outside a transaction, the memory context is one that lives as long as the process.
    let context = unsafe { pg_sys::CurrentMemoryContext };
    let outcome = PgTryBuilder::new(AssertUnwindSafe(|| Ok(or_raise(work()))))
        .catch_others(|caught| match caught {
            CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => Err(Failure {
                report: Box::new(report),
            }),
            panic => panic.rethrow(),
        })
        .execute();
    // SAFETY: as above.
    unsafe {
        if outcome.is_err() {
            pg_sys::MemoryContextSwitchTo(context);
            pg_sys::AbortOutOfAnyTransaction();
        }
        pg_sys::MemoryContextSwitchTo(context);
    }
    outcome
}

/// Runs `work` with a snapshot of its own and a safe search_path, as statements of background processes need them. After
/// an error, PostgreSQL itself drops the snapshot.
pub fn with_snapshot<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: the snapshot is pushed and popped in one frame, within a transaction.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
    let value = with_safe_search_path(work)?;
    // SAFETY: as above.
    unsafe { pg_sys::PopActiveSnapshot() };
    Ok(value)
}

/// Runs `work` in the current transaction as if it were READ WRITE, whatever a statement has set.
pub fn without_read_only<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: SET TRANSACTION sets the same variable. After an error, the transaction ends.
    unsafe {
        let is_read_only = pg_sys::XactReadOnly;
        pg_sys::XactReadOnly = false;
        let value = work()?;
        pg_sys::XactReadOnly = is_read_only;
        Ok(value)
    }
}
