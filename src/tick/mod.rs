//! Ticks: from a schedule that is due to ledger rows and executions.
//!
//! A *pass* handles the ticks of one schedule that came due up to an instant, for all jobs of the schedule in the order
//! of their ids. It runs in batches, each in its own transaction; the schedule's row records the progress. A tick that
//! a batch cannot write becomes a row of `owed`, which later batches retry.

mod batch;
mod busy;
mod call;
mod due;
mod jobs;
mod materialise;
mod owed;
mod pass;
mod plain;
mod procedure;
mod unhandled;

pub use batch::run_due;
pub use materialise::backfill;
pub use procedure::{Procedure, tick, tick_in_batches};
pub use unhandled::write_unhandled;
