//! The settings of Kronos (`kronos.*` in postgresql.conf).

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};

static MAX_ALARMS: GucSetting<i32> = GucSetting::<i32>::new(100);
static NOTIFY_WORKERS: GucSetting<bool> = GucSetting::<bool>::new(true);

/// The longest `input` of a job, and `output` of an attempt, in bytes of their JSON text.
pub const MAX_INPUT_BYTES: usize = 256 * 1024;

/// Registers the settings with PostgreSQL.
pub fn define() {
    GucRegistry::define_int_guc(
        c"kronos.max_alarms",
        c"The most pg_cron entries that Kronos makes for expressions of their own.",
        c"Further expressions share one entry that goes off every minute.",
        &MAX_ALARMS,
        0,
        10_000,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"kronos.notify_workers",
        c"Whether workers are notified when executions may start.",
        c"Transactions that notify commit one after the other. Workers that are not notified have to poll.",
        &NOTIFY_WORKERS,
        GucContext::Userset,
        GucFlags::default(),
    );
}

/// How many alarms may have an expression of their own; one more, `* * * * *`, catches all the rest.
pub fn max_alarms() -> i32 {
    MAX_ALARMS.get()
}

/// Whether NOTIFY tells workers that executions may start.
pub fn notify_workers() -> bool {
    NOTIFY_WORKERS.get()
}
