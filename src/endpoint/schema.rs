//! JSON Schemas: checked when they are written, compiled once per backend, and evaluated against inputs.
//!
//! Three bounds keep a payload spec from holding up a backend, each by construction:
//! - [`schema_bounds`] refuses a schema that unfolds to too many subschemas, before crate `jsonschema` reads it;
//! - [`validator`] limits the compiled size of its patterns;
//! - [`super::counted`] meters the evaluation, and stops it when its budget is used up or PostgreSQL cancels the
//!   statement.
//!
//! A check evaluates the input at most three times, in at most [`MAX_STEPS`] steps each: to find out whether the input
//! is valid, to list all violations, and to list only the first one. The worst inputs and schemas found take 0.9
//! seconds and 16 MB each time. The meter looks for interrupts every 1024 steps. It cannot interrupt the match of one
//! pattern with a string, so the steps of a match are taken beforehand: the worst match takes 0.6 seconds.

use super::counted::Counter;
use super::meter::{self, Budget, Stop};
use super::validator::{self, Compiled, MAX_STEPS};
use super::violations::{Violations, describe};
use super::{schema_bounds, validator::compile};
use crate::args;
use crate::error::{self, KronosError, Result};
use crate::sql::{self, Jsonb};
use pgrx::Uuid;
use serde_json::{Value, json};
use std::rc::Rc;

/// The keys that serde_json reserves: it reads an object with one of them as a number, or as the JSON in a string.
const RESERVED_KEYS: [&str; 2] = [
    "$serde_json::private::Number",
    "$serde_json::private::RawValue",
];

/// Fails unless a schema is a valid JSON Schema that Kronos can evaluate within bounds.
///
/// # Errors
/// `VALUE_TOO_LARGE`; `INVALID_PAYLOAD_SPEC`, with the violations of the metaschema or the exceeded bound.
pub fn check_schema(schema: Jsonb) -> Result<()> {
    let text = schema.text();
    if text.len() > args::MAX_SPEC_BYTES {
        return Err(error::value_too_large(
            "schema",
            text.len(),
            args::MAX_SPEC_BYTES,
        ));
    }
    if let Some(key) = find_reserved_key(&text) {
        let message = format!("the key {key:?} is not supported");
        return Err(unsupported_schema("", &message));
    }
    let schema: Value = serde_json::from_str(&text)
        .map_err(|problem| unsupported_schema("", &format!("could not be read: {problem}")))?;
    if !schema.is_object() && !schema.is_boolean() {
        return Err(unsupported_schema("", "must be an object or a boolean"));
    }
    let bounds = schema_bounds::measure(&schema)
        .map_err(|refusal| unsupported_schema(&refusal.path, &refusal.message))?;
    match meter::catch_panic(|| check_against_metaschema(&schema)) {
        Ok(None) => {}
        Ok(Some(violations)) => return Err(invalid_schema(&violations)),
        Err(_) => return Err(unsupported_schema("", "could not be checked")),
    }
    compile(&schema, &bounds)
        .map(|_| ())
        .map_err(|violations| invalid_schema(&violations))
}

/// The violations of the metaschema, if there are any.
fn check_against_metaschema(schema: &Value) -> Option<Violations> {
    match jsonschema::meta::validator_for(schema) {
        Ok(metaschema) if metaschema.is_valid(schema) => None,
        Ok(metaschema) => Some(Violations::of(metaschema.iter_errors(schema))),
        Err(problem) => Some(Violations::of(std::iter::once(problem))),
    }
}

