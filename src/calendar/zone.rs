//! Time zones as this PostgreSQL server knows them, read from its own tz database by its own functions.

use chrono::{DateTime, Utc};
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

/// A time zone of the server.
#[derive(Clone, Copy)]
pub struct Zone {
    // PostgreSQL keeps every zone that it has loaded until the backend ends.
    tz: *const pg_sys::pg_tz,
}

/// No zone has ever been this far from Greenwich. The largest offset is 15:56, the local mean time of the Philippines
/// until 1844.
const MAX_OFFSET: i64 = 16 * 3600;

/// The files of a tz database that Kronos excludes: they depend on the machine, or count leap seconds.
const EXCLUDED_FILES: [&str; 5] = ["posix/", "right/", "posixrules", "localtime", "Factory"];

impl Zone {
    /// The zone of an IANA name (in any case), or None if the server does not know the name. POSIX rules (`EST5EDT4`)
    /// and offsets are not accepted, although PostgreSQL accepts them.
    pub fn named(name: &str) -> Option<Zone> {
        let text = CString::new(name).ok()?;
        // SAFETY: pg_tzset reads a NUL-terminated string and returns null or a pointer that lives as long as the backend.
        let tz = unsafe { pg_sys::pg_tzset(text.as_ptr()) };
        let zone = (!tz.is_null()).then_some(Zone { tz })?;
        zone.is_from_tz_database().then_some(zone)
    }

    /// The zone's name as the tz database writes it.
    pub fn name(&self) -> &str {
        // SAFETY: tz is a live zone, whose name is a NUL-terminated string that is never changed.
        let name = unsafe { CStr::from_ptr(pg_sys::pg_get_timezone_name(self.tz.cast_mut())) };
        name.to_str().unwrap_or_default()
    }

    /// Whether the zone comes from a file of the tz database and not from a POSIX rule. Among IANA names in capitals,
    /// as PostgreSQL writes a rule's name, only Etc/GMT±n, GMT±0 and four names of the United States have a digit.
    fn is_from_tz_database(&self) -> bool {
        const WITH_DIGITS: [&str; 7] = [
            "EST5EDT", "CST6CDT", "MST7MDT", "PST8PDT", "GMT0", "GMT+0", "GMT-0",
        ];
        let name = self.name();
        let is_excluded = EXCLUDED_FILES.iter().any(|prefix| name.starts_with(prefix));
        let is_rule = name.contains(|c: char| c.is_ascii_digit() || "<>,".contains(c))
            && !WITH_DIGITS.contains(&name)
            && !name.starts_with("Etc/GMT");
        !is_excluded && !is_rule
    }

    /// The offset in seconds east of Greenwich, at an instant (in seconds since 1970).
    pub fn offset_at(&self, unix: i64) -> i64 {
        // SAFETY: tz is a live zone; pg_localtime returns null or a pointer to its static result, read at once.
        unsafe { pg_sys::pg_localtime(&unix, self.tz).as_ref() }.map_or(0, |tm| tm.tm_gmtoff)
    }

    /// The next instant after `unix` at which the zone changes its offset or its daylight saving flag.
    pub fn next_change(&self, unix: i64) -> Option<i64> {
        let (mut before, mut after) = (0, 0);
        let (mut before_dst, mut after_dst) = (0, 0);
        let mut boundary: pg_sys::pg_time_t = 0;
        // SAFETY: tz is a live zone, and every other argument is a valid place for the result.
        let found = unsafe {
            pg_sys::pg_next_dst_boundary(
                &unix,
                &mut before,
                &mut before_dst,
                &mut boundary,
                &mut after,
                &mut after_dst,
                self.tz,
            )
        };
        (found == 1 && boundary > unix).then_some(boundary)
    }

    /// The first instant at which the zone's clock shows a time (given as if it were UTC). If the clock skips the time,
    /// the end of the gap.
    pub fn first_instant_of(&self, local: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = local.timestamp();
        let mut segment = local - MAX_OFFSET;
        loop {
            let instant = local - self.offset_at(segment);
            match self.next_change(segment) {
                Some(change) if instant >= change => {
                    if change + self.offset_at(change) >= local {
                        return DateTime::from_timestamp(change, 0);
                    }
                    segment = change;
                }
                _ => return DateTime::from_timestamp(instant, 0),
            }
        }
    }
}
