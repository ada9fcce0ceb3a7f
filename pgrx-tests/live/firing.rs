//! pg_cron itself wakes Kronos, in both of its modes. One test covers all servers, so that they wait for the same
//! minute.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::{Client, IsolationLevel};
use uuid::Uuid;

const JOBS: i64 = 1000;

/// Creates a thousand jobs on one schedule, and changes settings of pg_cron's role.
fn set_up(session: &mut Client, settings: &str) {
    create_acme(session);
    session
        .execute(
            "select count(kronos.create_cron_job('hook', '* * * * *', input => to_jsonb(n), workspace => 'acme'))
             from generate_series(1, $1::bigint) n",
            &[&JOBS],
        )
        .unwrap();
    assert_eq!(entries(session), 1, "one entry for all jobs");
    // Makes the insert take longer than the timeout.
    session
        .batch_execute(&format!(
            "create function public.dawdle() returns trigger language plpgsql as
               $$ begin perform pg_sleep(0.4); return null; end $$;
             create trigger dawdle after insert on kronos_internal.live_executions for each statement
             execute function public.dawdle();
             {settings}"
        ))
        .unwrap();
}

// Invariant 1.
#[test]
fn pg_cron_fires_in_libpq_and_background_worker_mode_whatever_the_settings_of_its_role() {
    let workers = [
        "cron.use_background_workers = on",
        "max_worker_processes = 20",
    ];
    let servers = [
        Server::start(),
        Server::start_with(&workers),
        // No schedule has a slot, so upkeep's entry wakes all of them.
        Server::start_with(&["kronos.max_entries = 0"]),
        // Kronos belongs to a plain role.
        Server::start(),
    ];
    let [mut libpq, mut background, mut slotless, mut plain] =
        [0, 1, 2, 3].map(|nth: usize| servers[nth].session());
    set_up(
        &mut libpq,
        "alter role postgres set statement_timeout = '200ms';
         alter role postgres set default_transaction_isolation = 'serializable'",
    );
    set_up(
        &mut background,
        "alter role postgres set statement_timeout = '200ms';
         alter role postgres set default_transaction_isolation = 'repeatable read'",
    );
    create_acme(&mut slotless);
    create(&mut slotless, "* * * * *");
    assert_eq!(entries(&mut slotless), 0);
    create_acme(&mut plain);
    create(&mut plain, "* * * * *");
    plain
        .batch_execute("create role keeper login; select kronos.set_owner('keeper')")
        .unwrap();
    // A transaction with an old snapshot must not skip jobs that the snapshot does not show.
    let mut old = servers[2].session();
    let mut transaction = old
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .start()
        .unwrap();
    transaction.query("select from kronos.jobs", &[]).unwrap();
    let unseen = create(&mut slotless, "* * * * *");
    let minute: String = slotless
        .query_one("select date_trunc('minute', now())::text", &[])
        .unwrap()
        .get(0);

    for session in [&mut libpq, &mut background] {
        wait_for("pg_cron to fire for all jobs", || full_ticks(session) > 0);
        assert_fired(session);
    }
    for session in [&mut slotless, &mut plain] {
        wait_for("pg_cron to fire", || executions(session) > 0);
    }
    assert_fired(&mut plain);
    let by_others = "select count(*) from cron.job_run_details where username <> 'keeper'";
    assert_eq!(count(&mut plain, by_others), 0);
    assert_fired(&mut slotless);
    assert_old_snapshot_skips_nothing(&mut slotless, transaction, unseen, &minute);
    wait_for("upkeep to finish", || {
        let finished =
            "select count(*) from kronos.upkeep_runs where step = 'prune' and error is null";
        count(&mut slotless, finished) > 0
    });
    assert_sound(&mut slotless);
}

/// The number of ticks for which every job has an execution.
fn full_ticks(session: &mut Client) -> i64 {
    count(
        session,
        "select count(*) from (select from kronos.execution_details group by tick_at having count(*) = 1000) t",
    )
}

fn assert_fired(session: &mut Client) {
    // Only jobs that were active before a tick came due have it.
    let wrong = count(
        session,
        "select count(*)
         from (select tick_at, count(distinct job_id) as jobs, count(*) as rows from kronos.execution_details group by tick_at) t
         where jobs <> rows or jobs <> (select count(*) from kronos_internal.jobs j where j.active_since < t.tick_at)",
    );
    assert_eq!(wrong, 0, "each tick has one execution per job");
    let failed = "select count(*) from cron.job_run_details where status = 'failed'";
    assert_eq!(count(session, failed), 0, "no wake-up failed");
    let of_schedules =
        "select count(*) from cron.job_run_details where command like '%kronos.tick%'";
    let wake_ups = count(session, of_schedules);
    let ticks = count(session, "select count(distinct tick_at) from kronos.ticks");
    assert!(
        wake_ups <= ticks + 1,
        "one wake-up per tick, not one per job: {wake_ups}"
    );
    assert_ledger_matches_executions(session);
    assert_sound(session);
}

/// Invariant 4: an old REPEATABLE READ transaction handles only the ticks that were due when it began.
fn assert_old_snapshot_skips_nothing(
    session: &mut Client,
    mut transaction: postgres::Transaction,
    unseen: Uuid,
    minute: &str,
) {
    assert_eq!(run_due(&mut transaction), 0, "nothing was due then");
    transaction.commit().unwrap();
    let statement = "select count(*) from kronos.ticks where job_id = $1 and outcome = 'RUN' and tick_at > $2::text::timestamptz";
    let written: i64 = session
        .query_one(statement, &[&unseen, &minute])
        .unwrap()
        .get(0);
    assert!(written > 0);
}
