//! Limits of endpoints: max_concurrent and rate_limit, each for every concurrency key by itself.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::{Client, GenericClient, IsolationLevel};
use std::time::{Duration, Instant};

/// Starts a server with workspace `acme`, whose endpoint `hook` has limits.
fn server_with_limits(limits: &str) -> (Server, Client) {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    limit(&mut session, limits);
    (server, session)
}

fn limit(session: &mut impl GenericClient, limits: &str) {
    session
        .batch_execute(&format!(
            "select kronos.update_endpoint('hook', {limits}, workspace => 'acme')"
        ))
        .unwrap();
}

/// Enqueues one-shots on `hook` with a concurrency key; without one for the empty key.
fn enqueue_with_key(session: &mut impl GenericClient, count: i32, key: &str) {
    let statement = "
        select count(*) from kronos.enqueue_many(
            (select jsonb_agg(jsonb_build_object('endpoint', 'hook', 'concurrency_key', nullif($2::text, '')))
             from generate_series(1, $1::integer)), workspace => 'acme')";
    session.execute(statement, &[&count, &key]).unwrap();
}

/// How many executions of each key run, as `key=count`.
fn running(session: &mut impl GenericClient) -> String {
    let statement = "
        select coalesce(string_agg(key || '=' || running, ' ' order by key), '')
        from (select coalesce(concurrency_key, '') as key, count(*) as running
              from kronos.execution_details where status = 'RUNNING' group by 1) r";
    session.query_one(statement, &[]).unwrap().get(0)
}

/// In how many milliseconds a worker that finds nothing should look again; None for never.
fn sleeps_for(session: &mut impl GenericClient) -> Option<f64> {
    let statement = "select (extract(epoch from kronos.next_wakeup(workspace => 'acme') - clock_timestamp()) * 1000)::float8";
    session.query_one(statement, &[]).unwrap().get(0)
}

#[test]
fn at_most_max_concurrent_executions_of_each_key_run() {
    let (_server, mut session) = server_with_limits("max_concurrent => 2");
    for key in ["", "a", "b"] {
        enqueue_with_key(&mut session, 5, key);
    }
    let held = claim(&mut session, "w", 100);
    assert_eq!(running(&mut session), "=2 a=2 b=2");
    assert!(claim(&mut session, "w", 100).is_empty());
    // A full endpoint lets workers sleep until a lease ends.
    let sleep = sleeps_for(&mut session).unwrap();
    assert!(sleep > 30_000.0, "{sleep} ms");

    for end in [complete, fail] {
        end(&mut session, "w", held[0]).ok();
        end(&mut session, "w", held[1]).ok();
    }
    assert_eq!(claim(&mut session, "w", 100).len(), 2);
    assert_eq!(running(&mut session), "=2 a=2 b=2");
    assert_sound(&mut session);
}

#[test]
fn finished_execution_of_a_full_endpoint_notifies_workers() {
    let (server, mut session) = server_with_limits("max_concurrent => 1");
    enqueue_with_key(&mut session, 2, "a");
    let held = claim(&mut session, "w", 1);
    let mut listening = server.session();
    listening.batch_execute("listen kronos_executions").unwrap();
    complete(&mut session, "w", held[0]).unwrap();
    wait_for("the notification", || {
        let mut notifications = listening.notifications();
        let next = notifications.timeout_iter(Duration::from_millis(10));
        postgres::fallible_iterator::FallibleIterator::count(next).unwrap() > 0
    });
    let held = claim(&mut session, "w", 1);
    complete(&mut session, "w", held[0]).unwrap();
    // Nothing waits any more, so nobody is told.
    let mut notifications = listening.notifications();
    let next = notifications.timeout_iter(Duration::from_millis(300));
    assert_eq!(
        postgres::fallible_iterator::FallibleIterator::count(next).unwrap(),
        0
    );
}

#[test]
fn at_most_rate_limit_executions_of_each_key_start_within_the_interval() {
    let (_server, mut session) =
        server_with_limits("rate_limit => 3, rate_interval => '2 seconds'");
    for key in ["a", "b"] {
        enqueue_with_key(&mut session, 5, key);
    }
    let start = Instant::now();
    let held = claim(&mut session, "w", 100);
    assert_eq!(running(&mut session), "a=3 b=3");
    for one in held {
        complete(&mut session, "w", one).unwrap();
    }
    assert!(claim(&mut session, "w", 100).is_empty());
    let sleep = sleeps_for(&mut session).unwrap();
    assert!((1.0..=2000.0).contains(&sleep), "{sleep} ms");
    wait_for("the rate to let executions start", || {
        !claim(&mut session, "w", 100).is_empty()
    });
    assert!(start.elapsed() >= Duration::from_secs(2), "{start:?}");
    assert_eq!(running(&mut session), "a=2 b=2");
}

