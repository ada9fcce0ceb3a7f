//! A worker: a background process that is connected as one role, and runs the statements of that role's endpoints.

use super::bookkeeping::{self, Claimed, Mode};
use super::messages;
use super::statement::{self, Run};
use crate::error::{self, KronosError, Result};
use crate::sql::processes::{self, c_string};
use crate::sql::{self, Failure, Jsonb, SettingScope};
use crate::status::Outcome;
use chrono::{Duration, Utc};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::os::raw::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

/// How long a worker waits for another execution of its role before it ends.
const IDLE: Duration = Duration::seconds(10);

/// Whether the dispatcher needs the worker's place. The worker ends after its current execution.
static IS_TO_END: AtomicBool = AtomicBool::new(false);

unsafe extern "C-unwind" fn end_soon(_signal: c_int) {
    IS_TO_END.store(true, Ordering::Relaxed);
    // SAFETY: async-signal-safe, as in PostgreSQL's own handlers.
    unsafe { pg_sys::SetLatch(pg_sys::MyLatch) };
}

/// What the dispatcher tells a worker, in bgw_extra.
pub struct Orders {
    pub role: pg_sys::Oid,
    pub dispatcher: i32,
    pub worker_id: String,
}

impl Orders {
    pub fn write(&self) -> String {
        let role = self.role.to_u32();
        format!("{role} {} {}", self.dispatcher, self.worker_id)
    }

    fn read(text: &str) -> Option<Orders> {
        let mut words = text.splitn(3, ' ');
        Some(Orders {
            role: pg_sys::Oid::from(words.next()?.parse::<u32>().ok()?),
            dispatcher: words.next()?.parse().ok()?,
            worker_id: words.next()?.to_owned(),
        })
    }
}

/// The main function of a worker. The argument is the database.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn kronos_sql_worker(database: pg_sys::Datum) {
    let Some(orders) = Orders::read(&processes::extra()) else {
        processes::exit()
    };
    processes::end_at_sigterm();
    processes::reload_at_sighup();
    processes::on_signal(pg_sys::SIGUSR2, end_soon);
    let database = pg_sys::Oid::from(database.value() as u32);
    processes::connect(database, Some(orders.role));
    let mut idle_since = Utc::now();
    while !IS_TO_END.load(Ordering::Relaxed) && processes::is_dispatcher(orders.dispatcher) {
        match sql::in_transaction(|| claim(&orders)) {
            Ok(Some(claimed)) => {
                run(&orders.worker_id, claimed);
                idle_since = Utc::now();
            }
            Ok(None) => {
                let left = IDLE - (Utc::now() - idle_since);
                if left <= Duration::zero() {
                    break;
                }
                processes::wait(left.num_milliseconds().max(1));
            }
            Err(failure) => {
                log!(
                    "kronos: an SQL worker could not claim: {}",
                    failure.report.message()
                );
                break;
            }
        }
    }
    processes::exit()
}

/// A claim that a crash loses is harmless: the statement that it precedes is lost as well. A statement of mode autocommit
/// may do what no crash undoes, so it waits until its claim is on disk.
fn claim(orders: &Orders) -> Result<Option<Claimed>> {
    sql::set("synchronous_commit", "off", SettingScope::Transaction);
    bookkeeping::claim(&orders.worker_id, orders.role)
}

/// Runs a claimed execution, records how it ended, and cleans the session.
fn run(worker_id: &str, claimed: Claimed) {
    report_activity(&claimed);
    let result = match claimed.spec.mode {
        Mode::Transaction => run_in_transaction(worker_id, &claimed),
        Mode::Autocommit => run_at_top_level(worker_id, &claimed),
    };
    sql::stop_statement_timer();
    if let Err(failure) = result {
        record_failure(worker_id, &claimed, &failure);
    }
    clean_session();
}

/// The statement and the completion of its execution commit together.
fn run_in_transaction(worker_id: &str, claimed: &Claimed) -> std::result::Result<(), Failure> {
    sql::in_transaction(|| {
        let text = c_string(&claimed.spec.statement);
        set_settings(claimed, SettingScope::Transaction);
        let how = Run::InTransaction(Jsonb::from_text("input", &claimed.input)?);
        let done = messages::keep_messages(|| statement::run(&text, how, || start_timer(claimed)))?;
        bookkeeping::complete(worker_id, claimed.key, done, messages::take())
    })
}

