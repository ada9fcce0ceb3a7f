//! Invariants 1 and 3 when pg_cron fails: the caller has the error, and nothing has changed.

use crate::domain::*;
use postgres::{Client, Error};
use uuid::Uuid;

const OTHER: &str = "5 5 5 5 *";

/// Asserts that create, update and cancel each fail with the SQLSTATE and leave everything as it was.
fn assert_all_fail(session: &mut Client, job_id: Uuid, code: &str, sqlstate: &str) {
    let before = jobs_and_alarms(session);
    type Call = fn(&mut Client, Uuid) -> Result<(), Error>;
    let calls: [(&str, Call); 3] = [
        ("create", |session, _| {
            try_create(session, OTHER).map(|_| ())
        }),
        ("update", |session, job_id| {
            try_update(session, job_id, Some(OTHER)).map(|_| ())
        }),
        ("cancel", |session, job_id| try_cancel(session, job_id)),
    ];
    for (name, call) in calls {
        let raised = assert_code(call(session, job_id), code);
        assert_eq!(raised, sqlstate, "{name}");
        assert_eq!(jobs_and_alarms(session), before, "after {name}");
    }
}

/// The state, without cron.job where that is gone.
fn jobs_and_alarms(session: &mut Client) -> String {
    match session.query("select from cron.job", &[]) {
        Ok(_) => state(session),
        Err(_) => session
            .query("select j::text from kronos.jobs j union all select s::text from kronos.schedules s order by 1", &[])
            .unwrap()
            .iter()
            .map(|row| row.get::<_, String>(0))
            .collect(),
    }
}

#[test]
fn pg_cron_that_refuses_superusers_fails_create_and_update() {
    let (server, mut session, job_id) = server_with_job();
    // pg_cron 1.6.5 crashes at its start if it finds a superuser's entry then (its pull request 367 mends that).
    session
        .batch_execute("select cron.unschedule(jobid) from cron.job")
        .unwrap();
    drop(session);
    server.restart_with(&["cron.enable_superuser_jobs = off"]);
    session = server.session();
    let before = state(&mut session);

    let created = try_create(&mut session, OTHER);
    assert_eq!(assert_code(created, "PG_CRON_FAILED"), "42501");
    assert_eq!(state(&mut session), before);
    for cron in [Some(OTHER), None] {
        let updated = try_update(&mut session, job_id, cron);
        assert_eq!(assert_code(updated, "PG_CRON_FAILED"), "42501");
        assert_eq!(state(&mut session), before);
    }

    // It refuses no cancel.
    try_cancel(&mut session, job_id).unwrap();
    assert_sound(&mut session);
}

#[test]
fn missing_permission_on_pg_cron_fails_every_call() {
    let (_server, mut session, job_id) = server_with_job();
    session
        .batch_execute(
            "create role weak login;
             grant usage on schema kronos to weak;
             grant all on all tables in schema kronos to weak;
             grant pg_read_all_settings to weak;
             alter function kronos.create_cron_job owner to weak;
             alter function kronos.update_cron_job owner to weak;
             alter function kronos.cancel_cron_job owner to weak;
             alter function kronos.uuid_v7 owner to weak;",
        )
        .unwrap();
    assert_all_fail(&mut session, job_id, "PG_CRON_FAILED", "42501");
}

#[test]
fn schedule_or_removal_refused_by_pg_cron_fails_the_call() {
    let (_server, mut session, job_id) = server_with_job();
    session
        .batch_execute(
            "create or replace function cron.schedule(job_name text, schedule text, command text) returns bigint
             language plpgsql as $$ begin raise exception 'invalid schedule: %', schedule using errcode = '22023'; end $$;
             create or replace function cron.unschedule(job_id bigint) returns bool strict
             language plpgsql as $$ begin raise exception 'not to be removed' using errcode = '22023'; end $$;",
        )
        .unwrap();
    assert_all_fail(&mut session, job_id, "PG_CRON_FAILED", "22023");

    let error = try_create(&mut session, OTHER).unwrap_err();
    let error = db_error(&error);
    assert_eq!(
        error.message(),
        format!("invalid schedule: {OTHER}"),
        "pg_cron's own words"
    );
    assert!(
        error
            .detail()
            .unwrap()
            .contains("register an alarm with cron.schedule"),
        "the step that failed"
    );
}

