//! Inserts many jobs at once, and joins their schedules.

use super::create::translate_endpoint_deleted;
use super::definition::Terms;
use crate::calendar::Timing;
use crate::endpoint::Endpoint;
use crate::error::{KronosError, Result, concurrent_change};
use crate::id::{JobId, ScheduleId, WorkspaceId};
use crate::named::Named;
use crate::schedule;
use crate::sql::{self, Jsonb};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

/// A job to insert.
pub struct NewRow<'a> {
    pub job_id: JobId,
    pub terms: &'a Terms<'a>,
    pub endpoint: &'a Endpoint,
    pub input: Jsonb,
    pub metadata: Jsonb,
    pub schedule_id: ScheduleId,
}

/// Inserts jobs with one statement, and returns the ids of the inserted jobs. A job whose name belongs to a live job is
/// not inserted.
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
        column(rows, |row| row.terms.on_failure_id).into(),
        column(rows, |row| row.terms.max_consecutive_failures).into(),
        declared_by.into(),
        sql::to_pg(instant).into(),
        column(rows, |row| row.terms.concurrency_key.map(str::to_owned)).into(),
    ];
    let write = || {
        sql::rows(include_str!("insert_jobs.sql"), &args, |row| {
            sql::get::<JobId>(row, "job_id")
        })
    };
    let inserted = translate_endpoint_deleted(concurrent_change, write)?;
    Ok(inserted.into_iter().collect())
}

/// The schedules of several jobs, each only once.
#[derive(Default)]
pub struct Schedules {
    added: BTreeMap<(String, String), Rc<Timing>>,
    joined: BTreeMap<(String, String), ScheduleId>,
}

impl Schedules {
    pub fn add(&mut self, terms: &Terms) {
        self.added
            .entry(key(terms))
            .or_insert_with(|| Rc::clone(&terms.timing));
    }

    /// Joins the schedules in the order of their expressions and zones, so that concurrent calls do not deadlock.
    ///
    /// # Errors
    /// The errors of [`schedule::join`].
    pub fn join(&mut self, workspace_id: WorkspaceId) -> Result<()> {
        for (key, timing) in &self.added {
            sql::check_for_interrupts();
            let schedule_id = schedule::join(workspace_id, timing, &key.1)?;
            self.joined.insert(key.clone(), schedule_id);
        }
        Ok(())
    }

    /// The id of the schedule that was joined for the terms.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` if the schedule of the terms was not added.
    pub fn id_for(&self, terms: &Terms) -> Result<ScheduleId> {
        let joined = self.joined.get(&key(terms)).copied();
        joined.ok_or_else(|| KronosError::internal("a schedule was not joined"))
    }
}

fn key(terms: &Terms) -> (String, String) {
    (terms.cron().to_owned(), terms.timezone.clone())
}

/// Releases each of several schedules once, in the order of their ids.
///
/// # Errors
/// The errors of [`schedule::release`].
pub fn release_all(schedule_ids: impl IntoIterator<Item = ScheduleId>) -> Result<()> {
    let mut schedule_ids: Vec<ScheduleId> = schedule_ids.into_iter().collect();
    schedule_ids.sort_unstable();
    schedule_ids.dedup();
    schedule_ids.into_iter().try_for_each(|schedule_id| {
        sql::check_for_interrupts();
        schedule::release(schedule_id)
    })
}
