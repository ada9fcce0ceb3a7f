//! Plans that read by index, whatever size the tables have when the plan is made.

use pgrx::pg_sys;
use pgrx::prelude::*;
use std::cell::Cell;

thread_local! {
    /// Whether the current statements run within [`by_index`].
    static BY_INDEX: Cell<bool> = const { Cell::new(false) };
}

/// The session's settings of the planner: enable_seqscan, enable_bitmapscan, enable_hashjoin, enable_mergejoin,
/// enable_sort.
struct Saved {
    settings: [bool; 6],
    by_index: bool,
}

impl Drop for Saved {
    fn drop(&mut self) {
        BY_INDEX.set(self.by_index);
        // SAFETY: a backend has one thread, and the variables are plain booleans.
        unsafe {
            [
                pg_sys::enable_seqscan,
                pg_sys::enable_bitmapscan,
                pg_sys::enable_hashjoin,
                pg_sys::enable_mergejoin,
                pg_sys::enable_sort,
                pg_sys::enable_memoize,
            ] = self.settings;
        }
    }
}

/// Restores the setting jit_enabled.
struct SavedJit(bool);

impl Drop for SavedJit {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { pg_sys::jit_enabled = self.0 };
    }
}

/// Runs `work` without JIT: compiling a claim takes seconds and saves nothing. PostgreSQL compiles a generic plan by
/// its estimated cost, which says little about the rows that a call reads.
pub fn without_jit<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: a backend has one thread, and the variable is a plain boolean. An error unwinds, which restores it.
    let _saved = unsafe {
        let saved = SavedJit(pg_sys::jit_enabled);
        pg_sys::jit_enabled = false;
        saved
    };
    work()
}

/// Runs `work` with statements that are planned to read by index, as if every table were large.
///
/// A generic plan knows neither the length of an array nor the value of LIMIT, and scans or sorts a whole table (30 to
/// 200 ms with 400,000 rows) where a few index lookups would do. On an empty table every plan costs the same, and a
/// plan made then would still be used when the table is full. PostgreSQL replans a prepared statement when the tables
/// that it reads change, so the settings must hold at each call. Unlike a SET clause, writing the variables costs
/// nothing.
pub fn by_index<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: a backend has one thread, and the variables are plain booleans. An error unwinds, which restores them.
    let _saved = unsafe {
        let saved = Saved {
            settings: [
                pg_sys::enable_seqscan,
                pg_sys::enable_bitmapscan,
                pg_sys::enable_hashjoin,
                pg_sys::enable_mergejoin,
                pg_sys::enable_sort,
                pg_sys::enable_memoize,
            ],
            by_index: BY_INDEX.replace(true),
        };
        pg_sys::enable_seqscan = false;
        pg_sys::enable_bitmapscan = false;
        pg_sys::enable_hashjoin = false;
        pg_sys::enable_mergejoin = false;
        pg_sys::enable_sort = false;
        pg_sys::enable_memoize = false;
        saved
    };
    work()
}

static mut NEXT_HOOK: pg_sys::get_relation_info_hook_type = None;

/// Makes tables look large to the planner within [`by_index`]. Runs once in each backend.
pub fn install_hook() {
    // SAFETY: a backend has one thread; the hook that was there before is called first.
    unsafe {
        NEXT_HOOK = pg_sys::get_relation_info_hook;
        pg_sys::get_relation_info_hook = Some(enlarge);
    }
}

/// The smallest size that the planner sees: about a million rows.
const LARGE_PAGES: u32 = 20_000;
const LARGE_TUPLES: f64 = 1_000_000.0;

#[pg_guard]
unsafe extern "C-unwind" fn enlarge(
    root: *mut pg_sys::PlannerInfo,
    relation: pg_sys::Oid,
    inhparent: bool,
    rel: *mut pg_sys::RelOptInfo,
) {
    // SAFETY: the planner hands over its own structures while it fills in a relation's sizes.
    unsafe {
        if let Some(next) = NEXT_HOOK {
            next(root, relation, inhparent, rel);
        }
        if !BY_INDEX.get() {
            return;
        }
        (*rel).pages = (*rel).pages.max(LARGE_PAGES);
        (*rel).tuples = (*rel).tuples.max(LARGE_TUPLES);
        let indexes = (*rel).indexlist;
        if indexes.is_null() {
            return;
        }
        for place in 0..(*indexes).length as usize {
            let index: *mut pg_sys::IndexOptInfo =
                (*(*indexes).elements.add(place)).ptr_value.cast();
            (*index).pages = (*index).pages.max(LARGE_PAGES / 2);
            (*index).tuples = (*index).tuples.max(LARGE_TUPLES / 2.0);
            (*index).tree_height = (*index).tree_height.max(2);
        }
    }
}
