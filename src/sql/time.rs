//! Converts between PostgreSQL's timestamps and chrono's.

use chrono::{DateTime, Duration, Utc};
use pgrx::datum::{Interval, TimestampWithTimeZone};
use pgrx::{FromDatum, pg_sys};

/// PostgreSQL's first timestamp: 4714-11-24 BC.
pub const FIRST_TIMESTAMP: DateTime<Utc> =
    DateTime::from_timestamp(-210_866_803_200, 0).expect("chrono's years begin earlier");

const POSTGRES_EPOCH_IN_UNIX_MICROS: i64 = 946_684_800_000_000;

/// If an instant that a call has stored lies further ahead than this, the clock was ahead then.
pub const CLOCK_TOLERANCE: Duration = Duration::seconds(1);

/// The current time of the clock, not the transaction's start.
pub fn now() -> DateTime<Utc> {
    // SAFETY: GetCurrentTimestamp reads the system clock and nothing else.
    from_micros(unsafe { pg_sys::GetCurrentTimestamp() })
}

/// The current time of the clock, as PostgreSQL's timestamp.
pub fn now_pg() -> TimestampWithTimeZone {
    to_pg(now())
}

fn from_micros(postgres: i64) -> DateTime<Utc> {
    match postgres {
        i64::MAX => DateTime::<Utc>::MAX_UTC,
        i64::MIN => DateTime::<Utc>::MIN_UTC,
        // PostgreSQL's timestamps end in the year 294276, chrono's in 262142. A timestamp between the two counts as
        // infinity.
        finite => finite
            .checked_add(POSTGRES_EPOCH_IN_UNIX_MICROS)
            .and_then(DateTime::from_timestamp_micros)
            .unwrap_or(DateTime::<Utc>::MAX_UTC),
    }
}

/// Converts PostgreSQL's timestamp to chrono's. Infinity becomes chrono's maximum.
pub fn from_pg(timestamp: TimestampWithTimeZone) -> DateTime<Utc> {
    from_micros(timestamp.into_inner())
}

/// Converts chrono's timestamp to PostgreSQL's. chrono's maximum becomes infinity, and a time before PostgreSQL's first
/// timestamp becomes -infinity.
pub fn to_pg(timestamp: DateTime<Utc>) -> TimestampWithTimeZone {
    let micros = if timestamp == DateTime::<Utc>::MAX_UTC {
        i64::MAX
    } else if timestamp < FIRST_TIMESTAMP {
        i64::MIN
    } else {
        timestamp.timestamp_micros() - POSTGRES_EPOCH_IN_UNIX_MICROS
    };
    // SAFETY: every i64 between the infinities is a valid timestamp of PostgreSQL, and these lie in the years that both
    // support.
    unsafe { TimestampWithTimeZone::from_datum(micros.into(), false) }.expect("not null")
}

/// Whether a timestamp is neither infinity nor -infinity.
pub fn is_finite(timestamp: TimestampWithTimeZone) -> bool {
    ![i64::MIN, i64::MAX].contains(&timestamp.into_inner())
}

/// Up to which instant the transaction's snapshots show every committed row: the transaction's start if all its
/// statements share one snapshot; otherwise without limit.
pub fn snapshot_limit() -> DateTime<Utc> {
    // SAFETY: both read variables of the transaction.
    unsafe {
        if pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as i32 {
            from_micros(pg_sys::GetCurrentTransactionStartTimestamp())
        } else {
            DateTime::<Utc>::MAX_UTC
        }
    }
}

/// A timestamp as text in RFC 3339, for DETAIL.
pub fn iso(timestamp: TimestampWithTimeZone) -> String {
    from_pg(timestamp).to_rfc3339()
}

/// A length of time as PostgreSQL's interval, without months and days.
pub fn interval(length: Duration) -> Interval {
    let micros = length.num_microseconds().unwrap_or(i64::MAX);
    Interval::new(0, 0, micros).expect("an interval without months and days has one sign")
}
