//! A schedule in plain English.

use super::expr::Rule;
use super::timing::Timing;
use chrono::Utc;
use croner::parser::CronParser;

/// A sentence that says when a schedule ticks; None if the `croner` crate, whose words these are, cannot read it.
///
/// `zone` is how the zone is called there. The crate takes Kronos's dialect but for `$`, which it calls `L`, and is told
/// how the day fields are to be read.
pub fn describe(timing: &Timing, zone: &str) -> Option<String> {
    let times = match &timing.expr.rule {
        Rule::Seconds(1) => return Some("Every second.".into()),
        Rule::Seconds(seconds) => return Some(format!("Every {seconds} seconds.")),
        Rule::Clock(times) => times,
    };
    let parser = CronParser::builder()
        .dom_and_dow(times.fields.both_days)
        .build();
    let pattern = parser.parse(&timing.expr.text().replace('$', "L")).ok()?;
    let sentence = pattern.describe();
    let sentence = sentence.trim_end_matches('.');
    let never = match timing.next_after(Utc::now()) {
        Some(_) => "",
        None => " It never comes.",
    };
    Some(format!("{sentence} (time zone {zone}).{never}"))
}
