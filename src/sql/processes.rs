//! The background processes of Kronos: finding them, waking them and starting them.
//!
//! Kronos has no shared memory of its own, so that only pg_cron need be preloaded. A process is found by its type in the
//! server's list of background workers.

use super::locks;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::cell::Cell;
use std::ffi::{CStr, CString, c_void};
use std::os::raw::{c_char, c_int};

/// The types of the processes, as pg_stat_activity shows them in backend_type.
pub const DISPATCHER: &CStr = c"kronos sql dispatcher";
pub const WORKER: &CStr = c"kronos sql worker";

thread_local! {
    /// Whether the transaction has written an SQL execution that may start soon.
    static WAKES_AT_COMMIT: Cell<bool> = const { Cell::new(false) };
    /// Whether another session is starting the dispatcher.
    static IS_STARTED_BY_OTHERS: Cell<bool> = const { Cell::new(false) };
}

/// The number of the lock of the session that starts the dispatcher; see [`super::locks`]. The numbers of schedules' slots
/// are smaller, those of crontab sets larger.
const START_LOCK: u32 = (1 << 30) + 1;

/// Wakes the SQL workers when the transaction commits, and starts the dispatcher if it does not run.
pub fn wake_at_commit() {
    WAKES_AT_COMMIT.set(true);
}

/// Installs the callback of commits. Call it once, when PostgreSQL loads the library.
pub fn install_commit_callback() {
    // SAFETY: the callback lives as long as the library.
    unsafe { pg_sys::RegisterXactCallback(Some(on_transaction_event), std::ptr::null_mut()) };
}

#[pg_guard]
unsafe extern "C-unwind" fn on_transaction_event(
    event: pg_sys::XactEvent::Type,
    _arg: *mut c_void,
) {
    match event {
        // Of the sessions that commit at the same time, one starts the dispatcher.
        pg_sys::XactEvent::XACT_EVENT_PRE_COMMIT if WAKES_AT_COMMIT.get() && !has_dispatcher() => {
            let is_ours = locks::try_lock_named_thing(START_LOCK).unwrap_or(true);
            IS_STARTED_BY_OTHERS.set(!is_ours);
        }
        pg_sys::XactEvent::XACT_EVENT_COMMIT => {
            let is_started_by_others = IS_STARTED_BY_OTHERS.take();
            if WAKES_AT_COMMIT.take() {
                wake(is_started_by_others);
            }
        }
        pg_sys::XactEvent::XACT_EVENT_ABORT | pg_sys::XactEvent::XACT_EVENT_PREPARE => {
            WAKES_AT_COMMIT.set(false);
            IS_STARTED_BY_OTHERS.set(false);
        }
        _ => {}
    }
}

/// Wakes the processes of this database, and starts the dispatcher if there is none. It runs right after a commit, so it
/// must not fail.
fn wake(is_started_by_others: bool) {
    let has_dispatcher = has_dispatcher();
    for_each_process(|_, process| {
        // SAFETY: a latch lives as long as the server; setting that of a process that has just ended wakes its
        // successor once in vain.
        unsafe { pg_sys::SetLatch(&raw mut (*process).procLatch) };
    });
    if !has_dispatcher && !is_started_by_others {
        // SAFETY: the functions only read.
        let (database, is_standby) =
            unsafe { (pg_sys::MyDatabaseId, pg_sys::RecoveryInProgress()) };
        if !is_standby {
            start(Start {
                kind: DISPATCHER,
                function: c"kronos_sql_dispatcher",
                name: DISPATCHER,
                argument: database,
                extra: c"",
                notified: 0,
                restart_seconds: 1,
            });
        }
    }
}

fn has_dispatcher() -> bool {
    let mut found = false;
    for_each_process(|kind, _| found |= kind == DISPATCHER);
    found
}

/// A role that does not exist, by which a process shows that it ends.
const LEAVING: u32 = u32::MAX;

/// Shows other sessions that this process ends, so that they start another one. Until it has ended, it can
/// [`stay`].
pub fn leave() {
    // SAFETY: the process writes its own entry; PostgreSQL reads the role only to count sessions and to check who may
    // signal it.
    unsafe { (*pg_sys::MyProc).roleId = LEAVING.into() };
}

