//! Cron expressions in pg_cron's dialect.
//!
//! The meaning is that of pg_cron's `entry.c` (Vixie cron): five fields; lists, ranges and steps; names in any case; 0
//! and 7 for Sunday; if the text of either day field begins with `*` a day must match both, else either. What pg_cron
//! accepts by accident (text after a value, a sixth field, reversed ranges) is refused. The calendar arithmetic is the
//! `cron` crate's, whose own dialect differs: an expression is expanded into sets and translated, never passed through.

use chrono::{DateTime, Datelike, Utc};
use std::fmt;
use std::str::FromStr;

/// A parsed expression.
pub struct CronExpr {
    text: String,
    fields: Fields,
    /// The minute or the hour field begins with `*`.
    recurs: bool,
    // Any of them may match: the `cron` crate knows only "both day fields", and no last day of the month.
    schedules: Vec<Dates>,
}

/// What the fields of an expression mean, as sets; of the days of the week 0 is Sunday.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    pub minutes: Set,
    pub hours: Set,
    pub days: Set,
    pub last_day: bool,
    pub months: Set,
    pub week_days: Set,
    /// A day must match both day fields; else either.
    pub both_days: bool,
}

/// A schedule of the `cron` crate, on all its days or only on those that are the last of their month.
struct Dates {
    schedule: cron::Schedule,
    only_last_day: bool,
}

/// Why an expression was refused.
#[derive(Debug, PartialEq, Eq)]
pub struct ParseError {
    pub kind: ParseErrorKind,
    /// The field at fault (`minute`, `day of month`), or `expression`.
    pub field: &'static str,
    /// The text at fault.
    pub text: String,
    /// What would be allowed there.
    pub allowed: String,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum ParseErrorKind {
    /// Not an expression of pg_cron's.
    Malformed,
    /// One that Kronos does not run.
    NotSupported,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ParseErrorKind::Malformed => write!(f, "invalid {}: {:?}", self.field, self.text),
            ParseErrorKind::NotSupported => write!(f, "not supported yet: {:?}", self.text),
        }
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
        names_allowed: ", or $ for the last day",
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

const MACROS: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// pg_cron reads an expression into a buffer of 1000 bytes; no sensible one comes near this.
const MAX_LENGTH: usize = 500;

impl CronExpr {
    /// Reads an expression.
    ///
    /// # Errors
    /// The first field that cannot be read, with its text and what is allowed there.
    pub fn parse(text: &str) -> Result<CronExpr, ParseError> {
        let malformed = |allowed: &str| ParseError {
            kind: ParseErrorKind::Malformed,
            field: "expression",
            text: text.chars().take(MAX_LENGTH).collect(),
            allowed: allowed.into(),
        };
        let not_supported = |allowed: &str| ParseError {
            kind: ParseErrorKind::NotSupported,
            ..malformed(allowed)
        };
        if text.len() > MAX_LENGTH {
            return Err(malformed("at most 500 characters"));
        }
        let words: Vec<&str> = text
            .split([' ', '\t'])
            .filter(|word| !word.is_empty())
            .collect();
        let five = match words[..] {
            ["@reboot" | "@restart"] => {
                return Err(not_supported("a schedule with ticks: a restart is none"));
            }
            [word] if word.starts_with('@') => {
                let expansion = MACROS.iter().find(|(name, _)| *name == word);
                let (_, expansion) = expansion.ok_or_else(|| {
                    malformed("@hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually")
                })?;
                expansion.split(' ').collect()
            }
            [count, "seconds"] if count.parse::<u32>().is_ok() => {
                return Err(not_supported("schedules of minutes"));
            }
            _ => words.clone(),
        };
        let [minute, hour, day, month, week_day] = five[..] else {
            return Err(malformed(
                "five fields (minute hour day-of-month month day-of-week) or a name like @daily",
            ));
        };
        let (days, last_day) = parse_days(day)?;
        let week_days = parse_field(&FIELDS[4], week_day)?;
        let fields = Fields {
            minutes: parse_field(&FIELDS[0], minute)?,
            hours: parse_field(&FIELDS[1], hour)?,
            days,
            last_day,
            months: parse_field(&FIELDS[3], month)?,
            week_days: (week_days | week_days >> 7) & 0x7f,
            both_days: day.starts_with('*') || week_day.starts_with('*'),
        };
        Ok(CronExpr {
            text: words.join(" ").to_ascii_lowercase(),
            recurs: minute.starts_with('*') || hour.starts_with('*'),
            schedules: translate(&fields),
            fields,
        })
    }

    /// What its fields mean.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Whether it recurs within the hour or in every hour, as Vixie cron tells: its minute or hour field begins with `*`.
    pub fn recurs(&self) -> bool {
        self.recurs
    }

    /// The expression in normal form: single blanks, names in lower case. pg_cron takes it as it takes the original.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first matching minute after a wall-clock time (given as if it were UTC).
    pub fn next_after(&self, local: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.schedules
            .iter()
            .filter_map(|dates| dates.next_after(local))
            .min()
    }
}

impl Dates {
    fn next_after(&self, mut local: DateTime<Utc>) -> Option<DateTime<Utc>> {
        loop {
            let found = self.schedule.after(&local).next()?;
            let next_day = found.date_naive().succ_opt()?;
            if !self.only_last_day || next_day.day() == 1 {
                return Some(found);
            }
            local = next_day.and_hms_opt(0, 0, 0)?.and_utc() - chrono::Duration::seconds(1);
        }
    }
}

impl Fields {
    /// Whether it matches wherever `other` does.
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

/// One bit per value.
pub type Set = u64;

fn parse_field(field: &Field, text: &str) -> Result<Set, ParseError> {
    text.split(',')
        .try_fold(0, |set, item| Ok(set | parse_item(field, item)?))
}

/// The days of the month, and whether `$` is among them.
fn parse_days(text: &str) -> Result<(Set, bool), ParseError> {
    text.split(',')
        .try_fold((0, false), |(set, last_day), item| match item {
            "$" => Ok((set, true)),
            item => Ok((set | parse_item(&FIELDS[2], item)?, last_day)),
        })
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

/// Decimal digits alone: no sign, no blanks, and no more of them than a value can need.
fn parse_number(text: &str) -> Option<u32> {
    let digits = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The `cron` crate's schedules for the same times. Its week days count from 1 = Sunday, and it wants both day fields
/// to match, so "either" becomes several schedules.
fn translate(fields: &Fields) -> Vec<Dates> {
    let dates = |days: &str, week_days: &str, only_last_day: bool| {
        let [minutes, hours, months] =
            [fields.minutes, fields.hours, fields.months].map(|set| list(set, 0));
        let text = format!("0 {minutes} {hours} {days} {months} {week_days} *");
        let schedule =
            cron::Schedule::from_str(&text).expect("lists of numbers within their fields' bounds");
        Dates {
            schedule,
            only_last_day,
        }
    };
    let week_days = list(fields.week_days, 1);
    let with_days = if fields.both_days {
        week_days.as_str()
    } else {
        "*"
    };
    let mut all = vec![];
    if fields.days != 0 {
        all.push(dates(&list(fields.days, 0), with_days, false));
    }
    if fields.last_day {
        all.push(dates("28-31", with_days, true));
    }
    if !fields.both_days {
        all.push(dates("*", &week_days, false));
    }
    all
}

/// The values of a set, shifted, as a comma-separated list.
fn list(set: Set, shift: u32) -> String {
    let values = (0..64).filter(|value| set & 1 << value != 0);
    values
        .map(|value| (value + shift).to_string())
        .collect::<Vec<_>>()
        .join(",")
}
