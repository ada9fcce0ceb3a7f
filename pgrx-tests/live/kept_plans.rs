//! Frequent statements of workers and applications are planned once per backend, and their plans stay good however
//! large the tables become.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::Client;
use std::time::{Duration, Instant};

const STATISTICS: [&str; 5] = [
    // pg_cron cannot connect, so upkeep does not run while statements are measured.
    "cron.host = '/nowhere'",
    "shared_preload_libraries = 'pg_cron, pg_stat_statements'",
    "pg_stat_statements.track = 'all'",
    "pg_stat_statements.track_planning = on",
    "autovacuum = off",
];

fn start_server() -> (Server, Client) {
    let server = Server::start_with(&STATISTICS);
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute(
            "create extension pg_stat_statements; set kronos.workspace = 'acme';
             create table public.c (execution_id uuid, attempt integer, list jsonb, nth integer)",
        )
        .unwrap();
    (server, session)
}

/// Makes each frequent call at least once, and each list call, on executions that it creates itself.
fn call_everything(session: &mut Client) {
    session
        .batch_execute(
            r#"
select kronos.enqueue('hook', '{"n": 1}') from generate_series(1, 9);
select kronos.enqueue('hook', priority => 0, idempotency_key => kronos.uuid_v7()::text);
select kronos.enqueue('hook', key => 'k', run_at => '2100-01-01Z', on_conflict => c) from unnest('{keep,replace}'::text[]) c;
select kronos.enqueue_many('[{"endpoint": "hook"}, {"endpoint": "hook"}]');
insert into c
    select execution_id, attempt, jsonb_build_array(jsonb_build_object('execution_id', execution_id, 'attempt', attempt)) as list,
           row_number() over () as nth
    from kronos.claim_executions('w', 6);
insert into c
    select execution_id, attempt, jsonb_build_array(jsonb_build_object('execution_id', execution_id, 'attempt', attempt)), 7
    from kronos.claim_any_executions('w');
select kronos.heartbeat_executions('w', list) from c;
select kronos.log_execution(execution_id, attempt, 'w', 'm') from c;
select kronos.complete_execution(execution_id, attempt, 'w') from c where nth = 1;
select kronos.fail_execution(execution_id, attempt, 'w', 'no', retry_at => '2100-01-01Z') from c where nth = 2;
select kronos.release_execution(execution_id, attempt, 'w') from c where nth = 3;
select kronos.complete_executions('w', list) from c where nth = 4;
select kronos.fail_executions('w', list) from c where nth = 5;
select kronos.release_executions('w', list) from c where nth = 6;
select kronos.complete_execution(execution_id, attempt, 'w') from c where nth = 7;
select kronos.next_wakeup();
select kronos.next_wakeup(all_workspaces => true);
select kronos.get_execution(execution_id) from c where nth < 7;
select kronos.list_attempts(execution_id), kronos.list_logs(execution_id) from c where nth < 7;
select kronos.list_executions(max => 5), kronos.list_executions(max => 5, status => 'SUCCEEDED');
select kronos.reschedule_execution(execution_id, now()) from c where nth = 2;
select kronos.cancel_execution(execution_id) from c where nth = 2;
select kronos.retry_execution(execution_id) from c where nth = 2;
insert into c
    select execution_id, attempt, null, 8 from kronos.claim_executions('p', 1);
select kronos.postpone_execution(execution_id, attempt, 'p', '2100-01-01Z') from c where nth = 8;
select kronos.cancel_execution(execution_id) from c where nth in (2, 8);
select kronos.retry_executions(error_contains => 'no such error');
select kronos.expire_worker_leases('nobody');
delete from c;
"#,
        )
        .unwrap();
}

/// Kronos's own statements since the last reset: text, calls, plans, and blocks per call.
fn statements(session: &mut Client) -> Vec<(String, i64, i64, i64)> {
    let statement = "select query, calls, plans, (shared_blks_hit + shared_blks_read) / calls
                     from pg_stat_statements where not toplevel and query like '%kronos%' and calls > 0";
    let rows = session.query(statement, &[]).unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect()
}

fn reset_statistics(session: &mut Client) {
    session
        .batch_execute("select pg_stat_statements_reset()")
        .unwrap();
}

#[test]
fn warm_backend_plans_nothing_in_a_hundred_further_calls() {
    let (_server, mut session) = start_server();
    call_everything(&mut session);
    reset_statistics(&mut session);
    for _ in 0..100 {
        call_everything(&mut session);
    }
    let seen = statements(&mut session);
    assert!(seen.len() > 15, "{seen:#?}");
    for (query, calls, plans, _) in seen {
        assert_eq!(plans, 0, "{calls} calls of {query}");
    }
}

/// Inserts finished executions for each endpoint.
fn insert_history(session: &mut Client, count: i32) {
    let insert = "
        insert into kronos_internal.history
            (execution_id, workspace_id, endpoint_id, run_at, created_at, started_at, finished_at, priority, attempt,
             failed_attempts, origin, status, endpoint_type, worker_id, outcome, input, metadata)
        select kronos.uuid_v7(), e.workspace_id, e.endpoint_id, now(), now(), now(), now(), 5, 1, 0, 'ENQUEUE', 'SUCCEEDED',
               'HTTP', 'w', 'SUCCEEDED', '{}', '{}'
        from kronos_internal.endpoints e, generate_series(1, $1) n";
    session.execute(insert, &[&count]).unwrap();
}

// A plan from when the tables were empty would join them row by row: 39 s with 20,000 rows in each.
#[test]
fn check_reads_full_tables_once_in_a_session_that_knew_them_empty() {
    let (_server, mut session) = start_server();
    session.batch_execute("analyze").unwrap();
    assert_sound(&mut session);
    insert_waiting(&mut session, "acme", 2_000);
    insert_history(&mut session, 2_000);
    let mut transaction = session.transaction().unwrap();
    assert_sound(&mut transaction);
    let read = rows_read(&mut transaction);
    assert!(read < 20_000, "{read} rows");
}

/// Generic plans are made on empty tables, and again after ANALYZE on full ones.
#[test]
fn plans_made_on_empty_tables_stay_cheap_on_full_ones() {
    let (_server, mut session) = start_server();
    call_everything(&mut session);
    create_workspace(&mut session, "big");
    for workspace in ["acme", "big"] {
        insert_waiting(&mut session, workspace, 100_000);
    }
    insert_history(&mut session, 100_000);
    for analyze in ["", "analyze"] {
        session.batch_execute(analyze).unwrap();
        call_everything(&mut session);
        reset_statistics(&mut session);
        // Claims start at the front, and once a second at the beginning.
        let start = Instant::now();
        wait_for("a claim from the beginning", || {
            call_everything(&mut session);
            start.elapsed() > Duration::from_millis(1500)
        });
        let seen = statements(&mut session);
        assert!(seen.len() > 15, "{seen:#?}");
        for (query, _, _, blocks) in seen {
            assert!(blocks < 400, "{blocks} blocks a call ({analyze}): {query}");
        }
    }
}
