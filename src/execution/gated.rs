//! Endpoints whose executions wait in lanes, and the room in each lane.

use super::stragglers;
use crate::error::Result;
use crate::id::{EndpointId, WorkspaceId};
use crate::sql;
use chrono::{DateTime, Utc};
use pgrx::datum::{Interval, TimestampWithTimeZone};
use pgrx::pg_sys;
use std::collections::HashMap;

/// How many queues (lane, priority) one statement reads.
const QUEUES_AT_ONCE: usize = 100;

/// An endpoint with executions in lanes.
pub struct Gated {
    pub endpoint_type: String,
    pub endpoint_id: EndpointId,
    /// None if the endpoint is no longer gated.
    pub gated_at: Option<TimestampWithTimeZone>,
    pub is_paused: bool,
    pub max_concurrent: Option<i32>,
    pub rate: Option<Rate>,
    /// The role of an SQL endpoint.
    pub run_as: Option<pg_sys::Oid>,
}

#[derive(Clone, Copy)]
pub struct Rate {
    pub limit: i32,
    pub interval: Interval,
}

/// A queue of a limited endpoint.
pub struct Queue {
    pub lane: String,
    pub priority: i32,
    /// How many attempts may start now.
    pub free: i64,
    /// When the rate limit lets the next attempt start; None if it does so now.
    pub opens_at: Option<TimestampWithTimeZone>,
    /// Whether max_concurrent holds executions back.
    pub is_full: bool,
}

/// A place in the queues of an endpoint: lane and priority.
pub type Place = (String, i32);

/// The endpoints of a workspace that have executions in lanes.
///
/// # Errors
/// Fails only if SQL does.
pub fn find_gated(workspace_id: WorkspaceId, endpoint_types: &[String]) -> Result<Vec<Gated>> {
    let args = [workspace_id.into(), endpoint_types.to_vec().into()];
    sql::newest(|| {
        sql::by_index(|| {
            sql::rows(include_str!("find_gated.sql"), &args, |row| {
                let limit = sql::get_opt(row, "rate_limit")?;
                let interval = sql::get_opt(row, "rate_interval")?;
                Ok(Gated {
                    endpoint_type: sql::get(row, "endpoint_type")?,
                    endpoint_id: sql::get(row, "endpoint_id")?,
                    gated_at: sql::get_opt(row, "gated_at")?,
                    is_paused: sql::get(row, "is_paused")?,
                    max_concurrent: sql::get_opt(row, "max_concurrent")?,
                    rate: limit
                        .zip(interval)
                        .map(|(limit, interval)| Rate { limit, interval }),
                    run_as: sql::get_opt(row, "run_as")?,
                })
            })
        })
    })
}

impl Gated {
    /// The attempts that started before the endpoint was gated and count towards max_concurrent, by lane.
    ///
    /// # Errors
    /// Fails only if SQL does.
    pub fn stragglers(&self) -> Result<HashMap<String, i64>> {
        match (self.gated_at, self.max_concurrent) {
            (Some(gated_at), Some(_)) => stragglers::count(self.endpoint_id, gated_at),
            _ => Ok(HashMap::new()),
        }
    }

    /// The place before the first queue.
    pub fn beginning(&self) -> Place {
        (format!("{}:", self.endpoint_id), -1)
    }

    /// The queues after a place, in their order: at most [`QUEUES_AT_ONCE`], and the place to go on from if there are
    /// more.
    ///
    /// # Errors
    /// Fails only if SQL does.
    pub fn queues(
        &self,
        workspace_id: WorkspaceId,
        stragglers: &HashMap<String, i64>,
        after: &Place,
        now: DateTime<Utc>,
    ) -> Result<(Vec<Queue>, Option<Place>)> {
        let args = [
            workspace_id.into(),
            self.endpoint_type.as_str().into(),
            self.endpoint_id.into(),
            after.0.as_str().into(),
            after.1.into(),
            (QUEUES_AT_ONCE as i64).into(),
            sql::to_pg(now).into(),
            self.rate.map(|rate| rate.limit).into(),
            self.rate.map(|rate| rate.interval).into(),
        ];
        let queues = sql::newest(|| {
            sql::by_index(|| {
                sql::rows(include_str!("find_queues.sql"), &args, |row| {
                    let lane: String = sql::get(row, "lane")?;
                    let running = sql::get::<i64>(row, "running")?
                        + stragglers.get(&lane).copied().unwrap_or(0);
                    let started: i64 = sql::get(row, "started")?;
                    let places = self
                        .max_concurrent
                        .map_or(i64::MAX, |most| i64::from(most) - running);
                    let starts = self
                        .rate
                        .map_or(i64::MAX, |rate| i64::from(rate.limit) - started);
                    Ok(Queue {
                        lane,
                        priority: sql::get(row, "priority")?,
                        free: places.min(starts).max(0),
                        opens_at: sql::get_opt(row, "opens_at")?,
                        is_full: places <= 0,
                    })
                })
            })
        })?;
        let more = (queues.len() == QUEUES_AT_ONCE)
            .then(|| queues.last().map(|last| (last.lane.clone(), last.priority)));
        Ok((queues, more.flatten()))
    }
}

/// A value of each queue.
pub fn column<'a, T>(queues: &'a [Queue], value: impl Fn(&'a Queue) -> T) -> Vec<T> {
    queues.iter().map(value).collect()
}
