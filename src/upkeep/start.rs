//! The first call after CREATE EXTENSION, which itself writes no row: what it wrote would make a restore fail.

use crate::error::Result;
use crate::{pg_cron, schedule, workspace};

/// Creates the workspace `default` and upkeep's pg_cron entry, unless they exist.
///
/// # Errors
/// `PG_CRON_UNAVAILABLE`, and what pg_cron raises.
pub fn start() -> Result<()> {
    pg_cron::require()?;
    workspace::create_default()?;
    schedule::ensure_upkeep(true)
}
