//! When a schedule ticks: pg_cron's dialect, time zones, and the ticks that follow from both. This module knows nothing
//! of tables.

mod cache;
mod clock;
mod describe;
mod entry;
mod expr;
mod fields;
mod parse_error;
mod timing;
mod zone;

pub use cache::{TimingError, timing};
pub use describe::describe;
pub use entry::entry_for;
pub use expr::{CronExpr, Rule};
pub use parse_error::{ParseError, ParseErrorKind};
pub use timing::{Tick, Timing};
pub use zone::Zone;
