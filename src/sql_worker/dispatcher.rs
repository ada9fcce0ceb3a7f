//! The dispatcher: one background process for each database that has SQL executions to run. It starts and ends workers.

use super::bookkeeping;
use super::look::{self, Due, Look};
use super::worker::Orders;
use crate::execution::SERVER_WORKERS;
use crate::settings;
use crate::sql::processes::{self, Handle, Start, State, c_string};
use crate::sql::{self, Failure};
use chrono::{DateTime, Duration, Utc};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::collections::HashMap;
use std::os::raw::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

/// How long the dispatcher stays when nothing is due.
const IDLE: Duration = Duration::minutes(1);

/// How long a worker may keep its place while executions of a role without a worker wait.
const TURN: Duration = Duration::seconds(1);

/// How often the dispatcher looks while executions are due or were asked to stop, and otherwise.
const SOON: Duration = Duration::milliseconds(100);
const OFTEN: Duration = Duration::seconds(10);

/// How long the dispatcher starts no worker of a role, after one has ended before it claimed anything: the role's or the
/// database's connection limit may be reached.
const PAUSE: Duration = Duration::seconds(5);

static IS_TERMINATED: AtomicBool = AtomicBool::new(false);

/// The dispatcher ends with code 0, so that the server does not start it again.
unsafe extern "C-unwind" fn terminate(_signal: c_int) {
    IS_TERMINATED.store(true, Ordering::Relaxed);
    // SAFETY: async-signal-safe, as in PostgreSQL's own handlers.
    unsafe { pg_sys::SetLatch(pg_sys::MyLatch) };
}

/// Nobody cancels the dispatcher: an error between its transactions would end it.
unsafe extern "C-unwind" fn ignore(_signal: c_int) {}

/// The main function of the dispatcher. The argument is the database.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn kronos_sql_dispatcher(database: pg_sys::Datum) {
    processes::on_signal(pg_sys::SIGTERM, terminate);
    processes::on_signal(pg_sys::SIGINT, ignore);
    processes::reload_at_sighup();
    let database = pg_sys::Oid::from(database.value() as u32);
    processes::connect(database, None);
    let is_only = sql::in_transaction(|| Ok(look::is_installed()? && look::become_dispatcher()?));
    match is_only {
        Ok(true) => Dispatcher::new(database).run(),
        Ok(false) => {}
        Err(failure) => warn("begin", &failure),
    }
    processes::exit()
}

/// A worker that the dispatcher has started.
struct Worker {
    worker_id: String,
    role: pg_sys::Oid,
    handle: Handle,
    started_at: DateTime<Utc>,
    /// Whether the worker has been seen with an execution.
    has_worked: bool,
    /// When it was told to end after its current execution.
    told_at: Option<DateTime<Utc>>,
}

struct Dispatcher {
    database: pg_sys::Oid,
    workers: Vec<Worker>,
    /// How many workers have been started.
    started: u64,
    /// Until when no worker of a role is started.
    paused: HashMap<pg_sys::Oid, DateTime<Utc>>,
}

impl Dispatcher {
    fn new(database: pg_sys::Oid) -> Dispatcher {
        Dispatcher {
            database,
            workers: vec![],
            started: 0,
            paused: HashMap::new(),
        }
    }

