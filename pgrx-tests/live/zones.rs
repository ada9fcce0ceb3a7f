//! Entries of schedules in time zones other than pg_cron's.

use crate::domain::*;
use crate::server::Server;
use postgres::Client;

fn create_in(session: &mut Client, cron: &str, timezone: &str) {
    let statement =
        "select from kronos.create_cron_job('hook', $1, timezone => $2, workspace => 'acme')";
    session.query_one(statement, &[&cron, &timezone]).unwrap();
}

/// The expressions of the schedules' entries.
fn expressions(session: &mut Client) -> Vec<String> {
    let statement =
        "select schedule from cron.job where jobname like 'kronos schedule %' order by schedule";
    let rows = session.query(statement, &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Calls upkeep(), and returns how many entries it renewed.
fn renew_entries(session: &mut Client) -> i64 {
    upkeep(session);
    let last = "select count from kronos.upkeep_runs where step = 'reconcile' order by started_at desc limit 1";
    count(session, last)
}

// Invariant 1.
#[test]
fn pg_cron_entries_cover_ticks_in_other_zones() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    create_in(&mut session, "15 9 * * *", "Europe/Berlin");
    create_in(&mut session, "15 9 * * *", "europe/paris");
    create_in(&mut session, "15 9 * * *", "Asia/Kolkata");
    assert_eq!(
        expressions(&mut session),
        ["15 7,8 * * *", "15 7,8 * * *", "45 3 * * *"]
    );
    let paris = "select count(*) from kronos.jobs where timezone = 'Europe/Paris'";
    assert_eq!(count(&mut session, paris), 1);
    assert_sound(&mut session);
}

#[test]
fn jobs_in_zones_equivalent_to_utc_share_a_schedule() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    for zone in ["UTC", "GMT", "etc/utc", "Etc/Greenwich", "Etc/GMT-0"] {
        create_in(&mut session, "15 9 * * *", zone);
    }
    assert_eq!(expressions(&mut session), ["15 9 * * *"]);
    assert_sound(&mut session);
}

// Invariant 1.
#[test]
fn outdated_entry_is_reported_by_check_and_renewed_by_upkeep() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    create_in(&mut session, "15 9 * * *", "Europe/Berlin");
    // As if the entry had been created under other rules of the zone.
    session
        .batch_execute(
            "update kronos_internal.schedules set entry_cron = '15 8 * * *';
             select cron.alter_job(jobid, schedule => '15 8 * * *') from cron.job where jobname like 'kronos schedule %';",
        )
        .unwrap();
    let reported = "select count(*) from kronos.check() where invariant = 1 and problem like '%does not cover%'";
    assert_eq!(count(&mut session, reported), 1);

    assert_eq!(renew_entries(&mut session), 1);
    assert_eq!(expressions(&mut session), ["15 7,8 * * *"]);
    assert_sound(&mut session);
    assert_eq!(renew_entries(&mut session), 0);
}

// Invariant 1.
#[test]
fn upkeep_renews_entries_after_pg_crons_own_zone_has_changed() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    create_in(&mut session, "15 9 * * *", "UTC");
    create_in(&mut session, "15 9 * * *", "America/New_York");
    drop(session);
    server.restart_with(&["cron.timezone = 'America/New_York'"]);
    let mut session = server.session();
    let has_setting = count(
        &mut session,
        "select count(*) from pg_settings where name = 'cron.timezone' and short_desc is not null",
    );
    if has_setting == 0 {
        // pg_cron before 1.5 ignores the setting and runs in GMT.
        assert_sound(&mut session);
        return;
    }
    assert_eq!(renew_entries(&mut session), 2);
    assert_eq!(expressions(&mut session), ["15 4,5 * * *", "15 9 * * *"]);
    assert_sound(&mut session);
}
