//! NOTIFY without a SQL statement.

use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use std::ffi::{CStr, CString};
use std::os::raw::c_char;

unsafe extern "C-unwind" {
    // commands/async.h; pgrx does not bind it.
    fn Async_Notify(channel: *const c_char, payload: *const c_char);
}

/// Notifies a channel when the transaction commits. PostgreSQL drops duplicates within one transaction.
pub fn notify(channel: &CStr, payload: &str) {
    let payload = CString::new(payload).unwrap_or_default();
    // SAFETY: both are NUL-terminated strings, which PostgreSQL copies.
    unsafe { pg_guard_ffi_boundary(|| Async_Notify(channel.as_ptr(), payload.as_ptr())) }
}
