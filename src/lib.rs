//! Kronos: job scheduling that commits with your data.
//!
//! The plan of the house. A SQL call enters at [`api`], passes the domain ([`job`], [`endpoint`], [`execution`], [`schedule`]),
//! and reaches the tables through [`sql`] and pg_cron through [`pg_cron`], the one module that knows it.
//! [`calendar`] is pure; [`error`] has every error; [`upkeep`] watches over the invariants.

use pgrx::prelude::*;

mod api;
mod calendar;
mod endpoint;
mod error;
mod execution;
mod job;
mod pg_cron;
mod schedule;
mod settings;
mod sql;
mod upkeep;

::pgrx::pg_module_magic!(name, version);

extension_sql_file!(
    "../sql/10_tables.sql",
    name = "tables",
    requires = [sql::uuid_v7]
);
extension_sql_file!(
    "../sql/11_executions.sql",
    name = "executions",
    requires = ["tables"]
);
extension_sql_file!(
    "../sql/15_views.sql",
    name = "views",
    requires = ["executions", api::schedule::next_ticks]
);
extension_sql_file!(
    "../sql/20_comments_and_grants.sql",
    name = "comments_and_grants",
    finalize
);

/// Runs once in each backend, when PostgreSQL loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    settings::define();
}

#[cfg(feature = "pg_test")]
#[path = "../pgrx-tests/in_server/mod.rs"]
mod in_server;

/// What `cargo pgrx test` asks of a crate: how its server is set up.
#[cfg(test)]
pub mod pg_test {
    pub fn setup(_options: Vec<&str>) {}

    #[must_use]
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec![
            "shared_preload_libraries = 'pg_cron'",
            "cron.database_name = 'pgrx_tests'",
        ]
    }
}
