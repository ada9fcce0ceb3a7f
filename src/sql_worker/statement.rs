//! Runs the statement of an execution, as PostgreSQL's own loop (exec_simple_query in postgres.c) runs that of a client.

use super::results::Receiver;
use crate::error::{KronosError, Result};
use crate::sql::{self, Jsonb};
use pgrx::{IntoDatum, PgMemoryContexts, pg_sys};
use serde::Serialize;
use serde_json::value::RawValue;
use std::ffi::CStr;
use std::os::raw::c_int;

/// What one statement did.
#[derive(Serialize, Clone)]
pub struct Done {
    /// The command tag: SELECT, INSERT, VACUUM.
    command: String,
    /// How many rows it returned or changed.
    rows: u64,
    /// The first rows that it returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_rows: Option<Vec<Box<RawValue>>>,
}

impl Done {
    /// The bytes of the kept rows.
    fn bytes(&self) -> usize {
        let rows = self.first_rows.iter().flatten();
        rows.map(|row| row.get().len()).sum()
    }

    /// Forgets the kept rows.
    pub fn without_rows(mut self) -> Done {
        self.first_rows = None;
        self
    }
}

/// The most bytes of rows, as JSON, that are kept of all statements of a text.
const MOST_BYTES: usize = 65_536;

/// The most statements of a text whose results are kept.
const MOST_RESULTS: usize = 100;

/// How a text is run.
#[derive(Clone, Copy)]
pub enum Run {
    /// All in the caller's transaction, with the value of $1.
    InTransaction(Jsonb),
    /// Each statement as one of its own, like a client in autocommit mode.
    AtTopLevel,
}

/// Runs the statements of a text, and returns what each did. Calls `before_each` before each statement.
///
/// # Errors
/// Fails for statements that cannot run here; an error of a statement is raised.
pub fn run(text: &CStr, how: Run, before_each: impl Fn()) -> Result<Vec<Done>> {
    let mut context = PgMemoryContexts::new("kronos statements");
    let mut parsed = std::ptr::null_mut();
    // SAFETY: the parser's list lives in the context, which outlives the transactions of the statements.
    let mut parse =
        || parsed = unsafe { context.switch_to(|_| pg_sys::pg_parse_query(text.as_ptr())) };
    match how {
        Run::InTransaction(_) => parse(),
        Run::AtTopLevel => sql::in_short_transaction(parse),
    }
    let count = if parsed.is_null() {
        0
    } else {
        // SAFETY: the list is not null.
        unsafe { (*parsed).length as usize }
    };
    let mut done = vec![];
    for place in 0..count {
        // SAFETY: the list has `count` raw statements.
        let raw: *mut pg_sys::RawStmt =
            unsafe { (*(*parsed).elements.add(place)).ptr_value.cast() };
        before_each();
        let budget = MOST_BYTES.saturating_sub(done.iter().map(Done::bytes).sum());
        let one = match how {
            Run::InTransaction(input) => {
                refuse_transaction_control(raw)?;
                // SAFETY: the caller has begun a transaction.
                unsafe { run_one(raw, text, Some(input), budget) }
            }
            Run::AtTopLevel => {
                // SAFETY: each statement has a transaction of its own, or continues the block that an earlier one began.
                unsafe {
                    pg_sys::SetCurrentStatementStartTimestamp();
                    pg_sys::StartTransactionCommand();
                    // A statement that commits deletes the memory of the first transaction.
                    pg_sys::MemoryContextSwitchTo(context.value());
                    let one = run_one(raw, text, None, budget);
                    pg_sys::CommitTransactionCommand();
                    one
                }
            }
        };
        if done.len() < MOST_RESULTS {
            done.push(one);
        }
    }
    Ok(done)
}

fn refuse_transaction_control(raw: *mut pg_sys::RawStmt) -> Result<()> {
    // SAFETY: the parser made the statement.
    if unsafe { (*(*raw).stmt).type_ } != pg_sys::NodeTag::T_TransactionStmt {
        return Ok(());
    }
    Err(KronosError::new(
        &crate::error::INVALID_ARGUMENT,
        "a statement of mode transaction cannot begin or end transactions",
        serde_json::json!({}),
    )
    .with_hint("Mode autocommit runs each statement in a transaction of its own."))
}

/// # Safety
/// `raw` is a statement of `text`, and a transaction has begun.
unsafe fn run_one(
    raw: *mut pg_sys::RawStmt,
    text: &CStr,
    input: Option<Jsonb>,
    budget: usize,
) -> Done {
    let is_top_level = input.is_none();
    let mut receiver = Receiver::new(budget);
    // SAFETY: the calls of exec_simple_query, in its order.
    unsafe {
        let parameters = input.map_or(std::ptr::null_mut(), |input| parameter(input));
        let needs_snapshot = pg_sys::analyze_requires_snapshot(raw);
        if needs_snapshot {
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
        let mut types = [pg_sys::JSONBOID];
        let queries = pg_sys::pg_analyze_and_rewrite_fixedparams(
            raw,
            text.as_ptr(),
            types.as_mut_ptr(),
            c_int::from(input.is_some()),
            std::ptr::null_mut(),
        );
        let plans = pg_sys::pg_plan_queries(
            queries,
            text.as_ptr(),
            pg_sys::CURSOR_OPT_PARALLEL_OK as c_int,
            parameters,
        );
        if needs_snapshot {
            pg_sys::PopActiveSnapshot();
        }
        let portal = pg_sys::CreatePortal(c"".as_ptr(), true, true);
        (*portal).visible = false;
        let tag = pg_sys::CreateCommandTag((*raw).stmt);
        pg_sys::PortalDefineQuery(
            portal,
            std::ptr::null(),
            text.as_ptr(),
            tag,
            plans,
            std::ptr::null_mut(),
        );
        pg_sys::PortalStart(portal, parameters, 0, std::ptr::null_mut());
        let mut completion: pg_sys::QueryCompletion = std::mem::zeroed();
        let destination = receiver.as_destination();
        pg_sys::PortalRun(
            portal,
            core::ffi::c_long::MAX,
            is_top_level,
            #[cfg(not(feature = "pg18"))]
            true,
            destination,
            destination,
            &mut completion,
        );
        pg_sys::PortalDrop(portal, false);
        pg_sys::CommandCounterIncrement();
        let command = CStr::from_ptr(pg_sys::GetCommandTagName(completion.commandTag));
        Done {
            command: command.to_string_lossy().into_owned(),
            rows: completion.nprocessed,
            first_rows: receiver.rows(),
        }
    }
}

/// The value of $1.
///
/// # Safety
/// The value outlives the statement.
unsafe fn parameter(input: Jsonb) -> pg_sys::ParamListInfo {
    // SAFETY: the list has one element.
    unsafe {
        let list = pg_sys::makeParamList(1);
        let first = (*list).params.as_mut_ptr();
        (*first).value = input.into_datum().unwrap_or(pg_sys::Datum::null());
        (*first).isnull = false;
        (*first).pflags = pg_sys::PARAM_FLAG_CONST as u16;
        (*first).ptype = pg_sys::JSONBOID;
        list
    }
}
