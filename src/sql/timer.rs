//! The timer of the running statement: statement_timeout.

use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use std::os::raw::c_int;

unsafe extern "C-unwind" {
    // utils/timeout.h; pgrx does not bind it.
    fn enable_timeout_after(id: c_int, milliseconds: c_int);
    fn disable_timeout(id: c_int, keep_indicator: bool);
}

/// STATEMENT_TIMEOUT of utils/timeout.h, in PostgreSQL 15 to 18.
const STATEMENT_TIMEOUT: c_int = 3;

/// Cancels the statement after some milliseconds. Replaces a timer that runs.
pub fn start_statement_timer(milliseconds: i64) {
    let milliseconds = milliseconds.clamp(1, i64::from(c_int::MAX)) as c_int;
    // SAFETY: PostgreSQL has registered the timeout, whose handler cancels the statement.
    unsafe { pg_guard_ffi_boundary(|| enable_timeout_after(STATEMENT_TIMEOUT, milliseconds)) };
}

/// Stops the timer, if one runs.
pub fn stop_statement_timer() {
    // SAFETY: as above.
    unsafe { pg_guard_ffi_boundary(|| disable_timeout(STATEMENT_TIMEOUT, false)) };
}