/// Takes back [`leave`].
pub fn stay() {
    // SAFETY: as above. The process has no role of its own.
    unsafe { (*pg_sys::MyProc).roleId = pg_sys::InvalidOid };
}

/// Wakes the idle workers of this database.
pub fn wake_workers() {
    for_each_process(|kind, process| {
        if kind == WORKER {
            // SAFETY: as in wake().
            unsafe { pg_sys::SetLatch(&raw mut (*process).procLatch) };
        }
    });
}

/// Calls `visit` for each of Kronos's processes in this database that does not end, with its type. A process that has just
/// been started has no database yet.
fn for_each_process(mut visit: impl FnMut(&CStr, *mut pg_sys::PGPROC)) {
    // SAFETY: the array of processes is allocated for the life of the server. Its fields are read without a lock, like
    // those of a snapshot: a process may end meanwhile.
    unsafe {
        let processes = pg_sys::ProcGlobal;
        for place in 0..(*processes).allProcCount as usize {
            let process = (*processes).allProcs.add(place);
            let pid = (*process).pid;
            let database = (*process).databaseId;
            let is_here = database == pg_sys::MyDatabaseId || database == pg_sys::InvalidOid;
            if pid != 0 && is_here && (*process).roleId != LEAVING.into() {
                let kind = pg_sys::GetBackgroundWorkerTypeByPid(pid);
                if !kind.is_null() {
                    let kind = CStr::from_ptr(kind);
                    if kind == DISPATCHER || kind == WORKER {
                        visit(kind, process);
                    }
                }
            }
        }
    }
}

/// Whether a process is the dispatcher of this database.
pub fn is_dispatcher(pid: i32) -> bool {
    let mut found = false;
    for_each_process(|kind, process| {
        // SAFETY: as in for_each_process.
        found |= kind == DISPATCHER && unsafe { (*process).pid } == pid;
    });
    found
}

/// A background process to start.
pub struct Start<'a> {
    pub kind: &'a CStr,
    /// The exported function of this library that the process runs.
    pub function: &'a CStr,
    pub name: &'a CStr,
    pub argument: pg_sys::Oid,
    /// At most 127 bytes.
    pub extra: &'a CStr,
    /// The process that learns of its start and end; 0 for none.
    pub notified: i32,
    /// How long after a crash it starts again; -1 for never. It does not start again after it has ended with code 0.
    pub restart_seconds: i32,
}

/// A process that this one has started.
pub struct Handle(*mut pg_sys::BackgroundWorkerHandle);

/// What a started process does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum State {
    Starting,
    Running(i32),
    Stopped,
}

/// Starts a background process; None if the server has no slot for it (max_worker_processes).
pub fn start(start: Start) -> Option<Handle> {
    // SAFETY: the structure is zeroed, and its strings are NUL-terminated within their lengths.
    unsafe {
        let mut worker: pg_sys::BackgroundWorker = std::mem::zeroed();
        copy(&mut worker.bgw_name, start.name);
        copy(&mut worker.bgw_type, start.kind);
        copy(&mut worker.bgw_library_name, c"kronos");
        copy(&mut worker.bgw_function_name, start.function);
        copy(&mut worker.bgw_extra, start.extra);
        worker.bgw_flags =
            (pg_sys::BGWORKER_SHMEM_ACCESS | pg_sys::BGWORKER_BACKEND_DATABASE_CONNECTION) as c_int;
        worker.bgw_start_time = pg_sys::BgWorkerStartTime::BgWorkerStart_RecoveryFinished;
        worker.bgw_restart_time = start.restart_seconds;
        worker.bgw_main_arg = start.argument.into();
        worker.bgw_notify_pid = start.notified;
        let mut handle = std::ptr::null_mut();
        pg_sys::RegisterDynamicBackgroundWorker(&mut worker, &mut handle).then_some(Handle(handle))
    }
}

fn copy(field: &mut [c_char], text: &CStr) {
    let bytes = text.to_bytes();
    let length = bytes.len().min(field.len() - 1);
    for (to, from) in field.iter_mut().zip(&bytes[..length]) {
        *to = *from as c_char;
    }
}

