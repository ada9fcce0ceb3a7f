//! Places in a JSON Schema: paths, the targets of references, and refusals.

use serde_json::Value;
use std::collections::HashMap;

/// Why a schema is refused, and at which path.
#[derive(Debug)]
pub struct Refusal {
    /// The JSON path of the offending part.
    pub path: String,
    pub message: String,
}

/// The subschemas with each anchor.
pub type Anchors<'a> = HashMap<&'a str, Vec<&'a Value>>;

/// Keywords whose value is data. A reference into data is refused.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];

/// Finds the subschema of `root` that a reference at `path` names.
pub fn resolve<'a>(
    root: &'a Value,
    anchors: &Anchors<'a>,
    reference: &str,
    path: &str,
) -> Result<&'a Value, Refusal> {
    let Some(fragment) = reference.strip_prefix('#') else {
        return Err(refusal(
            path,
            "must begin with # and refer to this schema; other documents are never read",
        ));
    };
    let fragment =
        percent_decode(fragment).ok_or_else(|| refusal(path, "has an invalid fragment"))?;
    if !fragment.is_empty() && !fragment.starts_with('/') {
        return match anchors.get(fragment.as_str()).map(Vec::as_slice) {
            Some([target]) => Ok(target),
            Some(_) => Err(refusal(path, "refers to an anchor that is not unique")),
            None => Err(refusal(path, "refers to an anchor that does not exist")),
        };
    }
    let names: Vec<String> = fragment
        .split('/')
        .skip(1)
        .map(|name| name.replace("~1", "/").replace("~0", "~"))
        .collect();
    if names.iter().any(|name| DATA.contains(&name.as_str())) {
        return Err(refusal(
            path,
            format!("must not refer to or through {}", DATA.join(", ")),
        ));
    }
    let target = names.iter().try_fold(root, |value, name| match value {
        Value::Object(members) => members.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => None,
    });
    target.ok_or_else(|| refusal(path, "refers to a subschema that does not exist"))
}

/// The refusal of a part of the schema.
pub fn refusal(path: &str, message: impl Into<String>) -> Refusal {
    Refusal {
        path: path.to_owned(),
        message: message.into(),
    }
}

/// The path of a member.
pub fn join(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Decodes the fragment of a URI; None if it is invalid.
fn percent_decode(fragment: &str) -> Option<String> {
    let mut bytes = fragment.bytes();
    let mut decoded = vec![];
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}
