//! Kronos: job scheduling that commits with your data.
//!
//! The plan of the house. A SQL call enters at [`api`], passes the domain ([`job`], [`endpoint`], [`schedule`],
//! [`tick`], [`execution`], [`workspace`]), and reaches the tables through [`sql`] and pg_cron through [`pg_cron`], the
//! one module that knows it. [`calendar`] is pure; [`args`] has the rules of arguments, [`error`] has every error, and
//! [`upkeep`] keeps the invariants.

use pgrx::prelude::*;

mod api;
mod args;
mod authority;
mod calendar;
mod endpoint;
mod error;
mod execution;
mod grant;
mod id;
mod idempotency;
mod job;
mod named;
mod pg_cron;
mod policy;
mod schedule;
mod settings;
mod sql;
mod sql_worker;
mod status;
mod tick;
mod upkeep;
mod workspace;

::pgrx::pg_module_magic!(name, version);

/// The schema of the SQL interface. pgrx qualifies functions with it.
#[pg_schema]
mod kronos {}

extension_sql_file!("../sql/00_schemas.sql", name = "schemas", bootstrap);
extension_sql_file!(
    "../sql/10_tenants.sql",
    name = "tenants",
    requires = [sql::uuid_v7]
);
extension_sql_file!("../sql/20_jobs.sql", name = "jobs", requires = ["tenants"]);
extension_sql_file!(
    "../sql/30_executions.sql",
    name = "executions",
    requires = ["jobs"]
);
extension_sql_file!(
    "../sql/35_upkeep.sql",
    name = "upkeep",
    requires = ["executions"]
);
extension_sql_file!(
    "../sql/40_views.sql",
    name = "views",
    requires = [
        "upkeep",
        api::schedule::next_tick,
        api::grant::my_workspaces
    ]
);
extension_sql_file!(
    "../sql/50_security.sql",
    name = "security",
    requires = ["views", api::grant::has_everywhere]
);
extension_sql_file!(
    "../sql/90_comments_and_grants.sql",
    name = "comments_and_grants",
    finalize
);

/// Runs once in each backend, when PostgreSQL loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    settings::define();
    sql::install_hook();
    sql::processes::install_commit_callback();
    upkeep::install_hook();
    // If the server has RUST_BACKTRACE set, pgrx appends a backtrace to DETAIL, and DETAIL is no longer JSON. SAFETY: a
    // backend has one thread.
    unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
}

#[cfg(feature = "pg_test")]
#[path = "../pgrx-tests/in_server/mod.rs"]
mod in_server;

/// The setup of the server that `cargo pgrx test` starts.
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
