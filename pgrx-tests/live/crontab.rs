//! The declared set of a workspace's jobs, made true in one transaction.

use crate::domain::*;
use crate::server::Server;
use postgres::GenericClient;
use std::thread;

const DECLARED: &str = r#"[
    {"name": "a", "endpoint": "hook", "cron": "1 1 1 1 *"},
    {"name": "b", "endpoint": "hook", "cron": "2 2 2 2 *"},
    {"name": "c", "endpoint": "hook", "cron": "3 3 3 3 *"}]"#;

fn apply(session: &mut impl GenericClient, dry_run: bool) -> Result<Vec<String>, postgres::Error> {
    let statement =
        "select name || ' ' || action from kronos.apply_crontab('acme', $1::text::jsonb, $2)";
    let rows = session.query(statement, &[&DECLARED, &dry_run])?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

#[test]
fn apply_crontab_does_all_with_pg_cron_or_nothing() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    let before = state(&mut session);

    assert_eq!(
        apply(&mut session, true).unwrap(),
        ["a CREATE", "b CREATE", "c CREATE"]
    );
    assert_eq!(state(&mut session), before, "a dry run");

    session
        .batch_execute(
            "create function public.refuse() returns trigger language plpgsql as
               $$ begin if new.schedule like '3%' then raise 'pg_cron fails'; end if; return new; end $$;
             create trigger refuse before insert on cron.job for each row execute function public.refuse();",
        )
        .unwrap();
    assert_code(apply(&mut session, false), "PG_CRON_FAILED");
    assert_code(apply(&mut session, true), "PG_CRON_FAILED");
    assert_eq!(state(&mut session), before, "the third job failed");

    session
        .batch_execute("drop trigger refuse on cron.job")
        .unwrap();
    apply(&mut session, false).unwrap();
    assert_eq!(count(&mut session, "select count(*) from cron.job"), 3);
    assert_sound(&mut session);
}

#[test]
fn deployments_at_once_make_one_set() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| apply(&mut server.session(), false).unwrap());
        }
    });
    assert_eq!(count(&mut session, "select count(*) from kronos.jobs"), 3);
    assert_eq!(
        apply(&mut session, false).unwrap(),
        ["a UNCHANGED", "b UNCHANGED", "c UNCHANGED"]
    );
    assert_sound(&mut session);
}

#[test]
fn call_by_name_finds_the_version_that_another_session_has_just_made() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    apply(&mut session, false).unwrap();
    thread::scope(|scope| {
        for minute in 10..18 {
            let server = &server;
            scope.spawn(move || {
                let statement = format!(
                    "select kronos.update_cron_job('acme', job_name => 'a', cron => '{minute} 1 1 1 *')"
                );
                server.session().batch_execute(&statement).unwrap();
            });
        }
    });
    let versions = "select max(version)::bigint from kronos.job_versions('acme', job_name => 'a')";
    assert_eq!(count(&mut session, versions), 9);
    assert_sound(&mut session);
}
