//! What operators call.

use super::needed;
use crate::error::{self, or_raise};
use crate::{execution, sql, upkeep};
use pgrx::JsonB;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

/// One row per violated invariant; see [`upkeep::check`].
#[pg_extern(security_definer, requires = ["tables"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn check() -> TableIterator<
    'static,
    (
        name!(invariant, i32),
        name!(problem, String),
        name!(detail, JsonB),
    ),
> {
    let violations = or_raise(upkeep::check());
    TableIterator::new(
        violations
            .into_iter()
            .map(|found| (found.invariant, found.problem, found.detail)),
    )
}

/// Deletes old history; see [`upkeep::prune`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn prune(
    max_rows: default!(Option<i64>, "10000"),
) -> TableIterator<
    'static,
    (
        name!(executions, i64),
        name!(jobs, i64),
        name!(endpoints, i64),
        name!(pg_cron_runs, i64),
    ),
> {
    let pruned = or_raise(needed("max_rows", max_rows).and_then(upkeep::prune));
    TableIterator::once((
        pruned.executions,
        pruned.jobs,
        pruned.endpoints,
        pruned.pg_cron_runs,
    ))
}

/// Takes up expired leases; see [`execution::reap`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn reap_expired_leases(max: default!(Option<i64>, "1000")) -> i64 {
    or_raise(needed("max", max).and_then(|max| execution::reap(max.max(0))))
}

/// Kronos's error codes, as the README has them.
#[pg_extern(immutable, parallel_safe)]
fn error_codes() -> TableIterator<
    'static,
    (
        name!(code, &'static str),
        name!(sqlstate, String),
        name!(http_status, i32),
        name!(meaning, &'static str),
    ),
> {
    TableIterator::new(error::ALL.iter().map(|kind| {
        (
            kind.code,
            sql::sqlstate_text(kind.sqlstate),
            kind.http_status,
            kind.meaning,
        )
    }))
}
