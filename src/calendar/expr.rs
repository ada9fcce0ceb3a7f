//! Cron expressions in pg_cron's dialect.
//!
//! An expression means what it means in pg_cron's `entry.c` (Vixie cron): five fields; lists, ranges and steps; names
//! in any case; 0 and 7 for Sunday; if the text of either day field begins with `*`, a day must match both fields,
//! otherwise either. Kronos refuses input that pg_cron accepts by accident (text after a value, a sixth field, reversed
//! ranges). The `cron` crate does the calendar arithmetic. Its own dialect differs, so an expression is expanded into
//! sets and translated, never passed through.

use super::clock::Clock;
use super::fields::{Fields, parse_number};
use super::parse_error::{ParseError, ParseErrorKind};

/// A parsed expression.
pub struct CronExpr {
    text: String,
    pub rule: Rule,
}

/// When an expression ticks.
pub enum Rule {
    /// Every 1 to 59 seconds, counted from the beginning of 1970.
    Seconds(u32),
    /// At wall-clock times.
    Clock(Clock),
}

const MACROS: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// The unit of seconds as pg_cron reads it, in any case.
const UNITS: [&str; 2] = ["second", "seconds"];

/// The longest expression that Kronos accepts. pg_cron reads an expression into a buffer of 1000 bytes; no sensible
/// expression comes near this limit.
const MAX_LENGTH: usize = 500;

impl CronExpr {
    /// Parses an expression.
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
        if text.len() > MAX_LENGTH {
            return Err(malformed("at most 500 characters"));
        }
        let words: Vec<&str> = text
            .split([' ', '\t'])
            .filter(|word| !word.is_empty())
            .collect();
        let five = match words[..] {
            ["@reboot" | "@restart"] => {
                return Err(ParseError {
                    kind: ParseErrorKind::NotSupported,
                    ..malformed("a schedule of times, not the start of the server")
                });
            }
            [word] if word.starts_with('@') => {
                let expansion = MACROS.iter().find(|(name, _)| *name == word);
                let (_, expansion) = expansion.ok_or_else(|| {
                    malformed("@hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually")
                })?;
                expansion.split(' ').collect()
            }
            [count, unit] if UNITS.iter().any(|known| known.eq_ignore_ascii_case(unit)) => {
                let seconds = parse_number(count).filter(|seconds| (1..60).contains(seconds));
                let seconds = seconds.ok_or_else(|| malformed("1 seconds to 59 seconds"))?;
                return Ok(CronExpr {
                    text: format!("{seconds} seconds"),
                    rule: Rule::Seconds(seconds),
                });
            }
            _ => words.clone(),
        };
        let five = five.try_into().map_err(|_| {
            malformed(
                "five fields (minute hour day-of-month month day-of-week), a name like @daily, or 30 seconds",
            )
        })?;
        Ok(CronExpr {
            text: words.join(" ").to_ascii_lowercase(),
            rule: Rule::Clock(Clock::new(Fields::parse(five)?)),
        })
    }

    /// The expression in normal form: single spaces, names in lower case. pg_cron reads it like the original.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether this expression matches every time that `other` matches.
    pub fn covers(&self, other: &CronExpr) -> bool {
        match (&self.rule, &other.rule) {
            (Rule::Clock(own), Rule::Clock(other)) => own.fields.cover(&other.fields),
            (Rule::Seconds(own), Rule::Seconds(other)) => own == other,
            _ => false,
        }
    }
}
