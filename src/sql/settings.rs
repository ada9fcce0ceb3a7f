//! Settings and roles of PostgreSQL.

use super::processes::c_string;
use super::statement::{get, row, run};
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

/// How long a setting lasts.
#[derive(Clone, Copy)]
pub enum Scope {
    Transaction,
    Session,
}

/// Sets a setting with the rights of the effective user, as SET LOCAL or SET does.
pub fn set(name: &str, value: &str, scope: Scope) {
    let (name, value) = (c_string(name), c_string(value));
    // SAFETY: both are NUL-terminated, and PostgreSQL copies the value.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            if pg_sys::superuser() {
                pg_sys::GucContext::PGC_SUSET
            } else {
                pg_sys::GucContext::PGC_USERSET
            },
            pg_sys::GucSource::PGC_S_SESSION,
            match scope {
                Scope::Transaction => pg_sys::GucAction::GUC_ACTION_LOCAL,
                Scope::Session => pg_sys::GucAction::GUC_ACTION_SET,
            },
            true,
            0,
            false,
        );
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

/// Runs `work` with a search_path that contains no schema of a user, whatever the caller's is: names and operators in the
/// statements of Kronos must not resolve to objects of a stranger. It follows the protocol of fmgr_security_definer
/// (fmgr.c) for SET clauses: after an error, PostgreSQL itself restores the setting.
///
/// # Errors
/// The errors of `work`.
pub fn with_safe_search_path<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: the setting is saved at a nest level of its own, which ends below or with the transaction.
    unsafe {
        let level = pg_sys::NewGUCNestLevel();
        pg_sys::set_config_option(
            c"search_path".as_ptr(),
            c"pg_catalog, pg_temp".as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
        let result = work();
        pg_sys::AtEOXact_GUC(true, level);
        result
    }
}

/// The role with a name.
pub fn find_role(name: &str) -> Result<Option<pg_sys::Oid>> {
    const FIND_ROLE: &str = "select oid from pg_catalog.pg_roles where rolname = $1";
    row(FIND_ROLE, &[name.into()], |row| get(row, "oid"))
}
