//! Places in a JSON Schema: their paths, what references name, and why a place is refused.

use serde_json::Value;
use std::collections::HashMap;

/// Why a schema is refused, and where.
#[derive(Debug)]
pub struct Refusal {
    /// The JSON path of the offending part.
    pub path: String,
    pub message: String,
}

/// The subschemas of each anchor.
pub type Anchors<'a> = HashMap<&'a str, Vec<&'a Value>>;

/// Keywords whose value is data: a reference into it is refused.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];

/// The subschema that a reference at `path` names, in the schema of `root`.
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
    let fragment = percent_decoded(fragment)
        .ok_or_else(|| refusal(path, "has a fragment that is not valid"))?;
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

/// A refusal of what stands at a path.
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

/// The text of a URI's fragment.
fn percent_decoded(fragment: &str) -> Option<String> {
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
