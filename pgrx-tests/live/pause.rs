//! Pause and resume: both change pg_cron's entries atomically, and ticks during a pause are never caught up.

use crate::domain::*;
use postgres::{Error, GenericClient};
use uuid::Uuid;

fn try_pause(session: &mut impl GenericClient, job_id: Uuid) -> Result<(), Error> {
    session
        .query_one(
            "select job_id from kronos.pause_cron_job($1, reason => 'month-end', workspace => 'acme')",
            &[&job_id],
        )
        .map(|_| ())
}

fn try_resume(session: &mut impl GenericClient, job_id: Uuid) -> Result<(), Error> {
    session
        .query_one(
            "select job_id from kronos.resume_cron_job($1, workspace => 'acme')",
            &[&job_id],
        )
        .map(|_| ())
}

#[test]
fn pause_removes_the_pg_cron_entry_and_resume_restores_it() {
    let (_server, mut session, job_id) = server_with_job();
    let before = state(&mut session);
    let mut transaction = session.transaction().unwrap();
    try_pause(&mut transaction, job_id).unwrap();
    assert_eq!(entries(&mut transaction), 0);
    transaction.rollback().unwrap();
    assert_eq!(state(&mut session), before);

    try_pause(&mut session, job_id).unwrap();
    assert_eq!(entries(&mut session), 0);
    assert_sound(&mut session);
    assert_code(try_pause(&mut session, job_id), "JOB_PAUSED");

    try_resume(&mut session, job_id).unwrap();
    assert_eq!(
        count(
            &mut session,
            "select count(*) from cron.job where schedule = '0 0 1 1 *'"
        ),
        1
    );
    let kept = "select count(*) from kronos.job_details where status = 'ACTIVE' and paused_at is not null and paused_reason = 'month-end'";
    assert_eq!(
        count(&mut session, kept),
        1,
        "the job keeps when and why it was paused"
    );
    assert_sound(&mut session);
    assert_code(try_resume(&mut session, job_id), "JOB_NOT_PAUSED");
}

#[test]
fn pause_and_resume_change_nothing_if_pg_cron_fails() {
    let (_server, mut session, job_id) = server_with_job();
    let refuse = "create or replace function cron.unschedule(job_id bigint) returns bool strict language plpgsql as
                    $$ begin raise exception 'no' using errcode = '22023'; end $$;
                  create or replace function cron.schedule(job_name text, schedule text, command text) returns bigint
                    language plpgsql as $$ begin raise exception 'no' using errcode = '22023'; end $$";
    let sharing = create(&mut session, YEARLY);
    try_pause(&mut session, sharing).unwrap();
    session
        .batch_execute("update cron.job set active = false where jobname like 'kronos schedule %'")
        .unwrap();
    session.batch_execute(refuse).unwrap();
    let before = state(&mut session);
    assert_code(try_pause(&mut session, job_id), "PG_CRON_FAILED");
    assert_code(try_resume(&mut session, sharing), "PG_CRON_FAILED");
    assert_eq!(state(&mut session), before);
}

#[test]
fn ticks_during_a_pause_are_never_caught_up() {
    let (_server, mut session, job_id) = server_with_job();
    let sharing = create(&mut session, YEARLY);
    make_yearly_due(&mut session);
    try_pause(&mut session, job_id).unwrap();
    assert_eq!(run_due(&mut session), 1, "only the other job runs");
    try_resume(&mut session, job_id).unwrap();
    set_handled_until(&mut session, "date_trunc('year', now()) - interval '1 day'");
    assert_eq!(run_due(&mut session), 0);
    let paused = "select count(*) from kronos.execution_details where job_id <> $1";
    assert_eq!(
        session
            .query_one(paused, &[&sharing])
            .unwrap()
            .get::<_, i64>(0),
        0
    );
    assert_sound(&mut session);
}

#[test]
fn due_tick_of_a_job_being_paused_does_not_run() {
    let (server, mut session, job_id) = server_with_job();
    make_yearly_due(&mut session);
    let mut pausing = server.session();
    let mut transaction = pausing.transaction().unwrap();
    try_pause(&mut transaction, job_id).unwrap();
    // The schedule is locked too, because no other job uses it.
    assert_eq!(run_due(&mut session), 0);
    transaction.commit().unwrap();
    assert_eq!(run_due(&mut session), 0);
    assert_eq!(executions(&mut session), 0);
    assert_sound(&mut session);
}

#[test]
fn update_of_a_paused_job_leaves_it_paused_and_cancel_retires_it() {
    let (_server, mut session, job_id) = server_with_job();
    try_pause(&mut session, job_id).unwrap();
    try_update(&mut session, job_id, Some("5 5 5 5 *")).unwrap();
    assert_eq!(
        count(
            &mut session,
            "select count(*) from kronos.job_details where status = 'PAUSED' and paused_reason = 'month-end'"
        ),
        1
    );
    assert_eq!(entries(&mut session), 0);
    assert_sound(&mut session);
    try_resume(&mut session, job_id).unwrap();
    assert_eq!(
        count(
            &mut session,
            "select count(*) from cron.job where schedule = '5 5 5 5 *'"
        ),
        1
    );
    try_pause(&mut session, job_id).unwrap();
    try_cancel(&mut session, job_id).unwrap();
    assert_code(try_resume(&mut session, job_id), "JOB_RETIRED");
    assert_sound(&mut session);
}
