//! Alarms of schedules in other zones than pg_cron's, on a real pg_cron.

use crate::domain::*;
use crate::server::Server;
use postgres::Client;

fn create_in(session: &mut Client, cron: &str, timezone: &str) {
    let statement = "select from kronos.create_cron_job('acme', 'hook', $1, $2)";
    session.query_one(statement, &[&cron, &timezone]).unwrap();
}

fn entries(session: &mut Client) -> Vec<String> {
    let rows = session
        .query("select schedule from cron.job order by schedule", &[])
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[test]
fn pg_cron_entries_cover_the_zones_ticks_and_schedules_of_one_alarm_share_it() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    create_in(&mut session, "15 9 * * *", "Europe/Berlin");
    create_in(&mut session, "15 9 * * *", "europe/paris");
    create_in(&mut session, "15 9 * * *", "Asia/Kolkata");
    assert_eq!(entries(&mut session), ["15 7,8 * * *", "45 3 * * *"]);
    assert_eq!(
        count(
            &mut session,
            "select count(*) from kronos.schedules where timezone = 'Europe/Paris'"
        ),
        1
    );
    assert_sound(&mut session);
}

#[test]
fn alarm_that_no_longer_covers_its_schedule_is_seen_and_replaced() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    create_in(&mut session, "15 9 * * *", "Europe/Berlin");
    // As if the rules had been others when the alarm was made.
    session
        .batch_execute(
            "update kronos.alarms set cron = '15 8 * * *';
             select cron.alter_job(jobid, schedule => '15 8 * * *') from cron.job;",
        )
        .unwrap();
    let seen = "select count(*) from kronos.check() where invariant = 1 and problem like 'an alarm does not cover%'";
    assert_eq!(count(&mut session, seen), 1);

    assert_eq!(count(&mut session, "select kronos.realign_alarms()"), 1);
    assert_eq!(entries(&mut session), ["15 7,8 * * *"]);
    assert_sound(&mut session);
    assert_eq!(count(&mut session, "select kronos.realign_alarms()"), 0);
}

#[test]
fn change_of_pg_crons_own_zone_is_seen_and_made_good() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    create_in(&mut session, "15 9 * * *", "UTC");
    create_in(&mut session, "15 9 * * *", "America/New_York");
    drop(session);
    server.restart_with(&["cron.timezone = 'America/New_York'"]);
    let mut session = server.session();
    let known = count(
        &mut session,
        "select count(*) from pg_settings where name = 'cron.timezone' and short_desc is not null",
    );
    if known == 0 {
        // pg_cron before 1.5 runs in GMT whatever one writes.
        assert_sound(&mut session);
        return;
    }
    assert_eq!(count(&mut session, "select kronos.realign_alarms()"), 2);
    assert_eq!(entries(&mut session), ["15 4,5 * * *", "15 9 * * *"]);
    assert_sound(&mut session);
}
