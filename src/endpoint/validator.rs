//! Compiles schemas, and caches them in each backend.

use super::counted::Counted;
use super::meter::{self, Budget};
use super::schema_bounds::Bounds;
use super::violations::Violations;
use jsonschema::{PatternOptions, Validator};
use pgrx::Uuid;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The most steps of one evaluation, of about 10 nanoseconds each. An input of 5000 objects with 4 checked members
/// takes 200,000.
pub const MAX_STEPS: u64 = 50_000_000;
/// The most memory for the violations of one evaluation, in bytes.
const MAX_ERROR_BYTES: u64 = 16 * 1024 * 1024;
/// The largest compiled size of one pattern, in kB.
const MAX_PATTERN: usize = 1024;
/// The largest compiled size of all patterns of a schema, in kB.
const MAX_PATTERNS: usize = 8 * 1024;
/// The size limits that a schema is compiled with, in kB. Patterns within the same limit cost the same.
const PATTERN_SIZES: [usize; 6] = [1, 4, 16, 64, 256, MAX_PATTERN];
/// The most compiled schemas that a backend keeps, and the most memory of their patterns, in kB.
const CAPACITY: usize = 100;
const PATTERNS_CAPACITY: usize = 64 * 1024;
/// The memory of a pattern beyond its own size, in kB: the automaton that it builds while it matches.
const AUTOMATON: usize = 256;

/// A compiled schema.
pub struct Compiled {
    pub validator: Validator<Counted>,
    /// The cost of matching one byte of a string with the schema's largest pattern, in steps.
    pub steps_per_byte: u64,
    /// The cost of matching one byte of a property name with several patterns, in steps.
    pub steps_per_name_byte: u64,
    /// The cost of comparing a number with the schema's costliest one, in steps.
    pub steps_per_number: u64,
    patterns_size: usize,
}

/// Compiles a schema within bounds. Fetches no other document. Patterns match in linear time, without look-around and
/// back references.
///
/// Linear time still means up to 0.16 microseconds for each byte of the string and kB of the compiled pattern
/// (measured with `[ab]*a[ab]{10000}c`). So the schema is compiled with the smallest limit that its patterns fit, and
/// the cost of a byte is proportional to that limit.
///
/// # Errors
/// The violations that keep the schema from compiling.
pub fn compile(schema: &Value, bounds: &Bounds) -> Result<Compiled, Violations> {
    let largest = MAX_PATTERN.min(MAX_PATTERNS / bounds.patterns.max(1));
    let smaller = PATTERN_SIZES.iter().copied().filter(|size| *size < largest);
    let sizes: Vec<usize> = match bounds.patterns {
        0 => vec![largest],
        _ => smaller.chain([largest]).collect(),
    };
    let mut last_error = Violations::one("could not be compiled");
    for size in sizes {
        match build(schema, size) {
            Ok(validator) => {
                let steps_per_byte = match bounds.patterns {
                    0 => 1,
                    _ => 4 * size as u64,
                };
                return Ok(Compiled {
                    validator,
                    steps_per_byte,
                    steps_per_name_byte: steps_per_byte * bounds.name_patterns.max(1) as u64,
                    steps_per_number: bounds.steps_per_number,
                    patterns_size: bounds.patterns * (size + AUTOMATON),
                });
            }
            Err(violations) => last_error = violations,
        }
    }
    Err(last_error)
}

fn build(schema: &Value, pattern_size: usize) -> Result<Validator<Counted>, Violations> {
    let patterns = PatternOptions::regex().size_limit(pattern_size * 1024);
    let built = meter::catch_panic(|| {
        jsonschema::options_for::<Counted>()
            .offline()
            .with_pattern_options(patterns)
            .build(schema)
            .map_err(|problem| Violations::of(std::iter::once(problem)))
    });
    built.unwrap_or_else(|_| Err(Violations::one("could not be compiled")))
}

impl Compiled {
    /// A budget for evaluating an input.
    pub fn budget(&self, input: &Value, is_interrupted: fn() -> bool) -> Budget {
        Budget {
            steps: MAX_STEPS,
            error_bytes: MAX_ERROR_BYTES,
            bytes_per_error: 1024 + 2 * longest_path(input) as u64,
            steps_per_byte: self.steps_per_byte,
            steps_per_name_byte: self.steps_per_name_byte,
            steps_per_number: self.steps_per_number,
            is_interrupted,
        }
    }
}

/// The length of the longest JSON path in a value.
fn longest_path(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(|item| 8 + longest_path(item)).max(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| 1 + name.len() + longest_path(value))
            .max(),
        _ => None,
    }
    .unwrap_or(0)
}

thread_local! {
    /// By revision. A changed schema has a new revision, even if the change is rolled back, so no entry is ever stale.
    static CACHE: RefCell<HashMap<Uuid, Rc<Compiled>>> = RefCell::default();
}

/// The compiled schema of a revision, if this backend has cached it.
pub fn find_cached(revision_id: Uuid) -> Option<Rc<Compiled>> {
    CACHE.with_borrow(|cache| cache.get(&revision_id).cloned())
}

/// Caches the compiled schema of a revision.
pub fn cache(revision_id: Uuid, compiled: Compiled) -> Rc<Compiled> {
    let compiled = Rc::new(compiled);
    CACHE.with_borrow_mut(|cache| {
        let patterns: usize = cache.values().map(|kept| kept.patterns_size).sum();
        if cache.len() >= CAPACITY || patterns + compiled.patterns_size > PATTERNS_CAPACITY {
            cache.clear();
        }
        cache.insert(revision_id, compiled.clone());
    });
    compiled
}
