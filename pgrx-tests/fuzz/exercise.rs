//! Checks that parsing and evaluating an expression never panics, whatever the input.

// The fuzz target uses only a part of the calendar.
#[allow(dead_code)]
#[path = "../../src/calendar/clock.rs"]
mod clock;
#[allow(dead_code)]
#[path = "../../src/calendar/expr.rs"]
mod expr;
#[allow(dead_code)]
#[path = "../../src/calendar/fields.rs"]
mod fields;
#[allow(dead_code)]
#[path = "../../src/calendar/parse_error.rs"]
mod parse_error;

use chrono::{DateTime, Utc};
use expr::{CronExpr, Rule};

/// Reads eight bytes as an instant (microseconds since 1970) and the rest as an expression.
pub fn exercise(bytes: &[u8]) {
    let Some((instant, text)) = bytes.split_at_checked(8) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let Ok(expr) = CronExpr::parse(text) else {
        return;
    };
    let again = CronExpr::parse(expr.text()).expect("the normal form can be parsed");
    assert_eq!(again.text(), expr.text());
    let (Rule::Clock(times), Rule::Clock(again)) = (&expr.rule, &again.rule) else {
        return;
    };
    assert_eq!(times.fields, again.fields);
    let micros = i64::from_le_bytes(instant.try_into().expect("eight bytes"));
    let instant = DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MIN_UTC);
    for start in [instant, DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        if let Some(next) = times.next_after(start) {
            assert!(next > start);
            assert_eq!(next.timestamp() % 60, 0);
        }
    }
}
