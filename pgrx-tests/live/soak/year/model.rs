//! What Kronos owes each job, by docs/time.md: which ticks run, which ones the catch-up policies drop, and when. Ticks
//! are minutes since 1970; other instants are seconds since 1970.

use super::reader::{Fields, Zone};
use std::collections::BTreeMap;
use std::ops::Range;
use uuid::Uuid;

/// Ticks that are this late are missed.
const ON_TIME: i64 = 5 * 60;
/// The most missed ticks of a schedule that policy `all` runs.
const MAX_MISSED: usize = 10_000;

/// A cron expression in a time zone, with its ticks.
pub struct Timing {
    pub cron: String,
    pub zone: &'static str,
    pub ticks: Vec<i64>,
}

impl Timing {
    pub fn read(cron: String, zone: &Zone, range: Range<i64>) -> Timing {
        Timing {
            ticks: Fields::read(&cron).ticks(zone, range),
            cron,
            zone: zone.name,
        }
    }

    /// The ticks after `after`, up to and including `until`.
    pub fn due(&self, after: i64, until: i64) -> &[i64] {
        let place = |instant: i64| self.ticks.partition_point(|tick| tick * 60 <= instant);
        &self.ticks[place(after)..place(until).max(place(after))]
    }

    pub fn next(&self, after: i64) -> Option<i64> {
        self.due(after, i64::MAX).first().copied()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Status {
    Active,
    Paused,
    Retired,
}

/// A job in its current version.
#[derive(Clone, Debug)]
pub struct Job {
    pub timing: usize,
    pub version: i32,
    pub status: Status,
    pub policy: &'static str,
    pub window: i64,
    pub starts_at: Option<i64>,
    pub ends_at: Option<i64>,
    /// The job has only the ticks after this instant.
    active_since: i64,
    /// Wake-ups have handled the ticks of the job's schedule up to this instant.
    handled_until: i64,
}

impl Job {
    pub fn new(timing: usize, policy: &'static str, window: i64, created_at: i64) -> Job {
        Job {
            timing,
            version: 1,
            status: Status::Active,
            policy,
            window,
            starts_at: None,
            ends_at: None,
            active_since: created_at,
            handled_until: created_at,
        }
    }

    fn has(&self, tick: i64) -> bool {
        tick * 60 > self.active_since
            && self
                .starts_at
                .is_none_or(|starts_at| tick * 60 >= starts_at)
            && self.ends_at.is_none_or(|ends_at| tick * 60 < ends_at)
    }

    /// Whether a call at an instant may leave the job active: it has a tick to come.
    pub fn has_future(&self, timings: &[Timing], now: i64) -> bool {
        let after = self
            .starts_at
            .map_or(now, |starts_at| now.max(starts_at - 1));
        match (self.ends_at, timings[self.timing].next(after)) {
            (Some(ends_at), Some(tick)) => tick * 60 < ends_at,
            (Some(_), None) => false,
            // Every schedule of the test has more ticks after the range that is read.
            (None, _) => true,
        }
    }
}

/// The ledger's row of a tick that ran.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    pub version: i32,
    pub recorded_at: i64,
}

/// The ledger's row of dropped ticks, but for the first one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropped {
    pub last: i64,
    pub version: i32,
}

pub struct Model {
    pub timings: Vec<Timing>,
    pub jobs: BTreeMap<Uuid, Job>,
    /// By job and tick.
    pub runs: BTreeMap<(Uuid, i64), Run>,
    /// By job and first dropped tick.
    pub dropped: BTreeMap<(Uuid, i64), Dropped>,
}

impl Model {
    pub fn new(timings: Vec<Timing>) -> Model {
        Model {
            timings,
            jobs: BTreeMap::new(),
            runs: BTreeMap::new(),
            dropped: BTreeMap::new(),
        }
    }

