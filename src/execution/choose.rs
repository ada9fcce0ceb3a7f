//! A claim under way: choosing executions that may start now, and starting them.

use super::candidate::{Candidate, Lane};
use super::front::{self, Front};
use super::{lanes, set_aside};
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
    /// Whether executions have changed their lanes, so that another reading may find others.
    pub has_moved: bool,
    /// How many executions of each priority the claim reads when it next looks for those of gated endpoints.
    window: i64,
    /// The chosen executions in lanes with a rate limit: the lane and the rate_interval.
    rated: HashMap<ExecutionId, (String, Interval)>,
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
            has_moved: false,
            window: 0,
            rated: HashMap::new(),
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
        let mut candidates = vec![];
        let began_at = sql::now();
        sql::by_index(|| {
            sql::rows(statement, &args, |row| {
                let execution_id = sql::get(row, "execution_id")?;
                candidates.push(Candidate::read(row, execution_id, None)?);
                Ok(())
            })
        })?;
        front.record_reading(sql::now() - began_at);
        self.skipped |= front.is_old;
        if front.has_lanes {
            let found = lanes::choose(
                workspace_id,
                &front.endpoint_types,
                self.wanted.run_as,
                max,
                self.now,
            )?;
            self.has_moved |= found.has_moved;
            self.skipped |= found.has_skipped;
            candidates.extend(found.candidates);
            // Those of the common lane that are left over stay locked until the transaction ends.
            candidates.sort_by_key(Candidate::order);
            candidates.truncate(max);
        }
        let found = candidates.len();
        for candidate in candidates {
            if candidate.lane.is_none() {
                front.advance(candidate.priority, candidate.run_at);
            }
            self.add(candidate);
        }
        if found == max {
            front.keep(workspace_id, types);
        }
        Ok(found)
    }

    fn add(&mut self, candidate: Candidate) {
        self.chosen.push(candidate.execution_id);
        self.has_jobs |= candidate.has_job;
        let input_bytes = candidate
            .input_bytes
            .map_or(MAX_INPUT_BYTES, |bytes| bytes as usize);
        self.bytes_at_most += (input_bytes + MAX_SPEC_BYTES) as i64;
        if let Some(Lane {
            name,
            rate_interval: Some(interval),
        }) = candidate.lane
        {
            self.rated.insert(candidate.execution_id, (name, interval));
        }
    }

    /// Starts the chosen executions. Sets those aside whose endpoint is gated although they waited in the common lane.
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
        self.record_starts(&chosen, now)?;
        let mut args = vec![
            chosen.clone().into(),
            now.into(),
            self.wanted.worker_id.into(),
            self.wanted.lease.into(),
        ];
        let started = match self.workspace {
            Some(workspace) if !has_jobs => {
                args.push(workspace.name.as_str().into());
                sql::newest(|| start_one_shots(&args))?
            }
            _ => {
                sql::newest(|| sql::by_index(|| sql::composites(include_str!("start.sql"), &args)))?
            }
        };
        if started.len() < chosen.len() {
            self.has_moved |= set_aside::set_aside(chosen, self.window, self.now)?;
            self.window = (self.window * 10).clamp(100, 1000);
        }
        self.claimed.extend(started);
        Ok(())
    }

    /// Records the starts of executions in lanes with a rate limit.
    fn record_starts(&mut self, chosen: &[ExecutionId], now: TimestampWithTimeZone) -> Result<()> {
        if self.rated.is_empty() {
            return Ok(());
        }
        let mut rated = std::mem::take(&mut self.rated);
        let mut starts: HashMap<String, (i32, Interval)> = HashMap::new();
        for execution_id in chosen {
            if let Some((lane, interval)) = rated.remove(execution_id) {
                starts.entry(lane).or_insert((0, interval)).0 += 1;
            }
        }
        let args = [
            starts.keys().cloned().collect::<Vec<_>>().into(),
            starts
                .values()
                .map(|(count, _)| *count)
                .collect::<Vec<_>>()
                .into(),
            now.into(),
            starts
                .values()
                .map(|(_, interval)| *interval)
                .collect::<Vec<_>>()
                .into(),
        ];
        let record = include_str!("record_starts.sql");
        sql::newest(|| sql::by_index(|| sql::run(record, &args))).map(|_| ())
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
