//! Watching over the invariants.

mod check;

pub use check::check;
