//! Invariants 1 to 3 while pg_cron or the storage is broken, one fault at a time: the caller has the error and nothing is
//! half done, or the call succeeds whole; and once the fault is gone, one run of upkeep leaves nothing to repair.

use crate::domain::*;
use crate::failures::jobs_and_schedules;
use crate::server::{Server, as_postgres, wait_for};
use postgres::Client;
use serde_json::Value;

/// Calls on the jobs of [`server_with_jobs`].
const CALLS: [(&str, &str); 9] = [
    ("create", "create_cron_job('hook', '1 1 1 1 *')"),
    ("join", "create_cron_job('hook', '3 3 3 3 *')"),
    (
        "create many",
        r#"create_cron_jobs('[{"endpoint": "hook", "cron": "1 1 1 1 *"}]')"#,
    ),
    (
        "update",
        "update_cron_job(job_name => 'first', priority => 1)",
    ),
    (
        "move",
        "update_cron_job(job_name => 'first', cron => '1 1 1 1 *')",
    ),
    ("pause", "pause_cron_job(job_name => 'first')"),
    ("resume", "resume_cron_job(job_name => 'paused')"),
    ("cancel", "cancel_cron_job(job_name => 'second')"),
    (
        "declare",
        r#"apply_crontab('[{"name": "declared", "endpoint": "hook", "cron": "1 1 1 1 *"}]')"#,
    ),
];

/// Starts a server with three active jobs, each alone on its schedule, and a paused job.
fn server_with_jobs() -> (Server, Client) {
    let server = Server::start();
    let mut session = open_session(&server);
    create_acme(&mut session);
    session
        .batch_execute(
            "select kronos.create_cron_job('hook', '0 0 1 1 *', name => 'first');
             select kronos.create_cron_job('hook', '5 5 5 5 *', name => 'second');
             select kronos.create_cron_job('hook', '3 3 3 3 *', name => 'third');
             select kronos.create_cron_job('hook', '7 7 7 7 *', name => 'paused');
             select kronos.pause_cron_job(job_name => 'paused');",
        )
        .unwrap();
    (server, session)
}

fn open_session(server: &Server) -> Client {
    let mut session = server.session();
    session
        .batch_execute("set kronos.workspace = 'acme'; set lock_timeout = '100ms'")
        .unwrap();
    session
}

/// Something broken.
struct Fault {
    name: &'static str,
    inject: String,
    remove: &'static str,
    /// The names of the calls that fail; the others succeed.
    failing: &'static [&'static str],
    sqlstates: &'static [&'static str],
    /// The code in DETAIL; none for an error of PostgreSQL that has nothing to do with pg_cron.
    code: Option<&'static str>,
}

const ALL: [&str; 9] = [
    "create",
    "join",
    "create many",
    "update",
    "move",
    "pause",
    "resume",
    "cancel",
    "declare",
];

/// A full disk, as far as a table is concerned.
fn full(table: &str) -> String {
    format!(
        "create function public.refuse() returns trigger language plpgsql as
           $$ begin raise exception 'no space left on device' using errcode = '53100'; end $$;
         create trigger refuse before insert or update or delete on {table} for each row execute function public.refuse()"
    )
}

