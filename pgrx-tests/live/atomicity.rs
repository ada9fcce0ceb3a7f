//! Invariant 3: all of a call's effects, pg_cron's included, or none.

use crate::domain::*;
use crate::server::Server;

#[test]
fn create_that_rolls_back_leaves_nothing() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    let before = state(&mut session);

    let mut transaction = session.transaction().unwrap();
    create(&mut transaction, YEARLY);
    assert_eq!(count(&mut transaction, "select count(*) from cron.job"), 1);
    transaction.rollback().unwrap();

    assert_eq!(state(&mut session), before);
}

#[test]
fn create_that_rolls_back_to_a_savepoint_leaves_only_what_came_before_it() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);

    let mut transaction = session.transaction().unwrap();
    let kept = create(&mut transaction, YEARLY);
    let mut savepoint = transaction.savepoint("half").unwrap();
    create(&mut savepoint, "1 1 1 1 *");
    try_cancel(&mut savepoint, kept).unwrap();
    savepoint.rollback().unwrap();
    transaction.commit().unwrap();

    let schedules: Vec<String> = session
        .query("select schedule from cron.job", &[])
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
fn create_commits_with_the_business_row() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
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
    assert_eq!(count(&mut other, "select count(*) from cron.job"), 1);
    assert_sound(&mut other);
}

#[test]
fn session_terminated_before_commit_leaves_nothing() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
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
    transaction.commit().expect_err("its session is gone");

    assert_eq!(count(&mut session, "select count(*) from invoices"), 0);
    assert_eq!(state(&mut session), before);
    assert_sound(&mut session);
}

#[test]
fn update_and_cancel_that_roll_back_leave_everything_as_it_was() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    let job_id = create(&mut session, YEARLY);
    let before = state(&mut session);

    let mut transaction = session.transaction().unwrap();
    let next = try_update(&mut transaction, job_id, Some("5 5 5 5 *")).unwrap();
    try_cancel(&mut transaction, next).unwrap();
    assert_eq!(count(&mut transaction, "select count(*) from cron.job"), 0);
    transaction.rollback().unwrap();

    assert_eq!(state(&mut session), before);
    assert_sound(&mut session);
}

#[test]
fn update_moves_the_pg_cron_entry_and_cancel_of_the_last_job_removes_it() {
    let server = Server::start();
    let mut session = server.session();
    make_acme(&mut session);
    let job_id = create(&mut session, YEARLY);
    let sharing = create(&mut session, YEARLY);
    assert_eq!(
        count(&mut session, "select count(*) from cron.job"),
        1,
        "jobs share the entry"
    );

    let next = try_update(&mut session, job_id, Some("5 5 5 5 *")).unwrap();
    assert_eq!(count(&mut session, "select count(*) from cron.job"), 2);
    try_cancel(&mut session, sharing).unwrap();
    let left: String = session
        .query_one("select schedule from cron.job", &[])
        .unwrap()
        .get(0);
    assert_eq!(left, "5 5 5 5 *");
    try_cancel(&mut session, next).unwrap();

    assert_eq!(count(&mut session, "select count(*) from cron.job"), 0);
    assert_sound(&mut session);
}
