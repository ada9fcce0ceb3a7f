//! The first call after CREATE EXTENSION. CREATE EXTENSION itself writes no row, because a restore would then fail.

use crate::authority::create_default;
use crate::error::Result;
use crate::{pg_cron, schedule};

/// Creates the workspace `default` and upkeep's pg_cron entry, unless they exist.
///
/// # Errors
/// `PG_CRON_UNAVAILABLE`, and any error of pg_cron.
pub fn start() -> Result<()> {
    pg_cron::require()?;
    create_default()?;
    schedule::ensure_upkeep(true)
}
