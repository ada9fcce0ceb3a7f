//! The headers that become arguments: Idempotency-Key, If-Match, traceparent.

use crate::App;
use crate::database::Row;
use crate::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use serde_json::value::to_raw_value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The header Idempotency-Key.
pub struct IdempotencyKey(pub Option<String>);

impl FromRequestParts<Arc<App>> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else {
            return Ok(IdempotencyKey(None));
        };
        match value.to_str() {
            Ok(key) => Ok(IdempotencyKey(Some(key.to_owned()))),
            Err(_) => Err(Problem::bad_request("Idempotency-Key must be ASCII")),
        }
    }
}

/// The version that If-Match names; None without the header and for `*`.
pub struct IfMatch(pub Option<i32>);

impl FromRequestParts<Arc<App>> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        match parts.headers.get(IF_MATCH) {
            None => Ok(IfMatch(None)),
            Some(value) => parse_if_match(value.to_str().unwrap_or_default()).map(IfMatch),
        }
    }
}

fn parse_if_match(value: &str) -> Result<Option<i32>, Problem> {
    if value == "*" {
        return Ok(None);
    }
    let quoted = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    let digits = quoted.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let version = digits.and_then(|text| text.parse().ok());
    version.map(Some).ok_or_else(|| {
        Problem::bad_request("If-Match must be * or one ETag of a job, such as \"3\"")
    })
}

/// The header traceparent, if it is valid; W3C asks to ignore others.
pub struct Traceparent(Option<String>);

impl FromRequestParts<Arc<App>> for Traceparent {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all("traceparent").iter();
        let value = match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        };
        let valid = value.filter(|value| is_traceparent(value));
        Ok(Traceparent(valid.map(str::to_owned)))
    }
}

impl Traceparent {
    /// The metadata with `traceparent` added, unless it has one. It differs at each retry of a request, so Kronos does
    /// not compare it.
    pub fn add_to(self, metadata: Option<Row>) -> Option<Row> {
        let Some(traceparent) = self.0 else {
            return metadata;
        };
        let given = metadata.as_ref().map_or("{}", |metadata| metadata.get());
        let Ok(mut members) = serde_json::from_str::<BTreeMap<String, Row>>(given) else {
            return metadata; // Not an object, which the function refuses.
        };
        if let Ok(value) = to_raw_value(&traceparent) {
            members.entry("traceparent".into()).or_insert(value);
        }
        to_raw_value(&members).ok().or(metadata)
    }
}

/// Version 00 of the format, and what it asks of later versions: they begin with the same four fields.
fn is_traceparent(value: &str) -> bool {
    let is_hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let fields: Vec<&str> = value.splitn(5, '-').collect();
    match fields[..] {
        [version, trace, parent, flags, ref rest @ ..] => {
            is_hex(version, 2)
                && version != "ff"
                && is_hex(trace, 32)
                && !is_zero(trace)
                && is_hex(parent, 16)
                && !is_zero(parent)
                && is_hex(flags, 2)
                && (rest.is_empty() || version != "00")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn if_match_names_one_version_or_any() {
        assert_eq!(parse_if_match("*").unwrap(), None);
        assert_eq!(parse_if_match("\"12\"").unwrap(), Some(12));
        for value in [
            "",
            "12",
            "\"\"",
            "\"+1\"",
            "W/\"1\"",
            "\"1\", \"2\"",
            "\"99999999999\"",
            "\"",
        ] {
            assert_eq!(parse_if_match(value).unwrap_err().status, 400, "{value}");
        }
    }

    #[test]
    fn traceparent_follows_the_format_of_w3c() {
        assert!(is_traceparent(TRACE));
        assert!(is_traceparent(&TRACE.replacen("00", "01", 1)));
        assert!(is_traceparent(&(TRACE.replacen("00", "01", 1) + "-more")));
        for value in [
            "".to_owned(),
            TRACE.to_owned() + "-more",
            TRACE.replacen("00", "ff", 1),
            TRACE.to_uppercase(),
            TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            TRACE.replace("00f067aa0ba902b7", &"0".repeat(16)),
            TRACE.replace("-01", ""),
            TRACE.replace("-01", "-1"),
        ] {
            assert!(!is_traceparent(&value), "{value}");
        }
    }

    #[test]
    fn traceparent_joins_the_metadata_without_changing_them() {
        let add = |metadata: Option<&str>| {
            let metadata = metadata.map(|text| RawValue::from_string(text.into()).unwrap());
            let sum = Traceparent(Some(TRACE.into())).add_to(metadata);
            sum.map_or(String::new(), |sum| sum.get().to_owned())
        };
        let alone = format!("{{\"traceparent\":\"{TRACE}\"}}");
        assert_eq!(add(None), alone);
        let beside = alone.replace("{", "{\"n\":1.0000000000000000000001,");
        assert_eq!(add(Some("{\"n\": 1.0000000000000000000001}")), beside);
        for kept in ["{\"traceparent\": \"mine\"}", "[1]"] {
            assert_eq!(add(Some(kept)).replace(':', ": "), kept);
        }
    }
}
