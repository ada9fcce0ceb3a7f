//! Executions: writing the runs that ticks call for.

mod materialise;
mod pending;

pub use materialise::{DueTick, materialise};
pub use pending::{record_locked, retry_pending};
