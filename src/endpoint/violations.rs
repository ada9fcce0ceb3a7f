//! The violations of a JSON Schema, for an error's DETAIL: a few of them, each cut to a readable length.

use crate::error::KronosError;
use jsonschema::ValidationError;
use serde_json::{Value, json};

/// The most violations that an error lists.
const MAX_LISTED: usize = 20;
/// The longest text of a path or message, in characters.
const MAX_TEXT: usize = 200;
/// The most bytes of JSON of all violations, so that DETAIL stays below 8 kB.
const MAX_JSON: usize = 6 * 1024;

/// The first violations, and how many more there are.
pub struct Violations {
    listed: Vec<Value>,
    more: usize,
}

impl Violations {
    /// The violations that crate `jsonschema` found.
    pub fn of<'a>(errors: impl Iterator<Item = ValidationError<'a>>) -> Violations {
        let mut violations = Violations {
            listed: vec![],
            more: 0,
        };
        let mut json = 0;
        for error in errors {
            if violations.more == 0 && violations.listed.len() < MAX_LISTED {
                let path = error.instance_path();
                let violation = describe(path.as_str(), &error.masked().to_string());
                json += violation.to_string().len();
                if json <= MAX_JSON {
                    violations.listed.push(violation);
                    continue;
                }
            }
            violations.more += 1;
        }
        violations
    }

    /// A violation that the crate did not report.
    pub fn one(message: &str) -> Violations {
        Violations {
            listed: vec![describe("", message)],
            more: 0,
        }
    }

    /// Adds an unknown number of violations that are not listed.
    pub fn with_more(mut self) -> Violations {
        self.more += 1;
        self
    }

    /// The first violation, for an error's message.
    pub fn summary(&self) -> String {
        let Some(first) = self.listed.first() else {
            return "its violations are too long to list".into();
        };
        let text = |field: &str| first[field].as_str().unwrap_or_default();
        let path = if text("path").is_empty() {
            "/"
        } else {
            text("path")
        };
        let more = if self.listed.len() + self.more > 1 {
            " (and more, in DETAIL)"
        } else {
            ""
        };
        format!("{path}: {}{more}", text("message"))
    }

    /// Adds the violations to an error's DETAIL.
    pub fn add_to(&self, error: KronosError) -> KronosError {
        let error = error.with("violations", self.listed.clone());
        if self.more > 0 {
            error.with("truncated", true)
        } else {
            error
        }
    }
}

/// A violation as JSON.
pub fn describe(path: &str, message: &str) -> Value {
    json!({ "path": cut(path), "message": cut(message) })
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}
