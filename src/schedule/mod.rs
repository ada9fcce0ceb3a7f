//! Schedules: the jobs of a workspace share them, and pg_cron wakes them.
//!
//! # Who locks what
//! Lock order: job, schedule, slot, cron.job. All of these belong to one workspace, except the slots, for which no
//! session waits, and upkeep's entry, for which a session waits only while another transaction creates it.
//! - A session that adds a job locks its schedule FOR KEY SHARE. Sessions that add jobs never wait for each other, and
//!   `tick()` never waits for them. Only if the clock was set back, the session also updates the schedule.
//! - A session that removes a job first tries to lock another job of the schedule FOR SHARE, as a witness
//!   ([`release`]). Only a session without a witness locks the schedule FOR UPDATE, and deletes it if it is unused.
//! - A session that changes a job locks it FOR NO KEY UPDATE. `tick()` locks jobs in the same mode, skips the jobs that
//!   it cannot lock, and records their ticks in `owed`.
//! - `tick()` locks due schedules FOR NO KEY UPDATE SKIP LOCKED, before their jobs. It never waits, so the reversed
//!   order is safe.
//! - Only a session that holds a job's row lock writes the job's ledger rows.

mod entry;
mod fault;
mod join;
mod release;
mod timing;

pub use entry::ensure_upkeep;
pub use fault::{Fault, Problem, find_faults, repair};
pub use join::join;
pub use release::release;
pub use timing::{describe, parse_timing};
