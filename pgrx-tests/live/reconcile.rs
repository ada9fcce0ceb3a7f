//! Invariants 1 and 2: what upkeep repairs, and what it leaves alone.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::Client;
use uuid::Uuid;

/// Damage to the entries of pg_cron and to schedules, as operators, restores and crashes leave it behind.
const DAMAGE: [(&str, &str); 11] = [
    (
        "an operator unscheduled the entry of a schedule",
        "select cron.unschedule(jobid) from cron.job where jobname like 'kronos schedule %'",
    ),
    (
        "an operator unscheduled the entry of upkeep",
        "select cron.unschedule(jobid) from cron.job where jobname = 'kronos upkeep'",
    ),
    ("an operator deleted all entries", "delete from cron.job"),
    (
        "an operator changed when an entry fires",
        "update cron.job set schedule = '7 7 7 7 *'",
    ),
    (
        "an operator deactivated the entries",
        "update cron.job set active = false",
    ),
    (
        "an operator changed a command",
        "update cron.job set command = 'select 1'",
    ),
    (
        "a dump was restored on a server with another port",
        "update cron.job set nodeport = 1",
    ),
    (
        "a dump was restored on a server with another host",
        "update cron.job set nodename = 'elsewhere.example.com'",
    ),
    (
        "a dump was restored into another database",
        "update cron.job set database = 'template1'",
    ),
    (
        "an entry belongs to a job that was cancelled",
        "select cron.schedule('kronos schedule 01900000-0000-7000-8000-000000000000', '* * * * *', 'select 1')",
    ),
    (
        "a schedule lost its jobs",
        "set session_replication_role = replica;
         delete from kronos_internal.jobs where cron = '5 5 5 5 *';
         reset session_replication_role",
    ),
];

fn problems(session: &mut Client) -> i64 {
    count(session, "select count(*) from kronos.check()")
}

