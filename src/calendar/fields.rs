//! The five fields of a cron expression, read into sets.

use super::parse_error::{ParseError, ParseErrorKind};

/// One bit per value.
pub type Set = u64;

/// The five fields of an expression as sets. Week day 0 is Sunday.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    pub minutes: Set,
    pub hours: Set,
    pub days: Set,
    pub last_day: bool,
    pub months: Set,
    pub week_days: Set,
    /// Whether a day must match both day fields; otherwise either is enough.
    pub both_days: bool,
    /// Whether the schedule recurs within the hour or in every hour, by Vixie cron's rule: its minute or hour field
    /// begins with `*`.
    pub recurs: bool,
}

impl Fields {
    /// Parses the five fields.
    ///
    /// # Errors
    /// The first field that cannot be read, with its text and what is allowed there.
    pub fn parse([minute, hour, day, month, week_day]: [&str; 5]) -> Result<Fields, ParseError> {
        let minutes = parse_field(&FIELDS[0], minute)?;
        let hours = parse_field(&FIELDS[1], hour)?;
        let (days, last_day) = parse_days(day)?;
        let months = parse_field(&FIELDS[3], month)?;
        let week_days = parse_field(&FIELDS[4], week_day)?;
        Ok(Fields {
            minutes,
            hours,
            days,
            last_day,
            months,
            week_days: (week_days | week_days >> 7) & 0x7f,
            both_days: day.starts_with('*') || week_day.starts_with('*'),
            recurs: minute.starts_with('*') || hour.starts_with('*'),
        })
    }

    /// Whether these fields match every time that `other` matches.
    pub fn cover(&self, other: &Fields) -> bool {
        let within = |inner: Set, outer: Set| inner & !outer == 0;
        let every_day = (1..=31).flat_map(|day| (0..7).map(move |week_day| (day, week_day)));
        within(other.minutes, self.minutes)
            && within(other.hours, self.hours)
            && within(other.months, self.months)
            && every_day.into_iter().all(|(day, week_day)| {
                !other.may_match_day(day, week_day) || self.must_match_day(day, week_day)
            })
    }

    fn match_day(&self, day: u32, week_day: u32, is_last: bool) -> bool {
        let on_day = self.days & 1 << day != 0 || self.last_day && is_last;
        let on_week_day = self.week_days & 1 << week_day != 0;
        if self.both_days {
            on_day && on_week_day
        } else {
            on_day || on_week_day
        }
    }

    fn may_match_day(&self, day: u32, week_day: u32) -> bool {
        self.match_day(day, week_day, day >= 28)
    }

    fn must_match_day(&self, day: u32, week_day: u32) -> bool {
        self.match_day(day, week_day, false)
    }
}

struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
    names_allowed: &'static str,
}

const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEK_DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun"];

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        low: 0,
        high: 59,
        names: &[],
        names_allowed: "",
    },
    Field {
        name: "hour",
        low: 0,
        high: 23,
        names: &[],
        names_allowed: "",
    },
    Field {
        name: "day of month",
        low: 1,
        high: 31,
        names: &[],
        names_allowed: ", or $ alone for the last day",
    },
    Field {
        name: "month",
        low: 1,
        high: 12,
        names: MONTHS,
        names_allowed: ", or jan to dec",
    },
    Field {
        name: "day of week",
        low: 0,
        high: 7,
        names: WEEK_DAYS,
        names_allowed: ", or sun to sat",
    },
];

fn parse_field(field: &Field, text: &str) -> Result<Set, ParseError> {
    text.split(',')
        .try_fold(0, |set, item| Ok(set | parse_item(field, item)?))
}

/// The days of the month, and whether the field is `$`, the last day. pg_cron accepts `$` only alone, not in a list.
fn parse_days(text: &str) -> Result<(Set, bool), ParseError> {
    match text {
        "$" => Ok((0, true)),
        _ => Ok((parse_field(&FIELDS[2], text)?, false)),
    }
}

fn parse_item(field: &Field, item: &str) -> Result<Set, ParseError> {
    let refuse = |allowed: String| ParseError {
        kind: ParseErrorKind::Malformed,
        field: field.name,
        text: item.into(),
        allowed,
    };
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (item, None),
    };
    let (first, last) = if range == "*" {
        (field.low, field.high)
    } else if let Some((first, last)) = range.split_once('-') {
        (
            parse_value(field, first, item)?,
            parse_value(field, last, item)?,
        )
    } else if step.is_some() {
        return Err(refuse(format!(
            "a step after * or a range, like */{0} or {1}-{2}/{0}",
            2, field.low, field.high
        )));
    } else {
        let value = parse_value(field, range, item)?;
        (value, value)
    };
    if first > last {
        return Err(refuse("a range from the lower value to the higher".into()));
    }
    let step = match step {
        None => 1,
        Some(step) => parse_number(step)
            .filter(|step| (1..=field.high).contains(step))
            .ok_or_else(|| refuse(format!("a step from 1 to {}", field.high)))?,
    };
    Ok((first..=last)
        .step_by(step as usize)
        .fold(0, |set, value| set | 1 << value))
}

fn parse_value(field: &Field, text: &str, item: &str) -> Result<u32, ParseError> {
    let named = field
        .names
        .iter()
        .position(|name| name.eq_ignore_ascii_case(text));
    let value = match named {
        Some(position) => Some(position as u32 + field.low),
        None => parse_number(text),
    };
    value
        .filter(|value| (field.low..=field.high).contains(value))
        .ok_or_else(|| ParseError {
            kind: ParseErrorKind::Malformed,
            field: field.name,
            text: item.into(),
            allowed: format!("{} to {}{}", field.low, field.high, field.names_allowed),
        })
}

/// Parses a number of one to nine decimal digits, without sign or spaces.
pub fn parse_number(text: &str) -> Option<u32> {
    let digits = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
