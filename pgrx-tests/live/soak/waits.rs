//! Watches who waits for whose locks.

use postgres::Client;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How often the watcher looks.
const EVERY: Duration = Duration::from_millis(25);

/// A wait for one statement that lasts longer than this is too long.
const LONGEST: f64 = 2.0;

/// Every wait for a lock and the sessions that block it. A workspace's sessions have its name as application_name.
const WAITS: &str = "
select w.pid, w.waitstart::text, extract(epoch from clock_timestamp() - w.waitstart)::float8 as seconds, w.locktype,
       waiting.application_name as waiting, left(waiting.query, 200) as waiting_query,
       blocking.pid as blocking_pid, blocking.application_name as blocking, left(blocking.query, 200) as blocking_query,
       blocking.query_start::text as blocking_since, blocking.state = 'active' as is_active
from pg_locks w
join pg_stat_activity waiting on waiting.pid = w.pid
cross join unnest(pg_blocking_pids(w.pid)) b
join pg_stat_activity blocking on blocking.pid = b
where w.waitstart is not null and blocking.backend_type = 'client backend'";

/// The application_name of sessions that work for all workspaces.
pub const KRONOS: &str = "pg_cron";

/// The waits that the watcher has seen.
#[derive(Default)]
pub struct Waits {
    pub samples: u32,
    /// How many waits there were between which names of sessions, and how long the longest one lasted in seconds.
    pub by_names: BTreeMap<(String, String), (usize, f64)>,
    /// Waits for a session of another workspace that lasted longer than one of its statements.
    pub too_long: BTreeSet<String>,
}

/// A wait: the waiting session, when the wait began, and the blocking session.
type Wait = (i32, String, i32);

/// Watches until the run is over.
pub fn watch(session: &mut Client, is_over: &AtomicBool) -> Waits {
    let mut waits = Waits::default();
    // The statement of the blocking session that a wait was first seen with, and in how many samples it was idle.
    let mut seen: HashMap<Wait, (String, u32)> = HashMap::new();
    while !is_over.load(Ordering::Relaxed) {
        waits.samples += 1;
        for row in session.query(WAITS, &[]).unwrap() {
            let names: (String, String) = (row.get("waiting"), row.get("blocking"));
            let seconds: f64 = row.get("seconds");
            let wait = (
                row.get("pid"),
                row.get("waitstart"),
                row.get("blocking_pid"),
            );
            let of_names = waits.by_names.entry(names.clone()).or_default();
            of_names.0 += usize::from(!seen.contains_key(&wait));
            of_names.1 = of_names.1.max(seconds);
            let since: String = row.get("blocking_since");
            let (first_statement, idle) = seen.entry(wait).or_insert((since.clone(), 0));
            // A session may look idle for one sample: its state is read before its locks are.
            *idle += u32::from(!row.get::<_, bool>("is_active"));
            let is_across = names.0 != names.1 && names.1 != KRONOS;
            if is_across && (*idle > 1 || *first_statement != since || seconds > LONGEST) {
                waits.too_long.insert(format!(
                    "{} waits ({}) for {}: {} | {}",
                    names.0,
                    row.get::<_, &str>("locktype"),
                    names.1,
                    row.get::<_, &str>("waiting_query"),
                    row.get::<_, &str>("blocking_query")
                ));
            }
        }
        thread::sleep(EVERY);
    }
    waits
}
