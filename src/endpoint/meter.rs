//! A budget of steps: counting them, and ending what takes too many.

use serde_json::{Number, Value};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// How much an evaluation may do.
#[derive(Clone, Copy)]
pub struct Budget {
    /// Steps, of some 10 nanoseconds each.
    pub steps: u64,
    /// Memory of the violations that the crate may collect, nested ones included, in bytes.
    pub error_bytes: u64,
    /// What one violation takes at least: the crate writes down its path.
    pub bytes_per_error: u64,
    /// What matching one byte of a string costs, in steps.
    pub steps_per_byte: u64,
    /// What matching one byte of a property name costs, in steps.
    pub steps_per_name_byte: u64,
    /// What comparing a number with one of the schema costs at least, in steps.
    pub steps_per_number: u64,
    /// Whether the evaluation is to end at once.
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

/// What unwinds from the meter to [`run`].
struct Unwinding(Stop);

/// How many steps pass between two looks at `is_interrupted`.
const STEPS_BETWEEN_LOOKS: u64 = 1024;

thread_local! {
    static STEPS_LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
    static NEXT_LOOK: Cell<u64> = const { Cell::new(0) };
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
/// Why it was stopped.
pub fn run<T>(budget: &Budget, work: impl FnOnce() -> T) -> Result<(T, u64), Stop> {
    STEPS_LEFT.set(budget.steps);
    NEXT_LOOK.set(budget.steps);
    ERROR_BYTES_LEFT.set(budget.error_bytes);
    BYTES_PER_ERROR.set(budget.bytes_per_error);
    STEPS_PER_BYTE.set(budget.steps_per_byte);
    STEPS_PER_NAME_BYTE.set(budget.steps_per_name_byte);
    STEPS_PER_NUMBER.set(budget.steps_per_number);
    IS_INTERRUPTED.set(budget.is_interrupted);
    let result = contain(work);
    let taken = budget.steps - STEPS_LEFT.get();
    result.map(|value| (value, taken))
}

/// Runs work of the crate, and turns a panic into a value.
///
/// # Errors
/// `Panicked`, or why the meter stopped it.
pub fn contain<T>(work: impl FnOnce() -> T) -> Result<T, Stop> {
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
    if left <= NEXT_LOOK.get() {
        NEXT_LOOK.set(left.saturating_sub(STEPS_BETWEEN_LOOKS));
        if IS_INTERRUPTED.get()() {
            resume_unwind(Box::new(Unwinding(Stop::Interrupted)));
        }
    }
}

/// Takes a violation off the budget. Those of alternatives hold a copy of the value.
pub fn take_error(value: &Value) {
    let bytes = BYTES_PER_ERROR.get() + copied_bytes(value);
    let Some(left) = ERROR_BYTES_LEFT.get().checked_sub(bytes) else {
        resume_unwind(Box::new(Unwinding(Stop::TooManyErrors)));
    };
    ERROR_BYTES_LEFT.set(left);
    take(50);
}

/// About what a copy of a value takes in memory.
fn copied_bytes(value: &Value) -> u64 {
    take(1);
    32 + match value {
        Value::String(string) => string.len() as u64,
        Value::Number(number) => number.as_str().len() as u64,
        Value::Array(items) => items.iter().map(copied_bytes).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| 64 + name.len() as u64 + copied_bytes(value))
            .sum(),
        _ => 0,
    }
}

/// What comparing or dividing a number costs: to the crate one with a fraction, or of more digits than a machine word, is
/// a fraction of big integers, at 10 microseconds and the square of their length (measured).
pub fn number_steps(number: &Number) -> u64 {
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

/// What matching a text costs. Nothing interrupts one match, so the bytes beyond the first 1024 cost four times as much:
/// the longest match that the budget allows then takes 0.6 seconds (measured, at 0.16 milliseconds a byte).
fn text_steps(text: &str, steps_per_byte: u64) -> u64 {
    let bytes = text.len() as u64;
    (bytes + 3 * bytes.saturating_sub(1024)) * steps_per_byte
}

/// Takes what a string costs that may be matched with a pattern.
pub fn take_text(text: &str) {
    take(text_steps(text, STEPS_PER_BYTE.get()));
}

/// Takes what a property name costs that may be matched with patterns.
pub fn take_name(name: &str) {
    take(1 + text_steps(name, STEPS_PER_NAME_BYTE.get()));
}

/// Takes what a number costs that may be compared with one of the schema.
pub fn take_number(number: &Number) {
    take(number_steps(number).max(STEPS_PER_NUMBER.get()));
}
