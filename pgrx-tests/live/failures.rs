//! Invariants 1 and 3 when pg_cron fails: the caller gets the error, and nothing changes.

use crate::domain::*;
use postgres::{Client, Error};
use uuid::Uuid;

const OTHER: &str = "5 5 5 5 *";

/// Asserts that create, update and cancel each fail with the code and the SQLSTATE, and change nothing.
fn assert_all_fail(session: &mut Client, job_id: Uuid, code: &str, sqlstate: &str) {
    let before = jobs_and_schedules(session);
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
        assert_eq!(jobs_and_schedules(session), before, "after {name}");
    }
}

/// The state, without pg_cron's entries if cron.job cannot be read.
pub fn jobs_and_schedules(session: &mut Client) -> String {
    let rows = "select j::text from kronos_internal.jobs j union all select v::text from kronos_internal.job_versions v
                union all select s::text from kronos_internal.schedules s order by 1";
    match session.query("select from cron.job", &[]) {
        Ok(_) => state(session),
        Err(_) => session
            .query(rows, &[])
            .unwrap()
            .iter()
            .map(|row| row.get::<_, String>(0))
            .collect(),
    }
}

// Invariant 3.
#[test]
fn create_and_update_fail_if_pg_cron_refuses_superusers() {
    let (server, mut session, job_id) = server_with_job();
    // pg_cron 1.6.5 crashes at startup if it finds a superuser's entry (fixed by its pull request 367).
    session
        .batch_execute("select cron.unschedule(jobid) from cron.job")
        .unwrap();
    drop(session);
    server.restart_with(&["cron.enable_superuser_jobs = off"]);
    session = server.session();
    let before = state(&mut session);

    for cron in [OTHER, YEARLY] {
        let created = try_create(&mut session, cron);
        assert_eq!(assert_code(created, "PG_CRON_FAILED"), "42501");
        assert_eq!(state(&mut session), before);
    }
    let updated = try_update(&mut session, job_id, Some(OTHER));
    assert_eq!(assert_code(updated, "PG_CRON_FAILED"), "42501");
    assert_eq!(state(&mut session), before);

    // A cancel still works.
    try_cancel(&mut session, job_id).unwrap();
    assert_sound(&mut session);
}

// Invariant 3.
#[test]
fn every_call_fails_with_the_error_of_pg_cron() {
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
        "the message is pg_cron's own"
    );
    assert!(
        error.detail().unwrap().contains("cron.schedule"),
        "the detail names the step that failed"
    );
}

// Invariant 3.
#[test]
fn every_call_fails_once_pg_cron_is_dropped() {
    let (server, mut session, job_id) = server_with_job();
    session
        .batch_execute("drop extension pg_cron")
        .expect_err("Kronos depends on pg_cron");
    // Drop it by force, without the dependency.
    session
        .batch_execute(
            "delete from pg_depend where refclassid = 'pg_extension'::regclass
               and refobjid = (select oid from pg_extension where extname = 'pg_cron')
               and objid = (select oid from pg_extension where extname = 'kronos');
             drop extension pg_cron;",
        )
        .unwrap();
    // One session has used pg_cron before, the other has not.
    for mut session in [session, server.session()] {
        let before = jobs_and_schedules(&mut session);
        for cron in [OTHER, YEARLY] {
            let created = try_create(&mut session, cron);
            assert!(created.is_err(), "{cron}");
            let updated = try_update(&mut session, job_id, Some(OTHER));
            assert!(updated.is_err());
        }
        let cancelled = try_cancel(&mut session, job_id);
        assert_eq!(assert_code(cancelled, "PG_CRON_FAILED"), "42P01");
        assert_eq!(jobs_and_schedules(&mut session), before);
    }
    let mut fresh = server.session();
    let created = try_create(&mut fresh, OTHER);
    assert_eq!(assert_code(created, "PG_CRON_UNAVAILABLE"), "55000");
    let joined = try_create(&mut fresh, YEARLY);
    assert_eq!(assert_code(joined, "PG_CRON_UNAVAILABLE"), "55000");
}

// Invariant 1.
#[test]
fn create_fails_if_pg_cron_runs_in_another_database() {
    let (server, session, _) = server_with_job();
    drop(session);
    server.restart_with(&["cron.database_name = 'template1'"]);
    let mut session = server.session();
    assert_code(try_create(&mut session, YEARLY), "PG_CRON_UNAVAILABLE");
    assert_code(try_create(&mut session, OTHER), "PG_CRON_UNAVAILABLE");
    let found = "select count(*) from kronos.check() where problem like '%pg_cron runs in another database%'";
    assert_eq!(count(&mut session, found), 1);
}

