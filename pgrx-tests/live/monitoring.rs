//! examples/monitoring: every query runs, and together they have every metric.

use crate::domain::*;
use postgres::Client;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// A collector file of sql_exporter.
#[derive(Deserialize)]
struct Collector {
    metrics: Vec<Metric>,
}

#[derive(Deserialize)]
struct Metric {
    metric_name: String,
    r#type: String,
    help: String,
    #[serde(default)]
    key_labels: Vec<String>,
    query: String,
}

/// A file of alerts of Prometheus.
#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    expr: String,
}

fn read<T: serde::de::DeserializeOwned>(file: &str) -> T {
    let path = format!("{}/examples/monitoring/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The metrics that metrics() returns: the help and the labels by name.
fn of_kronos(session: &mut Client) -> BTreeMap<String, (String, Vec<String>)> {
    let statement =
        "select distinct name, help, array(select jsonb_object_keys(labels)) from kronos.metrics()";
    let rows = session.query(statement, &[]).unwrap();
    let metrics = rows.iter().map(|row| {
        let mut labels: Vec<String> = row.get(2);
        labels.sort();
        (row.get(0), (row.get(1), labels))
    });
    metrics.collect()
}

/// A server with a row for each metric, read by a role that monitors.
fn monitored_server() -> (crate::server::Server, Client) {
    let (server, mut session, _) = server_with_job();
    enqueue(&mut session, 3);
    claim(&mut session, "w", 1);
    upkeep(&mut session);
    session
        .batch_execute(
            "create role monitor login;
             grant usage on schema kronos to monitor;
             select kronos.grant_workspace('monitor', 'viewer', all_workspaces => true)",
        )
        .unwrap();
    let monitor = server.session_as("monitor");
    (server, monitor)
}

#[test]
fn collectors_read_every_metric_with_its_labels_and_its_help() {
    let (_server, mut monitor) = monitored_server();
    let of_kronos = of_kronos(&mut monitor);
    let collector: Collector = read("kronos.collector.yml");
    let collected: BTreeSet<&String> = collector.metrics.iter().map(|m| &m.metric_name).collect();
    assert_eq!(collected, of_kronos.keys().collect());
    for metric in &collector.metrics {
        let name = &metric.metric_name;
        let mut labels = metric.key_labels.clone();
        labels.sort();
        assert_eq!(of_kronos[name], (metric.help.clone(), labels), "{name}");
        let is_counter = name.ends_with("_total");
        assert_eq!(metric.r#type == "counter", is_counter, "{name}");
    }
    let checks: Collector = read("kronos_checks.collector.yml");
    for metric in collector.metrics.iter().chain(&checks.metrics) {
        let rows = monitor.query(&metric.query, &[]).unwrap();
        assert!(!rows.is_empty(), "{}", metric.metric_name);
        let mut samples = BTreeSet::new();
        for row in &rows {
            let columns: Vec<&str> = row.columns().iter().map(|column| column.name()).collect();
            let expected: Vec<&str> = metric
                .key_labels
                .iter()
                .map(String::as_str)
                .chain(["value"])
                .collect();
            assert_eq!(columns, expected, "{}", metric.metric_name);
            let labels: Vec<String> = (0..metric.key_labels.len())
                .map(|nth| row.get(nth))
                .collect();
            assert!(
                samples.insert(labels),
                "{}: two samples",
                metric.metric_name
            );
        }
    }
}

#[test]
fn alerts_read_only_metrics_that_exist() {
    let names: BTreeSet<String> = ["kronos.collector.yml", "kronos_checks.collector.yml"]
        .into_iter()
        .flat_map(|file| read::<Collector>(file).metrics)
        .map(|metric| metric.metric_name)
        .collect();
    let rules: Rules = read("kronos.rules.yml");
    for rule in rules.groups.iter().flat_map(|group| &group.rules) {
        let words = rule.expr.split(|c: char| !c.is_alphanumeric() && c != '_');
        let read: Vec<&str> = words.filter(|word| word.starts_with("kronos_")).collect();
        assert!(!read.is_empty(), "{}", rule.alert);
        for name in read {
            assert!(names.contains(name), "{}: {name}", rule.alert);
        }
    }
}

#[test]
fn metrics_show_a_viewer_only_the_own_workspaces() {
    let (server, mut monitor) = monitored_server();
    let mut session = server.session();
    session
        .batch_execute(
            "select kronos.create_workspace('beta');
             create role viewer login;
             grant usage on schema kronos to viewer;
             select kronos.grant_workspace('viewer', 'viewer', workspace => 'beta')",
        )
        .unwrap();
    let seen = "select string_agg(distinct labels ->> 'workspace', ' ' order by labels ->> 'workspace') from kronos.metrics()";
    let workspaces =
        |session: &mut Client| session.query_one(seen, &[]).unwrap().get::<_, String>(0);
    assert_eq!(workspaces(&mut monitor), "acme beta default");
    let mut viewer = server.session_as("viewer");
    assert_eq!(workspaces(&mut viewer), "beta");
    let of_instance = "select count(*) from kronos.metrics() where labels ->> 'workspace' is null";
    assert_eq!(count(&mut viewer, of_instance), 0);
    assert!(count(&mut monitor, of_instance) > 0);
}

#[test]
fn metrics_count_what_waits_and_runs() {
    let (_server, mut monitor) = monitored_server();
    let value = |session: &mut Client, name: &str, labels: &str| {
        let statement =
            "select value from kronos.metrics() where name = $1 and labels @> $2::text::jsonb";
        session
            .query_one(statement, &[&name, &labels])
            .unwrap()
            .get::<_, f64>(0)
    };
    for (name, labels, expected) in [
        (
            "kronos_executions",
            r#"{"workspace": "acme", "state": "due"}"#,
            2.0,
        ),
        (
            "kronos_executions",
            r#"{"workspace": "acme", "state": "running"}"#,
            1.0,
        ),
        (
            "kronos_executions",
            r#"{"workspace": "acme", "state": "delayed"}"#,
            0.0,
        ),
        (
            "kronos_jobs",
            r#"{"workspace": "acme", "status": "ACTIVE"}"#,
            1.0,
        ),
        (
            "kronos_jobs",
            r#"{"workspace": "default", "status": "ACTIVE"}"#,
            0.0,
        ),
        ("kronos_schedule_entries", "{}", 1.0),
        ("kronos_upkeep_errors", "{}", 0.0),
    ] {
        assert_eq!(
            value(&mut monitor, name, labels),
            expected,
            "{name} {labels}"
        );
    }
}
