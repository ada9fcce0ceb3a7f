//! Invariant 3: a call has all of its effects, pg_cron's included, or none.

use crate::domain::*;
use crate::server::Server;

#[test]
fn create_that_is_rolled_back_leaves_nothing() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let before = state(&mut session);

    let mut transaction = session.transaction().unwrap();
    create(&mut transaction, YEARLY);
    assert_eq!(entries(&mut transaction), 1);
    transaction.rollback().unwrap();

    assert_eq!(state(&mut session), before);
}

#[test]
fn rollback_to_a_savepoint_keeps_the_jobs_created_before_it() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);

    let mut transaction = session.transaction().unwrap();
    let kept = create(&mut transaction, YEARLY);
    let mut savepoint = transaction.savepoint("half").unwrap();
    create(&mut savepoint, "1 1 1 1 *");
    try_cancel(&mut savepoint, kept).unwrap();
    savepoint.rollback().unwrap();
    transaction.commit().unwrap();

    let schedules: Vec<String> = session
        .query(
            "select schedule from cron.job where jobname like 'kronos schedule %'",
            &[],
        )
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(schedules, [YEARLY]);
    assert_eq!(
        count(
            &mut session,
            "select count(*) from kronos.jobs where status = 'ACTIVE'"
        ),
        1
    );
    assert_sound(&mut session);
}

#[test]
fn create_commits_with_the_callers_own_row() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute("create table invoices (id int, job_id uuid)")
        .unwrap();

    let mut transaction = session.transaction().unwrap();
    transaction
        .batch_execute("insert into invoices values (7)")
        .unwrap();
    let job_id = create(&mut transaction, YEARLY);
    transaction
        .execute("update invoices set job_id = $1", &[&job_id])
        .unwrap();
    transaction.commit().unwrap();

    let mut other = server.session();
    assert_eq!(
        count(
            &mut other,
            "select count(*) from invoices join kronos.jobs using (job_id)"
        ),
        1
    );
    assert_eq!(entries(&mut other), 1);
    assert_sound(&mut other);
}

#[test]
fn session_terminated_before_commit_leaves_nothing() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute("create table invoices (id int)")
        .unwrap();
    let before = state(&mut session);

    let mut victim = server.session();
    let pid = backend_pid(&mut victim);
    let mut transaction = victim.transaction().unwrap();
    transaction
        .batch_execute("insert into invoices values (7)")
        .unwrap();
    create(&mut transaction, YEARLY);
    session
        .execute("select pg_terminate_backend($1, 10000)", &[&pid])
        .unwrap();
    transaction.commit().expect_err("the session is gone");

    assert_eq!(count(&mut session, "select count(*) from invoices"), 0);
    assert_eq!(state(&mut session), before);
    assert_sound(&mut session);
}

#[test]
fn update_and_cancel_that_are_rolled_back_change_nothing() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let job_id = create(&mut session, YEARLY);
    let before = state(&mut session);

    let mut transaction = session.transaction().unwrap();
    try_update(&mut transaction, job_id, Some("5 5 5 5 *")).unwrap();
    try_cancel(&mut transaction, job_id).unwrap();
    assert_eq!(entries(&mut transaction), 0);
    transaction.rollback().unwrap();

    assert_eq!(state(&mut session), before);
    assert_sound(&mut session);
}

#[test]
fn update_moves_the_pg_cron_entry_and_cancel_of_the_last_job_removes_it() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let job_id = create(&mut session, YEARLY);
    let sharing = create(&mut session, YEARLY);
    assert_eq!(entries(&mut session), 1, "the jobs share an entry");

    try_update(&mut session, job_id, Some("5 5 5 5 *")).unwrap();
    assert_eq!(entries(&mut session), 2);
    try_cancel(&mut session, sharing).unwrap();
    let left: String = session
        .query_one(
            "select schedule from cron.job where jobname like 'kronos schedule %'",
            &[],
        )
        .unwrap()
        .get(0);
    assert_eq!(left, "5 5 5 5 *");
    try_cancel(&mut session, job_id).unwrap();

    assert_eq!(entries(&mut session), 0);
    assert_sound(&mut session);
}

#[test]
fn list_of_jobs_is_created_with_its_pg_cron_entries_or_not_at_all() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    session
        .batch_execute(
            "create function public.refuse() returns trigger language plpgsql as
               $$ begin if new.schedule like '3%' then raise 'pg_cron fails'; end if; return new; end $$;
             create trigger refuse before insert on cron.job for each row execute function public.refuse();",
        )
        .unwrap();
    let before = state(&mut session);
    let list = "select count(*) from kronos.create_cron_jobs((
                    select jsonb_agg(jsonb_build_object('endpoint', 'hook', 'cron', n || ' 1 1 1 *', 'name', 'job ' || n))
                    from generate_series(1, 4) n), workspace => 'acme')";
    assert_code(session.query_one(list, &[]), "PG_CRON_FAILED");
    assert_eq!(
        state(&mut session),
        before,
        "nothing changes if one schedule fails"
    );

    session
        .batch_execute("drop trigger refuse on cron.job")
        .unwrap();
    let mut transaction = session.transaction().unwrap();
    assert_eq!(count(&mut transaction, list), 4);
    transaction.rollback().unwrap();
    assert_eq!(state(&mut session), before);

    assert_eq!(count(&mut session, list), 4);
    assert_eq!(entries(&mut session), 4);
    assert_sound(&mut session);
}

#[test]
fn update_writes_a_due_tick_for_the_old_version() {
    let (_server, mut session, job_id) = server_with_job();
    make_yearly_due(&mut session);
    try_update(&mut session, job_id, Some("5 5 5 5 *")).unwrap();
    let versions = "select string_agg(version || ' ' || origin, ',') from kronos.execution_details";
    let written: String = session.query_one(versions, &[]).unwrap().get(0);
    assert_eq!(written, "1 TICK");
    assert_eq!(
        run_due(&mut session),
        0,
        "the new schedule has no past ticks"
    );
    assert_sound(&mut session);
}

#[test]
fn update_repairs_a_job_whose_ticks_cannot_be_written() {
    let (_server, mut session, job_id) = server_with_job();
    make_yearly_due(&mut session);
    session
        .batch_execute(
            "create function public.refuse() returns trigger language plpgsql as
               $$ begin if new.version = 1 then raise 'version 1 is broken'; end if; return new; end $$;
             create trigger refuse before insert on kronos_internal.live_executions
             for each row execute function public.refuse();",
        )
        .unwrap();
    assert_eq!(run_due(&mut session), 0);
    let failing =
        "select count(*) from kronos.failing_ticks where error like '%version 1 is broken%'";
    assert_eq!(count(&mut session, failing), 1);

    assert_eq!(try_update(&mut session, job_id, None).unwrap(), 2);
    make_owed_ticks_due(&mut session);
    run_due(&mut session);
    let written: String = session
        .query_one(
            "select string_agg(version || ' ' || origin, ',') from kronos.execution_details",
            &[],
        )
        .unwrap()
        .get(0);
    assert_eq!(written, "2 TICK");
    assert_sound(&mut session);
}
