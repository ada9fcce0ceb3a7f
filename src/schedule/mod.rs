//! Schedules: what jobs share, and what pg_cron wakes.
//!
//! # Who locks what
//! Lock order: job, schedule, alarm, cron.job.
//! - A session that adds a job holds its schedule FOR KEY SHARE to the end of its transaction; so does one that adds a
//!   schedule with its alarm. Such sessions never wait for each other, and `run_due` never waits for them.
//! - A session that takes a job away looks for another job that stays, and holds that one ([`share::release`]); only the
//!   one that finds none locks the schedule FOR UPDATE, and deletes it if it is still alone.
//! - `run_due` holds the schedules that are due FOR NO KEY UPDATE, and their jobs FOR SHARE, and waits for none of these.

mod alarm;
mod align;
mod run_due;
mod share;
mod timing;

pub use align::{realign, uncovered};
pub use run_due::run_due;
pub use share::{concurrent_change, join, lock_name, release};
pub use timing::{describe, parse_timing};
