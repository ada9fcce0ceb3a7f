//! Deleting a workspace: what refuses it, what it cancels, and how its rows disappear.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::{Client, Error};
use std::thread;

fn try_delete(session: &mut Client, arguments: &str) -> Result<(i64, i64), Error> {
    let statement = format!("select jobs, executions from kronos.delete_workspace({arguments})");
    let row = session.query_one(&statement, &[])?;
    Ok((row.get(0), row.get(1)))
}

/// The number of rows of deleted workspaces in all tables of Kronos that name a workspace.
fn rows_of_deleted_workspaces(session: &mut Client) -> i64 {
    let tables = "
        select string_agg(format('select %L as relation from kronos_internal.%I x join kronos_internal.workspaces w using (workspace_id)
                                  where w.deleted_at is not null', c.relname, c.relname), ' union all ')
        from pg_attribute a join pg_class c on c.oid = a.attrelid
        where c.relnamespace = 'kronos_internal'::regnamespace and c.relkind = 'r' and a.attname = 'workspace_id'
          and c.relname <> 'workspaces'";
    let statement: String = session.query_one(tables, &[]).unwrap().get(0);
    count(session, &format!("select count(*) from ({statement}) x"))
}

/// Prunes until deleted workspaces have no rows: each run makes the rows of the next table prunable.
fn prune_deleted_workspaces(session: &mut Client) {
    wait_for("the rows of deleted workspaces to be pruned", || {
        session.batch_execute("select kronos.prune()").unwrap();
        rows_of_deleted_workspaces(session) == 0
    });
}

fn tombstones(session: &mut Client) -> i64 {
    count(
        session,
        "select count(*) from kronos_internal.workspaces where deleted_at is not null",
    )
}

/// A workspace with a row in every table: finished, waiting and running executions, ticks, logs, keys, grants.
fn server_with_full_workspace() -> (Server, Client) {
    let (server, mut session, _) = server_with_job();
    make_yearly_missed(&mut session);
    tick(&mut session);
    session
        .batch_execute(
            "create role app login;
             grant usage on schema kronos to app;
             set kronos.workspace = 'acme';
             select kronos.grant_workspace('app', 'admin');
             select kronos.create_payload_spec('spec', '{}');
             select kronos.create_endpoint('checked', 'HTTP', payload_spec => 'spec');
             select kronos.create_endpoint('alarm', 'HTTP', on_failure => 'hook');
             select kronos.update_endpoint('hook', on_failure => 'alarm');
             select kronos.update_cron_job(job_id, on_failure => 'alarm') from kronos.jobs;
             select kronos.enqueue('checked', idempotency_key => 'once');
             select kronos.complete_execution(execution_id, attempt, 'w') from kronos.claim_executions('w', max => 1);
             select kronos.log_execution(execution_id, attempt, 'w', 'a line') from kronos.claim_executions('w', max => 1);
             select kronos.enqueue('hook', run_at => now() + interval '1 day');
             reset kronos.workspace",
        )
        .unwrap();
    (server, session)
}

#[test]
fn workspace_with_live_jobs_or_executions_is_deleted_only_with_cancel() {
    let (_server, mut session) = server_with_full_workspace();
    let refused = try_delete(&mut session, "'acme'").unwrap_err();
    assert!(
        db_error(&refused)
            .detail()
            .unwrap()
            .contains(r#""executions":2,"jobs":1"#),
        "{refused:?}"
    );
    assert_eq!(
        assert_code(Err::<(), _>(refused), "WORKSPACE_IN_USE"),
        "55006"
    );
    assert_eq!(count(&mut session, "select count(*) from kronos.jobs"), 1);

    assert_eq!(
        try_delete(&mut session, "'acme', cancel => true").unwrap(),
        (1, 2)
    );
    assert_eq!(
        entries(&mut session),
        0,
        "the entry goes in the same transaction"
    );
    let again = try_delete(&mut session, "'acme'");
    assert_code(again, "WORKSPACE_NOT_FOUND");
    let seen =
        "select count(*) from kronos.workspaces where workspace = 'acme' or workspace is null";
    assert_eq!(count(&mut session, seen), 0);
    assert_sound(&mut session);
}

#[test]
fn rolled_back_deletion_changes_nothing() {
    let (_server, mut session) = server_with_full_workspace();
    let before = state(&mut session);
    let mut transaction = session.transaction().unwrap();
    transaction
        .batch_execute("select kronos.delete_workspace('acme', cancel => true)")
        .unwrap();
    transaction.rollback().unwrap();
    assert_eq!(state(&mut session), before);
    assert_sound(&mut session);
}

#[test]
fn upkeep_deletes_every_row_of_a_deleted_workspace_and_of_no_other() {
    let (_server, mut session) = server_with_full_workspace();
    session
        .batch_execute(
            "select kronos.create_workspace('beta');
             select kronos.create_endpoint('hook', 'HTTP', workspace => 'beta');
             select kronos.create_cron_job('hook', '0 0 1 1 *', workspace => 'beta');
             select kronos.enqueue('hook', workspace => 'beta');",
        )
        .unwrap();
    try_delete(&mut session, "'acme', cancel => true").unwrap();
    assert!(rows_of_deleted_workspaces(&mut session) > 0);
    prune_deleted_workspaces(&mut session);
    assert_eq!(tombstones(&mut session), 1);
    session
        .batch_execute(
            "update kronos_internal.workspaces set deleted_at = now() - interval '25 hours' where deleted_at is not null;
             select kronos.prune()",
        )
        .unwrap();
    assert_eq!(tombstones(&mut session), 0);
    let left = "select count(*) from kronos.jobs where workspace = 'beta'";
    assert_eq!(count(&mut session, left), 1);
    assert_eq!(executions(&mut session), 1);
    assert_sound(&mut session);
}

#[test]
fn name_of_a_deleted_workspace_is_free_and_the_new_one_inherits_nothing() {
    let (server, mut session) = server_with_full_workspace();
    try_delete(&mut session, "'acme', cancel => true").unwrap();
    session
        .batch_execute("select kronos.create_workspace('acme')")
        .unwrap();
    let rows = "select (select count(*) from kronos.executions where workspace = 'acme')
                     + (select count(*) from kronos.jobs where workspace = 'acme')
                     + (select count(*) from kronos.endpoints where workspace = 'acme')";
    assert_eq!(count(&mut session, rows), 0);
    let mut app = server.session_as("app");
    let listed = app.batch_execute("select kronos.list_jobs(workspace => 'acme')");
    assert_code(listed, "WORKSPACE_NOT_FOUND");
}

#[test]
fn worker_of_a_deleted_workspace_cannot_report() {
    let (_server, mut session) = server_with_full_workspace();
    let held = session
        .query_one(
            "select execution_id, attempt from kronos.execution_details where status = 'RUNNING'",
            &[],
        )
        .unwrap();
    let held: Held = (held.get(0), held.get(1));
    try_delete(&mut session, "'acme', cancel => true").unwrap();
    let report = session.execute(
        "select kronos.complete_execution($1, $2, 'w')",
        &[&held.0, &held.1],
    );
    assert_code(report, "EXECUTION_NOT_FOUND");
}

#[test]
fn deletion_waits_for_a_job_that_is_being_created() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let mut creating = session.transaction().unwrap();
    create(&mut creating, YEARLY);
    let mut deleting = server.session();
    let pid = backend_pid(&mut deleting);
    let deletion = thread::spawn(move || try_delete(&mut deleting, "'acme'"));
    let mut watching = server.session();
    wait_for("the deletion to wait", || is_waiting(&mut watching, pid));
    creating.commit().unwrap();
    assert_code(deletion.join().unwrap(), "WORKSPACE_IN_USE");
    assert_sound(&mut watching);
}

// Invariant 9: what a transaction of the workspace holds, prune() leaves for later.
#[test]
fn open_transaction_of_a_deleted_workspace_stops_no_prune() {
    let (server, mut session) = server_with_full_workspace();
    let mut holding = server.session();
    holding
        .batch_execute(
            "begin; select kronos.update_payload_spec('spec', 'true', workspace => 'acme')",
        )
        .unwrap();
    try_delete(&mut session, "'acme', cancel => true").unwrap();
    // A grant that was authorised before the deletion.
    session
        .batch_execute(
            "insert into kronos_internal.workspace_grants (role, workspace_id, capability, granted_by)
             select 'app'::regrole, workspace_id, 'viewer', 'postgres'::regrole
             from kronos_internal.workspaces where deleted_at is not null;
             update kronos_internal.workspaces set deleted_at = now() - interval '25 hours' where deleted_at is not null;
             set lock_timeout = '5s'",
        )
        .unwrap();
    let seen = "select count(*) from kronos.execution_details";
    assert_eq!(count(&mut server.session_as("app"), seen), 0);
    for _ in 0..5 {
        session.batch_execute("select kronos.prune()").unwrap();
    }
    assert_eq!(tombstones(&mut session), 1);
    holding.batch_execute("commit").unwrap();
    wait_for("the workspace to be pruned", || {
        session.batch_execute("select kronos.prune()").unwrap();
        tombstones(&mut session) == 0
    });
}

#[test]
fn execution_that_is_enqueued_during_the_deletion_is_deleted_too() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let mut enqueuing = session.transaction().unwrap();
    enqueuing
        .batch_execute("select kronos.enqueue('hook', workspace => 'acme')")
        .unwrap();
    let mut deleting = server.session();
    try_delete(&mut deleting, "'acme'").unwrap();
    enqueuing.commit().unwrap();
    assert_eq!(executions(&mut deleting), 1);
    prune_deleted_workspaces(&mut deleting);
    assert_eq!(executions(&mut deleting), 0);
}
