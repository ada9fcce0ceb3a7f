//! Keeps the invariants, checks them, and deletes old rows.

mod check;
mod delete_workspace;
mod doctor;
mod metrics;
mod owner;
mod prune;
mod reconcile;
mod removal;
mod run;
mod start;

pub use check::check;
pub use delete_workspace::delete_workspace;
pub use doctor::doctor;
pub use metrics::metrics;
pub use owner::set_owner;
pub use prune::prune;
pub use reconcile::reconcile;
pub use removal::install_hook;
pub use run::{tick, upkeep};
pub use start::start;
