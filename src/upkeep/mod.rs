//! Watching over the invariants, and over what piles up.

mod check;
mod prune;
mod run;
mod start;

pub use check::check;
pub use prune::prune;
pub use run::upkeep;
pub use start::start;
