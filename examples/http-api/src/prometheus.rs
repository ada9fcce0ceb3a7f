//! Prometheus's text format.

use crate::database::Row;
use crate::problem::Problem;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A row of `kronos.metrics()`.
#[derive(Deserialize)]
struct Metric {
    name: String,
    labels: Option<BTreeMap<String, Value>>,
    value: Value,
    help: Option<String>,
}

/// Formats metrics. The format asks that the samples of one name stand together.
pub fn format(rows: &[Row]) -> Result<String, Problem> {
    let mut families: BTreeMap<String, Vec<Metric>> = BTreeMap::new();
    for row in rows {
        let metric: Metric = serde_json::from_str(row.get())
            .map_err(|error| Problem::internal(format!("unexpected metric: {error}")))?;
        families
            .entry(metric.name.clone())
            .or_default()
            .push(metric);
    }
    let mut text = String::new();
    for (name, metrics) in families {
        let kind = if name.ends_with("_total") {
            "counter"
        } else {
            "gauge"
        };
        let help = metrics.first().and_then(|metric| metric.help.as_deref());
        let help = help
            .unwrap_or_default()
            .replace('\\', r"\\")
            .replace('\n', r"\n");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for metric in metrics {
            let labels = metric.labels.unwrap_or_default();
            let labels: Vec<String> = labels
                .iter()
                .map(|(label, value)| format!("{label}=\"{}\"", escape(value)))
                .collect();
            let labels = match labels.is_empty() {
                true => String::new(),
                false => format!("{{{}}}", labels.join(",")),
            };
            // PostgreSQL's names for values that are no numbers are Prometheus's: NaN, Infinity.
            let value = plain(&metric.value);
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    }
    Ok(text)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "NaN".into(),
        other => other.to_string(),
    }
}

fn escape(value: &Value) -> String {
    plain(value)
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use serde_json::value::to_raw_value;

    #[test]
    fn samples_of_a_name_stand_together_and_labels_are_escaped() {
        let metric = |name: &str, labels: Value, value: Value| {
            to_raw_value(
                &json!({ "name": name, "labels": labels, "value": value, "help": "Help.\nMore." }),
            )
            .unwrap()
        };
        let rows = [
            metric(
                "jobs",
                json!({ "workspace": "a\"b\\c\nd", "status": "ACTIVE" }),
                json!(2),
            ),
            metric("runs_total", json!({}), json!(1.5)),
            metric("jobs", Value::Null, json!("NaN")),
        ];
        assert_eq!(
            format(&rows).unwrap(),
            "# HELP jobs Help.\\nMore.\n# TYPE jobs gauge\n\
             jobs{status=\"ACTIVE\",workspace=\"a\\\"b\\\\c\\nd\"} 2\njobs NaN\n\
             # HELP runs_total Help.\\nMore.\n# TYPE runs_total counter\nruns_total 1.5\n"
        );
    }
}
