//! Watching over the invariants, and over what piles up.

mod check;
mod prune;

pub use check::check;
pub use prune::prune;
