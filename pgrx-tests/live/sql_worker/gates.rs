//! Paused and limited SQL endpoints.

use super::*;

const PROCESSES: &str =
    "select count(*) from pg_stat_activity where backend_type like 'kronos sql %'";

const MOST_AT_ONCE: &str =
    "select coalesce(max(n), 0) from (select count(*) as n from kronos.execution_details x
    join kronos.execution_details y on y.started_at <= x.started_at and y.finished_at > x.started_at
    group by x.execution_id) c";

#[test]
fn paused_sql_endpoint_runs_when_it_is_resumed() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    let spec = json!({ "statement": "insert into ledger values (1)" });
    write_endpoint(&mut session, "paused", &spec);
    session
        .batch_execute("select kronos.pause_endpoint('paused')")
        .unwrap();
    let waiting = enqueue(&mut session, "paused", &json!({}));
    // Others of the same role run.
    run_in_transaction(&mut session, "select 1").assert_succeeded();
    assert_eq!(status(&mut owner, waiting), "QUEUED");
    // Neither an idle dispatcher nor upkeep must find the execution.
    wait_for("the processes to end", || count(&mut owner, PROCESSES) == 0);
    owner
        .batch_execute("update cron.job set active = false")
        .unwrap();
    session
        .batch_execute("select kronos.resume_endpoint('paused')")
        .unwrap();
    wait_for_end(&mut owner, waiting).assert_succeeded();
    assert_eq!(count(&mut owner, "select count(*) from ledger"), 1);
}

#[test]
fn limits_hold_for_statements_that_the_server_runs() {
    let (server, mut owner) = start_server(&["kronos.max_sql_workers = 4"]);
    let mut session = create_admin(&server, &mut owner, "writer");
    let spec = json!({ "statement": "select pg_sleep(0.02)" });
    write_endpoint(&mut session, "narrow", &spec);
    session
        .batch_execute("select kronos.update_endpoint('narrow', max_concurrent => 2)")
        .unwrap();
    let enqueue = "select count(kronos.enqueue('narrow')) from generate_series(1, 60)";
    session.execute(enqueue, &[]).unwrap();
    let ended = "select count(*) from kronos.executions where status = 'SUCCEEDED'";
    wait_for("all executions to end", || count(&mut owner, ended) == 60);
    assert_eq!(count(&mut owner, MOST_AT_ONCE), 2);

    session
        .batch_execute(
            "select kronos.update_endpoint('narrow', max_concurrent => 0, rate_limit => 5,
                                           rate_interval => '1 second')",
        )
        .unwrap();
    session.execute(enqueue, &[]).unwrap();
    wait_for("all executions to end", || count(&mut owner, ended) == 120);
    let most_in_a_second = "select max(n) from (select count(*) as n
        from (select started_at from kronos.execution_details order by started_at desc limit 60) x
        join (select started_at from kronos.execution_details order by started_at desc limit 60) y
          on y.started_at <= x.started_at and y.started_at > x.started_at - interval '1 second'
        group by x.started_at) c";
    assert_eq!(count(&mut owner, most_in_a_second), 5);
}
