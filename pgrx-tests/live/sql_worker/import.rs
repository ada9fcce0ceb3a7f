//! import_pg_cron(): pg_cron's own entries become jobs, all or none.

use super::*;
use crate::domain::{db_error, entries};

const ROLES: [&str; 3] = ["ann", "bob", "eve"];
/// Every entry of pg_cron that is not Kronos's own.
const FOREIGN: &str =
    "select coalesce(string_agg(e::text, E'\n' order by jobid), '') from cron.job e
                       where coalesce(jobname, '') not like 'kronos %'";

fn text(session: &mut Client, query: &str) -> String {
    session.query_one(query, &[]).unwrap().get(0)
}

/// How many entries a call lists, by action.
fn actions(session: &mut Client, call: &str) -> String {
    let counted = "select string_agg(action || ' ' || n, ', ' order by action)
                   from (select action, count(*) as n from kronos.import_pg_cron($1) group by action) a";
    text(session, &counted.replace("$1", call))
}

/// Starts a server whose pg_cron runs entries in a time zone, if it has the setting, and returns that zone.
fn start_in_zone() -> (Server, Client, &'static str) {
    let (server, session) = start_server(&[]);
    drop(session);
    let mut session = server.session();
    let has_zone = "select extversion !~ '^1\\.4' from pg_extension where extname = 'pg_cron'";
    if !session.query_one(has_zone, &[]).unwrap().get::<_, bool>(0) {
        return (server, session, "UTC");
    }
    drop(session);
    server.restart_with(&[ROOM, "cron.timezone = 'Europe/Berlin'"]);
    let session = server.session();
    (server, session, "Europe/Berlin")
}

/// Schedules 33 entries as each role, and four special ones as superuser.
fn schedule_entries(server: &Server, owner: &mut Client) {
    for role in ROLES {
        owner
            .batch_execute(&format!(
                "create role {role} login; grant usage on schema cron to {role};"
            ))
            .unwrap();
        server
            .session_as(role)
            .batch_execute(&format!(
                "select cron.schedule('{role} ' || n, n || ' 3 1 1 *', 'insert into ledger values (' || n || ')')
                 from generate_series(1, 33) n"
            ))
            .unwrap();
    }
    owner
        .batch_execute(
            "select cron.schedule('5 5 5 5 *', 'select 5');
             select cron.schedule('asleep', '6 6 6 6 *', 'select 6');
             select cron.schedule('at start', '@reboot', 'select 7');
             select cron.schedule('elsewhere', '8 8 8 8 *', 'select 8');
             update cron.job set active = false where jobname = 'asleep';
             update cron.job set database = 'template1' where jobname = 'elsewhere';",
        )
        .unwrap();
}

#[test]
fn import_moves_the_entries_of_all_roles_in_their_time_zone() {
    let (server, mut owner, zone) = start_in_zone();
    schedule_entries(&server, &mut owner);
    let before = text(&mut owner, FOREIGN);
    assert_eq!(actions(&mut owner, "dry_run => true"), "LEAVE 2, MOVE 101");
    assert_eq!(text(&mut owner, FOREIGN), before);
    assert_eq!(count(&mut owner, "select count(*) from kronos.jobs"), 0);

    assert_eq!(actions(&mut owner, ""), "LEAVE 2, MOVE 101");
    let left = "select string_agg(jobname, ', ' order by jobid) from cron.job where jobname not like 'kronos %'";
    assert_eq!(text(&mut owner, left), "at start, elsewhere");
    let moved = "select count(*)
        from kronos.job_details j
        join kronos.endpoints e on e.endpoint = j.endpoint and e.workspace = j.workspace
        where e.run_as = coalesce(substring(j.job_name from '^(ann|bob|eve) '), 'postgres') and j.timezone = $1
          and (j.status = 'PAUSED') = (j.job_name = 'asleep')";
    let moved: i64 = owner.query_one(moved, &[&zone]).unwrap().get(0);
    assert_eq!(moved, 101);
    let unnamed = "select count(*) from kronos.jobs where job_name like 'pg_cron job %' and cron = '5 5 5 5 *'";
    assert_eq!(count(&mut owner, unnamed), 1);
    assert_sound(&mut owner);
    // What is left cannot be moved, and a second call changes nothing.
    assert_eq!(actions(&mut owner, ""), "LEAVE 2");

    let run: Uuid = owner
        .query_one("select execution_id from kronos.run('bob 7')", &[])
        .unwrap()
        .get(0);
    wait_for_end(&mut owner, run).assert_succeeded();
    let by = "select string_agg(n || ' ' || by, ', ') from ledger";
    assert_eq!(text(&mut owner, by), "7 bob");
}

#[test]
fn wrong_entry_leaves_all_entries_as_they_were() {
    let (server, mut owner) = start_server(&[]);
    schedule_entries(&server, &mut owner);
    let wrong: i64 = owner
        .query_one("select cron.schedule('wrong', '7 7 7 7 *', 'selec 1')", &[])
        .unwrap()
        .get(0);
    let before = text(&mut owner, FOREIGN);
    assert_eq!(
        actions(&mut owner, "dry_run => true"),
        "FAIL 1, LEAVE 2, MOVE 101"
    );
    let failing = "select jobid || ' ' || (reason is not null) from kronos.import_pg_cron(dry_run => true) where action = 'FAIL'";
    assert_eq!(text(&mut owner, failing), format!("{wrong} true"));

    let error = owner
        .query("select kronos.import_pg_cron()", &[])
        .unwrap_err();
    let detail = db_error(&error).detail().unwrap();
    assert!(
        detail.contains(&format!("\"pg_cron_jobid\":{wrong}")),
        "{detail}"
    );
    assert_eq!(text(&mut owner, FOREIGN), before);
    assert_eq!(count(&mut owner, "select count(*) from kronos.jobs"), 0);
    assert_eq!(entries(&mut owner), 0);

    // Of a filtered call, only the entries that match are moved.
    assert_eq!(actions(&mut owner, "'ann 1%'"), "MOVE 11");
    assert_eq!(count(&mut owner, "select count(*) from kronos.jobs"), 11);
    assert_sound(&mut owner);
}

#[test]
fn import_needs_the_privileges_of_each_role() {
    let (server, mut owner) = start_server(&[]);
    schedule_entries(&server, &mut owner);
    owner
        .batch_execute("select kronos.grant_workspace('ann', 'admin')")
        .unwrap();
    let mut ann = server.session_as("ann");
    // pg_cron shows her only her own entries.
    assert_eq!(actions(&mut ann, ""), "MOVE 33");
    let others = "select count(*) from cron.job where username in ('bob', 'eve')";
    assert_eq!(count(&mut owner, others), 66);
    assert_sound(&mut owner);
}
