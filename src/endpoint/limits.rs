//! The limits of an endpoint, as a caller gives them.

use crate::args;
use crate::error::{Result, invalid_argument};
use pgrx::datum::Interval;

/// The limits of an endpoint. None in an update keeps the old value, and a max_concurrent or rate_limit of 0 clears it.
#[derive(Default)]
pub struct Limits {
    /// How many attempts may run at once, for each concurrency key.
    pub max_concurrent: Option<i32>,
    /// How many attempts may start within any `rate_interval`, for each concurrency key.
    pub rate_limit: Option<i32>,
    pub rate_interval: Option<Interval>,
}

/// The highest max_concurrent and rate_limit.
const MOST: i64 = 100_000;

impl Limits {
    pub fn is_given(&self) -> bool {
        self.max_concurrent.is_some() || self.rate_limit.is_some() || self.rate_interval.is_some()
    }

    /// Checks the limits of a new endpoint.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`.
    pub fn check_new(self) -> Result<Limits> {
        let checked = self.check(1)?;
        match (checked.rate_limit, checked.rate_interval) {
            (Some(_), None) => Err(invalid_argument(
                "rate_interval",
                "must be given with rate_limit",
            )),
            _ => Ok(checked),
        }
    }

    /// Checks the limits of an update.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`.
    pub fn check_changes(self) -> Result<Limits> {
        self.check(0)
    }

    fn check(self, least: i64) -> Result<Limits> {
        for (argument, limit) in [
            ("max_concurrent", self.max_concurrent),
            ("rate_limit", self.rate_limit),
        ] {
            if let Some(limit) = limit {
                args::range(argument, limit.into(), least..=MOST)?;
            }
        }
        let rate_interval = self.rate_interval.map(|interval| {
            let rule = "must be from 1 millisecond to 1 day";
            args::duration("rate_interval", &interval, 1000..=args::DAY, rule)
        });
        let rate_interval = rate_interval.transpose()?;
        if rate_interval.is_some() && matches!(self.rate_limit, Some(0)) {
            return Err(invalid_argument(
                "rate_interval",
                "must be left out when rate_limit is 0",
            ));
        }
        Ok(Limits {
            rate_interval,
            ..self
        })
    }
}
