//! The timings that this backend has parsed, so that it parses each only once.

use super::expr::CronExpr;
use super::parse_error::ParseError;
use super::timing::Timing;
use super::zone::Zone;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Why a cron expression and a time zone were refused.
pub enum TimingError {
    Cron(ParseError),
    /// The server does not know a zone of that name.
    Zone,
}

/// The most timings that a backend keeps. A full cache is emptied.
const CAPACITY: usize = 4096;

thread_local! {
    static TIMINGS: RefCell<HashMap<(String, String), Rc<Timing>>> = RefCell::default();
}

/// The timing of a cron expression in a time zone, both as the caller wrote them.
///
/// A cached timing never goes stale: PostgreSQL itself keeps a zone's rules until the backend ends.
pub fn timing(cron: &str, timezone: &str) -> Result<Rc<Timing>, TimingError> {
    let key = (cron.to_owned(), timezone.to_owned());
    TIMINGS.with_borrow_mut(|timings| {
        if let Some(timing) = timings.get(&key) {
            return Ok(Rc::clone(timing));
        }
        let timing = Rc::new(Timing {
            expr: CronExpr::parse(cron).map_err(TimingError::Cron)?,
            zone: Zone::named(timezone).ok_or(TimingError::Zone)?,
        });
        if timings.len() >= CAPACITY {
            timings.clear();
        }
        timings.insert(key, Rc::clone(&timing));
        Ok(timing)
    })
}
