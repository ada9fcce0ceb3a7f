//! The rules of a cron job's life: create, update, cancel.

mod cancel;
mod create;
mod pause;
mod read;
mod rules;
mod trigger;
mod update;

pub use cancel::cancel;
pub use create::{NewCronJob, create};
pub use pause::{pause, resume};
pub use read::{find_workspace, lineage_of, version_ids};
pub use rules::check_length;
pub use trigger::trigger;
pub use update::{Changes, update};