    /// The first tick of an active job after an instant.
    pub fn next_tick(&self, after: i64) -> Option<i64> {
        let active = self
            .jobs
            .values()
            .filter(|job| job.status == Status::Active);
        active
            .filter_map(|job| self.timings[job.timing].next(after))
            .min()
    }

    /// A wake-up handles the ticks that have come due. None has if the clock was set back.
    pub fn tick(&mut self, now: i64) {
        let jobs: Vec<Uuid> = self.jobs.keys().copied().collect();
        for job_id in jobs {
            // If the clock was set back, the job became active in the future.
            let job = self.job(job_id);
            job.active_since = job.active_since.min(now);
            self.handle(job_id, now);
            self.job(job_id).handled_until = now;
        }
    }

    /// A run of upkeep is a wake-up, and retires the jobs that have ended.
    pub fn upkeep(&mut self, now: i64) {
        self.tick(now);
        for job in self.jobs.values_mut() {
            if job.ends_at.is_some_and(|ends_at| ends_at <= now) {
                job.status = Status::Retired;
            }
        }
    }

    pub fn create(&mut self, job_id: Uuid, job: Job) {
        self.join(job.timing, job.active_since);
        self.jobs.insert(job_id, job);
    }

    /// A job that joins a schedule after the clock was set back gets the ticks that come due again.
    fn join(&mut self, timing: usize, now: i64) {
        for job in self.jobs.values_mut().filter(|job| job.timing == timing) {
            job.handled_until = job.handled_until.min(now);
        }
    }

    /// The ticks that came due before an update are the old version's.
    pub fn update(&mut self, job_id: Uuid, new: Job, now: i64) {
        self.handle(job_id, now);
        if new.status == Status::Active {
            self.join(new.timing, now);
        }
        *self.job(job_id) = Job {
            version: new.version + 1,
            active_since: now,
            handled_until: now,
            ..new
        };
    }

    /// A paused or cancelled job loses the ticks that no wake-up has handled.
    pub fn stop(&mut self, job_id: Uuid, status: Status) {
        self.job(job_id).status = status;
    }

    pub fn resume(&mut self, job_id: Uuid, now: i64) {
        self.join(self.jobs[&job_id].timing, now);
        let job = self.job(job_id);
        job.status = Status::Active;
        job.active_since = now;
        job.handled_until = now;
    }

    fn job(&mut self, job_id: Uuid) -> &mut Job {
        self.jobs.get_mut(&job_id).expect("the job exists")
    }

    fn handle(&mut self, job_id: Uuid, now: i64) {
        let job = &self.jobs[&job_id];
        if job.status != Status::Active {
            return;
        }
        let timing = &self.timings[job.timing];
        let due = timing.due(job.handled_until, now);
        let (missed, on_time) =
            due.split_at(due.partition_point(|tick| now - tick * 60 >= ON_TIME));
        let of_job = |ticks: &[i64]| -> Vec<i64> {
            ticks.iter().copied().filter(|it| job.has(*it)).collect()
        };
        let in_window = |tick: i64| tick * 60 >= now - job.window;
        let latest = missed.get(missed.len().saturating_sub(MAX_MISSED)).copied();
        let (missed, on_time) = (of_job(missed), of_job(on_time));
        let first_caught_up = match job.policy {
            "none" => missed.len(),
            "last" => missed
                .len()
                .saturating_sub(missed.last().copied().is_some_and(in_window).into()),
            _ => missed.partition_point(|tick| !in_window(*tick) || Some(*tick) < latest),
        };
        let (dropped, caught_up) = missed.split_at(first_caught_up);
        if let (Some(first), Some(last)) = (dropped.first(), dropped.last()) {
            let row = Dropped {
                last: *last,
                version: job.version,
            };
            let known = self.dropped.entry((job_id, *first)).or_insert(row);
            known.last = known.last.max(*last);
        }
        for tick in caught_up.iter().chain(&on_time) {
            let run = Run {
                version: job.version,
                recorded_at: now,
            };
            self.runs.entry((job_id, *tick)).or_insert(run);
        }
    }
}
