//! Time zones, as this PostgreSQL server knows them: its own tz database through its own functions.

use pgrx::pg_sys;
use std::ffi::CString;

/// A time zone of the server.
#[derive(Clone, Copy)]
pub struct Zone {
    // PostgreSQL keeps every zone that it has loaded until the backend ends.
    tz: *const pg_sys::pg_tz,
}

impl Zone {
    /// The zone of a name (in any case), or None if the server knows none.
    pub fn named(name: &str) -> Option<Zone> {
        let name = CString::new(name).ok()?;
        // SAFETY: pg_tzset reads a NUL-terminated string and returns null or a pointer that lives as long as the backend.
        let tz = unsafe { pg_sys::pg_tzset(name.as_ptr()) };
        (!tz.is_null()).then_some(Zone { tz })
    }

    /// Seconds east of Greenwich at an instant (in seconds since 1970).
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
}
