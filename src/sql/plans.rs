//! The prepared plans of a backend: each statement is parsed, analysed and planned once.

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;
use std::os::raw::c_int;

thread_local! {
    /// By the address of the statement's text, which is static.
    static PLANS: RefCell<HashMap<usize, pg_sys::SPIPlanPtr>> = RefCell::default();
}

/// The plan of a statement, prepared by its first call in this backend. It is a generic plan: planning each call for
/// its own parameters took 61 % of the time of a claim. PostgreSQL itself replans the statement when the tables that it
/// reads change.
///
/// The caller is connected to SPI. Every call of a statement has the same types of `args`.
pub fn kept_plan(sql: &'static str, args: &[DatumWithOid]) -> pg_sys::SPIPlanPtr {
    let key = sql.as_ptr() as usize;
    if let Some(plan) = PLANS.with_borrow(|plans| plans.get(&key).copied()) {
        return plan;
    }
    let plan = prepare(sql, args);
    // SAFETY: SPI_keepplan moves the plan to a memory context that lives as long as the backend.
    if unsafe { pg_sys::SPI_keepplan(plan) } != 0 {
        pgrx::error!("Kronos could not keep a plan of its own SQL: {sql}");
    }
    PLANS.with_borrow_mut(|plans| plans.insert(key, plan));
    plan
}

/// A generic plan of a statement, which lives until the caller's connection to SPI ends.
pub fn prepare(sql: &'static str, args: &[DatumWithOid]) -> pg_sys::SPIPlanPtr {
    let text = CString::new(sql).expect("statements have no NUL");
    let mut types: Vec<pg_sys::Oid> = args.iter().map(DatumWithOid::oid).collect();
    // SAFETY: the session is connected to SPI, and text and types outlive the call.
    let plan = unsafe {
        pg_sys::SPI_prepare_cursor(
            text.as_ptr(),
            types.len() as c_int,
            types.as_mut_ptr(),
            pg_sys::CURSOR_OPT_GENERIC_PLAN as c_int,
        )
    };
    if plan.is_null() {
        pgrx::error!("Kronos could not prepare its own SQL: {sql}");
    }
    plan
}
