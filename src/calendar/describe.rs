//! A schedule in plain English.

use super::expr::Rule;
use super::timing::Timing;
use chrono::Utc;
use croner::parser::CronParser;

/// A sentence that says when a schedule ticks, in the words of the `croner` crate; None if the crate cannot read the
/// expression.
///
/// `zone` is the zone's name in the sentence. The crate reads Kronos's dialect, except that it calls the last day `L`
/// instead of `$`, and that it must be told how the two day fields combine.
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
        None => " It never fires.",
    };
    Some(format!("{sentence} (time zone {zone}).{never}"))
}
