//! The settings of Kronos (`kronos.*` in postgresql.conf).

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, pg_guard, pg_sys};
use std::ffi::{CStr, CString, c_char, c_void};

static ENABLED: GucSetting<bool> = GucSetting::<bool>::new(true);
static MAX_ENTRIES: GucSetting<i32> = GucSetting::<i32>::new(32);
static MAX_SQL_WORKERS: GucSetting<i32> = GucSetting::<i32>::new(2);
static NOTIFY_WORKERS: GucSetting<bool> = GucSetting::<bool>::new(true);
static WORKSPACE: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"default"));

/// Registers the settings with PostgreSQL.
pub fn define() {
    GucRegistry::define_bool_guc(
        c"kronos.enabled",
        c"Whether ticks are written and executions are claimed.",
        c"Off suits a restored copy: nothing runs. Ticks missed meanwhile follow each job's catchup_policy.",
        &ENABLED,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"kronos.max_entries",
        c"How many schedules of minutes may have a pg_cron entry of their own.",
        c"Upkeep's entry wakes the other schedules every minute.",
        &MAX_ENTRIES,
        0,
        1000,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"kronos.max_sql_workers",
        c"How many executions of SQL endpoints the server runs at once.",
        c"Each takes one of max_worker_processes, and so does the dispatcher that starts them.",
        &MAX_SQL_WORKERS,
        1,
        1000,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"kronos.notify_workers",
        c"Whether NOTIFY tells workers that executions are due.",
        c"Transactions that notify commit one after the other. Without notifications, workers must poll.",
        &NOTIFY_WORKERS,
        GucContext::Userset,
        GucFlags::default(),
    );
    // SAFETY: the hook has the signature of a check hook, and PostgreSQL copies the prefix.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            c"kronos.workspace",
            c"The workspace of calls without a workspace argument.",
            c"It is a default, not an access control.",
            &WORKSPACE,
            GucContext::Userset,
            GucFlags::default(),
            Some(check_workspace),
            None,
            None,
        );
        // A misspelt setting is an error from now on.
        pg_sys::MarkGUCPrefixReserved(c"kronos".as_ptr());
    }
}

/// Whether a value of `kronos.workspace` could be the name of a workspace.
#[pg_guard]
unsafe extern "C-unwind" fn check_workspace(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: PostgreSQL passes a NUL-terminated string. It reports the detail before the memory context ends.
    unsafe {
        let length = CStr::from_ptr(*value).to_string_lossy().chars().count();
        let is_valid = (1..=200).contains(&length);
        if !is_valid {
            let detail = c"The name of a workspace has 1 to 200 characters.";
            pg_sys::GUC_check_errdetail_string = pg_sys::pstrdup(detail.as_ptr());
        }
        is_valid
    }
}

/// Whether ticks are written and executions are claimed.
pub fn enabled() -> bool {
    ENABLED.get()
}

/// How many schedules of minutes may have a pg_cron entry of their own.
pub fn max_entries() -> i32 {
    MAX_ENTRIES.get()
}

/// How many executions of SQL endpoints the server runs at once.
pub fn max_sql_workers() -> i32 {
    MAX_SQL_WORKERS.get()
}

/// Whether NOTIFY tells workers that executions are due.
pub fn notify_workers() -> bool {
    NOTIFY_WORKERS.get()
}

/// The workspace of calls without a workspace argument.
pub fn workspace() -> String {
    WORKSPACE
        .get()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
