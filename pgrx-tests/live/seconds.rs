//! Schedules of seconds: where the server's pg_cron has them.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::Client;

fn pg_cron_has_seconds(session: &mut Client) -> bool {
    let knows =
        "select count(*) from pg_settings where name = 'cron.timezone' and short_desc is not null";
    count(session, knows) == 1
}

#[test]
fn schedule_of_seconds_ticks_on_its_grid_or_is_refused_with_the_version_it_needs() {
    // Schedules of seconds need no slot.
    let server = Server::start_with(&["kronos.max_alarms = 0"]);
    let mut session = server.session();
    make_acme(&mut session);
    if !pg_cron_has_seconds(&mut session) {
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
    let off_grid = "select count(*) from kronos.executions where extract(epoch from tick_at)::numeric % 2 <> 0";
    assert_eq!(count(&mut session, off_grid), 0);
    let missing = "select count(*)
                   from (select tick_at - lag(tick_at) over (order by tick_at) as step from kronos.executions) steps
                   where step <> interval '2 seconds'";
    assert_eq!(count(&mut session, missing), 0);
    let first = "select count(*) from kronos.jobs
                 where (select min(tick_at) from kronos.executions) <= active_since + interval '2 seconds'";
    assert_eq!(count(&mut session, first), 1);
    assert_sound(&mut session);
    try_cancel(&mut session, job_id).unwrap();
    assert_eq!(count(&mut session, "select count(*) from cron.job"), 0);
}