#[test]
fn pg_cron_dropped_fails_every_call() {
    let (_server, mut session, job_id) = server_with_job();
    session
        .batch_execute("drop extension pg_cron")
        .expect_err("kronos depends on it");
    // Only by force: without its dependency record.
    session
        .batch_execute(
            "delete from pg_depend where refclassid = 'pg_extension'::regclass
               and refobjid = (select oid from pg_extension where extname = 'pg_cron')
               and objid = (select oid from pg_extension where extname = 'kronos');
             drop extension pg_cron;",
        )
        .unwrap();
    let before = jobs_and_alarms(&mut session);
    assert_eq!(
        assert_code(try_create(&mut session, OTHER), "PG_CRON_UNAVAILABLE"),
        "55000"
    );
    assert_eq!(
        assert_code(try_create(&mut session, YEARLY), "PG_CRON_UNAVAILABLE"),
        "55000",
        "joining"
    );
    assert_eq!(
        assert_code(
            try_update(&mut session, job_id, Some(OTHER)),
            "PG_CRON_UNAVAILABLE"
        ),
        "55000"
    );
    assert_eq!(
        assert_code(try_cancel(&mut session, job_id), "PG_CRON_FAILED"),
        "42P01"
    );
    assert_eq!(jobs_and_alarms(&mut session), before);
}

#[test]
fn pg_cron_in_another_database_fails_create_also_on_a_schedule_that_exists() {
    let (server, session, _) = server_with_job();
    drop(session);
    server.restart_with(&["cron.database_name = 'template1'"]);
    let mut session = server.session();
    assert_code(try_create(&mut session, YEARLY), "PG_CRON_UNAVAILABLE");
    assert_code(try_create(&mut session, OTHER), "PG_CRON_UNAVAILABLE");
    let found = count(
        &mut session,
        "select count(*) from kronos.check() where problem like 'pg_cron does not run in%'",
    );
    assert_eq!(found, 1);
}

#[test]
fn pg_cron_no_longer_loaded_fails_create_and_is_seen_by_check() {
    let (server, session, _) = server_with_job();
    drop(session);
    // The other lines stay: PostgreSQL then keeps them as settings of nobody.
    server.restart_with(&["shared_preload_libraries = ''"]);
    let mut session = server.session();
    assert_code(try_create(&mut session, YEARLY), "PG_CRON_UNAVAILABLE");
    assert_code(try_create(&mut session, OTHER), "PG_CRON_UNAVAILABLE");
    let found = count(
        &mut session,
        "select count(*) from kronos.check() where invariant = 1",
    );
    assert!(found > 0);
}

#[test]
fn entry_that_is_gone_already_does_not_keep_its_last_job_from_being_cancelled() {
    let (_server, mut session, job_id) = server_with_job();
    session
        .batch_execute("select cron.unschedule(jobid) from cron.job")
        .unwrap();
    try_cancel(&mut session, job_id).unwrap();
    assert_sound(&mut session);
    assert_eq!(count(&mut session, "select count(*) from kronos.alarms"), 0);
}

#[test]
fn joining_a_schedule_repairs_an_entry_that_is_gone_or_altered() {
    let damages = [
        "select cron.unschedule(jobid) from cron.job",
        "select cron.alter_job(jobid, active => false) from cron.job",
        "select cron.alter_job(jobid, schedule => '7 7 7 7 *') from cron.job",
        "select cron.alter_job(jobid, command => 'select 1') from cron.job",
        "update cron.job set username = 'other'",
        "update cron.job set nodeport = 1",
    ];
    let (_server, mut session, mut job_id) = server_with_job();
    session.batch_execute("create role other login").unwrap();
    for damage in damages {
        session.batch_execute(damage).unwrap();
        let found = count(
            &mut session,
            "select count(*) from kronos.check() where invariant = 1",
        );
        assert_eq!(found, 1, "check() sees: {damage}");
        let joined = create(&mut session, YEARLY);
        assert_sound(&mut session);
        try_cancel(&mut session, joined).unwrap();

        session.batch_execute(damage).unwrap();
        job_id = try_update(&mut session, job_id, None).unwrap();
        assert_sound(&mut session);
    }
}

#[test]
fn joining_fails_when_the_entry_cannot_be_repaired() {
    let (_server, mut session, _) = server_with_job();
    session
        .batch_execute(
            "select cron.unschedule(jobid) from cron.job;
             create or replace function cron.schedule(job_name text, schedule text, command text) returns bigint
             language plpgsql as $$ begin return 1; end $$;",
        )
        .unwrap();
    assert_code(try_create(&mut session, YEARLY), "PG_CRON_UNAVAILABLE");
    assert_eq!(count(&mut session, "select count(*) from kronos.jobs"), 1);
}
