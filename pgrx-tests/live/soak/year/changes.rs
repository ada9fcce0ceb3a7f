//! Random changes of jobs.

use super::model::{Job, Status};
use super::{DAY, HOUR, MINUTE, YEAR, Year, instant};
use crate::domain::*;
use crate::soak::size;
use rand::Rng;
use rand::seq::IndexedRandom;
use uuid::Uuid;

impl Year {
    /// Creates a job while there are few, and changes another one now and then.
    pub fn change_some_jobs(&mut self) {
        let jobs = self.model.jobs.iter();
        let live = jobs.filter(|(_, job)| job.status != Status::Retired);
        let live: Vec<Uuid> = live.map(|(job_id, _)| *job_id).collect();
        if live.len() < size(24, 48) {
            self.create();
        }
        let chosen = live.choose(&mut self.rng).copied();
        let Some(job_id) = chosen.filter(|_| self.rng.random_range(0..3) == 0) else {
            return;
        };
        let status = self.model.jobs[&job_id].status;
        match (status, self.rng.random_range(0..10)) {
            (_, 0) => self.stop(job_id, Status::Retired),
            (Status::Active, 1..3) => self.stop(job_id, Status::Paused),
            (Status::Paused, 1..6) => self.resume(job_id),
            _ => self.update(job_id),
        }
    }

    /// Changes some of what decides about a job's ticks.
    fn vary(&mut self, job: &mut Job) {
        let (rng, now) = (&mut self.rng, self.now);
        if rng.random() {
            job.timing = rng.random_range(0..self.model.timings.len());
        }
        if rng.random() {
            job.policy = ["none", "last", "all"].choose(rng).unwrap();
            let windows = [0, 10 * MINUTE, HOUR, 8 * HOUR, DAY, 7 * DAY, 30 * DAY, YEAR];
            job.window = *windows.choose(rng).unwrap();
        }
        if rng.random_range(0..3) == 0 {
            let from = now + rng.random_range(-DAY..3 * DAY);
            job.starts_at = Some(from).filter(|_| rng.random());
            job.ends_at = Some(from + rng.random_range(1..60 * DAY)).filter(|_| rng.random());
        }
    }

    fn create(&mut self) {
        let mut job = Job::new(0, "last", HOUR, self.now);
        self.vary(&mut job);
        let call = format!("create_cron_job('hook', {})", self.arguments(&job));
        if let Some(job_id) = self.call(&call, &job) {
            self.model.create(job_id, job);
        }
    }

    fn update(&mut self, job_id: Uuid) {
        let mut job = self.model.jobs[&job_id].clone();
        self.vary(&mut job);
        let call = format!("update_cron_job('{job_id}', {})", self.arguments(&job));
        if self.call(&call, &job).is_some() {
            self.model.update(job_id, job, self.now);
        }
    }

    fn arguments(&self, job: &Job) -> String {
        let timing = &self.model.timings[job.timing];
        let bound = |bound: Option<i64>, none: &str| match bound {
            Some(bound) => format!("to_timestamp({bound})"),
            None => format!("'{none}'"),
        };
        format!(
            "cron => '{}', timezone => '{}', catchup_policy => '{}', catchup_window => '{} seconds', starts_at => {}, ends_at => {}",
            timing.cron,
            timing.zone,
            job.policy,
            job.window,
            bound(job.starts_at, "-infinity"),
            bound(job.ends_at, "infinity"),
        )
    }

    fn stop(&mut self, job_id: Uuid, status: Status) {
        let function = match status {
            Status::Paused => "pause_cron_job",
            _ => "cancel_cron_job",
        };
        let statement = format!("select from kronos.{function}('{job_id}')");
        self.session.execute(&statement, &[]).unwrap();
        self.record(job_id, function.to_owned());
        self.model.stop(job_id, status);
    }

    fn resume(&mut self, job_id: Uuid) {
        let job = self.model.jobs[&job_id].clone();
        if self
            .call(&format!("resume_cron_job('{job_id}')"), &job)
            .is_some()
        {
            self.model.resume(job_id, self.now);
        }
    }

    /// Calls a function that leaves a job active, and returns the job's id. It must fail if the job would have no tick.
    fn call(&mut self, call: &str, job: &Job) -> Option<Uuid> {
        let result = self
            .session
            .query_one(&format!("select job_id from kronos.{call}"), &[]);
        let what = format!("{}: {call}", instant(self.now));
        let has_future = job.has_future(&self.model.timings, self.now);
        match result {
            Ok(row) => {
                assert!(has_future, "{what}");
                let job_id = row.get(0);
                self.record(job_id, call.to_owned());
                Some(job_id)
            }
            Err(error) => {
                let detail = db_error(&error).detail().unwrap_or_default();
                let is_expected = ["INVALID_WINDOW", "NEVER_FIRES"]
                    .iter()
                    .any(|code| detail.contains(code));
                assert!(!has_future && is_expected, "{what}: {error:?}");
                self.figures.refused_changes += 1;
                None
            }
        }
    }

    fn record(&mut self, job_id: Uuid, what: String) {
        self.figures.changes += 1;
        let event = format!("{}: {what}", instant(self.now));
        self.events.entry(job_id).or_default().push(event);
    }
}
