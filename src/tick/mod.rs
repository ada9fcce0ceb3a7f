//! Ticks: from a schedule that is due to ledger rows and executions.
//!
//! A *pass* handles the ticks of one schedule that came due up to an instant, for all of its jobs in the order of their
//! ids. It goes on in batches, each in a transaction of its own; the schedule's row says how far it has come. What a batch
//! cannot write becomes a row of `owed`, which later batches retry.

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
pub use procedure::{Procedure, tick};
pub use unhandled::write_unhandled;
