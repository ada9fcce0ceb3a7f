//! Timings that this backend has read, so that it reads each once.

use super::expr::CronExpr;
use super::parse_error::ParseError;
use super::timing::Timing;
use super::zone::Zone;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Why an expression and a zone make no timing.
pub enum Refused {
    Cron(ParseError),
    /// The server knows no zone of that name.
    Zone,
}

/// The most timings that a backend keeps. Past it the cache starts afresh.
const CAPACITY: usize = 4096;

thread_local! {
    static TIMINGS: RefCell<HashMap<(String, String), Rc<Timing>>> = RefCell::default();
}

/// The timing of a cron expression and the name of a zone, as anybody may write them.
///
/// What is kept never goes stale: PostgreSQL itself keeps a zone's rules until the backend ends.
pub fn timing(cron: &str, timezone: &str) -> Result<Rc<Timing>, Refused> {
    let key = (cron.to_owned(), timezone.to_owned());
    TIMINGS.with_borrow_mut(|timings| {
        if let Some(timing) = timings.get(&key) {
            return Ok(Rc::clone(timing));
        }
        let timing = Rc::new(Timing {
            expr: CronExpr::parse(cron).map_err(Refused::Cron)?,
            zone: Zone::named(timezone).ok_or(Refused::Zone)?,
        });
        if timings.len() >= CAPACITY {
            timings.clear();
        }
        timings.insert(key, Rc::clone(&timing));
        Ok(timing)
    })
}
