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
        wait_for("pg_cron to fire", || executions(session) >= JOBS);
        assert_fired(session);
    }
}

fn assert_fired(session: &mut Client) {
    let wrong = count(
        session,
        "select count(*) from (select count(distinct lineage_id) as jobs, count(*) as rows
                               from kronos.executions group by tick_at) t
         where (jobs, rows) <> (1000, 1000)",
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