// Invariant 1.
#[test]
fn create_fails_and_check_reports_it_if_pg_cron_is_not_loaded() {
    let (server, session, _) = server_with_job();
    drop(session);
    // PostgreSQL accepts the remaining settings of pg_cron as placeholders.
    server.restart_with(&["shared_preload_libraries = ''"]);
    let mut session = server.session();
    assert_code(try_create(&mut session, YEARLY), "PG_CRON_UNAVAILABLE");
    assert_code(try_create(&mut session, OTHER), "PG_CRON_UNAVAILABLE");
    let found = "select count(*) from kronos.check() where invariant = 1 and problem like '%pg_cron is not loaded%'";
    assert_eq!(count(&mut session, found), 1);
}

// Invariant 1.
#[test]
fn create_fails_and_check_reports_it_if_pg_cron_launches_no_jobs() {
    let (_server, mut session, _) = server_with_job();
    let known = "select count(*) from pg_settings where name = 'cron.launch_active_jobs'";
    if count(&mut session, known) == 0 {
        // pg_cron has the setting from 1.5 on.
        return;
    }
    session
        .batch_execute("alter system set cron.launch_active_jobs = off")
        .unwrap();
    session.batch_execute("select pg_reload_conf()").unwrap();
    crate::server::wait_for("the setting to take effect", || {
        let setting: String = session
            .query_one("show cron.launch_active_jobs", &[])
            .unwrap()
            .get(0);
        setting == "off"
    });
    assert_code(try_create(&mut session, YEARLY), "PG_CRON_UNAVAILABLE");
    let found =
        "select count(*) from kronos.check() where problem like '%launch_active_jobs is off%'";
    assert_eq!(count(&mut session, found), 1);
}

// Invariant 3.
#[test]
fn last_job_can_be_cancelled_after_its_entry_is_gone() {
    let (_server, mut session, job_id) = server_with_job();
    session
        .batch_execute(
            "select cron.unschedule(jobid) from cron.job where jobname like 'kronos schedule %'",
        )
        .unwrap();
    try_cancel(&mut session, job_id).unwrap();
    assert_sound(&mut session);
    let left = "select count(*) from kronos_internal.schedules";
    assert_eq!(count(&mut session, left), 0);
}

/// Ways in which an entry may be deleted or altered.
const DAMAGES: [&str; 7] = [
    "select cron.unschedule(jobid) from cron.job where jobname like $name",
    "select cron.alter_job(jobid, active => false) from cron.job where jobname like $name",
    "select cron.alter_job(jobid, schedule => '7 7 7 7 *') from cron.job where jobname like $name",
    "select cron.alter_job(jobid, command => 'select 1') from cron.job where jobname like $name",
    "update cron.job set username = 'other' where jobname like $name",
    "update cron.job set nodeport = 1 where jobname like $name",
    "update cron.job set database = 'template1' where jobname like $name",
];

/// Asserts that Kronos's own entries are sound. Deletes the entry of another role first, which an operator would have
/// to remove.
fn assert_repaired(session: &mut Client) {
    session
        .batch_execute("delete from cron.job where username = 'other'")
        .unwrap();
    assert_sound(session);
}

// Invariant 1.
#[test]
fn create_and_update_repair_missing_and_altered_entries() {
    let (_server, mut session, job_id) = server_with_job();
    session.batch_execute("create role other login").unwrap();
    let moving = create(&mut session, OTHER);
    for damage in DAMAGES {
        for name in ["'kronos schedule %'", "'kronos upkeep'"] {
            let damage = damage.replace("$name", name);
            session.batch_execute(&damage).unwrap();
            let found = "select count(*) from kronos.check() where invariant = 1";
            assert!(
                count(&mut session, found) > 0,
                "check() does not report: {damage}"
            );
            let joined = create(&mut session, YEARLY);
            create(&mut session, OTHER);
            assert_repaired(&mut session);

            session.batch_execute(&damage).unwrap();
            try_update(&mut session, moving, Some(YEARLY)).unwrap();
            try_update(&mut session, moving, Some(OTHER)).unwrap();
            assert_repaired(&mut session);
            try_cancel(&mut session, joined).unwrap();
        }
    }
    try_cancel(&mut session, job_id).unwrap();
}

// Invariant 1.
#[test]
fn eight_concurrent_creates_repair_a_missing_entry_once() {
    let (server, mut session, _) = server_with_job();
    for damage in &DAMAGES[..4] {
        for name in ["'kronos schedule %'", "'kronos upkeep'"] {
            session
                .batch_execute(&damage.replace("$name", name))
                .unwrap();
        }
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| create(&mut server.session(), YEARLY));
            }
        });
        assert_eq!(entries(&mut session), 1);
        assert_sound(&mut session);
    }
}

// Invariant 1.
#[test]
fn create_fails_when_the_entry_cannot_be_repaired() {
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