/// The repairs that a call of reconcile() returns.
fn repairs(session: &mut Client, arguments: &str) -> Vec<String> {
    let statement = format!(
        "select concat_ws(': ', workspace, subject, problem, repair, error) from kronos.reconcile({arguments})"
    );
    let rows = session.query(&statement, &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// A server with a job on each of two schedules.
fn server_with_two_schedules() -> (Server, Client) {
    let (server, mut session, _) = server_with_job();
    create(&mut session, "5 5 5 5 *");
    (server, session)
}

#[test]
fn one_run_of_upkeep_repairs_every_damage_to_entries_and_schedules() {
    for (damage, statement) in DAMAGE {
        let (_server, mut session) = server_with_two_schedules();
        session.batch_execute(statement).unwrap();
        assert!(problems(&mut session) > 0, "{damage}");
        let without_remedy = "select count(*) from kronos.check()
                              where remedy is distinct from 'SELECT * FROM kronos.reconcile(); upkeep does it within a minute'";
        assert_eq!(count(&mut session, without_remedy), 0, "{damage}");
        let planned = repairs(&mut session, "dry_run => true");
        assert!(!planned.is_empty(), "{damage}");
        assert!(
            problems(&mut session) > 0,
            "{damage}: a dry run repairs nothing"
        );
        upkeep(&mut session);
        assert_sound(&mut session);
        let count_of_last_run = "select count from kronos.upkeep_runs where step = 'reconcile'";
        assert_eq!(
            count(&mut session, count_of_last_run),
            planned.len() as i64,
            "{damage}: {planned:#?}"
        );
        assert_eq!(repairs(&mut session, ""), Vec::<String>::new(), "{damage}");
    }
}

#[test]
fn entries_with_other_names_are_left_alone() {
    let (_server, mut session, _) = server_with_job();
    session
        .batch_execute(
            "select cron.schedule('kronos backup', '0 3 * * *', 'select 1');
             select cron.schedule('kronos schedule report', '0 3 * * *', 'select 1')",
        )
        .unwrap();
    assert_sound(&mut session);
    upkeep(&mut session);
    let kept = "select count(*) from cron.job where command = 'select 1'";
    assert_eq!(count(&mut session, kept), 2);
    session.batch_execute("drop extension kronos").unwrap();
    assert_eq!(count(&mut session, kept), 2);
}

// Nothing else would wake upkeep.
#[test]
fn wake_up_of_a_schedule_restores_the_entry_of_upkeep() {
    let (_server, mut session, _) = server_with_job();
    session
        .batch_execute(
            "select cron.unschedule(jobid) from cron.job where jobname = 'kronos upkeep'",
        )
        .unwrap();
    assert_eq!(problems(&mut session), 1);
    tick(&mut session);
    assert_sound(&mut session);
}

#[test]
fn reconcile_names_each_repair_and_why_it_was_needed() {
    let (_server, mut session) = server_with_two_schedules();
    session
        .batch_execute(
            "select cron.unschedule(jobid) from cron.job where schedule = '0 0 1 1 *';
             update cron.job set active = false where schedule = '5 5 5 5 *'",
        )
        .unwrap();
    assert_eq!(
        repairs(&mut session, ""),
        [
            "acme: schedule 0 0 1 1 * (UTC): its pg_cron entry was missing: created the entry",
            "acme: schedule 5 5 5 5 * (UTC): its pg_cron entry was altered or inactive: replaced the entry",
        ]
    );
    assert_sound(&mut session);
}

#[test]
fn entry_of_another_role_is_removed_or_reported() {
    let (_server, mut session) = server_with_two_schedules();
    session
        .batch_execute(
            "create role mallory;
             insert into cron.job (schedule, command, nodename, nodeport, database, username, jobname)
             select schedule, command, nodename, nodeport, database, 'mallory', jobname from cron.job",
        )
        .unwrap();
    assert_eq!(problems(&mut session), 3);
    upkeep(&mut session);
    assert_sound(&mut session);
}

#[test]
fn lowered_max_entries_takes_entries_away_and_a_freed_slot_is_given_to_a_waiting_schedule() {
    let server = Server::start_with(&["kronos.max_entries = 3"]);
    let mut session = server.session();
    create_acme(&mut session);
    let jobs: Vec<Uuid> = (1..=4)
        .map(|n| create(&mut session, &format!("0 0 1 1 {n}")))
        .collect();
    assert_eq!(entries(&mut session), 3);
    let set_max_entries = |session: &mut Client, max: i32| {
        session
            .batch_execute(&format!("alter system set kronos.max_entries = {max}"))
            .unwrap();
        session.batch_execute("select pg_reload_conf()").unwrap();
        let setting = "select current_setting('kronos.max_entries')::bigint";
        wait_for("the setting to take effect", || {
            count(session, setting) == i64::from(max)
        });
    };
    set_max_entries(&mut session, 1);
    assert_eq!(problems(&mut session), 2);
    upkeep(&mut session);
    assert_sound(&mut session);
    assert_eq!(entries(&mut session), 1);
    set_max_entries(&mut session, 2);
    upkeep(&mut session);
    assert_sound(&mut session);
    assert_eq!(entries(&mut session), 2);
    // Jobs 1 and 2 have the slots.
    try_cancel(&mut session, jobs[0]).unwrap();
    assert_eq!(entries(&mut session), 1);
    upkeep(&mut session);
    assert_eq!(entries(&mut session), 2);
    assert_sound(&mut session);
}

// Invariant 7: a job retires once all its ticks before ends_at are in the ledger.
#[test]
fn job_whose_ends_at_is_past_runs_its_last_ticks_and_retires() {
    let (_server, mut session, job_id) = server_with_job();
    let staying = create(&mut session, "5 5 5 5 *");
    make_yearly_due(&mut session);
    end_job(&mut session, job_id);
    // Before its last tick is written, the job stays.
    assert_eq!(repairs(&mut session, ""), Vec::<String>::new());
    upkeep(&mut session);
    let of_job = "select status || ' ' || retired_reason from kronos.job_details where retired_reason is not null";
    let retired: String = session.query_one(of_job, &[]).unwrap().get(0);
    assert_eq!(retired, "RETIRED ENDED");
    assert_eq!(outcomes(&mut session, job_id), ["RUN"]);
    assert_eq!(
        entries(&mut session),
        1,
        "the entry of its schedule is gone"
    );
    assert_sound(&mut session);
    // A paused job has no ticks to wait for.
    let pause = "select kronos.pause_cron_job($1, workspace => 'acme')";
    session.query(pause, &[&staying]).unwrap();
    end_job(&mut session, staying);
    upkeep(&mut session);
    let live = "select count(*) from kronos.jobs where status <> 'RETIRED'";
    assert_eq!(count(&mut session, live), 0);
    assert_sound(&mut session);
}

// Invariant 9: a transaction that a workspace holds open does not hold up the repairs of others.
#[test]
fn upkeep_leaves_what_open_transactions_have_locked_and_repairs_the_rest() {
    let (server, mut session) = server_with_two_schedules();
    let job_id: Uuid = session
        .query_one(
            "select job_id from kronos.jobs where cron = '0 0 1 1 *'",
            &[],
        )
        .unwrap()
        .get(0);
    end_job(&mut session, job_id);
    let mut joining = server.session();
    let mut transaction = joining.transaction().unwrap();
    // The schedule is locked: the ended job cannot release it.
    create(&mut transaction, YEARLY);
    session
        .batch_execute("update cron.job set active = false where schedule = '5 5 5 5 *'")
        .unwrap();
    assert_does_not_wait(&server, "call kronos.upkeep()");
    assert_sound(&mut session);
    let live = "select count(*) from kronos.jobs where status = 'ACTIVE'";
    assert_eq!(count(&mut session, live), 2, "left to the next run");
    let repaired = "select count from kronos.upkeep_runs where step = 'reconcile'";
    assert_eq!(count(&mut session, repaired), 1);
    transaction.rollback().unwrap();
    upkeep(&mut session);
    assert_eq!(count(&mut session, live), 1);
    assert_sound(&mut session);
}

/// Makes every write to a table fail.
fn break_table(session: &mut Client, table: &str) {
    session
        .batch_execute(&format!(
            "create or replace function public.refuse() returns trigger language plpgsql as
                 $$ begin raise exception 'the disk is full' using errcode = '53100'; end $$;
             create trigger refuse before insert or update or delete on {table} for each row execute function public.refuse()"
        ))
        .unwrap();
}

#[test]
fn step_of_upkeep_that_fails_is_recorded_and_does_not_stop_the_others() {
    for (table, failing) in [
        ("kronos_internal.schedules", "tick"),
        ("kronos_internal.live_executions", "expire_leases"),
        ("cron.job", "reconcile"),
        ("kronos_internal.history", "prune"),
    ] {
        let (_server, mut session) = server_with_two_schedules();
        enqueue(&mut session, 2);
        let held = claim(&mut session, "w", 2);
        complete(&mut session, "w", held[0]).unwrap();
        age_history(&mut session);
        session
            .batch_execute(
                "update kronos_internal.live_executions set lease_expires_at = now();
                 delete from cron.job where schedule = '5 5 5 5 *'",
            )
            .unwrap();
        make_yearly_due(&mut session);
        break_table(&mut session, table);
        upkeep(&mut session);
        let failed = "select coalesce(string_agg(step, ',') filter (where error like '%the disk is full'), '') from kronos.upkeep_runs";
        let failed: String = session.query_one(failed, &[]).unwrap().get(0);
        assert_eq!(failed, failing, "{table}");
        let steps = "select count(*) from kronos.upkeep_runs";
        assert_eq!(count(&mut session, steps), 4, "{table}");
        if failing != "prune" {
            let pruned = "select count from kronos.upkeep_runs where step = 'prune'";
            assert_eq!(count(&mut session, pruned), 1, "{table}");
        }
        if failing != "tick" {
            assert_eq!(
                ticks(&mut session, "RUN") + ticks(&mut session, "OWED"),
                1,
                "{table}"
            );
        }
        session
            .batch_execute(&format!("drop trigger refuse on {table}"))
            .unwrap();
        upkeep(&mut session);
        let of_repaired = "select count(*) from cron.job where schedule = '5 5 5 5 *'";
        assert_eq!(count(&mut session, of_repaired), 1, "{table}");
    }
}

#[test]
fn disabled_kronos_neither_ticks_nor_hands_out_executions() {
    let (server, mut session, job_id) = server_with_job();
    make_yearly_missed(&mut session);
    enqueue(&mut session, 3);
    session
        .batch_execute("alter database postgres set kronos.enabled = off")
        .unwrap();
    let mut disabled = server.session();
    tick(&mut disabled);
    upkeep(&mut disabled);
    assert_eq!(run_due(&mut disabled), 0);
    assert!(claim(&mut disabled, "w", 10).is_empty());
    let wakeup = "select count(kronos.next_wakeup(workspace => 'acme'))";
    assert_eq!(count(&mut disabled, wakeup), 0);
    assert_eq!(outcomes(&mut disabled, job_id), Vec::<String>::new());
    // Only a superuser can enable it. Before the first call has loaded the library, the server cannot know that.
    disabled
        .batch_execute(
            "create role worker login;
             grant usage on schema kronos to worker;
             select kronos.grant_workspace('worker', 'worker', workspace => 'acme')",
        )
        .unwrap();
    let mut worker = server.session_as("worker");
    worker.batch_execute("set kronos.enabled = on").unwrap();
    assert!(claim(&mut worker, "w", 10).is_empty());
    worker
        .batch_execute("set kronos.enabled = on")
        .expect_err("it needs a superuser");
    disabled
        .batch_execute("alter database postgres reset kronos.enabled")
        .unwrap();
    let mut enabled = server.session();
    tick(&mut enabled);
    assert_eq!(outcomes(&mut enabled, job_id), ["RUN"], "caught up");
    assert_eq!(claim(&mut enabled, "w", 10).len(), 4);
    assert_sound(&mut enabled);
}
