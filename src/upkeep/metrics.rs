//! `metrics`: the numbers that a monitoring system stores.

use crate::authority::Scope;
use crate::error::Result;
use crate::{settings, sql};
use pgrx::JsonB;

/// One number, as Prometheus knows it: a counter if its name ends in `_total`, otherwise a gauge.
pub struct Metric {
    pub name: String,
    pub labels: JsonB,
    pub value: f64,
    pub help: String,
}

fn read(row: &sql::Row) -> Result<Metric> {
    Ok(Metric {
        name: sql::get(row, "name")?,
        labels: sql::get(row, "labels")?,
        value: sql::get(row, "value")?,
        help: sql::get(row, "help")?,
    })
}

/// The metrics of the workspaces of a scope, and of the instance if the scope is all workspaces. Takes no lock that a
/// claim waits for.
///
/// # Errors
/// Fails only if SQL does.
pub fn metrics(scope: &Scope) -> Result<Vec<Metric>> {
    let ids = scope.ids();
    let is_everything = ids.is_none();
    let of_workspaces = include_str!("metrics_of_workspaces.sql");
    let mut metrics = sql::rows_planned_anew(of_workspaces, &[ids.into()], read)?;
    if is_everything {
        let of_instance = include_str!("metrics_of_instance.sql");
        let args = [settings::enabled().into()];
        metrics.extend(sql::rows_planned_anew(of_instance, &args, read)?);
    }
    Ok(metrics)
}
