//! Which executions a worker gets, and that nobody else gets them.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::Client;
use postgres::fallible_iterator::FallibleIterator;
use std::time::Duration;

/// Makes waiting executions without jobs of their own, fast: of one job, in a workspace.
fn fill(session: &mut Client, workspace: &str, count: i32, status: &str, finished: bool) {
    let job = "select job_id from kronos.create_immediate_job($1, 'hook')";
    let job_id: uuid::Uuid = session.query_one(job, &[&workspace]).unwrap().get(0);
    session
        .batch_execute("set session_replication_role = replica")
        .unwrap();
    session
        .execute(
            "insert into kronos.executions (workspace_id, job_id, lineage_id, origin, endpoint_type, priority, run_at, status,
                                            finished_at)
             select workspace_id, job_id, lineage_id, 'ONCE', 'HTTP', 5, now() - interval '1 hour' + n * interval '1 millisecond',
                    $2, case when $3 then now() end
             from kronos.jobs, generate_series(1, $4) n
             where job_id = $1",
            &[&job_id, &status, &finished, &count],
        )
        .unwrap();
    session
        .batch_execute("reset session_replication_role")
        .unwrap();
}

fn make_workspace(session: &mut Client, name: &str) {
    session
        .execute("select kronos.create_workspace($1)", &[&name])
        .unwrap();
    session
        .execute(
            "select kronos.create_endpoint($1, 'hook', 'HTTP', '{}')",
            &[&name],
        )
        .unwrap();
}

#[test]
fn claim_goes_by_priority_then_run_at_and_leaves_what_is_to_come() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    session
        .batch_execute("select kronos.create_endpoint('acme', 'bus', 'KAFKA', '{}')")
        .unwrap();
    for (label, endpoint, priority, run_at) in [
        ("third", "hook", 5, "2 minutes ago"),
        ("second", "hook", 0, "1 minute ago"),
        ("first", "bus", 0, "3 minutes ago"),
        ("to come", "hook", 0, "in 1 hour"),
        ("last", "bus", 9, "10 minutes ago"),
    ] {
        let at = match run_at.strip_prefix("in ") {
            Some(span) => format!("now() + interval '{span}'"),
            None => format!("now() - interval '{}'", run_at.trim_end_matches(" ago")),
        };
        session
            .batch_execute(&format!(
                "select kronos.create_delayed_job('acme', '{endpoint}', {at}, '{{\"label\": \"{label}\"}}', priority => {priority})"
            ))
            .unwrap();
    }
    let labels = |session: &mut Client, call: &str| -> Vec<String> {
        let statement = format!("select input ->> 'label' from {call}");
        session
            .query(&statement, &[])
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect()
    };
    let mut undone = session.transaction().unwrap();
    let claim = "kronos.claim_executions('acme', 'w', max => 10)";
    let rows = undone
        .query(&format!("select input ->> 'label' from {claim}"), &[])
        .unwrap();
    let all: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(all, ["first", "second", "third", "last"]);
    undone.rollback().unwrap();
    let mut fresh = server.session();
    let mut undone = fresh.transaction().unwrap();
    let one = "select input ->> 'label' from kronos.claim_executions('acme', 'w')";
    let label: String = undone.query_one(one, &[]).unwrap().get(0);
    assert_eq!(label, "first", "whatever its type");
    undone.rollback().unwrap();
    let kafka =
        "kronos.claim_executions('acme', 'w', max => 10, endpoint_types => '{KAFKA,KAFKA}')";
    assert_eq!(labels(&mut session, kafka), ["first", "last"]);
    assert_eq!(
        labels(&mut session, "kronos.claim_executions('acme', 'w')"),
        ["second"]
    );
    assert_eq!(
        labels(&mut session, "kronos.claim_any_executions('w', 5)"),
        ["third"]
    );
    assert_eq!(
        labels(&mut session, "kronos.claim_any_executions('w', 5)"),
        [""; 0]
    );
    assert_sound(&mut session);
}

/// Invariant 8.
#[test]
fn open_claim_hides_what_it_took_and_holds_up_nobody() {
    let server = Server::start();
    let (mut one, mut other) = (server.session(), server.session());
    make_acme(&mut one);
    make_one_shots(&mut one, 10);
    let mut open = one.transaction().unwrap();
    let first = claim(&mut open, "one", 4);
    let second = claim(&mut other, "other", 10);
    assert_eq!((first.len(), second.len()), (4, 6));
    assert!(first.iter().all(|taken| !second.contains(taken)));
    open.rollback().unwrap();
    assert_eq!(
        claim(&mut other, "other", 10).len(),
        4,
        "what was rolled back is free again"
    );
    assert_sound(&mut other);
}

