//! The spec of an endpoint of type SQL: the statement that the server runs, how, and with which settings.

use crate::error::{KronosError, Result, invalid_argument};
use crate::sql::{self, Jsonb};
use pgrx::pg_sys;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The endpoint type that only the server itself runs.
pub const SQL: &str = "SQL";

/// The most settings of a spec.
const MOST_SETTINGS: usize = 50;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    statement: String,
    mode: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    settings: BTreeMap<String, Value>,
}

/// Checks a spec and completes it. The statement is parsed, not analysed: its tables may be created later.
///
/// mode is `transaction` (the statement and the completion of its execution commit together, so its effects in the
/// database happen exactly once) or `autocommit` (each statement runs like that of a client in autocommit mode, at least
/// once). Left out, it is `transaction` unless a statement cannot run inside a transaction, such as VACUUM.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn complete(spec: Jsonb) -> Result<Jsonb> {
    let read: std::result::Result<Spec, _> = serde_json::from_str(&spec.text());
    let mut spec = read.map_err(|problem| invalid(&problem.to_string()))?;
    let commands = sql::commands(&spec.statement, |problem| {
        invalid(&format!("the statement: {problem}"))
    })?;
    if commands.is_empty() {
        return Err(invalid("the statement is empty"));
    }
    if commands.iter().any(|command| command.copies_with_client) {
        return Err(invalid(
            "COPY needs a file or a program: the server has no client",
        ));
    }
    let mode = match spec.mode.as_deref() {
        None if commands.iter().any(|command| command.needs_top_level) => "autocommit",
        None => "transaction",
        Some(mode @ ("transaction" | "autocommit")) => mode,
        Some(_) => return Err(invalid("mode must be transaction or autocommit")),
    };
    if mode == "transaction" && commands.iter().any(|command| command.controls_transaction) {
        return Err(invalid(
            "a statement of mode transaction cannot begin or end transactions",
        ));
    }
    spec.mode = Some(mode.to_owned());
    if spec.settings.len() > MOST_SETTINGS {
        return Err(invalid("at most 50 settings are allowed"));
    }
    for (name, value) in &mut spec.settings {
        *value = Value::String(check_setting(name, value)?);
    }
    let text = serde_json::to_string(&spec)
        .map_err(|problem| KronosError::internal(problem.to_string()))?;
    Jsonb::from_text("spec", &text)
}

fn invalid(problem: &str) -> KronosError {
    invalid_argument(
        "spec",
        &format!(
            "of an SQL endpoint must be {{\"statement\": …, \"mode\": …, \"settings\": {{…}}}}: {problem}"
        ),
    )
}

/// The value of a setting as text. Whether the role may set it, and to this value, is known when it runs.
fn check_setting(name: &str, value: &Value) -> Result<String> {
    let is_known = name.contains('.') || sql::setting(&sql::processes::c_string(name)).is_some();
    if !is_known || ["role", "session_authorization"].contains(&name.to_lowercase().as_str()) {
        return Err(invalid(&format!(
            "{name:?} is not a setting that it can have"
        )));
    }
    match value {
        Value::String(text) if !text.contains('\0') => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        _ => Err(invalid(&format!(
            "setting {name:?} must be a text, a number or a boolean"
        ))),
    }
}

/// Checks the role as which an endpoint's statement will run, and returns it.
///
/// # Errors
/// `INVALID_ARGUMENT` before PostgreSQL 17 for a role without LOGIN: the server starts no process as such a role.
pub fn check_role(role: pg_sys::Oid) -> Result<pg_sys::Oid> {
    const MAY_RUN: &str = "
        select from pg_catalog.pg_roles r
        where r.oid = $1 and (r.rolcanlogin or current_setting('server_version_num')::integer >= 170000)";
    if sql::exists(MAY_RUN, &[role.into()])? {
        return Ok(role);
    }
    Err(invalid_argument(
        "spec",
        "cannot be written by a role without LOGIN: before PostgreSQL 17 the server runs no statement as such a role",
    ))
}
