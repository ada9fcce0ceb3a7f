//! Kronos under a plain role: set_owner() leaves nothing that runs as a superuser.

use crate::domain::*;
use postgres::Client;

/// The roles that own tables of Kronos or entries of pg_cron.
fn owners(session: &mut Client) -> Vec<String> {
    let statement = "
        select distinct x.owner
        from (select pg_get_userbyid(c.relowner)::text as owner
              from pg_class c
              where c.relnamespace = 'kronos_internal'::regnamespace and c.relkind = 'r'
              union all
              select username from cron.job) x
        order by x.owner";
    let rows = session.query(statement, &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[test]
fn everything_works_under_a_plain_role_and_under_the_next_one() {
    let (server, mut session, job_id) = server_with_job();
    assert_eq!(owners(&mut session), ["postgres"]);
    for role in ["keeper", "successor"] {
        session
            .batch_execute(&format!(
                "create role {role} login; select kronos.set_owner('{role}')"
            ))
            .unwrap();
        assert_eq!(owners(&mut session), [role]);
        assert_sound(&mut session);

        let mut keeper = server.session_as(role);
        make_yearly_missed(&mut session);
        keeper.batch_execute("call kronos.upkeep()").unwrap();
        let failed = "select count(*) from kronos.upkeep_runs where error is not null";
        assert_eq!(count(&mut session, failed), 0);
        let held = claim(&mut keeper, "w", 10);
        assert_eq!(held.len(), 1, "{role}");
        complete(&mut keeper, "w", held[0]).unwrap();
        forget_ticks(&mut session);

        // Whoever calls, new entries belong to the owner.
        let other = create(&mut session, "5 5 5 5 *");
        try_update(&mut session, other, Some("6 6 6 6 *")).unwrap();
        assert_eq!(owners(&mut session), [role]);
        try_cancel(&mut keeper, other).unwrap();
        keeper
            .batch_execute("select cron.unschedule(jobid) from cron.job")
            .unwrap();
        keeper
            .batch_execute("select kronos.reconcile(); select kronos.prune()")
            .unwrap();
        assert_eq!(owners(&mut session), [role]);
        assert_sound(&mut keeper);
    }
    try_cancel(&mut session, job_id).unwrap();
    session.batch_execute("drop extension kronos").unwrap();
    assert_eq!(count(&mut session, "select count(*) from cron.job"), 0);
}

// Triggers of the owner run while a superuser calls Kronos.
#[test]
fn owner_gains_nothing_from_a_superuser_who_calls_kronos() {
    let (server, mut session, _) = server_with_job();
    session
        .batch_execute(
            "create role keeper login;
             create schema trap authorization keeper;
             select kronos.set_owner('keeper')",
        )
        .unwrap();
    let traps = [
        // The session keeps a setting.
        "begin perform set_config('search_path', 'trap', false); return null; end",
        // The session keeps a temporary table.
        "begin create temporary table customers (n integer); return null; end",
    ];
    let mut keeper = server.session_as("keeper");
    for (nth, trap) in traps.iter().enumerate() {
        let trap = format!(
            "create function trap.spring_{nth}() returns trigger language plpgsql as $$ {trap} $$;
             create trigger spring after insert on kronos_internal.jobs for each row execute function trap.spring_{nth}()"
        );
        keeper.batch_execute(&trap).unwrap();
        let _ = try_create(&mut session, "5 5 5 5 *");
        keeper
            .batch_execute("drop trigger spring on kronos_internal.jobs")
            .unwrap();
    }
    // At COMMIT, PostgreSQL before 18 would run a deferred trigger as the superuser.
    keeper
        .batch_execute(
            "create function trap.own() returns trigger language plpgsql as
               $$ begin execute 'alter role keeper superuser'; return null; end $$;
             create constraint trigger own after insert on kronos_internal.jobs deferrable initially deferred
             for each row execute function trap.own()",
        )
        .unwrap();
    assert!(try_create(&mut session, "5 5 5 5 *").is_err());
    let gained = "select count(*) from pg_roles where rolname = 'keeper' and rolsuper";
    assert_eq!(count(&mut session, gained), 0);
    let temporary = "select count(*) from pg_class where relname = 'customers'";
    assert_eq!(count(&mut session, temporary), 0);
    let path: String = session.query_one("show search_path", &[]).unwrap().get(0);
    assert_eq!(path, "\"$user\", public");
}

#[test]
fn only_a_superuser_sets_the_owner_to_a_role_that_can_log_in() {
    let (server, mut session, _) = server_with_job();
    session
        .batch_execute(
            "create role operator login;
             create role group_of_roles;
             grant usage on schema kronos to operator;
             select kronos.grant_workspace('operator', 'admin', all_workspaces => true)",
        )
        .unwrap();
    let call = "select kronos.set_owner('operator')";
    let mut operator = server.session_as("operator");
    let refused = operator.batch_execute(call);
    assert_code(refused, "PERMISSION_DENIED");
    for role in ["group_of_roles", "nobody", "\"; drop table x; --"] {
        let refused = session.execute("select kronos.set_owner($1)", &[&role]);
        assert_code(refused, "INVALID_ARGUMENT");
    }
    assert_eq!(owners(&mut session), ["postgres"]);
    // The owner itself gains nothing over the superuser.
    session.batch_execute(call).unwrap();
    let refused = operator.batch_execute("select kronos.set_owner('operator')");
    assert_code(refused, "PERMISSION_DENIED");
}
