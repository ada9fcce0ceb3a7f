//! Keeps the invariants, checks them, and deletes old rows.

mod check;
mod prune;
mod run;
mod start;

pub use check::check;
pub use prune::prune;
pub use run::upkeep;
pub use start::start;
