//! JSON Schemas: checked when they are written, compiled once per backend, and held against inputs.
//!
//! Three bounds keep a payload spec from holding up a backend, each by construction:
//! - [`schema_bounds`] refuses a schema that unfolds to too much, before crate `jsonschema` sees it;
//! - [`validator`] limits what its patterns compile to;
//! - [`super::counted`] meters the evaluation, ends it when its budget is used up, and when PostgreSQL cancels the statement.
//!
//! A check evaluates the input at most three times, for yes or no, for the violations, or for the first of them, in at most
//! [`MAX_STEPS`] steps each. The worst inputs and schemas found take 0.9 seconds and 16 MB each time. The meter looks for
//! interrupts every 1024 steps; what it cannot interrupt is one match of a pattern with a string, whose steps are taken
//! beforehand: 0.5 seconds for the worst one.

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

/// serde_json's own keys, by which it would read an object as a number or as the JSON in a string.
const PRIVATE_KEYS: [&str; 2] = [
    "$serde_json::private::Number",
    "$serde_json::private::RawValue",
];

/// Fails unless a schema is a valid JSON Schema that Kronos can evaluate within bounds.
///
/// # Errors
/// `VALUE_TOO_LARGE`; `INVALID_PAYLOAD_SPEC`, with the violations of the JSON Schema's own schema or the bound exceeded.
pub fn check_schema(schema: Jsonb) -> Result<()> {
    let text = schema.text();
    if text.len() > args::MAX_SPEC_BYTES {
        return Err(error::value_too_large(
            "schema",
            text.len(),
            args::MAX_SPEC_BYTES,
        ));
    }
    if let Some(key) = private_key(&text) {
        let message = format!("the key {key:?} is not supported");
        return Err(refuse_schema("", &message));
    }
    let schema: Value = serde_json::from_str(&text)
        .map_err(|problem| refuse_schema("", &format!("could not be read: {problem}")))?;
    if !schema.is_object() && !schema.is_boolean() {
        return Err(refuse_schema("", "a schema is an object"));
    }
    let bounds = schema_bounds::measure(&schema)
        .map_err(|refusal| refuse_schema(&refusal.path, &refusal.message))?;
    match meter::contain(|| check_against_metaschema(&schema)) {
        Ok(None) => {}
        Ok(Some(violations)) => return Err(invalid_schema(&violations)),
        Err(_) => return Err(refuse_schema("", "could not be checked")),
    }
    compile(&schema, &bounds)
        .map(|_| ())
        .map_err(|violations| invalid_schema(&violations))
}

/// The violations of the JSON Schema's own schema, if there are any.
fn check_against_metaschema(schema: &Value) -> Option<Violations> {
    match jsonschema::meta::validator_for(schema) {
        Ok(known) if known.is_valid(schema) => None,
        Ok(known) => Some(Violations::of(known.iter_errors(schema))),
        Err(problem) => Some(Violations::of(std::iter::once(problem))),
    }
}

/// Fails unless an input satisfies the schema of a revision.
///
/// # Errors
/// `INVALID_INPUT`, with the violations.
pub fn check_input(payload_spec: &str, revision_id: Uuid, input: &str) -> Result<()> {
    let refuse = |reason: String| invalid_input(payload_spec, &reason);
    if let Some(key) = private_key(input) {
        return Err(refuse(format!("the key {key:?} cannot be checked")));
    }
    let compiled = find_compiled(revision_id)?;
    let parsed: Value = serde_json::from_str(input)
        .map_err(|problem| refuse(format!("it could not be read: {problem}")))?;
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
            return Err(refuse(reason)
                .with("max_steps", MAX_STEPS)
                .with_hint("Pass less data, or use a simpler payload spec."));
        }
    }
    // Collecting violations costs more than finding out that there are any: the first one will do, or none.
    let violations = evaluate(&budget, || {
        Violations::of(compiled.validator.iter_errors(input))
    })
    .or_else(|_| {
        evaluate(&budget, || {
            Violations::of(compiled.validator.validate(input).err().into_iter())
        })
        .map(Violations::and_more)
    });
    Err(match violations {
        Ok(violations) => {
            let error = refuse(violations.summary());
            violations.add_to(error)
        }
        Err(_) => refuse("it has too many violations to list".into()),
    })
}

/// Runs an evaluation on a budget. One that an interrupt ends, but that the session is to survive, runs once more, to its
/// end.
fn evaluate<T>(budget: &Budget, work: impl Fn() -> T) -> std::result::Result<T, Stop> {
    sql::check_for_interrupts();
    let mut result = meter::run(budget, &work);
    if matches!(result, Err(Stop::Interrupted)) {
        sql::check_for_interrupts();
        let deaf = Budget {
            is_interrupted: || false,
            ..*budget
        };
        result = meter::run(&deaf, &work);
    }
    sql::check_for_interrupts();
    result.map(|(value, _)| value)
}

fn find_compiled(revision_id: Uuid) -> Result<Rc<Compiled>> {
    if let Some(compiled) = validator::cached(revision_id) {
        return Ok(compiled);
    }
    let schema = sql::row(
        "select schema from kronos_internal.payload_specs where revision_id = $1",
        &[revision_id.into()],
        |row| sql::get::<Jsonb>(row, "schema")?.parse("schema"),
    )?
    .ok_or_else(error::concurrent_change)?;
    let bounds = schema_bounds::measure(&schema)
        .map_err(|refusal| refuse_schema(&refusal.path, &refusal.message))?;
    let compiled = compile(&schema, &bounds).map_err(|violations| invalid_schema(&violations))?;
    Ok(validator::cache(revision_id, compiled))
}

/// The key of serde_json's own that a text of PostgreSQL's jsonb has: inside of a string its quotes would be escaped.
fn private_key(text: &str) -> Option<&'static str> {
    PRIVATE_KEYS
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

fn refuse_schema(path: &str, message: &str) -> KronosError {
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
