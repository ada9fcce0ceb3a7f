//! Settings of PostgreSQL.

use super::statement::run;
use crate::error::Result;
use pgrx::pg_sys;
use std::ffi::CStr;

/// The value of a setting, or None if the server does not know the setting.
pub fn setting(name: &CStr) -> Option<String> {
    // SAFETY: GetConfigOption reads a NUL-terminated name and returns null or a NUL-terminated string.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
    }
}

const SET_LOCK_TIMEOUT: &str = "select set_config('lock_timeout', $1, true)";

/// Runs `work` with a lock_timeout.
///
/// # Errors
/// The errors of `work`.
pub fn with_lock_timeout<T>(timeout: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let previous = setting(c"lock_timeout").unwrap_or_default();
    run(SET_LOCK_TIMEOUT, &[timeout.into()])?;
    let result = work();
    run(SET_LOCK_TIMEOUT, &[previous.as_str().into()])?;
    result
}