#[test]
fn executions_that_ran_before_the_limit_was_set_count_towards_it() {
    let (_server, mut session) = server_with_limits("max_concurrent => 0");
    enqueue_with_key(&mut session, 8, "a");
    enqueue_with_key(&mut session, 8, "");
    let held = claim(&mut session, "w", 6);
    assert_eq!(running(&mut session), "a=6");
    limit(&mut session, "max_concurrent => 3");
    for one in &held[..3] {
        assert_eq!(
            claim(&mut session, "w", 100).len(),
            usize::from(one == &held[0]) * 3
        );
        complete(&mut session, "w", *one).unwrap();
    }
    assert_eq!(running(&mut session), "=3 a=3");
    complete(&mut session, "w", held[3]).unwrap();
    assert_eq!(claim(&mut session, "w", 100).len(), 1);
    assert_eq!(running(&mut session), "=3 a=3");
}

#[test]
fn limit_that_was_just_set_holds_in_sessions_that_claim_continuously() {
    let (server, mut session) = server_with_limits("max_concurrent => 0");
    enqueue(&mut session, 1000);
    let mut sessions = vec![server.session(), server.session()];
    for session in &mut sessions {
        assert_eq!(claim(session, "w", 10).len(), 10);
    }
    // A transaction with an older snapshot sees the limit, too.
    let mut older = server.session();
    for level in [IsolationLevel::RepeatableRead, IsolationLevel::Serializable] {
        limit(&mut session, "max_concurrent => 0");
        let mut transaction = older
            .build_transaction()
            .isolation_level(level)
            .start()
            .unwrap();
        assert_eq!(executions(&mut transaction), 1000);
        limit(&mut session, "max_concurrent => 5");
        assert!(claim(&mut transaction, "w", 10).is_empty());
        transaction.commit().unwrap();
    }
    for session in &mut sessions {
        assert!(claim(session, "w", 10).is_empty());
    }
    limit(&mut session, "max_concurrent => 21");
    assert_eq!(claim(&mut sessions[0], "w", 10).len(), 1);
    limit(&mut session, "max_concurrent => 0");
    assert_eq!(claim(&mut sessions[1], "w", 100).len(), 100);
    assert_sound(&mut session);
}

#[test]
fn open_claim_on_a_limited_endpoint_holds_up_no_other_claim() {
    let (server, mut session) = server_with_limits("max_concurrent => 3");
    create_workspace(&mut session, "other");
    session
        .batch_execute(
            "select kronos.create_endpoint('free', 'HTTP', workspace => 'acme');
             select kronos.update_endpoint('hook', max_concurrent => 1, workspace => 'other');
             select kronos.enqueue('hook', workspace => 'other') from generate_series(1, 2)",
        )
        .unwrap();
    enqueue_with_key(&mut session, 5, "a");
    let mut claiming = server.session();
    let mut open = claiming.transaction().unwrap();
    assert_eq!(claim(&mut open, "w", 2).len(), 2);
    // Nobody can know whether the open claim commits, so nothing of the endpoint starts meanwhile.
    session
        .batch_execute(
            "set lock_timeout = '1ms'; select kronos.enqueue('free', workspace => 'acme')",
        )
        .unwrap();
    assert_eq!(claim(&mut session, "w", 10).len(), 1);
    let any = "select workspace from kronos.claim_any_executions('w', 10)";
    let rows = session.query(any, &[]).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get::<_, String>(0), "other");
    open.rollback().unwrap();
    assert_eq!(claim(&mut session, "w", 10).len(), 3);
}

#[test]
fn expired_lease_frees_its_place() {
    let (server, mut session) = server_with_limits("max_concurrent => 1");
    enqueue_with_key(&mut session, 2, "a");
    let mut dying = server.session();
    assert_eq!(claim_for(&mut dying, "dying", 1, "1 second").len(), 1);
    dying.close().unwrap();
    assert!(claim(&mut session, "w", 1).is_empty());
    wait_for("the lease to end", || {
        !claim(&mut session, "w", 1).is_empty()
    });
    let lost = "select count(*) from kronos.attempts where outcome = 'LOST'";
    assert_eq!(count(&mut session, lost), 1);
}

