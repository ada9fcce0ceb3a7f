//! A claim under way: choosing executions that may start now, and starting them.

use super::front::{self, Front};
use crate::args::{MAX_INPUT_BYTES, MAX_SPEC_BYTES};
use crate::authority::Authorised;
use crate::error::Result;
use crate::id::{ExecutionId, WorkspaceId};
use crate::sql::{self, Composite};
use chrono::{DateTime, Utc};
use pgrx::datum::{DatumWithOid, Interval, TimestampWithTimeZone};
use pgrx::pg_sys;
use std::collections::HashMap;

/// A worker's request.
pub struct Wanted<'a> {
    pub worker_id: &'a str,
    pub max: usize,
    /// How long the worker holds the executions without a heartbeat.
    pub lease: Interval,
    /// Sorted and distinct; None for any type but SQL.
    pub endpoint_types: Option<Vec<String>>,
    /// Only executions of SQL endpoints that run as this role.
    pub run_as: Option<pg_sys::Oid>,
}

/// The most bytes of inputs and specs that one claim returns. A claim returns at least one execution if one may start,
/// however large.
const MAX_BYTES: i64 = 16 * 1024 * 1024;

/// Where a claim starts to read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// From where the session's last claim ended.
    On,
    /// From the beginning.
    Whole,
}

/// A claim under way.
pub struct Claim<'a> {
    pub wanted: &'a Wanted<'a>,
    pub now: DateTime<Utc>,
    /// The workspace to claim from; None for all.
    pub workspace: Option<&'a Authorised>,
    pub claimed: Vec<Composite>,
    /// The locked executions that have not started yet.
    chosen: Vec<ExecutionId>,
    /// Whether a chosen execution belongs to a job.
    has_jobs: bool,
    /// The bytes of the started executions, as far as they are counted.
    bytes: i64,
    /// An upper bound of the bytes of all chosen executions, known without reading specs or jobs.
    bytes_at_most: i64,
    /// Whether the claim left an execution because it would become too large.
    is_full: bool,
    /// Whether the claim has read only a part, so that it may have missed executions.
    pub skipped: bool,
}

impl<'a> Claim<'a> {
    pub fn new(workspace: Option<&'a Authorised>, wanted: &'a Wanted<'a>) -> Claim<'a> {
        Claim {
            wanted,
            now: sql::now(),
            workspace,
            claimed: vec![],
            chosen: vec![],
            has_jobs: false,
            bytes: 0,
            bytes_at_most: 0,
            is_full: false,
            skipped: false,
        }
    }

    /// How many executions are still to be chosen.
    pub fn missing(&self) -> usize {
        if self.is_full {
            0
        } else {
            self.wanted.max - self.claimed.len() - self.chosen.len()
        }
    }

    /// Locks up to `max` executions of a workspace, and returns how many it found. They must start before the claim reads
    /// the same workspace again.
    ///
    /// # Errors
    /// Fails only if SQL does.
    pub fn choose(
        &mut self,
        workspace_id: WorkspaceId,
        max: usize,
        reading: Reading,
    ) -> Result<usize> {
        let types = &self.wanted.endpoint_types;
        let whole = reading == Reading::Whole;
        let mut front = Front::find(workspace_id, types, self.now, whole)?;
        let mut args = vec![
            workspace_id.into(),
            front.endpoint_types.clone().into(),
            (max as i64).into(),
            sql::to_pg(self.now).into(),
            front.run_ats().into(),
        ];
        let statement = match (self.wanted.run_as, front.endpoint_types.len()) {
            (Some(role), _) => {
                args.push(role.into());
                include_str!("choose_as_role.sql")
            }
            (None, 1) => include_str!("choose_of_type.sql"),
            (None, _) => include_str!("choose.sql"),
        };
        let mut found = 0;
        let began_at = sql::now();
        sql::by_index(|| {
            sql::rows(statement, &args, |row| {
                let run_at = sql::from_pg(sql::get(row, "run_at")?);
                front.advance(sql::get(row, "priority")?, run_at);
                self.chosen.push(sql::get(row, "execution_id")?);
                self.has_jobs |= sql::get::<bool>(row, "has_job")?;
                let input_bytes = sql::get_opt::<i32>(row, "input_bytes")?;
                let input_bytes = input_bytes.map_or(MAX_INPUT_BYTES, |bytes| bytes as usize);
                self.bytes_at_most += (input_bytes + MAX_SPEC_BYTES) as i64;
                found += 1;
                Ok(())
            })
        })?;
        front.record_reading(sql::now() - began_at);
        self.skipped |= front.is_old;
        if found == max {
            front.keep(workspace_id, types);
        }
        Ok(found)
    }

    /// Starts the chosen executions.
    ///
    /// # Errors
    /// Fails only if SQL does.
    pub fn start(&mut self) -> Result<()> {
        let mut chosen = std::mem::take(&mut self.chosen);
        let has_jobs = std::mem::take(&mut self.has_jobs);
        if chosen.is_empty() {
            return Ok(());
        }
        if self.bytes_at_most <= MAX_BYTES {
            self.bytes = self.bytes_at_most;
        } else {
            self.cut(&mut chosen)?;
        }
        // The clock is read after the rows are locked, so that an attempt starts after the previous one has ended.
        let now = sql::now_pg();
        let mut args = vec![
            chosen.into(),
            now.into(),
            self.wanted.worker_id.into(),
            self.wanted.lease.into(),
        ];
        let started = match self.workspace {
            Some(workspace) if !has_jobs => {
                args.push(workspace.name.as_str().into());
                start_one_shots(&args)?
            }
            _ => sql::by_index(|| sql::composites(include_str!("start.sql"), &args))?,
        };
        self.claimed.extend(started);
        Ok(())
    }

    /// Drops the executions that would make the claim too large. They stay locked until the transaction ends.
    fn cut(&mut self, chosen: &mut Vec<ExecutionId>) -> Result<()> {
        let args = [chosen.clone().into()];
        let bytes: HashMap<ExecutionId, i32> = sql::by_index(|| {
            sql::rows(include_str!("measure.sql"), &args, |row| {
                Ok((sql::get(row, "execution_id")?, sql::get(row, "bytes")?))
            })
        })?
        .into_iter()
        .collect();
        let mut kept = 0;
        for execution_id in chosen.iter() {
            let bytes = i64::from(bytes.get(execution_id).copied().unwrap_or(0));
            if self.bytes > 0 && self.bytes + bytes > MAX_BYTES {
                self.is_full = true;
                front::forget();
                break;
            }
            self.bytes += bytes;
            kept += 1;
        }
        chosen.truncate(kept);
        Ok(())
    }
}

fn start_one_shots(args: &[DatumWithOid]) -> Result<Vec<Composite>> {
    let mut started = sql::by_index(|| {
        sql::rows(include_str!("start_one_shots.sql"), args, |row| {
            let run_at: TimestampWithTimeZone = sql::get(row, "run_at")?;
            let order = (sql::get::<i32>(row, "priority")?, run_at.into_inner());
            Ok((order, sql::first(row)?))
        })
    })?;
    started.sort_by_key(|(order, _)| *order);
    Ok(started.into_iter().map(|(_, row)| row).collect())
}
