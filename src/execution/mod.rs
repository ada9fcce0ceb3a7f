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
mod handled;
mod heartbeat;
mod held;
mod keyed;
mod lanes;
mod log;
mod next_start;
mod read;
mod reschedule;
mod retry;
mod set_aside;
mod stragglers;
mod transition;
mod wakeup;

/// How the ids of the server's own workers begin. Nobody else can report about their executions.
pub const SERVER_WORKERS: &str = "sql ";

pub use cancel::{Cancellable, cancel, cancel_many};
pub use choose::Wanted;
pub use claim::claim;
pub use ending::{Ended, end};
pub use enqueue::{OneShot, enqueue};
pub use enqueue_many::enqueue_many;
pub use expire::{expire_leases, expire_lost, expire_worker_leases};
pub use finish::{
    Ending, complete, complete_many, end_many, fail, lock_attempt, postpone, release,
};
pub use handled::{Handled, Range};
pub use heartbeat::{heartbeat, lease};
pub use held::AttemptKey;
pub use keyed::OnConflict;
pub use log::{Line, append_log, write_line};
pub use next_start::roles_due_in_lanes;
pub use read::{Filter, get, list, list_attempts, list_logs};
pub use reschedule::reschedule;
pub use retry::{Retry, Retryable, retry, retry_many};
pub use wakeup::{
    Startable, WAKE_AHEAD, next_wakeup, notify_of_endpoint, notify_workers, wake_sql_workers,
};