#[test]
fn workspace_with_a_hundred_thousand_waiting_does_not_starve_one_with_ten() {
    let server = Server::start();
    let mut session = server.session();
    make_workspace(&mut session, "big");
    fill(&mut session, "big", 100_000, "QUEUED", false);
    make_workspace(&mut session, "small");
    fill(&mut session, "small", 9, "QUEUED", false);
    let claim_any = "select workspace from kronos.claim_any_executions('w', 10)";
    let small_of = |session: &mut Client| {
        let rows = session.query(claim_any, &[]).unwrap();
        assert_eq!(rows.len(), 10);
        rows.iter()
            .filter(|row| row.get::<_, &str>(0) == "small")
            .count()
    };
    // One session, and one session for each claim.
    let mut undone = session.transaction().unwrap();
    let shares = [(); 3].map(|()| {
        let rows = undone.query(claim_any, &[]).unwrap();
        assert_eq!(rows.len(), 10);
        rows.iter()
            .filter(|row| row.get::<_, &str>(0) == "small")
            .count()
    });
    assert_eq!(shares, [5, 5, 0], "each has its share");
    undone.rollback().unwrap();
    let small: usize = (0..3).map(|_| small_of(&mut server.session())).sum();
    assert_eq!(small, 10);
}

#[test]
fn session_that_claims_one_by_one_serves_all_workspaces_in_turn() {
    let server = Server::start();
    let mut session = server.session();
    for name in ["a", "b", "c", "d"] {
        make_workspace(&mut session, name);
        fill(&mut session, name, 5, "QUEUED", false);
    }
    let mut served: Vec<String> = vec![];
    for _ in 0..8 {
        let row = session
            .query_one(
                "select workspace from kronos.claim_any_executions('w')",
                &[],
            )
            .unwrap();
        served.push(row.get(0));
    }
    let (once, again) = served.split_at(4);
    assert_eq!(once, again, "the same turn");
    let mut names = once.to_vec();
    names.sort();
    assert_eq!(names, ["a", "b", "c", "d"]);
}

#[test]
fn tick_that_waits_by_overlap_policy_starts_only_when_the_running_one_has_ended() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    for policy in ["queue_one", "replace"] {
        let job_id = create_ticked_twice(&mut session, policy, |session| {
            assert_eq!(
                claim(session, "w", 10).len(),
                1,
                "{policy}: the first tick runs"
            );
        });
        let mut listener = server.session();
        listener.batch_execute("listen kronos_executions").unwrap();
        assert_eq!(
            claim(&mut session, "w", 10),
            [],
            "{policy}: the second tick waits"
        );
        let none_now = "select kronos.next_wakeup('acme') > now() + interval '50 seconds'";
        assert!(
            session.query_one(none_now, &[]).unwrap().get::<_, bool>(0),
            "{policy}"
        );
        session
            .execute(
                "select kronos.complete_execution(execution_id, attempt, 'w') from kronos.executions
                 where lineage_id = $1 and status = 'RUNNING'",
                &[&job_id],
            )
            .unwrap();
        assert_eq!(notifications(&mut listener), ["acme"], "{policy}");
        let next = claim(&mut session, "w", 10);
        assert_eq!(next.len(), 1, "{policy}");
        complete(&mut session, "w", next[0]).unwrap();
    }
    assert_sound(&mut session);
}

/// A job whose two ticks have come due one after the other; in between something is done.
fn create_ticked_twice(
    session: &mut Client,
    policy: &str,
    between: impl Fn(&mut Client),
) -> uuid::Uuid {
    let row = session
        .query_one(
            "select job_id from kronos.create_cron_job('acme', 'hook', '0 * * * *', overlap_policy => $1,
                                                       catchup_policy => 'all', catchup_window => '1 day')",
            &[&policy],
        )
        .unwrap();
    let job_id = row.get(0);
    session
        .batch_execute(
            "update kronos.jobs set created_at = now() - interval '1 day', active_since = now() - interval '1 day';
             update kronos.schedules set settled_at = now() - interval '1 day'",
        )
        .unwrap();
    for hours in [2, 1] {
        // Only the ticks of the hour that is meant are due.
        session
            .execute(
                "update kronos.jobs set ends_at = date_trunc('hour', now()) + interval '1 minute' - $1::integer * interval '1 hour'
                 where job_id = $2",
                &[&(hours - 1), &job_id],
            )
            .unwrap();
        session
            .execute(
                "update kronos.schedules set next_tick_at = date_trunc('hour', now()) - $1::integer * interval '1 hour'
                 where schedule_id = (select schedule_id from kronos.jobs where job_id = $2)",
                &[&(hours - 1), &job_id],
            )
            .unwrap();
        run_due(session);
        if hours == 2 {
            between(session);
        }
    }
    job_id
}

