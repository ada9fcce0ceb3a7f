//! Plans that read by index whatever the tables' sizes are when the plan is made.

use pgrx::pg_sys;
use pgrx::prelude::*;
use std::cell::Cell;

thread_local! {
    /// Whether a statement of [`by_index`] may be planned now.
    static BY_INDEX: Cell<bool> = const { Cell::new(false) };
}

/// The planner's settings as a session has them: enable_seqscan, enable_bitmapscan, enable_hashjoin, enable_mergejoin,
/// enable_sort, enable_memoize.
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

/// Puts back whether PostgreSQL compiles plans.
struct SavedJit(bool);

impl Drop for SavedJit {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { pg_sys::jit_enabled = self.0 };
    }
}

/// Runs `work`, whose statements are planned without JIT: compiling a claim takes seconds and saves nothing. A generic
/// plan is compiled by its estimated cost, which says little of the rows that a call reads.
pub fn without_jit<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: a backend has one thread, and the variable is a plain boolean. An error unwinds, which restores it.
    let _saved = unsafe {
        let saved = SavedJit(pg_sys::jit_enabled);
        pg_sys::jit_enabled = false;
        saved
    };
    work()
}

/// Runs `work`, whose statements are planned to read tables by index, as if all tables were large.
///
/// A generic plan knows neither the length of an array nor the number behind LIMIT, and reads or sorts a whole table (30 to
/// 200 ms with 400,000 rows) where a few steps in an index would do. On an empty table every plan costs the same, and the
/// plan that was made then would be used on a full one. PostgreSQL plans a kept statement anew after changes of what it
/// reads, so the settings must hold at each call; writing the variables costs nothing, other than a SET clause.
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

/// Lets the planner see large tables in statements of [`by_index`]. Runs once in each backend.
pub fn install_hook() {
    // SAFETY: a backend has one thread; the hook that was there before is called first.
    unsafe {
        NEXT_HOOK = pg_sys::get_relation_info_hook;
        pg_sys::get_relation_info_hook = Some(enlarge);
    }
}

/// The least size that a table has for the planner: about a million rows.
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
