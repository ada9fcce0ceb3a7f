//! Schedules of seconds, if the server's pg_cron supports them.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::Client;

pub fn pg_cron_supports_seconds(session: &mut Client) -> bool {
    let supports =
        "select count(*) from pg_settings where name = 'cron.timezone' and short_desc is not null";
    count(session, supports) == 1
}

#[test]
fn schedule_of_seconds_ticks_on_its_grid_or_is_refused_with_the_required_version() {
    // Schedules of seconds have a pool of entries of their own.
    let server = Server::start_with(&["kronos.max_entries = 0"]);
    let mut session = server.session();
    create_acme(&mut session);
    if !pg_cron_supports_seconds(&mut session) {
        let before = state(&mut session);
        let refused = try_create(&mut session, "2 seconds");
        let message = db_error(refused.as_ref().unwrap_err()).message().to_owned();
        assert!(
            message.contains("needs pg_cron 1.5 or later; this server has 1.4"),
            "{message}"
        );
        assert_code(refused, "CRON_NOT_SUPPORTED");
        assert_eq!(state(&mut session), before);
        return;
    }
    let job_id = create(&mut session, "2 seconds");
    let entry = "select count(*) from cron.job where schedule = '2 seconds'";
    assert_eq!(count(&mut session, entry), 1);
    wait_for("five ticks", || executions(&mut session) >= 5);
    let off_grid =
        "select count(*) from kronos.ticks where extract(epoch from tick_at)::numeric % 2 <> 0";
    assert_eq!(count(&mut session, off_grid), 0);
    let gaps = "select count(*)
                   from (select tick_at - lag(tick_at) over (order by tick_at) as step from kronos.ticks) steps
                   where step <> interval '2 seconds'";
    assert_eq!(count(&mut session, gaps), 0);
    let first = "select count(*) from kronos_internal.jobs
                 where (select min(tick_at) from kronos.ticks) <= active_since + interval '2 seconds'";
    assert_eq!(count(&mut session, first), 1);
    assert_sound(&mut session);
    try_cancel(&mut session, job_id).unwrap();
    assert_eq!(entries(&mut session), 0);
}

// Invariant 2: the pool has sixty entries. A create that finds none free fails and changes nothing.
#[test]
fn sixty_schedules_of_seconds_have_entries_and_the_next_is_refused() {
    let server = Server::start();
    let mut session = server.session();
    if !pg_cron_supports_seconds(&mut session) {
        return;
    }
    session.batch_execute("select kronos.start()").unwrap();
    for workspace in ["acme", "other"] {
        create_workspace(&mut session, workspace);
    }
    for seconds in 1..=30 {
        for workspace in ["acme", "other"] {
            let name = seconds.to_string();
            create_named(
                &mut session,
                workspace,
                &name,
                &format!("{seconds} seconds"),
            );
        }
    }
    assert_eq!(entries(&mut session), 60);
    let before = state(&mut session);
    let refused = try_create(&mut session, "31 seconds");
    assert_eq!(assert_code(refused, "TOO_MANY_ENTRIES"), "53400");
    assert_eq!(state(&mut session), before);
    // A job on an existing schedule needs no new entry, and a schedule of minutes uses another pool.
    create(&mut session, "30 seconds");
    create(&mut session, YEARLY);
    assert_sound(&mut session);
}