    /// Looks and waits until nothing has been due for a while.
    fn run(mut self) {
        let mut active_at = Utc::now();
        while !IS_TERMINATED.load(Ordering::Relaxed) {
            self.reap();
            let wait = match self.look() {
                Ok(look) => {
                    // PL/pgSQL can catch a cancel, but not the end of its process.
                    for worker in look.overdue.iter().filter_map(|id| self.find(id)) {
                        worker.handle.terminate();
                    }
                    let is_stopping = self.stop_requested();
                    self.staff(&look);
                    let now = Utc::now();
                    if !look.due.is_empty() || look.next_at.is_some() || !self.workers.is_empty() {
                        active_at = now;
                    }
                    let is_urgent = is_stopping || !look.due.is_empty();
                    let at_most = if is_urgent { SOON } else { OFTEN };
                    // The time may have come since the look.
                    look.next_at
                        .map_or(at_most, |at| (at - now).clamp(Duration::zero(), at_most))
                }
                Err(failure) => {
                    warn("look", &failure);
                    if !matches!(sql::in_transaction(look::is_installed), Ok(true)) {
                        break;
                    }
                    Duration::seconds(1)
                }
            };
            if Utc::now() - active_at > IDLE && self.may_end() {
                break;
            }
            processes::wait(wait.num_milliseconds() + 1);
        }
        processes::leave();
        for worker in &self.workers {
            worker.handle.terminate();
        }
        if let Err(failure) = sql::in_transaction(look::resign) {
            warn("end", &failure);
        }
    }

    /// Resigns, and looks once more: a commit may have woken this process in place of starting another. Returns false if it
    /// is the dispatcher again.
    fn may_end(&mut self) -> bool {
        processes::leave();
        let is_idle = sql::in_transaction(look::resign).is_ok()
            && !self
                .look()
                .is_ok_and(|look| !look.due.is_empty() || look.next_at.is_some());
        if is_idle || !matches!(sql::in_transaction(look::become_dispatcher), Ok(true)) {
            return true;
        }
        processes::stay();
        false
    }

    /// Forgets the workers that have ended.
    fn reap(&mut self) {
        let now = Utc::now();
        let paused = &mut self.paused;
        self.workers.retain(|worker| {
            let has_ended = worker.handle.state() == State::Stopped;
            let is_short = now - worker.started_at < PAUSE;
            if has_ended && is_short && !worker.has_worked && worker.told_at.is_none() {
                paused.insert(worker.role, now + PAUSE);
            }
            !has_ended
        });
        self.paused.retain(|_, until| *until > now);
    }

    fn look(&mut self) -> Result<Look, Failure> {
        let ids: Vec<&str> = self
            .workers
            .iter()
            .map(|worker| worker.worker_id.as_str())
            .collect();
        let look = sql::in_transaction(|| look::look(&ids, most_workers()))?;
        for worker in &mut self.workers {
            worker.has_worked |= look.busy.contains(&worker.worker_id);
        }
        Ok(look)
    }

    fn find(&self, worker_id: &str) -> Option<&Worker> {
        self.workers.iter().find(|one| one.worker_id == worker_id)
    }

    /// Cancels the statements of executions that were asked to stop, ends the workers of those that do not react, and
    /// returns whether there are any.
    fn stop_requested(&self) -> bool {
        let stop = |worker_id: &str, is_overdue: bool| match self.find(worker_id) {
            Some(worker) if is_overdue => worker.handle.terminate(),
            Some(worker) => worker.signal(pg_sys::SIGINT),
            None => {}
        };
        sql::in_transaction(|| look::stop_requested(stop)).unwrap_or_else(|failure| {
            warn("stop a statement", &failure);
            false
        })
    }

    /// Wakes, starts and ends workers as the due executions need them.
    fn staff(&mut self, look: &Look) {
        let mut wanted: HashMap<pg_sys::Oid, usize> = HashMap::new();
        for due in &look.due {
            match &due.problem {
                Some(problem) => fail(due, problem),
                None => *wanted.entry(due.role).or_default() += 1,
            }
        }
        if !wanted.is_empty() {
            // One may be idle since before its next execution was due.
            processes::wake_workers();
        }
        for due in look.due.iter().filter(|due| due.problem.is_none()) {
            let role = due.role;
            let free = self.count(role, |worker| !look.busy.contains(&worker.worker_id));
            if free >= wanted[&role] || self.paused.contains_key(&role) {
                continue;
            }
            if self.workers.len() < most_workers() {
                self.start(role);
                continue;
            }
            // One that was told before and does not end runs a long statement.
            let told_at = self
                .workers
                .iter()
                .filter_map(|worker| worker.told_at)
                .max();
            if told_at.is_none_or(|told_at| Utc::now() - told_at > TURN) {
                self.make_room(role, look, &wanted);
            }
        }
    }

