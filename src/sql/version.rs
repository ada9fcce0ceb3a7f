//! The versions of the library and of the extension's objects must agree.
//!
//! They differ between the installation of a new package and ALTER EXTENSION UPDATE, and in sessions that have loaded the
//! library before. The install script creates an empty type whose name has the version, and each upgrade script replaces
//! it. PostgreSQL caches the lookup of the name.

use super::statement::{get, row};
use crate::error::{self, KronosError, Result};
use pgrx::pg_sys;
use serde_json::json;
use std::ffi::CStr;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The name of the type in schema kronos_internal.
const MARKER: &CStr = match CStr::from_bytes_with_nul(
    concat!("version ", env!("CARGO_PKG_VERSION"), "\0").as_bytes(),
) {
    Ok(name) => name,
    Err(_) => panic!("a version has no NUL byte"),
};

const INSTALLED: &str =
    "select extversion as version from pg_catalog.pg_extension where extname = 'kronos'";

/// Fails if the extension's objects belong to another version than this library.
///
/// # Errors
/// `LIBRARY_MISMATCH`.
pub fn require_version() -> Result<()> {
    // SAFETY: both functions only read; they return InvalidOid for a name that does not exist.
    let is_ours = unsafe {
        let schema = pg_sys::get_namespace_oid(c"kronos_internal".as_ptr(), true);
        pg_sys::get_relname_relid(MARKER.as_ptr(), schema) != pg_sys::InvalidOid
    };
    if is_ours {
        return Ok(());
    }
    let installed: String =
        row(INSTALLED, &[], |row| get(row, "version"))?.unwrap_or_else(|| "none".into());
    Err(KronosError::new(
        &error::LIBRARY_MISMATCH,
        format!("this session has loaded kronos {VERSION}, but the extension of this database has version {installed}"),
        json!({ "library": VERSION, "extension": installed }),
    )
    .with_hint("After the new package is installed, run ALTER EXTENSION kronos UPDATE, and reconnect older sessions."))
}
