//! Live tests: real servers with pg_cron, over several connections.

mod atomicity;
mod catchup;
mod claiming;
mod concurrency;
mod crontab;
mod dialect;
mod domain;
mod dump;
mod failures;
mod fencing;
mod firing;
mod fleet;
mod isolation;
mod once;
mod overlap;
mod pause;
mod readme;
mod seconds;
mod server;
mod ticks;
mod worker;
mod zones;
