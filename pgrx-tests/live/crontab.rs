//! Concurrent and failing deployments of declared sets.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::GenericClient;
use std::thread;

const DECLARED: &str = r#"[
    {"name": "a", "endpoint": "hook", "cron": "1 1 1 1 *"},
    {"name": "b", "endpoint": "hook", "cron": "2 2 2 2 *"},
    {"name": "c", "endpoint": "hook", "cron": "3 3 3 3 *"}]"#;

/// Applies the declared set, and returns the action of each job.
fn apply(session: &mut impl GenericClient, dry_run: bool) -> Result<Vec<String>, postgres::Error> {
    let statement =
        "select job_name || ' ' || action
                     from kronos.apply_crontab($1::text::jsonb, dry_run => $2, workspace => 'acme')";
    let rows = session.query(statement, &[&DECLARED, &dry_run])?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

#[test]
fn apply_crontab_changes_jobs_and_pg_cron_entries_or_nothing() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let before = state(&mut session);

    assert_eq!(
        apply(&mut session, true).unwrap(),
        ["a CREATE", "b CREATE", "c CREATE"]
    );
    assert_eq!(state(&mut session), before, "a dry run changes nothing");

    session
        .batch_execute(
            "create function public.refuse() returns trigger language plpgsql as
               $$ begin if new.schedule like '3%' then raise 'pg_cron fails'; end if; return new; end $$;
             create trigger refuse before insert on cron.job for each row execute function public.refuse();",
        )
        .unwrap();
    assert_code(apply(&mut session, false), "PG_CRON_FAILED");
    assert_code(apply(&mut session, true), "PG_CRON_FAILED");
    assert_eq!(
        state(&mut session),
        before,
        "nothing changes if one job fails"
    );

    session
        .batch_execute("drop trigger refuse on cron.job")
        .unwrap();
    apply(&mut session, false).unwrap();
    assert_eq!(entries(&mut session), 3);
    assert_sound(&mut session);
}

#[test]
fn concurrent_deployments_of_one_set_deploy_it_once() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
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
fn concurrent_updates_by_name_run_one_after_the_other() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    apply(&mut session, false).unwrap();
    thread::scope(|scope| {
        for minute in 10..18 {
            let server = &server;
            scope.spawn(move || {
                let statement = format!(
                    "select kronos.update_cron_job(job_name => 'a', cron => '{minute} 1 1 1 *', workspace => 'acme')"
                );
                server.session().batch_execute(&statement).unwrap();
            });
        }
    });
    let versions =
        "select version::bigint from kronos.get_job(job_name => 'a', workspace => 'acme')";
    assert_eq!(count(&mut session, versions), 9);
    assert_sound(&mut session);
}

/// A declared set of jobs `<prefix> 0` to `<prefix> 39` on 8 schedules.
fn declared_jobs(prefix: &str, minute: usize) -> String {
    let job = |n: usize| {
        format!(
            r#"{{"name": "{prefix} {n}", "endpoint": "hook", "cron": "{minute} {} 1 1 *"}}"#,
            n % 8
        )
    };
    let jobs: Vec<String> = (0..40).map(job).collect();
    format!("[{}]", jobs.join(","))
}

#[test]
fn concurrent_deployments_in_two_workspaces_do_not_deadlock() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute(
            "select kronos.create_workspace('bravo');
             select kronos.create_endpoint('hook', 'HTTP', workspace => 'bravo');",
        )
        .unwrap();
    let deploy = |workspace: &str, set_name: &str, jobs: &str| {
        server
            .session()
            .execute(
                "select kronos.apply_crontab($1::text::jsonb, set_name => $2, workspace => $3)",
                &[&jobs, &set_name, &workspace],
            )
            .map(|_| ())
    };
    for round in 0..15 {
        let jobs = declared_jobs("job", round % 4);
        // Both deploy the jobs in even rounds, and remove all of them in odd rounds.
        let jobs = if round % 2 == 0 { jobs.as_str() } else { "[]" };
        thread::scope(|scope| {
            for workspace in ["acme", "bravo"] {
                scope.spawn(move || deploy(workspace, "default", jobs).unwrap());
            }
        });
    }
    assert_eq!(entries(&mut session), 16);
    assert_sound(&mut session);
}

#[test]
fn name_declared_by_several_sets_at_once_belongs_to_one_of_them() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let outcomes: Vec<Result<u64, postgres::Error>> = thread::scope(|scope| {
        let deployments: Vec<_> = (0..4)
            .map(|n| {
                let server = &server;
                scope.spawn(move || {
                    let set_name = format!("set {n}");
                    server.session().execute(
                        "select kronos.apply_crontab($1::text::jsonb, set_name => $2, workspace => 'acme')",
                        &[&DECLARED, &set_name],
                    )
                })
            })
            .collect();
        deployments
            .into_iter()
            .map(|deployment| deployment.join().unwrap())
            .collect()
    });
    let (deployed, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(deployed.len(), 1);
    for outcome in refused {
        assert_code(outcome, "JOB_EXISTS");
    }
    assert_eq!(entries(&mut session), 3);
    assert_sound(&mut session);
}

#[test]
fn job_changed_by_hand_during_a_deployment_is_deployed_as_declared() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    apply(&mut session, false).unwrap();
    let mut by_hand = server.session();
    let mut transaction = by_hand.transaction().unwrap();
    transaction
        .batch_execute(
            "select kronos.update_cron_job(job_name => 'a', priority => 1, workspace => 'acme')",
        )
        .unwrap();
    let changed = DECLARED.replace("1 1 1 1 *", "9 1 1 1 *");
    thread::scope(|scope| {
        let mut deploying = server.session();
        let pid = backend_pid(&mut deploying);
        let deployment = scope.spawn(move || {
            let row = deploying.query_one(
                "select string_agg(job_name || ' ' || action || array_to_string(changed, ' '), ',')
                 from kronos.apply_crontab($1::text::jsonb, workspace => 'acme')",
                &[&changed],
            );
            row.unwrap().get::<_, String>(0)
        });
        wait_for("the deployment to wait for the job", || {
            is_waiting(&mut session, pid)
        });
        transaction.commit().unwrap();
        assert_eq!(
            deployment.join().unwrap(),
            "a UPDATEcron priority,b UNCHANGED,c UNCHANGED"
        );
    });
    let versions =
        "select version::bigint from kronos.get_job(job_name => 'a', workspace => 'acme')";
    assert_eq!(count(&mut session, versions), 3);
    assert_sound(&mut session);
}