fn faults() -> Vec<Fault> {
    let full = |name, table, code, failing| Fault {
        name,
        inject: full(table),
        remove: "drop function public.refuse cascade",
        failing,
        sqlstates: &["53100"],
        code,
    };
    let damage = |name, inject: &str| Fault {
        name,
        inject: inject.to_owned(),
        remove: "",
        failing: &[],
        sqlstates: &[],
        code: None,
    };
    vec![
        Fault {
            name: "cron.job is locked",
            inject: "begin; lock table cron.job in access exclusive mode".to_owned(),
            remove: "rollback",
            failing: &ALL,
            sqlstates: &["55P03"],
            code: Some("PG_CRON_FAILED"),
        },
        Fault {
            name: "the owner has no permission",
            inject: "create role weak bypassrls;
                     grant usage on schema kronos, kronos_internal to weak;
                     grant all on all tables in schema kronos, kronos_internal to weak;
                     grant pg_read_all_settings to weak;
                     alter table kronos_internal.schedules owner to weak"
                .to_owned(),
            remove: "alter table kronos_internal.schedules owner to postgres",
            failing: &ALL,
            sqlstates: &["42501"],
            code: Some("PG_CRON_FAILED"),
        },
        Fault {
            name: "pg_cron is dropped",
            inject: "delete from pg_depend
                     where refobjid = (select oid from pg_extension where extname = 'pg_cron')
                       and objid = (select oid from pg_extension where extname = 'kronos');
                     drop extension pg_cron"
                .to_owned(),
            remove: "create extension pg_cron",
            failing: &ALL,
            sqlstates: &["42P01", "3F000"],
            code: Some("PG_CRON_FAILED"),
        },
        // pg_cron deletes entries without firing triggers.
        full(
            "no room for entries",
            "cron.job",
            Some("PG_CRON_FAILED"),
            &["create", "create many", "move", "resume", "declare"],
        ),
        full("no room for jobs", "kronos_internal.jobs", None, &ALL),
        full(
            "no room for schedules",
            "kronos_internal.schedules",
            None,
            &[
                "create",
                "create many",
                "move",
                "pause",
                "resume",
                "cancel",
                "declare",
            ],
        ),
        full(
            "no room for versions",
            "kronos_internal.job_versions",
            None,
            &["update", "move"],
        ),
        damage("no entries", "select cron.unschedule(jobid) from cron.job"),
        damage("inactive entries", "update cron.job set active = false"),
        damage(
            "altered entries",
            "update cron.job set schedule = '9 9 9 9 *'",
        ),
    ]
}

#[test]
fn calls_during_a_fault_fail_or_succeed_whole_and_upkeep_leaves_nothing_to_repair() {
    for fault in faults() {
        let (server, mut session) = server_with_jobs();
        let mut breaker = server.session();
        breaker.batch_execute(&fault.inject).unwrap();
        for (name, call) in CALLS {
            let before = jobs_and_schedules(&mut session);
            let result = session.batch_execute(&format!("select kronos.{call}"));
            let what = format!("{}: {name}", fault.name);
            if !fault.failing.contains(&name) {
                result.unwrap_or_else(|error| panic!("{what}: {error:?}"));
                continue;
            }
            let error = result.expect_err(&what);
            let error = db_error(&error);
            let sqlstate = error.code().code();
            assert!(fault.sqlstates.contains(&sqlstate), "{what}: {error:?}");
            let detail: Value = error.detail().map_or(Value::Null, |it| it.parse().unwrap());
            assert_eq!(detail["code"].as_str(), fault.code, "{what}: {error:?}");
            assert_eq!(jobs_and_schedules(&mut session), before, "{what}");
        }
        breaker.batch_execute(fault.remove).unwrap();

        // pg_cron's functions look for the table that they knew, even in a new extension, until the session ends.
        let mut session = open_session(&server);
        upkeep(&mut session);
        assert_sound(&mut session);
        for (name, call) in CALLS {
            if fault.failing.contains(&name) {
                session
                    .batch_execute(&format!("select kronos.{call}"))
                    .unwrap_or_else(|error| panic!("after {}: {name}: {error:?}", fault.name));
            }
        }
        assert_sound(&mut session);
    }
}

// Invariant 1: nothing fires meanwhile, but everything does afterwards.
#[test]
fn dead_scheduler_fails_no_call_and_catches_up_once_it_lives() {
    let (_server, mut session) = server_with_jobs();
    let scheduler = "select pid from pg_stat_activity where backend_type like 'pg_cron%'";
    let pid: i32 = session.query_one(scheduler, &[]).unwrap().get(0);
    let signal = |signal: &str| as_postgres("kill", [signal, &pid.to_string()]);
    signal("-STOP");
    for (_, call) in CALLS {
        session
            .batch_execute(&format!("select kronos.{call}"))
            .unwrap();
    }
    assert_sound(&mut session);
    create(&mut session, YEARLY);
    make_yearly_missed(&mut session);
    let overdue = "select count(*) from kronos.check() where problem like 'a schedule is overdue%'";
    assert_eq!(count(&mut session, overdue), 1);
    signal("-CONT");
    wait_for("pg_cron to fire", || count(&mut session, overdue) == 0);
    assert_eq!(ticks(&mut session, "RUN"), 1);
    assert_sound(&mut session);
}
