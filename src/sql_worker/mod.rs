//! Executions of endpoints of type SQL, which the server runs itself.
//!
//! Two kinds of background processes, both started on demand: one dispatcher for each database, and a few workers. A
//! worker is connected as one role, the `run_as` of the endpoints whose statements it runs, for as long as it lives; so a
//! statement that says RESET ROLE gains nothing. Only the worker's bookkeeping acts as the owner of Kronos, for its own
//! statements. A worker claims executions as every worker does, with a lease that the dispatcher extends. The dispatcher
//! starts and ends workers, asks statements to stop, and knows at once when a worker has died.
//!
//! A commit that writes an SQL execution sets the latches of these processes, and starts the dispatcher if it does not
//! run. Upkeep does so too, in case a wake-up is lost.

mod bookkeeping;
mod dispatcher;
mod look;
mod messages;
mod results;
mod statement;
mod worker;

pub use look::wake_if_due;