#[test]
fn key_with_a_hundred_thousand_executions_starves_neither_other_keys_nor_endpoints() {
    let (server, mut session) = server_with_limits("max_concurrent => 1");
    session
        .batch_execute("select kronos.create_endpoint('free', 'HTTP', workspace => 'acme')")
        .unwrap();
    for _ in 0..10 {
        enqueue_with_key(&mut session, 10_000, "flood");
    }
    enqueue_with_key(&mut session, 1, "late");
    session
        .batch_execute("select kronos.enqueue('free', workspace => 'acme')")
        .unwrap();
    let mut fresh = server.session();
    assert_eq!(claim(&mut fresh, "w", 10).len(), 3);
    assert_eq!(running(&mut session), "=1 flood=1 late=1");

    // What a limit holds back is not read.
    let mut transaction = fresh.transaction().unwrap();
    let before = rows_read(&mut transaction);
    for _ in 0..10 {
        assert!(claim(&mut transaction, "w", 10).is_empty());
        assert!(sleeps_for(&mut transaction).unwrap() > 1000.0);
    }
    let read = rows_read(&mut transaction) - before;
    assert!((1..500).contains(&read), "{read} rows in ten claims");
}

#[test]
fn more_keys_than_one_statement_reads_are_all_served() {
    let (_server, mut session) = server_with_limits("max_concurrent => 1");
    let enqueue = "
        select count(*) from kronos.enqueue_many(
            (select jsonb_agg(jsonb_build_object('endpoint', 'hook', 'concurrency_key', 'k' || n % 350, 'priority', n % 2))
             from generate_series(1, 1400) n), workspace => 'acme')";
    session.batch_execute(enqueue).unwrap();
    let mut held = vec![];
    wait_for("all keys to run", || {
        held.extend(claim(&mut session, "w", 7));
        held.len() == 350
    });
    let keys = "select count(distinct concurrency_key) from kronos.execution_details where status = 'RUNNING'";
    assert_eq!(count(&mut session, keys), 350);
    assert!(claim(&mut session, "w", 7).is_empty());
}

#[test]
fn executions_of_a_job_carry_its_concurrency_key() {
    let (_server, mut session) = server_with_limits("max_concurrent => 1");
    session
        .batch_execute(
            "set kronos.workspace = 'acme';
             select kronos.create_cron_job('hook', '0 0 1 1 *', name => 'one', concurrency_key => 'a');
             select kronos.create_cron_jobs('[{\"endpoint\": \"hook\", \"cron\": \"0 0 1 1 *\", \"name\": \"two\", \"concurrency_key\": \"a\"}]');
             select kronos.apply_crontab('[{\"endpoint\": \"hook\", \"cron\": \"0 0 1 1 *\", \"name\": \"three\", \"concurrency_key\": \"b\"}]', 'set');
             select kronos.update_cron_job(job_name => 'two', concurrency_key => 'c');
             select kronos.update_cron_job(job_name => 'two', priority => 3);",
        )
        .unwrap();
    for trigger in 0..2 {
        for job in ["one", "two", "three"] {
            let call = format!("select kronos.trigger_cron_job(job_name => '{job}')");
            session
                .batch_execute(&call)
                .unwrap_or_else(|error| panic!("{trigger}: {error}"));
        }
    }
    make_yearly_due(&mut session);
    assert_eq!(run_due(&mut session), 3);
    claim(&mut session, "w", 100);
    assert_eq!(running(&mut session), "a=1 b=1 c=1");
    let versions = "select string_agg(coalesce(concurrency_key, '-'), ' ' order by version)
                    from kronos.job_versions where job_name = 'two'";
    let versions: String = session.query_one(versions, &[]).unwrap().get(0);
    assert_eq!(versions, "a c c");
    let changed = "select changed::text from kronos.apply_crontab(
        '[{\"endpoint\": \"hook\", \"cron\": \"0 0 1 1 *\", \"name\": \"three\"}]', 'set')";
    let changed: String = session.query_one(changed, &[]).unwrap().get(0);
    assert_eq!(changed, "{concurrency_key}");
    session
        .batch_execute("select kronos.update_cron_job(job_name => 'one', concurrency_key => '')")
        .unwrap();
    let cleared = "select count(*) from kronos.job_details where concurrency_key is null";
    assert_eq!(count(&mut session, cleared), 2);
}

#[test]
fn request_with_another_concurrency_key_conflicts() {
    let (_server, mut session) = server_with_limits("max_concurrent => 1");
    let call = "select execution_id from kronos.enqueue('hook', idempotency_key => 'k', concurrency_key => $1, workspace => 'acme')";
    session.query_one(call, &[&"a"]).unwrap();
    session.query_one(call, &[&"a"]).unwrap();
    assert_code(session.query_one(call, &[&"b"]), "IDEMPOTENCY_CONFLICT");
}

