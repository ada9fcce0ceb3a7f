//! PostgreSQL's interface for the domain: prepared statements and their rows, time, jsonb, subtransactions, locks.
//! Calls to PostgreSQL's C functions belong here.

mod jsonb;
mod locks;
mod notify;
mod parse;
mod planning;
mod plans;
pub mod processes;
mod settings;
mod statement;
mod subtransaction;
mod time;
mod timer;
mod transaction;
mod version;

pub use jsonb::Jsonb;
pub use locks::{
    lock_named_thing, main_relation, refuse_on_standby, try_lock_for_session, try_lock_id,
    try_lock_named_thing, unlock_for_session, unlock_id,
};
pub use notify::notify;
pub use parse::commands;
pub use planning::{by_index, install_hook};
pub use settings::{
    Scope as SettingScope, find_role, set, setting, with_lock_timeout, with_safe_search_path,
};
pub use statement::{
    Composite, Row, composite, composites, exists, first, get, get_opt, newest, row, rows,
    rows_planned_anew, run,
};
pub use subtransaction::{Failure, convert_errors, dry_run, in_subtransaction};
pub use time::{
    CLOCK_TOLERANCE, FIRST_TIMESTAMP, from_pg, interval, is_finite, iso, now, now_pg,
    snapshot_limit, to_pg,
};
pub use timer::{start_statement_timer, stop_statement_timer};
pub use transaction::{
    in_short_transaction, in_transaction, or_roll_back, set_timeouts, set_transaction,
    with_snapshot, without_read_only,
};
pub use version::require_version;

use pgrx::prelude::*;

/// A new UUIDv7 (RFC 9562). UUIDv7s sort by the time at which they were created, so that neighbours in time share index
/// pages.
#[pg_extern(schema = "kronos", volatile, parallel_safe)]
pub fn uuid_v7() -> pgrx::Uuid {
    pgrx::Uuid::from_bytes(*uuid::Uuid::now_v7().as_bytes())
}

/// The five characters of an SQLSTATE, packed by six bits each as in PostgreSQL's elog.h.
pub fn sqlstate_text(code: PgSqlErrorCode) -> String {
    let code = code as i32;
    (0..5)
        .map(|place| ((code >> (6 * place) & 0x3f) as u8 + b'0') as char)
        .collect()
}

/// Raises an error if the call must end: a cancel, a timeout, a shutdown. Loops in Rust call it.
pub fn check_for_interrupts() {
    pgrx::check_for_interrupts!();
}

/// Whether the call must end. Unlike [`check_for_interrupts`] it never raises an error, so code that PostgreSQL must
/// not unwind can check it and return.
pub fn is_interrupted() -> bool {
    // SAFETY: signal handlers write the flag; reading it has no effect.
    unsafe { std::ptr::read_volatile(&raw const pg_sys::InterruptPending) != 0 }
}
