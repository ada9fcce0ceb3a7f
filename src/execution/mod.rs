//! Executions: writing the runs that ticks call for.

mod due;
mod materialise;
mod pending;

pub use due::{DueTick, Horizon, Missed, due_ticks, handled_ticks, horizons};
pub use materialise::{Written, busy, materialise, materialise_or_raise};
pub use pending::{record_locked, retry_pending};
