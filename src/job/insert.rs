//! Writing many jobs at once, and joining their schedules.

use super::create::translate_endpoint_deleted;
use super::definition::Terms;
use crate::calendar::Timing;
use crate::endpoint::Endpoint;
use crate::error::{KronosError, Result, concurrent_change};
use crate::id::{JobId, ScheduleId, WorkspaceId};
use crate::schedule;
use crate::sql::{self, Jsonb};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

/// A job that is to be inserted.
pub struct NewRow<'a> {
    pub job_id: JobId,
    pub terms: &'a Terms<'a>,
    pub endpoint: &'a Endpoint,
    pub input: Jsonb,
    pub metadata: Jsonb,
    pub schedule_id: ScheduleId,
}

/// Inserts jobs with one statement, and returns the ids of those that it inserted: a job whose name a live job has is left
/// out.
///
/// # Errors
/// `CONCURRENT_CHANGE` if another session has deleted an endpoint meanwhile.
pub fn insert_jobs(
    workspace_id: WorkspaceId,
    rows: &[NewRow],
    declared_by: Option<&str>,
    instant: DateTime<Utc>,
) -> Result<HashSet<JobId>> {
    fn column<T>(rows: &[NewRow], value: impl Fn(&NewRow) -> T) -> Vec<T> {
        rows.iter().map(value).collect()
    }
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let args = [
        column(rows, |row| row.job_id).into(),
        workspace_id.into(),
        column(rows, |row| row.terms.name.map(str::to_owned)).into(),
        column(rows, |row| row.endpoint.endpoint_id).into(),
        column(rows, |row| row.endpoint.endpoint_type.clone()).into(),
        column(rows, |row| row.terms.cron().to_owned()).into(),
        column(rows, |row| row.terms.timezone.clone()).into(),
        column(rows, |row| row.schedule_id).into(),
        column(rows, |row| row.input).into(),
        column(rows, |row| row.metadata).into(),
        column(rows, |row| row.terms.window.starts_at).into(),
        column(rows, |row| row.terms.window.ends_at).into(),
        column(rows, |row| row.terms.catchup_policy.name()).into(),
        column(rows, |row| row.terms.catchup_window).into(),
        column(rows, |row| row.terms.overlap_policy.name()).into(),
        column(rows, |row| row.terms.jitter).into(),
        column(rows, |row| row.terms.priority).into(),
        declared_by.into(),
        sql::to_pg(instant).into(),
    ];
    let write = || {
        sql::rows(include_str!("insert_jobs.sql"), &args, |row| {
            sql::get::<JobId>(row, "job_id")
        })
    };
    let inserted = translate_endpoint_deleted(concurrent_change, write)?;
    Ok(inserted.into_iter().collect())
}

/// The schedules that some jobs need, each once.
#[derive(Default)]
pub struct Schedules {
    needed: BTreeMap<(String, String), Rc<Timing>>,
    joined: BTreeMap<(String, String), ScheduleId>,
}

impl Schedules {
    pub fn need(&mut self, terms: &Terms) {
        self.needed
            .entry(key(terms))
            .or_insert_with(|| Rc::clone(&terms.timing));
    }

    /// Joins them in the order of their expressions and zones, so that calls which join many do not deadlock.
    ///
    /// # Errors
    /// Those of [`schedule::join`].
    pub fn join(&mut self, workspace_id: WorkspaceId) -> Result<()> {
        for (key, timing) in &self.needed {
            sql::check_for_interrupts();
            let schedule_id = schedule::join(workspace_id, timing, &key.1)?;
            self.joined.insert(key.clone(), schedule_id);
        }
        Ok(())
    }

    /// The schedule that was joined for some terms.
    ///
    /// # Errors
    /// None, unless the terms were not among those that needed one.
    pub fn of(&self, terms: &Terms) -> Result<ScheduleId> {
        let joined = self.joined.get(&key(terms)).copied();
        joined.ok_or_else(|| KronosError::internal("a schedule was not joined"))
    }
}

fn key(terms: &Terms) -> (String, String) {
    (terms.cron().to_owned(), terms.timezone.clone())
}

/// Releases each of some schedules once, in one order.
///
/// # Errors
/// Those of [`schedule::release`].
pub fn release_all(schedule_ids: impl IntoIterator<Item = ScheduleId>) -> Result<()> {
    let mut schedule_ids: Vec<ScheduleId> = schedule_ids.into_iter().collect();
    schedule_ids.sort_unstable();
    schedule_ids.dedup();
    schedule_ids.into_iter().try_for_each(|schedule_id| {
        sql::check_for_interrupts();
        schedule::release(schedule_id)
    })
}
