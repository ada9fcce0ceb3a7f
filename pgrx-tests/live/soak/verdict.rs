//! What an error of a call may be.

use postgres::error::DbError;
use postgres::{Client, Error};
use serde_json::Value;
use std::collections::HashMap;

/// SQLSTATEs of PostgreSQL's own errors about the transaction of a call, not about the call: a serialization failure, a
/// deadlock, a lock timeout, a write in a read-only transaction.
const OF_TRANSACTION: [&str; 4] = ["40001", "40P01", "55P03", "25006"];

/// Judges errors by the codes that Kronos documents.
pub struct Judge {
    /// The SQLSTATE of each code.
    codes: HashMap<String, String>,
}

impl Judge {
    pub fn new(session: &mut Client) -> Judge {
        let codes = "select code, sqlstate from kronos.error_codes()";
        let rows = session.query(codes, &[]).unwrap();
        Judge {
            codes: rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
        }
    }

    /// Returns the fault of an error, if it has one. An error must have in DETAIL a JSON object with a documented code
    /// and the SQLSTATE of this code, or be about the transaction; it must not be internal.
    pub fn fault(&self, error: &Error) -> Option<String> {
        let Some(error) = error.as_db_error() else {
            return Some(format!("the session has ended: {error}"));
        };
        let sqlstate = error.code().code();
        let detail = detail(error);
        let code = detail["code"].as_str().unwrap_or_default();
        let is_right = match self.codes.get(code) {
            _ if OF_TRANSACTION.contains(&sqlstate) => true,
            // import_pg_cron() reads cron.job with the privileges of its caller.
            Some(_) if code == "PG_CRON_FAILED" => sqlstate == "42501",
            Some(of_code) => of_code == sqlstate && sqlstate != "XX000",
            None => false,
        };
        (!is_right).then(|| {
            format!(
                "{sqlstate}: {} (DETAIL {:?})",
                error.message(),
                error.detail()
            )
        })
    }
}

/// The DETAIL of an error; null if it is not JSON.
pub fn detail(error: &DbError) -> Value {
    let detail = serde_json::from_str(error.detail().unwrap_or("null"));
    detail.unwrap_or_default()
}
