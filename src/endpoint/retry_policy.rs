//! What becomes of an execution whose attempt fails.

use crate::error::{self, KronosError, Result};
use pgrx::JsonB;
use serde_json::{Map, Value, json};

const DAY_MS: f64 = 86_400_000.0;

/// A retry policy in full: what is given, with the defaults of what is not.
///
/// | field | values | default |
/// | --- | --- | --- |
/// | `max_attempts` | 1 to 1000: attempts that count, the first included | 5 |
/// | `backoff` | `fixed`, `linear`, `exponential` | `exponential` |
/// | `initial_delay_ms` | 0 to 30 days | 1000 |
/// | `max_delay_ms` | 0 to 30 days | 3600000 |
/// | `jitter` | 0 to 1: the share of a delay that chance may take off (1 is the "full jitter" of AWS's article on backoff) | 0.1 |
///
/// # Errors
/// `INVALID_ARGUMENT`, with the field in DETAIL.
pub fn complete(given: JsonB) -> Result<JsonB> {
    let Value::Object(mut given) = given.0 else {
        return Err(refuse(None, "retry_policy must be a JSON object"));
    };
    let mut policy = Map::new();
    let mut take = |field: &str, default: Value, check: &dyn Fn(&Value) -> bool, rule: &str| {
        let value = given.remove(field).unwrap_or(default);
        if !check(&value) {
            let message = format!("retry_policy: {field} must be {rule}");
            return Err(refuse(Some(field), &message));
        }
        policy.insert(field.into(), value);
        Ok(())
    };
    let whole = |value: &Value, from: u64, to: f64| {
        value.as_u64().is_some_and(|n| n >= from && n as f64 <= to)
    };
    take(
        "max_attempts",
        json!(5),
        &|value| whole(value, 1, 1000.0),
        "a whole number from 1 to 1000",
    )?;
    take(
        "backoff",
        json!("exponential"),
        &|value| ["fixed", "linear", "exponential"].contains(&value.as_str().unwrap_or_default()),
        "one of fixed, linear, exponential",
    )?;
    for (field, default) in [("initial_delay_ms", 1000), ("max_delay_ms", 3_600_000)] {
        take(
            field,
            json!(default),
            &|value| whole(value, 0, 30.0 * DAY_MS),
            "a whole number of milliseconds from 0 to 2592000000 (30 days)",
        )?;
    }
    take(
        "jitter",
        json!(0.1),
        &|value| value.as_f64().is_some_and(|n| (0.0..=1.0).contains(&n)),
        "a number from 0 to 1",
    )?;
    match given.keys().next() {
        Some(field) => Err(refuse(
            Some(field),
            &format!("retry_policy has no field {field:?}"),
        )),
        None => Ok(JsonB(Value::Object(policy))),
    }
}

fn refuse(field: Option<&str>, message: &str) -> KronosError {
    let detail = json!({ "argument": "retry_policy", "field": field });
    KronosError::new(&error::INVALID_ARGUMENT, message, detail)
}
