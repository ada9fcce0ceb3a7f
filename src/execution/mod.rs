//! Executions: enqueuing, and the workers' side: claim, heartbeat, finish.

mod cancel;
mod candidate;
mod choose;
mod claim;
mod ending;
mod enqueue;
mod enqueue_many;
mod expire;
mod fair_turns;
mod finish;
mod front;
mod gated;
mod heartbeat;
mod held;
mod lanes;
mod log;
mod next_start;
mod read;
mod set_aside;
mod stragglers;
mod transition;
mod wakeup;

pub use cancel::cancel;
pub use choose::Wanted;
pub use claim::claim;
pub use enqueue::{OneShot, enqueue};
pub use enqueue_many::enqueue_many;
pub use expire::expire_leases;
pub use finish::{Ending, complete, complete_many, end_many, fail, release};
pub use heartbeat::{heartbeat, lease};
pub use held::AttemptKey;
pub use log::{Line, append_log};
pub use read::{Filter, get, list, list_attempts, list_logs};
pub use wakeup::{Startable, next_wakeup, notify_workers};