fn notifications(listener: &mut Client) -> Vec<String> {
    listener.batch_execute("").unwrap();
    let mut pending = listener.notifications();
    let mut iterator = pending.timeout_iter(Duration::from_millis(200));
    let mut payloads = vec![];
    while let Some(notification) = iterator.next().unwrap() {
        payloads.push(notification.payload().to_owned());
    }
    payloads
}

#[test]
fn each_statement_notifies_each_workspace_once_of_what_may_start_now() {
    let server = Server::start();
    let (mut session, mut listener) = (server.session(), server.session());
    make_acme(&mut session);
    make_workspace(&mut session, "other");
    listener.batch_execute("listen kronos_executions").unwrap();
    make_one_shots(&mut session, 100);
    assert_eq!(notifications(&mut listener), ["acme"]);

    let delayed = "select kronos.create_delayed_job('acme', 'hook', now() + interval '1 hour')";
    session.batch_execute(delayed).unwrap();
    session
        .batch_execute("begin; select kronos.create_immediate_job('other', 'hook'); rollback")
        .unwrap();
    assert_eq!(notifications(&mut listener), [""; 0]);

    session
        .batch_execute("set kronos.notify_workers = off")
        .unwrap();
    make_one_shots(&mut session, 1);
    assert_eq!(notifications(&mut listener), [""; 0]);
    session
        .batch_execute("reset kronos.notify_workers")
        .unwrap();

    let taken = claim(&mut session, "w", 2);
    assert_eq!(notifications(&mut listener), [""; 0]);
    let list = list_of(&taken);
    session
        .execute("select kronos.release_executions('w', $1)", &[&list])
        .unwrap();
    assert_eq!(notifications(&mut listener), ["acme"]);
    let taken = claim(&mut session, "w", 2);
    session
        .batch_execute("set kronos.notify_workers = off")
        .unwrap();
    let list = list_of(&taken);
    session
        .execute("select kronos.release_executions('w', $1)", &[&list])
        .unwrap();
    assert_eq!(notifications(&mut listener), [""; 0]);
}

#[test]
fn next_wakeup_says_when_to_look_again() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    let wakeup = |session: &mut Client, arguments: &str| -> Option<String> {
        let statement = format!(
            "select to_char(date_trunc('minute', kronos.next_wakeup({arguments}) + interval '30 seconds') - now()
                            + interval '30 seconds', 'HH24:MI')"
        );
        session.query_one(&statement, &[]).unwrap().get(0)
    };
    assert_eq!(wakeup(&mut session, "'acme'"), None);
    let delayed = "select kronos.create_delayed_job('acme', 'hook', date_trunc('minute', now()) + interval '3 hours', priority => 9),
                          kronos.create_delayed_job('acme', 'hook', date_trunc('minute', now()) + interval '2 hours')";
    session.batch_execute(delayed).unwrap();
    let at = "select kronos.next_wakeup('acme') = date_trunc('minute', now()) + interval '2 hours'
                 and kronos.next_wakeup() = kronos.next_wakeup('acme', '{HTTP}')
                 and kronos.next_wakeup('acme', '{KAFKA}') is null";
    assert!(session.query_one(at, &[]).unwrap().get::<_, bool>(0));
    make_one_shots(&mut session, 1);
    let now = "select kronos.next_wakeup('acme') between now() - interval '1 second' and clock_timestamp()";
    assert!(session.query_one(now, &[]).unwrap().get::<_, bool>(0));
    claim(&mut session, "w", 1);
    let lease = "select kronos.next_wakeup('acme') = (select lease_expires_at from kronos.executions where status = 'RUNNING')";
    assert!(session.query_one(lease, &[]).unwrap().get::<_, bool>(0));
}

