//! Executions: writing the runs that ticks call for, and the workers' side of them: claim, heartbeat, finish.

mod cancel;
mod claim;
mod due;
mod finish;
mod lease;
mod log;
mod materialise;
mod pending;
mod wakeup;

pub use cancel::cancel;
pub use claim::{Claimed, Wanted, claim};
pub use due::{DueTick, Horizon, Missed, due_ticks, handled_ticks, horizons};
pub use finish::{Ending, Report, execution_not_found, finish, finish_one, reap};
pub use lease::{Lease, heartbeat};
pub use log::{Line, append as append_log};
pub use materialise::{Written, busy, materialise, materialise_or_raise};
pub use pending::{record_locked, retry_pending};
pub use wakeup::next_wakeup;
