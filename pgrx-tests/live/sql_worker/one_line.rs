//! schedule(), unschedule() and run(): pg_cron's one-line calls.

use super::*;
use crate::domain::entries;

fn row(session: &mut Client, query: &str) -> String {
    session.query_one(query, &[]).unwrap().get(0)
}

#[test]
fn second_schedule_of_a_name_changes_the_job() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    let first = "select concat_ws(' ', job_id, cron, timezone)
                 from kronos.schedule('nightly', '0 3 1 1 *', 'select 1', timezone => 'Europe/Berlin')";
    let created = row(&mut session, first);
    assert_eq!(row(&mut session, first), created);
    let job_id = created.split(' ').next().unwrap();
    // Another call keeps what it leaves out.
    session
        .batch_execute(
            "select kronos.schedule('nightly', '0 4 1 1 *', 'insert into ledger values (4)', overlap_policy => 'skip')",
        )
        .unwrap();
    let after = "select concat_ws(' ', j.job_id, j.cron, j.timezone, j.overlap_policy, e.spec ->> 'statement')
                 from kronos.job_details j join kronos.endpoints e using (workspace, endpoint)";
    let expected = format!("{job_id} 0 4 1 1 * Europe/Berlin skip insert into ledger values (4)");
    assert_eq!(row(&mut session, after), expected);
    assert_eq!(entries(&mut owner), 1);

    let run: Uuid = session
        .query_one("select execution_id from kronos.run('nightly')", &[])
        .unwrap()
        .get(0);
    wait_for_end(&mut owner, run).assert_succeeded();
    let by = "select n || ' ' || by from ledger";
    assert_eq!(row(&mut owner, by), "4 writer");
    assert_sound(&mut owner);
}

#[test]
fn unschedule_removes_the_job_its_entry_and_its_endpoint() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    session
        .batch_execute("select kronos.schedule('nightly', '0 3 1 1 *', 'VACUUM')")
        .unwrap();
    assert_eq!(entries(&mut owner), 1);
    session
        .batch_execute("begin; select kronos.unschedule('nightly'); rollback")
        .unwrap();
    assert_eq!(entries(&mut owner), 1);
    session
        .batch_execute("select kronos.unschedule('nightly')")
        .unwrap();
    assert_eq!(entries(&mut owner), 0);
    let left = "select count(*) from kronos.endpoints where deleted_at is null";
    assert_eq!(count(&mut owner, left), 0);
    let again = session.query("select kronos.unschedule('nightly')", &[]);
    assert_code(again, "JOB_NOT_FOUND");
    assert_sound(&mut owner);
}

#[test]
fn schedule_leaves_a_job_alone_that_runs_no_statement() {
    let (server, mut owner) = start_server(&[]);
    let mut session = create_admin(&server, &mut owner, "writer");
    session
        .batch_execute(
            "select kronos.create_endpoint('hook', 'HTTP');
             select kronos.create_cron_job('hook', '0 3 1 1 *', name => 'report')",
        )
        .unwrap();
    let taken = session.query(
        "select kronos.schedule('report', '0 4 1 1 *', 'select 1')",
        &[],
    );
    assert_eq!(assert_code(taken, "JOB_EXISTS"), "23505");
    let wrong = session.query(
        "select kronos.schedule('wrong', '0 4 1 1 *', 'selec 1')",
        &[],
    );
    wrong.expect_err("the statement cannot be parsed");
    assert_eq!(entries(&mut owner), 1);
    assert_sound(&mut owner);
}