#[test]
fn finished_executions_keep_their_concurrency_key() {
    let (_server, mut session) =
        server_with_limits("retry_policy => '{\"max_attempts\": 1}', max_concurrent => 3");
    enqueue_with_key(&mut session, 4, "a");
    let held = claim(&mut session, "w", 3);
    complete(&mut session, "w", held[0]).unwrap();
    fail(&mut session, "w", held[1]).unwrap();
    session
        .execute(
            "select kronos.complete_executions('w', $1)",
            &[&list_of(&held[2..])],
        )
        .unwrap();
    let cancel = "select kronos.cancel_execution(execution_id, workspace => 'acme')
                  from kronos.execution_details where status = 'QUEUED'";
    session.batch_execute(cancel).unwrap();
    let kept = "select string_agg(status, ' ' order by status) from kronos.execution_details
                where concurrency_key = 'a' and finished_at is not null";
    let kept: String = session.query_one(kept, &[]).unwrap().get(0);
    assert_eq!(kept, "CANCELLED FAILED SUCCEEDED SUCCEEDED");
}

#[test]
fn upkeep_forgets_old_starts() {
    let (_server, mut session) = server_with_limits("rate_limit => 2, rate_interval => '1 second'");
    enqueue_with_key(&mut session, 1, "a");
    claim(&mut session, "w", 1);
    session
        .batch_execute("update kronos_internal.attempt_starts set started_at = started_at - interval '25 hours'")
        .unwrap();
    upkeep(&mut session);
    let starts = "select count(*) from kronos_internal.attempt_starts";
    assert_eq!(count(&mut session, starts), 0);
}

#[test]
fn limits_and_keys_out_of_range_are_refused() {
    let (_server, mut session) = server_with_limits("max_concurrent => 0");
    session
        .batch_execute("set kronos.workspace = 'acme'")
        .unwrap();
    for call in [
        "create_endpoint('e', 'HTTP', max_concurrent => 0)",
        "create_endpoint('e', 'HTTP', rate_limit => 0, rate_interval => '1 second')",
        "create_endpoint('e', 'HTTP', rate_limit => 1)",
        "create_endpoint('e', 'HTTP', rate_interval => '1 second')",
        "update_endpoint('hook', max_concurrent => -1)",
        "update_endpoint('hook', max_concurrent => 100001)",
        "update_endpoint('hook', rate_limit => 100001, rate_interval => '1 second')",
        "update_endpoint('hook', rate_limit => 1)",
        "update_endpoint('hook', rate_interval => '1 second')",
        "update_endpoint('hook', rate_limit => 0, rate_interval => '1 second')",
        "update_endpoint('hook', rate_limit => 1, rate_interval => '0')",
        "update_endpoint('hook', rate_limit => 1, rate_interval => '25 hours')",
        "update_endpoint('hook', rate_limit => 1, rate_interval => '1 month')",
        "pause_endpoint('hook', reason => '')",
        "pause_endpoint('hook', reason => repeat('x', 1001))",
        "enqueue('hook', concurrency_key => '')",
        "enqueue('hook', concurrency_key => repeat('x', 201))",
        "enqueue_many('[{\"endpoint\": \"hook\", \"concurrency_key\": \"\"}]')",
        "create_cron_job('hook', '@daily', concurrency_key => '')",
    ] {
        let result = session.query(&format!("select kronos.{call}"), &[]);
        assert_code(result, "INVALID_ARGUMENT");
    }
    for call in ["pause_endpoint('none')", "resume_endpoint('none')"] {
        let result = session.query(&format!("select kronos.{call}"), &[]);
        assert_code(result, "ENDPOINT_NOT_FOUND");
    }
    // The limits that are left out stay.
    limit(&mut session, "rate_limit => 5, rate_interval => '1 minute'");
    limit(&mut session, "rate_limit => 6, max_concurrent => 2");
    limit(&mut session, "rate_interval => '2 minutes'");
    let limits = "select concat_ws(' ', max_concurrent, rate_limit, rate_interval) from kronos.get_endpoint('hook')";
    let kept: String = session.query_one(limits, &[]).unwrap().get(0);
    assert_eq!(kept, "2 6 00:02:00");
    limit(&mut session, "rate_limit => 0");
    let cleared: String = session.query_one(limits, &[]).unwrap().get(0);
    assert_eq!(cleared, "2");
}
