//! The types of fields in bodies and queries that serde does not have.

use chrono::DateTime;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;

/// A field of a PATCH. serde's `default` makes a field that is left out `Absent`.
#[derive(Debug, Default, PartialEq)]
pub enum Patch<T> {
    #[default]
    Absent,
    Null,
    Value(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::deserialize(deserializer)? {
            Some(value) => Patch::Value(value),
            None => Patch::Null,
        })
    }
}

/// Reads a field of a PATCH that cannot be cleared: null is an error.
pub fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    match Option::deserialize(deserializer)? {
        Some(value) => Ok(Some(value)),
        None => Err(D::Error::custom("null is not allowed here")),
    }
}

/// A time of RFC 3339. PostgreSQL would also read times without an offset, and words like `tomorrow`.
pub struct Timestamp(String);

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match DateTime::parse_from_rfc3339(&text) {
            Ok(_) => Ok(Timestamp(text)),
            Err(_) => Err(D::Error::custom(
                "expected a time of RFC 3339, such as 2030-01-31T09:00:00Z",
            )),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// JSON that the service passes on unread. null counts as left out.
pub type Json = Option<Box<RawValue>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patch_tells_absent_from_null() {
        #[derive(Deserialize)]
        struct Fields {
            #[serde(default)]
            a: Patch<i32>,
            #[serde(default, deserialize_with = "not_null")]
            b: Option<i32>,
        }
        let parse = |text| serde_json::from_str::<Fields>(text).map(|fields| (fields.a, fields.b));
        assert_eq!(parse("{}").unwrap(), (Patch::Absent, None));
        assert_eq!(
            parse(r#"{"a": null, "b": 1}"#).unwrap(),
            (Patch::Null, Some(1))
        );
        assert_eq!(parse(r#"{"a": 1}"#).unwrap(), (Patch::Value(1), None));
        let error = parse(r#"{"b": null}"#).unwrap_err().to_string();
        assert!(error.contains("null is not allowed here"), "{error}");
    }

    #[test]
    fn time_needs_an_offset() {
        let parse = |text: &str| serde_json::from_str::<Timestamp>(text).is_ok();
        assert!(parse(r#""2030-01-31T09:00:00Z""#));
        assert!(parse(r#""2030-01-31T09:00:00.123456+05:30""#));
        for text in [
            r#""2030-01-31T09:00:00""#,
            r#""tomorrow""#,
            r#""infinity""#,
            "1",
        ] {
            assert!(!parse(text), "{text}");
        }
    }
}
