//! The rules of a job's life.

mod backfill;
mod cancel;
mod create;
mod crontab;
mod once;
mod pause;
mod read;
mod rules;
mod trigger;
mod update;

pub use backfill::backfill;
pub use cancel::{cancel, cancel_any};
pub use create::{NewCronJob, create};
pub use crontab::apply;
pub use once::{NewOneShot, create_listed, create_once};
pub use pause::{pause, resume};
pub use read::{JobRef, find_job, find_workspace};
pub use rules::{Policies, check_length};
pub use trigger::trigger;
pub use update::{Changes, update};
