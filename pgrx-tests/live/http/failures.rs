//! Requests while pg_cron fails: the answer says why, and nothing has changed.

use super::*;
use crate::failures::jobs_and_schedules;

/// A way in which pg_cron fails, and how it is healed.
struct Damage {
    break_it: fn(&Server, &mut Client),
    heal: fn(&Server, &mut Client),
    /// The codes of POST, PATCH and DELETE; None if the request succeeds.
    codes: [Option<&'static str>; 3],
}

const FAILED: Option<&str> = Some("PG_CRON_FAILED");
const UNAVAILABLE: Option<&str> = Some("PG_CRON_UNAVAILABLE");

const SAVE: &str = "create table if not exists public.saved as
    select pg_get_functiondef(p.oid) as definition from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'cron' and p.proname in ('schedule', 'unschedule')";
const RESTORE: &str = "do $$ declare d text; begin for d in select definition from public.saved loop execute d; end loop; end $$";
const REFUSE: &str = "
    create or replace function cron.schedule(job_name text, schedule text, command text) returns bigint
    language plpgsql as $$ begin raise exception 'no entries today' using errcode = '22023'; end $$;
    create or replace function cron.unschedule(job_id bigint) returns bool strict
    language plpgsql as $$ begin raise exception 'no entries today' using errcode = '22023'; end $$";
const PRETEND: &str = "
    create or replace function cron.schedule(job_name text, schedule text, command text) returns bigint
    language plpgsql as $$ begin return 1; end $$";

fn run(statements: &'static [&'static str]) -> impl Fn(&mut Client) {
    move |session| {
        for statement in statements {
            session.batch_execute(statement).unwrap();
        }
    }
}

const DAMAGES: [Damage; 5] = [
    Damage {
        break_it: |_, session| run(&[SAVE, REFUSE])(session),
        heal: |_, session| run(&[RESTORE])(session),
        codes: [FAILED, FAILED, FAILED],
    },
    // pg_cron says that it has made the entry, but there is none.
    Damage {
        break_it: |_, session| run(&[SAVE, PRETEND])(session),
        heal: |_, session| run(&[RESTORE])(session),
        codes: [UNAVAILABLE, UNAVAILABLE, None],
    },
    Damage {
        break_it: |server, session| {
            // pg_cron 1.6.5 crashes at startup if it finds a superuser's entry.
            run(&["select cron.unschedule(jobid) from cron.job"])(session);
            server.restart_with(&["cron.enable_superuser_jobs = off"]);
        },
        heal: |server, _| server.restart_with(&[]),
        codes: [FAILED, FAILED, None],
    },
    Damage {
        break_it: |server, _| server.restart_with(&["cron.database_name = 'template1'"]),
        heal: |server, _| server.restart_with(&[]),
        codes: [UNAVAILABLE, UNAVAILABLE, None],
    },
    Damage {
        break_it: |server, _| server.restart_with(&["shared_preload_libraries = ''"]),
        heal: |server, _| server.restart_with(&[]),
        codes: [UNAVAILABLE, UNAVAILABLE, FAILED],
    },
];

fn assert_unavailable(reply: Reply, code: &str) {
    let problem = reply.expect_problem(503, code);
    let detail = problem["detail"].as_str().unwrap();
    assert!(!detail.is_empty());
}

// Invariant 3.
#[test]
fn request_that_pg_cron_fails_is_answered_with_an_error_and_changes_nothing() {
    for (number, damage) in DAMAGES.iter().enumerate() {
        let mut api = Api::start();
        let job = api.create_job("report");
        (damage.break_it)(&api.server, &mut api.session);
        let mut session = api.server.session();
        let before = jobs_and_schedules(&mut session);
        let new = json!({ "endpoint": "hook", "cron": "5 5 5 5 *", "name": "new" });
        let create = |api: &Api| {
            let key = [("idempotency-key", "request 1")];
            api.send("app", "POST", JOBS, Some(new.clone()), &key)
        };
        let replies = [
            create(&api),
            api.patch("app", &job, json!({ "cron": "5 5 5 5 *" })),
            api.delete("app", &job),
        ];
        let can_delete = damage.codes[2].is_none();
        for (reply, code) in replies.into_iter().zip(damage.codes) {
            match code {
                Some(code) => assert_unavailable(reply, code),
                None => assert_eq!(reply.expect(200)["status"], "RETIRED", "damage {number}"),
            }
        }
        let after = jobs_and_schedules(&mut session);
        assert_eq!(after == before, !can_delete, "damage {number}");
        assert!(!after.contains("5 5 5 5 *"), "damage {number}: {after}");

        (damage.heal)(&api.server, &mut session);
        let mut session = api.server.session();
        let retried = create(&api).expect(201);
        let again = create(&api).expect(200);
        assert_eq!(again["job_id"], retried["job_id"]);
        let live = "select count(*) from kronos.jobs where job_name = 'new' and status = 'ACTIVE'";
        assert_eq!(count(&mut session, live), 1);
        session.batch_execute("select kronos.reconcile()").unwrap();
        assert_sound(&mut session);
    }
}
