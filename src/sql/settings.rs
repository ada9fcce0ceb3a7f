//! Settings of PostgreSQL, read without SQL.

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