/// The statements commit by themselves. The completion of the execution is a transaction of its own, so a crash between
/// them runs the statements again.
fn run_at_top_level(worker_id: &str, claimed: &Claimed) -> std::result::Result<(), Failure> {
    let done = sql::or_roll_back(|| {
        // SAFETY: flushes the log up to the claim.
        unsafe { pg_sys::XLogFlush(pg_sys::XactLastCommitEnd) };
        let text = c_string(&claimed.spec.statement);
        sql::in_short_transaction(|| set_settings(claimed, SettingScope::Session));
        let done = messages::keep_messages(|| {
            statement::run(&text, Run::AtTopLevel, || start_timer(claimed))
        })?;
        // SAFETY: the function only reads.
        if unsafe { pg_sys::IsTransactionBlock() } {
            return Err(left_open());
        }
        Ok(done)
    })?;
    sql::stop_statement_timer();
    insist(|| bookkeeping::complete(worker_id, claimed.key, done.clone(), messages::take()))
}

fn left_open() -> KronosError {
    KronosError::new(
        &error::INVALID_ARGUMENT,
        "the statement began a transaction and did not end it; it was rolled back",
        serde_json::json!({}),
    )
}

fn set_settings(claimed: &Claimed, scope: SettingScope) {
    for (name, value) in &claimed.spec.settings {
        sql::set(name, value, scope);
    }
}

/// Runs a transaction of the bookkeeping, once more if a late request to stop interrupted it.
fn insist(work: impl Fn() -> Result<()>) -> std::result::Result<(), Failure> {
    // SAFETY: a request to cancel that arrives between statements has no effect, as in PostgreSQL's own loop.
    unsafe { std::ptr::write_volatile(&raw mut pg_sys::QueryCancelPending, 0) };
    match sql::in_transaction(&work) {
        Err(failure) if failure.is_interruption() => sql::in_transaction(&work),
        result => result,
    }
}

/// Records that an attempt failed. If that fails too, the attempt ends when the dispatcher sees the worker end.
fn record_failure(worker_id: &str, claimed: &Claimed, failure: &Failure) {
    let is_late = claimed
        .deadline_at
        .is_some_and(|deadline| sql::from_pg(deadline) <= Utc::now());
    let outcome = if failure.is_interruption() && is_late {
        Outcome::TimedOut
    } else {
        Outcome::Failed
    };
    let messages = std::cell::Cell::new(messages::take());
    let error = describe(failure);
    let recorded =
        insist(|| bookkeeping::fail(worker_id, claimed.key, outcome, &error, messages.take()));
    if let Err(problem) = recorded {
        log!(
            "kronos: an SQL worker could not record a failed attempt: {}",
            problem.report.message()
        );
        processes::exit()
    }
}

/// The error as psql shows it.
fn describe(failure: &Failure) -> String {
    let Some(origin) = messages::origin_of(failure.report.message()) else {
        return failure.describe(&failure.sqlstate());
    };
    let mut error = failure.describe(&origin.sqlstate);
    if let Some(context) = origin.context {
        error += &format!("\nCONTEXT: {context}");
    }
    error
}

/// Ends what a statement may have left in the session, as DISCARD ALL does, but for the plans of Kronos. A session that
/// cannot be cleaned ends.
fn clean_session() {
    const CLEAN: &std::ffi::CStr = c"
        set session authorization default; reset all; deallocate all; close all; select pg_catalog.pg_advisory_unlock_all();
        discard temp; discard sequences";
    let cleaned = sql::or_roll_back(|| statement::run(CLEAN, Run::AtTopLevel, || ()));
    // SAFETY: reports what the worker does, and the statistics of its tables.
    unsafe {
        pg_sys::pgstat_report_stat(true);
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null());
    }
    if cleaned.is_err() {
        processes::exit()
    }
}

/// Shows the job and its statement in pg_stat_activity.
fn report_activity(claimed: &Claimed) {
    let (name, text) = (
        format!("kronos: {}", claimed.name),
        c_string(&claimed.spec.statement),
    );
    // Without the name, the statement runs all the same.
    let _ = sql::or_roll_back(|| {
        sql::in_short_transaction(|| sql::set("application_name", &name, SettingScope::Session));
        Ok(())
    });
    // SAFETY: PostgreSQL copies the text.
    unsafe {
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, text.as_ptr());
    }
}

/// Starts the timer that cancels the statement: at the deadline of the attempt, or when statement_timeout is over if that
/// is earlier. As in a session of a client, the latter counts for each statement.
fn start_timer(claimed: &Claimed) {
    // Rounded up, so that the deadline is past when the timer fires.
    let left = |deadline| 1 + (sql::from_pg(deadline) - Utc::now()).num_milliseconds();
    // SAFETY: the setting is only read.
    let of_statement = Some(i64::from(unsafe { pg_sys::StatementTimeout }));
    let first = claimed
        .deadline_at
        .map(left)
        .into_iter()
        .chain(of_statement.filter(|timeout| *timeout > 0))
        .min();
    match first {
        Some(milliseconds) => sql::start_statement_timer(milliseconds),
        None => sql::stop_statement_timer(),
    }
}