/// Fails unless an input satisfies the schema of a revision.
///
/// # Errors
/// `INVALID_INPUT`, with the violations.
pub fn check_input(payload_spec: &str, revision_id: Uuid, input: &str) -> Result<()> {
    let invalid = |reason: String| invalid_input(payload_spec, &reason);
    if let Some(key) = find_reserved_key(input) {
        return Err(invalid(format!("the key {key:?} cannot be checked")));
    }
    let compiled = find_compiled(revision_id)?;
    let parsed: Value = serde_json::from_str(input)
        .map_err(|problem| invalid(format!("it could not be read: {problem}")))?;
    let budget = compiled.budget(&parsed, sql::is_interrupted);
    let input = Counter(&parsed);
    match evaluate(&budget, || compiled.validator.is_valid(input)) {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(Stop::Panicked) => {
            return Err(KronosError::internal(format!(
                "payload spec {payload_spec:?} could not be evaluated"
            )));
        }
        Err(_) => {
            let reason = format!("checking it takes more than {MAX_STEPS} steps");
            return Err(invalid(reason)
                .with("max_steps", MAX_STEPS)
                .with_hint("Pass less data, or use a simpler payload spec."));
        }
    }
    // Listing all violations takes more steps than finding out that there are any. If it exceeds the budget, the error
    // has only the first violation, or none.
    let violations = evaluate(&budget, || {
        Violations::of(compiled.validator.iter_errors(input))
    })
    .or_else(|_| {
        evaluate(&budget, || {
            Violations::of(compiled.validator.validate(input).err().into_iter())
        })
        .map(Violations::with_more)
    });
    Err(match violations {
        Ok(violations) => {
            let error = invalid(violations.summary());
            violations.add_to(error)
        }
        Err(_) => invalid("it has too many violations to list".into()),
    })
}

/// Runs an evaluation on a budget. If an interrupt stops it but does not end the statement, runs it again without
/// looking for interrupts.
fn evaluate<T>(budget: &Budget, work: impl Fn() -> T) -> std::result::Result<T, Stop> {
    sql::check_for_interrupts();
    let mut result = meter::run(budget, &work);
    if matches!(result, Err(Stop::Interrupted)) {
        sql::check_for_interrupts();
        let uninterruptible = Budget {
            is_interrupted: || false,
            ..*budget
        };
        result = meter::run(&uninterruptible, &work);
    }
    sql::check_for_interrupts();
    result.map(|(value, _)| value)
}

fn find_compiled(revision_id: Uuid) -> Result<Rc<Compiled>> {
    if let Some(compiled) = validator::find_cached(revision_id) {
        return Ok(compiled);
    }
    let schema = sql::row(
        "select schema from kronos_internal.payload_specs where revision_id = $1",
        &[revision_id.into()],
        |row| sql::get::<Jsonb>(row, "schema")?.parse("schema"),
    )?
    .ok_or_else(error::concurrent_change)?;
    let bounds = schema_bounds::measure(&schema)
        .map_err(|refusal| unsupported_schema(&refusal.path, &refusal.message))?;
    let compiled = compile(&schema, &bounds).map_err(|violations| invalid_schema(&violations))?;
    Ok(validator::cache(revision_id, compiled))
}

/// Finds a reserved key in the text of a jsonb. Inside a string, its quotes would be escaped.
fn find_reserved_key(text: &str) -> Option<&'static str> {
    RESERVED_KEYS
        .into_iter()
        .find(|key| text.contains(&format!("\"{key}\":")))
}

fn invalid_input(payload_spec: &str, reason: &str) -> KronosError {
    KronosError::new(
        &error::INVALID_INPUT,
        format!("input does not satisfy payload spec {payload_spec:?}: {reason}"),
        json!({ "payload_spec": payload_spec }),
    )
}

fn invalid_schema(violations: &Violations) -> KronosError {
    let error = KronosError::new(
        &error::INVALID_PAYLOAD_SPEC,
        format!(
            "schema is not a valid JSON Schema: {}",
            violations.summary()
        ),
        json!({}),
    );
    violations.add_to(error)
}

fn unsupported_schema(path: &str, message: &str) -> KronosError {
    let violation = describe(path, message);
    KronosError::new(
        &error::INVALID_PAYLOAD_SPEC,
        format!(
            "schema is not supported: {}: {message}",
            if path.is_empty() { "/" } else { path }
        ),
        json!({ "violations": [violation] }),
    )
}
