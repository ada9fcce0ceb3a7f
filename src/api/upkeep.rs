//! What operators call.

use crate::error::{self, or_raise};
use crate::{sql, upkeep};
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
