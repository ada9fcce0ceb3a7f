//! JSON Schemas: checked, compiled once per backend, and held against inputs (crate `jsonschema`; nothing is fetched).

use crate::error::{self, KronosError, Result};
use jsonschema::{PatternOptions, ValidationError, Validator};
use pgrx::Uuid;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The most compiled schemas that a backend keeps.
const CAPACITY: usize = 100;

thread_local! {
    /// By revision: a changed schema has another one, also if the change is rolled back, so that what is here is never stale.
    static COMPILED: RefCell<HashMap<Uuid, Rc<Validator>>> = RefCell::default();
}

/// Fails unless a schema is one.
///
/// # Errors
/// `INVALID_PAYLOAD_SPEC`, with every violation of the JSON Schema's own schema.
pub fn check_schema(schema: &Value) -> Result<()> {
    if !schema.is_object() && !schema.is_boolean() {
        return Err(invalid(json!([violation_at("", "a schema is an object")])));
    }
    let known = jsonschema::meta::validator_for(schema)
        .map_err(|problem| invalid(json!([violation(&problem)])))?;
    let violations: Vec<Value> = known
        .iter_errors(schema)
        .map(|found| violation(&found))
        .collect();
    if !violations.is_empty() {
        return Err(invalid(json!(violations)));
    }
    compile(schema).map(|_| ())
}

/// Fails unless an input satisfies a schema. `schema` is read only if this backend has not compiled the revision yet.
///
/// # Errors
/// `INPUT_INVALID`, with every violation.
pub fn check_input(
    payload_spec: &str,
    revision_id: Uuid,
    schema: impl FnOnce() -> Result<Value>,
    input: &Value,
) -> Result<()> {
    let known = COMPILED.with_borrow(|compiled| compiled.get(&revision_id).cloned());
    let validator = match known {
        Some(validator) => validator,
        None => {
            let validator = Rc::new(compile(&schema()?)?);
            COMPILED.with_borrow_mut(|compiled| {
                if compiled.len() >= CAPACITY {
                    compiled.clear();
                }
                compiled.insert(revision_id, validator.clone());
            });
            validator
        }
    };
    let violations: Vec<Value> = validator
        .iter_errors(input)
        .map(|found| violation(&found))
        .collect();
    if violations.is_empty() {
        return Ok(());
    }
    Err(KronosError::new(
        &error::INPUT_INVALID,
        format!(
            "input does not satisfy payload spec {payload_spec:?}: {}",
            summary(&violations)
        ),
        json!({ "payload_spec": payload_spec, "violations": violations }),
    ))
}

/// Patterns are matched in linear time (no look-around, no back references), so that none can hold up a backend.
fn compile(schema: &Value) -> Result<Validator> {
    jsonschema::options()
        .offline()
        .with_pattern_options(PatternOptions::regex())
        .build(schema)
        .map_err(|problem| invalid(json!([violation(&problem)])))
}

fn violation(found: &ValidationError) -> Value {
    violation_at(found.instance_path().as_str(), &found.masked().to_string())
}

fn violation_at(path: &str, message: &str) -> Value {
    json!({ "path": path, "message": message })
}

fn summary(violations: &[Value]) -> String {
    let first = &violations[0];
    let path = first["path"]
        .as_str()
        .filter(|path| !path.is_empty())
        .unwrap_or("/");
    let message = first["message"].as_str().unwrap_or_default();
    match violations.len() {
        1 => format!("{path}: {message}"),
        count => format!("{path}: {message} (and {} more, in DETAIL)", count - 1),
    }
}

fn invalid(violations: Value) -> KronosError {
    let listed = violations.as_array().map(Vec::as_slice).unwrap_or_default();
    KronosError::new(
        &error::INVALID_PAYLOAD_SPEC,
        format!("schema is no JSON Schema: {}", summary(listed)),
        json!({ "violations": violations }),
    )
}
