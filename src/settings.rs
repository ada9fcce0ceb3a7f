//! The settings of Kronos (`kronos.*` in postgresql.conf).

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};

static MAX_ALARMS: GucSetting<i32> = GucSetting::<i32>::new(100);

/// The longest `input` of a job, in bytes of its JSON text.
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
}

/// How many alarms may have an expression of their own; one more, `* * * * *`, catches all the rest.
pub fn max_alarms() -> i32 {
    MAX_ALARMS.get()
}
