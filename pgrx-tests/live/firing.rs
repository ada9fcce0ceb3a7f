//! pg_cron itself wakes Kronos, in both of its modes. The servers share the wait for the minute.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::{Client, IsolationLevel};
use uuid::Uuid;

const JOBS: i64 = 1000;

/// Makes a thousand jobs on one schedule, and gives pg_cron's role defaults that once stopped every tick.
fn set_up(session: &mut Client, defaults: &str) {
    create_acme(session);
    session
        .execute(
            "select count(kronos.create_cron_job('hook', '* * * * *', input => to_jsonb(n), workspace => 'acme'))
             from generate_series(1, $1::bigint) n",
            &[&JOBS],
        )
        .unwrap();
    assert_eq!(entries(session), 1, "one entry for all jobs");
    // The insert takes longer than the timeout.
    session
        .batch_execute(&format!(
            "create function public.dawdle() returns trigger language plpgsql as
               $$ begin perform pg_sleep(0.4); return null; end $$;
             create trigger dawdle after insert on kronos_internal.live_executions for each statement
             execute function public.dawdle();
             {defaults}"
        ))
        .unwrap();
}

// Invariant 1; C4 and C12 with pg_cron's own role.
#[test]
fn pg_cron_fires_in_libpq_and_background_worker_mode_whatever_the_settings_of_its_role() {
    let workers = [
        "cron.use_background_workers = on",
        "max_worker_processes = 20",
    ];
    let servers = [
        Server::start(),
        Server::start_with(&workers),
        // No schedule has a slot: upkeep's entry wakes all.
        Server::start_with(&["kronos.max_entries = 0"]),
    ];
    let [mut libpq, mut background, mut slotless] =
        [0, 1, 2].map(|nth: usize| servers[nth].session());
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
    // A transaction with an old snapshot, which must not pass over what it cannot see.
    let mut old = servers[2].session();
    let mut transaction = old
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .start()
        .unwrap();
    transaction.query("select from kronos.jobs", &[]).unwrap();
    let unseen = create(&mut slotless, "* * * * *");
    let began_before: String = slotless
        .query_one("select date_trunc('minute', now())::text", &[])
        .unwrap()
        .get(0);

    for session in [&mut libpq, &mut background] {
        wait_for("pg_cron to fire for all jobs", || full_ticks(session) > 0);
        assert_fired(session);
    }
    wait_for("upkeep's entry to fire", || {
        count(&mut slotless, "select count(*) from kronos.executions") > 0
    });
    assert_fired(&mut slotless);
    assert_old_snapshot_passes_over_nothing(&mut slotless, transaction, unseen, &began_before);
    wait_for("upkeep to finish", || {
        let finished =
            "select count(*) from kronos_internal.upkeep_runs where finished_at is not null";
        count(&mut slotless, finished) > 0
    });
    assert_sound(&mut slotless);
}

/// The ticks for which every job has an execution.
fn full_ticks(session: &mut Client) -> i64 {
    count(
        session,
        "select count(*) from (select from kronos.executions group by tick_at having count(*) = 1000) t",
    )
}

fn assert_fired(session: &mut Client) {
    // A tick that came due while the jobs were being made is that of the earlier ones only.
    let wrong = count(
        session,
        "select count(*)
         from (select tick_at, count(distinct job_id) as jobs, count(*) as rows from kronos.executions group by tick_at) t
         where jobs <> rows or jobs <> (select count(*) from kronos_internal.jobs j where j.active_since < t.tick_at)",
    );
    assert_eq!(wrong, 0, "each tick has one execution per job");
    let failed = "select count(*) from cron.job_run_details where status = 'failed'";
    assert_eq!(count(session, failed), 0, "no wake-up has failed");
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

/// Invariant 4: an old REPEATABLE READ transaction handles only what was due when it began.
fn assert_old_snapshot_passes_over_nothing(
    session: &mut Client,
    mut transaction: postgres::Transaction,
    unseen: Uuid,
    began_before: &str,
) {
    assert_eq!(run_due(&mut transaction), 0, "nothing was due then");
    transaction.commit().unwrap();
    let statement = "select count(*) from kronos.ticks where job_id = $1 and outcome = 'RUN' and tick_at > $2::text::timestamptz";
    let written: i64 = session
        .query_one(statement, &[&unseen, &began_before])
        .unwrap()
        .get(0);
    assert!(written > 0);
}
