//! Long runs under random load and faults. They are short in the usual test run; `scripts/soak` runs them at full size.
//!
//! Each prints its seed. `KRONOS_SEED` repeats a run with that seed.

mod calls;
mod extremes;
mod forged;
mod functions;
mod fuzz;
mod history;
mod kills;
mod load;
mod model;
mod random_calls;
mod stress;
mod values;
mod verdict;
mod waits;
mod year;

use crate::domain::{assert_sound, count, upkeep};
use postgres::Client;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// `full` under `scripts/soak`, which sets `KRONOS_SOAK`; otherwise `short`.
pub fn size<T>(short: T, full: T) -> T {
    if std::env::var_os("KRONOS_SOAK").is_some() {
        full
    } else {
        short
    }
}

/// A seed for a run: `KRONOS_SEED` if it is set, otherwise a random one. Prints it.
pub fn seed() -> u64 {
    let seed = match std::env::var("KRONOS_SEED") {
        Ok(seed) => seed.parse().expect("KRONOS_SEED is a number"),
        Err(_) => rand::random(),
    };
    println!("KRONOS_SEED={seed}");
    seed
}

/// A random generator for one of the threads of a run.
pub fn generator(seed: u64, thread: u64) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_add(thread))
}

/// Runs upkeep and repairs until there is nothing to repair, and asserts that no invariant is violated and that no step
/// of upkeep has ever failed.
fn assert_sound_after_upkeep(owner: &mut Client) {
    upkeep(owner);
    while count(owner, "select count(*) from kronos.reconcile()") > 0 {}
    assert_sound(owner);
    let failed = "select coalesce(string_agg(distinct step || ': ' || error, '; '), '') from kronos.upkeep_runs";
    let failed: String = owner.query_one(failed, &[]).unwrap().get(0);
    assert_eq!(failed, "", "steps of upkeep that failed");
}
