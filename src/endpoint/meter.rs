//! A budget of steps for an evaluation, which stops when the budget is used up.

use serde_json::{Number, Value};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The limits of an evaluation, and the costs of its parts.
#[derive(Clone, Copy)]
pub struct Budget {
    /// The most steps, of about 10 nanoseconds each.
    pub steps: u64,
    /// The most memory of the violations that the crate may collect, nested ones included, in bytes.
    pub error_bytes: u64,
    /// The least memory of one violation, in bytes: the crate writes out its path.
    pub bytes_per_error: u64,
    /// The cost of matching one byte of a string, in steps.
    pub steps_per_byte: u64,
    /// The cost of matching one byte of a property name, in steps.
    pub steps_per_name_byte: u64,
    /// The least cost of comparing a number with one of the schema's numbers, in steps.
    pub steps_per_number: u64,
    /// Whether the evaluation must stop at once.
    pub is_interrupted: fn() -> bool,
}

/// Why an evaluation ended without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    TooManySteps,
    TooManyErrors,
    Interrupted,
    /// A defect of the crate.
    Panicked,
}

/// The payload of the panic that unwinds from the meter to [`run`].
struct Unwinding(Stop);

/// How many steps pass between two calls of `is_interrupted`.
const STEPS_BETWEEN_CHECKS: u64 = 1024;

thread_local! {
    static STEPS_LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
    static NEXT_CHECK: Cell<u64> = const { Cell::new(0) };
    static ERROR_BYTES_LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
    static BYTES_PER_ERROR: Cell<u64> = const { Cell::new(0) };
    static STEPS_PER_BYTE: Cell<u64> = const { Cell::new(1) };
    static STEPS_PER_NAME_BYTE: Cell<u64> = const { Cell::new(1) };
    static STEPS_PER_NUMBER: Cell<u64> = const { Cell::new(1) };
    static IS_INTERRUPTED: Cell<fn() -> bool> = const { Cell::new(|| false) };
}

/// Runs an evaluation on a budget, and returns its result and the steps that it took. `work` must not call PostgreSQL.
///
/// # Errors
/// The reason why the evaluation was stopped.
pub fn run<T>(budget: &Budget, work: impl FnOnce() -> T) -> Result<(T, u64), Stop> {
    STEPS_LEFT.set(budget.steps);
    NEXT_CHECK.set(budget.steps);
    ERROR_BYTES_LEFT.set(budget.error_bytes);
    BYTES_PER_ERROR.set(budget.bytes_per_error);
    STEPS_PER_BYTE.set(budget.steps_per_byte);
    STEPS_PER_NAME_BYTE.set(budget.steps_per_name_byte);
    STEPS_PER_NUMBER.set(budget.steps_per_number);
    IS_INTERRUPTED.set(budget.is_interrupted);
    let result = catch_panic(work);
    let taken = budget.steps - STEPS_LEFT.get();
    result.map(|value| (value, taken))
}

/// Runs code of the crate, and turns a panic into an error.
///
/// # Errors
/// `Panicked`, or the reason why the meter stopped the evaluation.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, Stop> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        payload
            .downcast_ref::<Unwinding>()
            .map_or(Stop::Panicked, |unwinding| unwinding.0)
    })
}

/// Takes steps off the budget.
pub fn take(steps: u64) {
    let Some(left) = STEPS_LEFT.get().checked_sub(steps) else {
        resume_unwind(Box::new(Unwinding(Stop::TooManySteps)));
    };
    STEPS_LEFT.set(left);
    if left <= NEXT_CHECK.get() {
        NEXT_CHECK.set(left.saturating_sub(STEPS_BETWEEN_CHECKS));
        if IS_INTERRUPTED.get()() {
            resume_unwind(Box::new(Unwinding(Stop::Interrupted)));
        }
    }
}

/// Takes the memory of a violation off the budget. A violation of an alternative holds a copy of the value.
pub fn take_error(value: &Value) {
    let bytes = BYTES_PER_ERROR.get() + estimate_copy_bytes(value);
    let Some(left) = ERROR_BYTES_LEFT.get().checked_sub(bytes) else {
        resume_unwind(Box::new(Unwinding(Stop::TooManyErrors)));
    };
    ERROR_BYTES_LEFT.set(left);
    take(50);
}

/// The approximate memory of a copy of a value, in bytes.
fn estimate_copy_bytes(value: &Value) -> u64 {
    take(1);
    32 + match value {
        Value::String(string) => string.len() as u64,
        Value::Number(number) => number.as_str().len() as u64,
        Value::Array(items) => items.iter().map(estimate_copy_bytes).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| 64 + name.len() as u64 + estimate_copy_bytes(value))
            .sum(),
        _ => 0,
    }
}

/// The cost of comparing or dividing a number, in steps. The crate treats a number with a fraction, or with more digits
/// than a machine word, as a fraction of big integers. This takes 1 microsecond for a short fraction and 8 for a long
/// number, plus a time that grows with the square of the length (measured).
pub fn count_number_steps(number: &Number) -> u64 {
    let text = number.as_str();
    let digits = text.len() as u64;
    if digits > 15 {
        800 + digits * digits / 8
    } else if text.contains(['.', 'e', 'E']) {
        100
    } else {
        1
    }
}

/// The cost of matching a text, in steps. A match cannot be interrupted, so the bytes after the first 1024 cost four
/// times as much: the longest match that the budget allows then takes 0.6 seconds (measured, at 0.16 milliseconds a
/// byte).
fn count_text_steps(text: &str, steps_per_byte: u64) -> u64 {
    let bytes = text.len() as u64;
    (bytes + 3 * bytes.saturating_sub(1024)) * steps_per_byte
}

/// Takes the cost of a string off the budget. A pattern may be matched with it.
pub fn take_text(text: &str) {
    take(count_text_steps(text, STEPS_PER_BYTE.get()));
}

/// Takes the cost of a property name off the budget. Several patterns may be matched with it.
pub fn take_name(name: &str) {
    take(1 + count_text_steps(name, STEPS_PER_NAME_BYTE.get()));
}

/// Takes the cost of a number off the budget. It may be compared with a number of the schema.
pub fn take_number(number: &Number) {
    take(count_number_steps(number).max(STEPS_PER_NUMBER.get()));
}