impl Handle {
    /// What the process does.
    pub fn state(&self) -> State {
        let mut pid = 0;
        // SAFETY: the handle comes from RegisterDynamicBackgroundWorker.
        let status = unsafe { pg_sys::GetBackgroundWorkerPid(self.0, &mut pid) };
        match status {
            pg_sys::BgwHandleStatus::BGWH_STARTED => State::Running(pid),
            pg_sys::BgwHandleStatus::BGWH_NOT_YET_STARTED => State::Starting,
            _ => State::Stopped,
        }
    }

    /// Ends the process. It is not started if it has not been yet.
    pub fn terminate(&self) {
        // SAFETY: as above.
        unsafe { pg_sys::TerminateBackgroundWorker(self.0) };
    }
}

/// Connects a background process to a database, as a role; None for the bootstrap superuser. On PostgreSQL 17 and later
/// the role needs no LOGIN.
pub fn connect(database: pg_sys::Oid, role: Option<pg_sys::Oid>) {
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    const FLAGS: u32 = 0;
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    const FLAGS: u32 = pg_sys::BGWORKER_BYPASS_ROLELOGINCHECK;
    // SAFETY: called once, at the start of a background process.
    unsafe {
        pg_sys::BackgroundWorkerUnblockSignals();
        let role = role.unwrap_or(pg_sys::InvalidOid);
        pg_sys::BackgroundWorkerInitializeConnectionByOid(database, role, FLAGS);
    }
}

/// A handler of a signal.
pub type Handler = unsafe extern "C-unwind" fn(c_int);

unsafe extern "C-unwind" {
    // tcop/tcopprot.h and postmaster/interrupt.h. pgrx's bindings are wrappers, which no signal handler can be.
    fn die(signal: c_int);
    fn SignalHandlerForConfigReload(signal: c_int);
}

/// Lets SIGTERM end a running statement and the process, as in a backend.
pub fn end_at_sigterm() {
    on_signal(pg_sys::SIGTERM, die);
}

/// Lets SIGHUP reload the configuration; see [`wait`].
pub fn reload_at_sighup() {
    on_signal(pg_sys::SIGHUP, SignalHandlerForConfigReload);
}

/// Sends a signal to a process that this one has started and that runs.
pub fn signal(pid: i32, signal: u32) {
    // SAFETY: the postmaster has not reaped the process, so the pid is still its own.
    unsafe { kill(pid, signal as c_int) };
}

unsafe extern "C" {
    fn kill(pid: i32, signal: c_int) -> c_int;
}

/// Sets the handler of a signal.
pub fn on_signal(signal: u32, handler: Handler) {
    // SAFETY: the handler is a function of PostgreSQL, or one that only writes a flag and sets the process's latch.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(signal as c_int, Some(handler));
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(signal as c_int, Some(handler));
    }
}

/// Waits for the process's latch, for `milliseconds` at most, and reloads the configuration if it has changed. Ends the
/// process if the postmaster has died.
pub fn wait(milliseconds: i64) {
    // SAFETY: called by a background process, outside a transaction.
    unsafe {
        let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
        pg_sys::WaitLatch(
            pg_sys::MyLatch,
            events as c_int,
            milliseconds,
            pg_sys::PG_WAIT_EXTENSION,
        );
        pg_sys::ResetLatch(pg_sys::MyLatch);
        pgrx::check_for_interrupts!();
        if std::ptr::read_volatile(&raw const pg_sys::ConfigReloadPending) != 0 {
            std::ptr::write_volatile(&raw mut pg_sys::ConfigReloadPending, 0);
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
}

/// Ends the process for good.
pub fn exit() -> ! {
    // SAFETY: ends the process in PostgreSQL's way.
    unsafe { pg_sys::proc_exit(0) }
}

/// The id of the process in the server's log (%c of log_line_prefix): its start and its pid.
pub fn session_id() -> String {
    // SAFETY: both are set at the start of the process.
    let (started, pid) = unsafe { (pg_sys::MyStartTime, pg_sys::MyProcPid) };
    format!("{started:x}.{pid:x}")
}

/// The text of the process's bgw_extra.
pub fn extra() -> String {
    // SAFETY: called by a background process; the field is NUL-terminated.
    unsafe {
        let extra = &raw const (*pg_sys::MyBgworkerEntry).bgw_extra;
        CStr::from_ptr(extra.cast()).to_string_lossy().into_owned()
    }
}

/// A string of ASCII for PostgreSQL.
pub fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap_or_default()
}
