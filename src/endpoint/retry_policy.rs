//! Retry policies: whether and when a failed execution is retried.

use crate::error::{KronosError, Result, invalid_argument};
use crate::sql::Jsonb;
use serde_json::Value;

/// The longest delay: 30 days.
const MAX_DELAY_MS: i64 = 30 * 86_400_000;

/// A retry policy, as the columns of an endpoint store it.
///
/// | field | values | default |
/// | --- | --- | --- |
/// | `max_attempts` | 1 to 1000: attempts that count, including the first | 5 |
/// | `backoff` | `fixed`, `linear`, `exponential` | `exponential` |
/// | `initial_delay_ms` | 0 to 30 days | 1000 |
/// | `max_delay_ms` | 0 to 30 days | 3600000 |
/// | `jitter` | 0 to 1: the largest share of a delay that is taken off at random (1 is the "full jitter" of AWS's article on backoff) | 0.1 |
pub struct RetryPolicy {
    pub max_attempts: i32,
    pub backoff: String,
    pub initial_delay_ms: i64,
    pub max_delay_ms: i64,
    pub jitter: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            max_attempts: 5,
            backoff: "exponential".into(),
            initial_delay_ms: 1000,
            max_delay_ms: 3_600_000,
            jitter: 0.1,
        }
    }
}

impl RetryPolicy {
    /// Reads a policy. A field that is left out gets its default.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, with the field in DETAIL.
    pub fn read(given: Jsonb) -> Result<RetryPolicy> {
        let Value::Object(fields) = given.parse("retry_policy")? else {
            return Err(invalid_argument("retry_policy", "must be a JSON object"));
        };
        let mut policy = RetryPolicy::default();
        for (field, value) in &fields {
            policy.set(field, value)?;
        }
        Ok(policy)
    }

    fn set(&mut self, field: &str, value: &Value) -> Result<()> {
        match field {
            "max_attempts" => {
                let attempts = parse_integer(value, 1, 1000)
                    .ok_or_else(|| invalid_field(field, "a whole number from 1 to 1000"))?;
                self.max_attempts = attempts as i32;
            }
            "backoff" => {
                self.backoff = value
                    .as_str()
                    .filter(|backoff| ["fixed", "linear", "exponential"].contains(backoff))
                    .ok_or_else(|| invalid_field(field, "one of fixed, linear, exponential"))?
                    .to_owned();
            }
            "initial_delay_ms" => self.initial_delay_ms = parse_delay(field, value)?,
            "max_delay_ms" => self.max_delay_ms = parse_delay(field, value)?,
            "jitter" => {
                // A NaN fails both comparisons.
                self.jitter = value
                    .as_f64()
                    .filter(|jitter| (0.0..=1.0).contains(jitter))
                    .ok_or_else(|| invalid_field(field, "a number from 0 to 1"))?;
            }
            _ => {
                return Err(invalid_argument(
                    "retry_policy",
                    &format!("has an unknown field {field:?}"),
                )
                .with("field", field));
            }
        }
        Ok(())
    }
}

fn parse_delay(field: &str, value: &Value) -> Result<i64> {
    let rule = "a whole number of milliseconds from 0 to 2592000000 (30 days)";
    parse_integer(value, 0, MAX_DELAY_MS).ok_or_else(|| invalid_field(field, rule))
}

fn parse_integer(value: &Value, low: i64, high: i64) -> Option<i64> {
    value.as_i64().filter(|n| (low..=high).contains(n))
}

fn invalid_field(field: &str, rule: &str) -> KronosError {
    invalid_argument("retry_policy", &format!("needs {field} to be {rule}")).with("field", field)
}
