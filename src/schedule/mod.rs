//! Schedules: what the jobs of a workspace share, and what pg_cron wakes.
//!
//! # Who locks what
//! Lock order: job, schedule, slot, cron.job. All of these belong to one workspace, but for the slots, which nobody waits
//! for, and upkeep's entry, for which a call waits only while another transaction creates it.
//! - A session that adds a job holds its schedule FOR KEY SHARE until its transaction ends. Such sessions never wait for
//!   each other, and `tick()` never waits for them.
//! - A session that takes a job away first tries to lock another job of the schedule FOR SHARE, as a witness
//!   ([`release`]). Only a session that gets none locks the schedule FOR UPDATE, and deletes it if it is unused.
//! - A session that changes a job holds it FOR NO KEY UPDATE. `tick()` locks jobs in the same mode, skips those that it
//!   cannot lock, and records their ticks in `owed`.
//! - `tick()` takes due schedules FOR NO KEY UPDATE SKIP LOCKED, before their jobs: it waits for nothing, so the reversed
//!   order is safe.
//! - Only a session that holds a job's row lock writes the job's rows of the ledger.

mod entry;
mod join;
mod release;
mod renew;
mod timing;

pub use entry::ensure_upkeep;
pub use join::join;
pub use release::release;
pub use renew::{Faulty, Problem, faulty, renew};
pub use timing::{describe, parse_timing};
