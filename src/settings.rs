//! The settings of Kronos (`kronos.*` in postgresql.conf).

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::ffi::CString;

static ENABLED: GucSetting<bool> = GucSetting::<bool>::new(true);
static MAX_ENTRIES: GucSetting<i32> = GucSetting::<i32>::new(32);
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
    GucRegistry::define_bool_guc(
        c"kronos.notify_workers",
        c"Whether NOTIFY tells workers that executions are due.",
        c"Transactions that notify commit one after the other. Without notifications, workers must poll.",
        &NOTIFY_WORKERS,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"kronos.workspace",
        c"The workspace of calls without a workspace argument.",
        c"It is a default, not an access control.",
        &WORKSPACE,
        GucContext::Userset,
        GucFlags::default(),
    );
}

/// Whether ticks are written and executions are claimed.
pub fn enabled() -> bool {
    ENABLED.get()
}

/// How many schedules of minutes may have a pg_cron entry of their own.
pub fn max_entries() -> i32 {
    MAX_ENTRIES.get()
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
