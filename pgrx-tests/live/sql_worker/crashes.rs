//! Statements of mode transaction take effect exactly once, and those of mode autocommit at least once, while workers, the
//! dispatcher and the whole server are killed.

use super::*;
use crate::server::kill;
use crate::soak::{generator, seed, size};
use rand::Rng;

const WORKER: &str = "kronos sql worker";
const DISPATCHER: &str = "kronos sql dispatcher";

/// What is killed, each at a random moment, in an order that chance decides.
const VICTIMS: [&str; 7] = [
    WORKER,
    DISPATCHER,
    "postmaster",
    WORKER,
    WORKER,
    DISPATCHER,
    "postmaster",
];

/// Runs executions that write their number into the ledger, kills processes meanwhile, and returns when all have ended.
fn run_with_kills(mode: &str) -> (Server, Client) {
    let executions = size(2000, 10_000);
    let mut rng = generator(seed(), 0);
    let (server, mut owner) = start_server(&["kronos.max_sql_workers = 4"]);
    let mut session = create_admin(&server, &mut owner, "writer");
    let insert = "insert into ledger (n) values (($1 ->> 'n')::integer); select pg_sleep(0.002)";
    let at_top_level = "insert into ledger (n) values (1); select pg_sleep(0.002)";
    let statement = if mode == "transaction" {
        insert
    } else {
        at_top_level
    };
    let spec = json!({ "statement": statement, "mode": mode });
    let create = "select kronos.create_endpoint('count', 'SQL', $1, retry_policy => '{\"max_attempts\": 1000, \"initial_delay_ms\": 5, \"max_delay_ms\": 50}')";
    session.execute(create, &[&spec]).unwrap();
    let enqueue = "select count(*) from kronos.enqueue_many(
                       (select jsonb_agg(jsonb_build_object('endpoint', 'count', 'input', jsonb_build_object('n', n)))
                        from generate_series(1, $1::integer) n))";
    session.execute(enqueue, &[&executions]).unwrap();
    for (nth, victim) in VICTIMS.iter().enumerate() {
        let progress = executions as i64 * (nth as i64 + 1) / (VICTIMS.len() as i64 + 1)
            - rng.random_range(0..100);
        wait_for("the executions to go on", || {
            finished(&mut owner) >= progress
        });
        if *victim == "postmaster" {
            server.kill_postmaster_and_start_again();
            owner = server.session();
        } else {
            let pid = "select coalesce(max(pid), 0) from pg_stat_activity where backend_type = $1";
            let mut is_killed = false;
            wait_for("a process to be killed", || {
                let pid: i32 = owner.query_one(pid, &[victim]).unwrap().get(0);
                is_killed = pid != 0 && kill(pid);
                is_killed
            });
            owner = server.session_after_crash(owner);
        }
        // pg_cron would do so within a minute.
        upkeep(&mut owner);
    }
    let all = executions as i64;
    wait_for("all executions to end", || finished(&mut owner) == all);
    let succeeded = "select count(*) from kronos.executions where status = 'SUCCEEDED'";
    assert_eq!(count(&mut owner, succeeded), all);
    let lost = "select count(*) from kronos.attempts where outcome = 'LOST'";
    assert!(count(&mut owner, lost) > 0, "no attempt was lost");
    (server, owner)
}

fn finished(owner: &mut Client) -> i64 {
    count(owner, "select count(*) from kronos_internal.history")
}

#[test]
fn statement_and_its_completion_commit_exactly_once_whatever_is_killed() {
    let (_server, mut owner) = run_with_kills("transaction");
    let wrong = "select count(*)
                 from (select (x.input ->> 'n')::integer as n from kronos.execution_details x) x
                 full join (select n, count(*) as times from ledger group by n) l using (n)
                 where l.times is distinct from 1 or x.n is null";
    assert_eq!(
        count(&mut owner, wrong),
        0,
        "executions whose effect is not there once"
    );
    assert_sound(&mut owner);
}

#[test]
fn autocommit_takes_effect_at_least_once_and_attempts_tell_how_often() {
    let (_server, mut owner) = run_with_kills("autocommit");
    let effects = count(&mut owner, "select count(*) from ledger");
    let executions = executions(&mut owner);
    let attempts = count(&mut owner, "select count(*) from kronos.attempts");
    println!("{executions} executions, {attempts} attempts, {effects} effects");
    assert!(
        executions <= effects && effects <= attempts,
        "{executions} executions, {effects} effects, {attempts} attempts"
    );
    assert_sound(&mut owner);
}