/// A session that claims goes on where it has been, without losing what comes behind that.
#[test]
fn execution_that_comes_late_is_not_starved_by_those_that_keep_coming() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    make_one_shots(&mut session, 10_000);
    let late = "select last_execution_id from kronos.create_delayed_job('acme', 'hook', now() - interval '1 hour')";
    for more_wait in [true, false] {
        let max = if more_wait { 1 } else { 10_000 };
        assert!(!claim(&mut session, "w", max).is_empty());
        let late: uuid::Uuid = session.query_one(late, &[]).unwrap().get(0);
        if more_wait {
            wait_for("the late one to be claimed before the rest is", || {
                let taken = claim(&mut session, "w", 1);
                assert!(!taken.is_empty());
                taken[0].0 == late
            });
            let rest = "select count(*) from kronos.executions where status = 'QUEUED'";
            assert!(count(&mut session, rest) > 0);
        } else {
            assert_eq!(claim(&mut session, "w", 1), [(late, 1)]);
        }
    }
}

/// The plans that auto_explain has logged since a mark, as JSON text.
fn plan_of_claim(server: &Server, session: &mut Client, call: &str) -> serde_json::Value {
    let before = server.log().len();
    session
        .batch_execute(
            "load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on;
             set auto_explain.log_analyze = on; set auto_explain.log_timing = off; set auto_explain.log_format = json;",
        )
        .unwrap();
    session.batch_execute(call).unwrap();
    session
        .batch_execute("set auto_explain.log_min_duration = -1")
        .unwrap();
    let mut plans = vec![];
    wait_for("the plan to be logged", || {
        let log = server.log()[before..].to_owned();
        plans = log
            .split("plan:\n")
            .skip(1)
            .filter_map(|text| {
                let mut values = serde_json::Deserializer::from_str(text).into_iter();
                values.next()?.ok()
            })
            .collect::<Vec<serde_json::Value>>();
        plans.iter().any(is_claim)
    });
    plans.into_iter().find(is_claim).unwrap()
}

fn is_claim(plan: &serde_json::Value) -> bool {
    plan["Query Text"]
        .as_str()
        .is_some_and(|text| text.contains("chosen as materialized"))
}

fn nodes(plan: &serde_json::Value) -> Vec<serde_json::Value> {
    let mut all = vec![plan.clone()];
    for child in plan["Plans"].as_array().into_iter().flatten() {
        all.extend(nodes(child));
    }
    all
}

#[test]
fn claim_reads_no_more_of_the_index_than_it_takes_among_a_million_finished_executions() {
    let server = Server::start_with(&["autovacuum = off", "max_wal_size = '8GB'"]);
    let mut session = server.session();
    make_acme(&mut session);
    fill(&mut session, "acme", 1_000_000, "SUCCESS", true);
    fill(&mut session, "acme", 100_000, "QUEUED", false);
    // Without statistics, and with them.
    for statistics in ["", "analyze kronos.executions"] {
        session.batch_execute(statistics).unwrap();
        for call in [
            "select kronos.claim_executions('acme', 'w', max => 20)",
            "select kronos.claim_executions('acme', 'w', max => 20, endpoint_types => '{HTTP}')",
            "select kronos.claim_any_executions('w', max => 20)",
        ] {
            let plan = plan_of_claim(&server, &mut session, call);
            let nodes = nodes(&plan["Plan"]);
            let on_executions: Vec<_> = nodes
                .iter()
                .filter(|node| node["Relation Name"] == "executions")
                .collect();
            let waiting: Vec<_> = on_executions
                .iter()
                .filter(|node| {
                    node["Index Name"] == "executions_waiting" && node["Node Type"] == "Index Scan"
                })
                .collect();
            assert!(!waiting.is_empty(), "{plan:#}");
            for node in &on_executions {
                let kind = node["Node Type"].as_str().unwrap();
                assert!(
                    kind.starts_with("Index") || kind == "ModifyTable",
                    "{node:#}"
                );
                let read = (node["Actual Rows"].as_f64().unwrap_or(0.0)
                    + node["Rows Removed by Filter"].as_f64().unwrap_or(0.0))
                    * node["Actual Loops"].as_f64().unwrap_or(0.0);
                assert!(read <= 40.0, "it read {read} rows: {node:#}");
            }
            for sort in nodes.iter().filter(|node| node["Node Type"] == "Sort") {
                assert!(sort["Actual Rows"].as_f64().unwrap() <= 20.0, "{sort:#}");
            }
        }
    }
}
