//! Cron jobs: the rules of their life cycle.

mod backfill;
mod cancel;
mod create;
mod create_many;
mod crontab;
mod declared;
mod definition;
mod ended;
mod error;
mod failing;
mod find;
mod import;
mod insert;
mod job_ref;
mod listed;
mod pause;
mod read;
mod statement;
mod trigger;
mod update;

pub use backfill::backfill;
pub use cancel::{cancel, retire};
pub use create::{NewJob, create};
pub use create_many::create_many;
pub use crontab::apply;
pub use definition::Request;
pub use ended::{Ended, find_ended, retire_ended};
pub use failing::{Failing, find_failing, pause_failing};
pub use find::find;
pub use import::import;
pub use job_ref::JobRef;
pub use pause::{pause, resume};
pub use read::{TickFilter, list, list_ticks, list_versions, row, status};
pub use statement::{Scheduled, schedule, short_row, unschedule};
pub use trigger::trigger;
pub use update::{Changes, update};
