//! Work in batches that commit. A procedure can commit; a function cannot.

use super::batch::run_batch;
use super::call::Call;
use super::owed;
use crate::authority::{Capability, authorise_instance};
use crate::error::Result;
use crate::{settings, sql};
use pgrx::{PgMemoryContexts, pg_sys};
use std::os::raw::c_int;
use std::time::Duration;

/// A running procedure.
pub struct Procedure {
    /// Whether the call is inside a transaction block, and so cannot commit.
    is_atomic: bool,
}

impl Procedure {
    /// Reads the procedure from a call.
    ///
    /// # Safety
    /// `fcinfo` is that of a C function that CALL has invoked.
    pub unsafe fn of_call(fcinfo: pg_sys::FunctionCallInfo) -> Procedure {
        // SAFETY: CALL hands over a CallContext; a function called in another way has none.
        let is_atomic = unsafe {
            let context = (*fcinfo).context;
            let is_call = !context.is_null() && (*context).type_ == pg_sys::NodeTag::T_CallContext;
            !is_call || (*context.cast::<pg_sys::CallContext>()).atomic
        };
        Procedure { is_atomic }
    }

    /// Whether the call is inside a transaction block, and so cannot commit.
    pub fn is_atomic(&self) -> bool {
        self.is_atomic
    }

    /// Runs `work`, which may call [`Procedure::batch`] and [`Procedure::pause`]. Fails on a standby with SQLSTATE
    /// 25006, like any write.
    pub fn run(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        sql::refuse_on_standby(c"CALL");
        if self.is_atomic {
            return work();
        }
        // SAFETY: the connection of a procedure that commits; it ends below, or with the transaction after an error.
        unsafe { pg_sys::SPI_connect_ext(pg_sys::SPI_OPT_NONATOMIC as c_int) };
        // It is running already: a role's statement_timeout must not stop the ticks of all workspaces.
        sql::stop_statement_timer();
        // CALL has taken a snapshot already. The next transaction begins without one.
        commit();
        work()?;
        // SAFETY: as above.
        unsafe { pg_sys::SPI_finish() };
        Ok(())
    }

    /// Runs `work` as the owner in its own transaction, and frees the memory that it allocated.
    ///
    /// Each batch authorises the caller anew and becomes the owner, and the session has its own role again before the
    /// commit: an error in a later transaction must not leave the session as the owner.
    pub fn batch<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.is_atomic {
            return run_as_owner(work);
        }
        sql::set_transaction();
        let mut memory = PgMemoryContexts::new("kronos batch");
        // SAFETY: nothing that the batch allocates is used after it.
        let result = unsafe {
            memory.switch_to(|_| {
                run_as_owner(|| {
                    sql::set_timeouts("0")?;
                    work()
                })
            })
        };
        let value = result?;
        commit();
        Ok(value)
    }

    /// Sleeps between batches and returns true. Inside a transaction block there is no next batch: returns false at
    /// once.
    pub fn pause(&self, pause: Duration) -> bool {
        if !self.is_atomic {
            std::thread::sleep(pause);
            sql::check_for_interrupts();
        }
        !self.is_atomic
    }
}

/// A procedure has no SET clause, because the first commit would drop its effect. So it sets the search_path itself.
fn run_as_owner<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    sql::with_safe_search_path(|| authorise_instance(Capability::Admin, work))
}

fn commit() {
    // SAFETY: the procedure is connected to SPI as nonatomic, and no subtransaction is open.
    unsafe { pg_sys::SPI_commit() };
}

/// How many times one call retries the ticks of jobs that other sessions have locked, and how long it sleeps in
/// between. Most locks are released within milliseconds; ticks of jobs locked for longer are left to the next wake-up.
const RETRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

const HAS_LOCKED: &str = "select from kronos_internal.owed where error is null limit 1";

/// Writes every due tick, batch by batch, and retries owed ticks. Does nothing if kronos.enabled is off.
pub fn tick(procedure: &Procedure) -> Result<()> {
    if settings::enabled() {
        tick_in_batches(procedure, &mut |work| procedure.batch(work))?;
    }
    Ok(())
}

/// Runs a part of the work in a transaction of its own, and returns whether more may follow.
type RunBatch<'a> = dyn FnMut(&mut dyn FnMut() -> Result<bool>) -> Result<bool> + 'a;

/// Like [`tick`], with `run` for each batch, and returns how many executions were written.
pub fn tick_in_batches(procedure: &Procedure, run: &mut RunBatch) -> Result<i64> {
    let mut call = Call::begin();
    while run(&mut || run_batch(&mut call))? && !procedure.is_atomic {}
    for _ in 0..RETRIES {
        let now = sql::now();
        while run(&mut || owed::retry(&mut call, now))? && !procedure.is_atomic {}
        let has_locked = run(&mut || sql::exists(HAS_LOCKED, &[]))?;
        if !has_locked || !procedure.pause(PAUSE) {
            break;
        }
    }
    Ok(call.outcome.written.executions)
}
