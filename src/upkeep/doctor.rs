//! `doctor`: diagnoses the server, its settings and pg_cron.

use super::check::check;
use crate::error::{KronosError, Result};
use crate::{pg_cron, settings, sql};
use pgrx::JsonB;
use serde_json::{Value, json};

/// Something that keeps Kronos from working (ERROR), or from working well (WARNING).
pub struct Finding {
    pub severity: String,
    pub finding: String,
    /// The facts: names, numbers, times.
    pub detail: JsonB,
    /// What to do.
    pub advice: String,
}

impl Finding {
    fn error(finding: impl Into<String>, detail: Value, advice: &str) -> Finding {
        Finding {
            severity: "ERROR".into(),
            finding: finding.into(),
            detail: JsonB(detail),
            advice: advice.into(),
        }
    }
}

fn read(row: &sql::Row) -> Result<Finding> {
    Ok(Finding {
        severity: sql::get(row, "severity")?,
        finding: sql::get(row, "finding")?,
        detail: sql::get(row, "detail")?,
        advice: sql::get(row, "advice")?,
    })
}

/// The tables that claims and reports change.
const HOT_TABLES: [&str; 3] = ["live_executions", "history", "attempts"];

/// Returns every finding, errors first; none when all is well.
///
/// # Errors
/// `INVALID_TIMEZONE` if this server does not know cron.timezone.
pub fn doctor() -> Result<Vec<Finding>> {
    let mut findings = vec![];
    match pg_cron::require() {
        Ok(()) => findings.extend(pg_cron::diagnose(read)?),
        Err(problem) => findings.push(describe(&problem)),
    }
    let args = [
        settings::enabled().into(),
        settings::max_entries().into(),
        HOT_TABLES.map(str::to_owned).to_vec().into(),
    ];
    let doctor = include_str!("doctor.sql");
    findings.extend(sql::rows_planned_anew(doctor, &args, read)?);
    let violations = check()?.len();
    if violations > 0 {
        findings.push(Finding::error(
            format!("check() finds {violations} violations"),
            json!({ "violations": violations }),
            "SELECT * FROM kronos.check()",
        ));
    }
    findings.sort_by(|one, other| one.severity.cmp(&other.severity));
    Ok(findings)
}

fn describe(problem: &KronosError) -> Finding {
    Finding::error(
        problem.to_string(),
        json!({}),
        "set shared_preload_libraries = 'pg_cron', cron.database_name to this database and cron.launch_active_jobs = on, and restart the server",
    )
}
