//! Live tests: real servers with pg_cron, and several connections to each.
//!
//! Comments refer to the promises of docs/design.md as invariants, by their numbers.

mod atomicity;
mod authority;
mod batches;
mod catchup;
mod claiming;
mod clock;
mod concurrency;
mod crontab;
mod delete_workspace;
mod dialect;
mod doctor;
mod domain;
mod dump;
mod enqueue;
mod factory;
mod failing_jobs;
mod failures;
mod faked_clock;
mod faults;
mod fencing;
mod firing;
mod fleet;
mod installation;
mod isolation;
mod isolation_of_tenants;
mod kept_plans;
mod monitoring;
mod overlap;
mod owner;
mod pause;
mod payload_specs;
mod readme;
mod reconcile;
mod seconds;
mod server;
mod soak;
mod sql_worker;
mod standby;
mod ticks;
mod upgrade;
mod upkeep;
mod worker;
mod zones;