    fn count(&self, role: pg_sys::Oid, is_counted: impl Fn(&Worker) -> bool) -> usize {
        let of_role = |worker: &&Worker| worker.role == role && worker.told_at.is_none();
        self.workers
            .iter()
            .filter(of_role)
            .filter(|worker| is_counted(worker))
            .count()
    }

    /// Ends an idle worker that nothing due needs; or, if a role has no worker at all, the one that has had its place for
    /// longest, after its current execution.
    fn make_room(&mut self, role: pg_sys::Oid, look: &Look, wanted: &HashMap<pg_sys::Oid, usize>) {
        let is_idle = |worker: &Worker| !look.busy.contains(&worker.worker_id);
        let is_unneeded = |worker: &Worker| is_idle(worker) && !wanted.contains_key(&worker.role);
        let oldest = |is_candidate: &dyn Fn(&Worker) -> bool| {
            let candidates = self.workers.iter().enumerate();
            candidates
                .filter(|(_, worker)| worker.told_at.is_none() && is_candidate(worker))
                .min_by_key(|(_, worker)| worker.started_at)
                .map(|(place, _)| place)
        };
        let has_worker = self.count(role, |_| true) > 0;
        let had_its_turn = |worker: &Worker| Utc::now() - worker.started_at > TURN;
        let place =
            oldest(&is_unneeded).or_else(|| (!has_worker).then(|| oldest(&had_its_turn)).flatten());
        if let Some(place) = place {
            let worker = &mut self.workers[place];
            worker.told_at = Some(Utc::now());
            worker.signal(pg_sys::SIGUSR2);
        }
    }

    /// Starts a worker for a role, if the server has a slot for it.
    fn start(&mut self, role: pg_sys::Oid) {
        self.started += 1;
        // SAFETY: set at the start of the process.
        let dispatcher = unsafe { pg_sys::MyProcPid };
        let worker_id = format!(
            "{SERVER_WORKERS}{}.{}",
            processes::session_id(),
            self.started
        );
        let orders = Orders {
            role,
            dispatcher,
            worker_id: worker_id.clone(),
        };
        let handle = processes::start(Start {
            kind: processes::WORKER,
            function: c"kronos_sql_worker",
            name: processes::WORKER,
            argument: self.database,
            extra: &c_string(&orders.write()),
            notified: dispatcher,
            restart_seconds: -1,
        });
        self.workers.extend(handle.map(|handle| Worker {
            worker_id,
            role,
            handle,
            started_at: Utc::now(),
            has_worked: false,
            told_at: None,
        }));
    }
}

impl Worker {
    fn signal(&self, signal: u32) {
        if let State::Running(pid) = self.handle.state() {
            processes::signal(pid, signal);
        }
    }
}

/// Fails due executions whose role cannot run them. Their retry policy decides whether they are tried again.
fn fail(due: &Due, problem: &str) {
    let failed = sql::in_transaction(|| {
        bookkeeping::refuse(&format!("{SERVER_WORKERS}dispatcher"), due.role, problem)
    });
    if let Err(failure) = failed {
        warn("fail an execution", &failure);
    }
}

/// Writes to the server's log what the dispatcher could not do. It tries again at its next look.
fn warn(what: &str, failure: &Failure) {
    let problem = failure.report.message();
    log!("kronos: the dispatcher of SQL executions could not {what}: {problem}");
}

/// How many workers may run at once: the setting, but never so many that pg_cron finds no slot for its own.
fn most_workers() -> usize {
    settings::max_sql_workers()
        .min(crate::pg_cron::free_workers() - 1)
        .max(1) as usize
}
