//! pg_cron itself wakes Kronos, in both of its modes. The two servers share the wait for the minute.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::Client;

const JOBS: i64 = 1000;

#[test]
fn pg_cron_fires_a_job_in_libpq_mode_and_in_background_worker_mode() {
    let libpq = Server::start();
    let workers = Server::start_with(&[
        "cron.use_background_workers = on",
        "max_worker_processes = 20",
    ]);
    let mut sessions = [libpq.session(), workers.session()];
    for session in &mut sessions {
        make_acme(session);
        session
            .execute(
                "select count(kronos.create_cron_job('acme', 'hook', '* * * * *', input => to_jsonb(n)))
                 from generate_series(1, $1::bigint) n",
                &[&JOBS],
            )
            .unwrap();
        assert_eq!(
            count(session, "select count(*) from cron.job"),
            1,
            "one entry for all jobs"
        );
    }
    for session in &mut sessions {
        wait_for("pg_cron to fire for all jobs", || full_ticks(session) > 0);
        assert_fired(session);
    }
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
         from (select tick_at, count(distinct lineage_id) as jobs, count(*) as rows from kronos.executions group by tick_at) t
         where jobs <> rows or jobs <> (select count(*) from kronos.jobs j where j.active_since < t.tick_at)",
    );
    assert_eq!(wrong, 0, "each tick has one execution per job");
    let wake_ups = count(
        session,
        "select count(*) from cron.job_run_details where command = 'SELECT kronos.run_due()'",
    );
    let ticks = count(
        session,
        "select count(distinct tick_at) from kronos.executions",
    );
    assert!(
        wake_ups <= ticks + 1,
        "one wake-up per tick, not one per job: {wake_ups}"
    );
    assert_sound(session);
}
