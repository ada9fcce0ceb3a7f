//! The rules of a cron job's life.

mod backfill;
mod cancel;
mod create;
mod crontab;
mod pause;
mod read;
mod rules;
mod trigger;
mod update;

pub use backfill::backfill;
pub use cancel::cancel;
pub use create::{NewCronJob, create};
pub use crontab::apply;
pub use pause::{pause, resume};
pub use read::{JobRef, find_job, find_workspace};
pub use rules::{Policies, check_length};
pub use trigger::trigger;
pub use update::{Changes, update};
