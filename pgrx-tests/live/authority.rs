//! Invariant 9: who may call which function, and who sees which rows.

use crate::domain::*;
use crate::server::Server;
use postgres::error::DbError;
use postgres::{Client, Error};
use std::collections::BTreeSet;

/// What a call needs.
#[derive(Clone, Copy, PartialEq)]
enum Need {
    /// A capability in the workspace of the call.
    Workspace(&'static str),
    /// A capability in all workspaces.
    Everywhere(&'static str),
    /// A superuser.
    Superuser,
    /// The capability worker in the workspace of the execution that the call names.
    Execution,
    /// The same, for a call that reports about each execution of a list and raises no error.
    Executions,
    /// Nothing: the call reads no row, or only rows that the caller may see.
    Nothing,
}
use Need::*;

/// Every function of schema kronos: what it needs, and a call. `$W` is the argument workspace, `$X` and `$N` are an
/// execution that worker `w` holds and its attempt, `$Q` is a waiting execution, `$F` a failed one.
const MATRIX: [(&str, Need, &str); 76] = [
    ("start", Everywhere("admin"), "kronos.start()"),
    (
        "create_workspace",
        Everywhere("admin"),
        "kronos.create_workspace('gamma')",
    ),
    (
        "delete_workspace",
        Everywhere("admin"),
        "kronos.delete_workspace('beta', cancel => true)",
    ),
    (
        "get_workspace",
        Workspace("any"),
        "kronos.get_workspace($W)",
    ),
    ("list_workspaces", Nothing, "kronos.list_workspaces()"),
    (
        "set_retention",
        Workspace("admin"),
        "kronos.set_retention('9 days', workspace => $W)",
    ),
    (
        "grant_workspace",
        Workspace("admin"),
        "kronos.grant_workspace('stranger', 'viewer', workspace => $W)",
    ),
    (
        "revoke_workspace",
        Workspace("admin"),
        "kronos.revoke_workspace('stranger', 'viewer', workspace => $W)",
    ),
    ("set_owner", Superuser, "kronos.set_owner('operator')"),
    ("my_workspaces", Nothing, "kronos.my_workspaces()"),
    (
        "create_payload_spec",
        Workspace("admin"),
        "kronos.create_payload_spec('new', '{}', workspace => $W)",
    ),
    (
        "update_payload_spec",
        Workspace("admin"),
        "kronos.update_payload_spec('spec', '{}', workspace => $W)",
    ),
    (
        "get_payload_spec",
        Workspace("viewer"),
        "kronos.get_payload_spec('spec', workspace => $W)",
    ),
    (
        "list_payload_specs",
        Workspace("viewer"),
        "kronos.list_payload_specs(workspace => $W)",
    ),
    (
        "delete_payload_spec",
        Workspace("admin"),
        "kronos.delete_payload_spec('spec', workspace => $W)",
    ),
    (
        "create_endpoint",
        Workspace("admin"),
        "kronos.create_endpoint('new', 'HTTP', workspace => $W)",
    ),
    (
        "update_endpoint",
        Workspace("admin"),
        "kronos.update_endpoint('hook', new_name => 'x', workspace => $W)",
    ),
    (
        "get_endpoint",
        Workspace("viewer"),
        "kronos.get_endpoint('hook', workspace => $W)",
    ),
    (
        "list_endpoints",
        Workspace("viewer"),
        "kronos.list_endpoints(workspace => $W)",
    ),
    (
        "delete_endpoint",
        Workspace("admin"),
        "kronos.delete_endpoint('spare', workspace => $W)",
    ),
    (
        "pause_endpoint",
        Workspace("admin"),
        "kronos.pause_endpoint('hook', workspace => $W)",
    ),
    (
        "resume_endpoint",
        Workspace("admin"),
        "kronos.resume_endpoint('idle', workspace => $W)",
    ),
    (
        "create_cron_job",
        Workspace("producer"),
        "kronos.create_cron_job('hook', '@daily', workspace => $W)",
    ),
    (
        "create_cron_jobs",
        Workspace("producer"),
        "kronos.create_cron_jobs('[{\"endpoint\": \"hook\", \"cron\": \"@daily\"}]', workspace => $W)",
    ),
    (
        "update_cron_job",
        Workspace("producer"),
        "kronos.update_cron_job(job_name => 'report', priority => 1, workspace => $W)",
    ),
    (
        "pause_cron_job",
        Workspace("producer"),
        "kronos.pause_cron_job(job_name => 'report', workspace => $W)",
    ),
    (
        "resume_cron_job",
        Workspace("producer"),
        "kronos.resume_cron_job(job_name => 'paused', workspace => $W)",
    ),
    (
        "cancel_cron_job",
        Workspace("producer"),
        "kronos.cancel_cron_job(job_name => 'report', workspace => $W)",
    ),
    (
        "trigger_cron_job",
        Workspace("producer"),
        "kronos.trigger_cron_job(job_name => 'report', workspace => $W)",
    ),
    (
        "schedule",
        Workspace("admin"),
        "kronos.schedule('sweep', '0 3 * * *', 'select 1', workspace => $W)",
    ),
    (
        "unschedule",
        Workspace("admin"),
        "kronos.unschedule('report', workspace => $W)",
    ),
    (
        "run",
        Workspace("producer"),
        "kronos.run('report', workspace => $W)",
    ),
    (
        "import_pg_cron",
        Workspace("admin"),
        "kronos.import_pg_cron(workspace => $W)",
    ),
    (
        "backfill_cron_job",
        Workspace("producer"),
        "kronos.backfill_cron_job(job_name => 'report', tick_from => now() - interval '1 day', workspace => $W)",
    ),
    (
        "apply_crontab",
        Workspace("producer"),
        "kronos.apply_crontab('[]', workspace => $W)",
    ),
    (
        "get_job",
        Workspace("viewer"),
        "kronos.get_job(job_name => 'report', workspace => $W)",
    ),
    (
        "list_jobs",
        Workspace("viewer"),
        "kronos.list_jobs(workspace => $W)",
    ),
    (
        "list_job_versions",
        Workspace("viewer"),
        "kronos.list_job_versions(job_name => 'report', workspace => $W)",
    ),
    (
        "list_ticks",
        Workspace("viewer"),
        "kronos.list_ticks(job_name => 'report', workspace => $W)",
    ),
    (
        "job_status",
        Workspace("viewer"),
        "kronos.job_status(job_name => 'report', workspace => $W)",
    ),
    (
        "enqueue",
        Workspace("producer"),
        "kronos.enqueue('hook', workspace => $W)",
    ),
    (
        "enqueue_many",
        Workspace("producer"),
        "kronos.enqueue_many('[{\"endpoint\": \"hook\"}]', workspace => $W)",
    ),
    (
        "next_wakeup",
        Workspace("worker"),
        "kronos.next_wakeup(workspace => $W)",
    ),
    (
        "claim_executions",
        Workspace("worker"),
        "kronos.claim_executions('w', workspace => $W)",
    ),
    (
        "claim_any_executions",
        Everywhere("worker"),
        "kronos.claim_any_executions('w')",
    ),
    (
        "heartbeat_executions",
        Executions,
        "kronos.heartbeat_executions('w', '[{\"execution_id\": \"$X\", \"attempt\": $N}]')",
    ),
    (
        "log_execution",
        Execution,
        "kronos.log_execution('$X', $N, 'w', 'a line')",
    ),
    (
        "complete_execution",
        Execution,
        "kronos.complete_execution('$X', $N, 'w')",
    ),
    (
        "fail_execution",
        Execution,
        "kronos.fail_execution('$X', $N, 'w', 'no')",
    ),
    (
        "release_execution",
        Execution,
        "kronos.release_execution('$X', $N, 'w')",
    ),
    (
        "postpone_execution",
        Execution,
        "kronos.postpone_execution('$X', $N, 'w', now())",
    ),
    (
        "complete_executions",
        Executions,
        "kronos.complete_executions('w', '[{\"execution_id\": \"$X\", \"attempt\": $N}]')",
    ),
    (
        "fail_executions",
        Executions,
        "kronos.fail_executions('w', '[{\"execution_id\": \"$X\", \"attempt\": $N}]')",
    ),
    (
        "release_executions",
        Executions,
        "kronos.release_executions('w', '[{\"execution_id\": \"$X\", \"attempt\": $N}]')",
    ),
    (
        "expire_leases",
        Everywhere("admin"),
        "kronos.expire_leases()",
    ),
    (
        "get_execution",
        Workspace("viewer"),
        "kronos.get_execution('$X', workspace => $W)",
    ),
    (
        "list_executions",
        Workspace("viewer"),
        "kronos.list_executions(workspace => $W)",
    ),
    (
        "list_attempts",
        Workspace("viewer"),
        "kronos.list_attempts('$X', workspace => $W)",
    ),
    (
        "list_logs",
        Workspace("viewer"),
        "kronos.list_logs('$X', workspace => $W)",
    ),
    (
        "cancel_execution",
        Workspace("producer"),
        "kronos.cancel_execution('$Q', workspace => $W)",
    ),
    (
        "cancel_executions",
        Workspace("producer"),
        "kronos.cancel_executions(request_stop => true, workspace => $W)",
    ),
    (
        "reschedule_execution",
        Workspace("producer"),
        "kronos.reschedule_execution('$Q', now(), workspace => $W)",
    ),
    (
        "retry_execution",
        Workspace("producer"),
        "kronos.retry_execution('$F', workspace => $W)",
    ),
    (
        "retry_executions",
        Workspace("producer"),
        "kronos.retry_executions(workspace => $W)",
    ),
    (
        "expire_worker_leases",
        Workspace("admin"),
        "kronos.expire_worker_leases('w', workspace => $W)",
    ),
    ("next_ticks", Nothing, "kronos.next_ticks('@daily')"),
    (
        "describe_schedule",
        Nothing,
        "kronos.describe_schedule('@daily')",
    ),
    ("run_due", Everywhere("admin"), "kronos.run_due()"),
    ("prune", Everywhere("admin"), "kronos.prune()"),
    ("doctor", Everywhere("viewer"), "kronos.doctor()"),
    ("metrics", Nothing, "kronos.metrics()"),
    ("check", Everywhere("viewer"), "kronos.check()"),
    ("reconcile", Everywhere("admin"), "kronos.reconcile()"),
    ("error_codes", Nothing, "kronos.error_codes()"),
    (
        "retry_delay",
        Nothing,
        "kronos.retry_delay('fixed', 1, 1, 1)",
    ),
    ("uuid_v7", Nothing, "kronos.uuid_v7()"),
];

/// Functions that need nothing and take no part in the matrix, and procedures, which have tests of their own.
const OTHERS: [&str; 3] = ["uuid_v7_at", "tick", "upkeep"];

/// The roles of the matrix: the capability that each has, and where.
const ROLES: [(&str, &str, Option<&str>); 9] = [
    ("alpha_viewer", "viewer", Some("alpha")),
    ("alpha_producer", "producer", Some("alpha")),
    ("alpha_worker", "worker", Some("alpha")),
    ("alpha_admin", "admin", Some("alpha")),
    ("beta_admin", "admin", Some("beta")),
    ("monitor", "viewer", None),
    ("fleet", "worker", None),
    ("operator", "admin", None),
    ("stranger", "", None),
];

/// Whether a capability includes another.
fn includes(capability: &str, needed: &str) -> bool {
    match capability {
        _ if needed == "any" => true,
        "admin" => true,
        "producer" => ["producer", "viewer"].contains(&needed),
        other => other == needed,
    }
}

/// What a role gets from a call.
#[derive(Debug, PartialEq)]
enum Outcome {
    Allowed,
    /// As if the workspace or the execution did not exist.
    NotFound,
    Denied,
}

fn expected(need: Need, capability: &str, place: Option<&str>) -> Outcome {
    let is_granted = !capability.is_empty();
    let is_here = is_granted && place.is_none_or(|place| place == "alpha");
    match need {
        Nothing => Outcome::Allowed,
        Workspace(needed) if is_here && includes(capability, needed) => Outcome::Allowed,
        Workspace(_) if is_here => Outcome::Denied,
        Workspace(_) => Outcome::NotFound,
        Everywhere(needed) if is_granted && place.is_none() && includes(capability, needed) => {
            Outcome::Allowed
        }
        Everywhere(_) | Superuser => Outcome::Denied,
        Execution | Executions if is_here && includes(capability, "worker") => Outcome::Allowed,
        Execution | Executions => Outcome::NotFound,
    }
}

struct House {
    server: Server,
    session: Client,
    held: Held,
    waiting: String,
    failed: String,
}

/// A server with two workspaces that have everything, and with all roles.
fn house() -> House {
    let server = Server::start();
    let mut session = server.session();
    session.batch_execute("select kronos.start()").unwrap();
    for workspace in ["alpha", "beta"] {
        session
            .batch_execute(&format!(
                "set kronos.workspace = '{workspace}';
                 select kronos.create_workspace('{workspace}');
                 select kronos.create_payload_spec('spec', '{{\"type\": \"object\"}}');
                 select kronos.create_endpoint('hook', 'HTTP', '{{\"token\": \"secret of {workspace}\"}}');
                 select kronos.create_endpoint('spare', 'HTTP');
                 select kronos.create_endpoint('idle', 'HTTP'), kronos.pause_endpoint('idle');
                 select kronos.create_cron_job('hook', '0 9 * * *', name => 'report');
                 select kronos.trigger_cron_job(job_name => 'report');
                 select kronos.fail_execution(execution_id, attempt, 'w', 'no', retryable => false)
                 from kronos.claim_executions('w');
                 select kronos.create_cron_job('hook', '0 10 * * *', name => 'paused');
                 select kronos.pause_cron_job(job_name => 'paused');
                 select kronos.enqueue('hook');
                 select kronos.complete_execution(execution_id, attempt, 'w') from kronos.claim_executions('w');
                 select kronos.enqueue('hook', '{{\"of\": \"{workspace}\"}}');
                 select kronos.log_execution(execution_id, attempt, 'w', 'a line of {workspace}')
                 from kronos.claim_executions('w', lease => '1 hour');
                 select kronos.enqueue('hook', run_at => now() + interval '1 day');"
            ))
            .unwrap();
    }
    session
        .batch_execute("reset kronos.workspace; grant usage on schema kronos, cron to public")
        .unwrap();
    for (role, capability, place) in ROLES {
        session
            .batch_execute(&format!("create role {role} login"))
            .unwrap();
        let arguments = match place {
            _ if capability.is_empty() => continue,
            Some(place) => format!("workspace => '{place}'"),
            None => "all_workspaces => true".to_owned(),
        };
        session
            .batch_execute(&format!(
                "select kronos.grant_workspace('{role}', '{capability}', {arguments})"
            ))
            .unwrap();
    }
    let row = session
        .query_one(
            "select execution_id, attempt from kronos.execution_details where workspace = 'alpha' and status = 'RUNNING'",
            &[],
        )
        .unwrap();
    let held = (row.get(0), row.get(1));
    let [waiting, failed] = ["PENDING", "FAILED"].map(|status| {
        let statement = "select execution_id::text from kronos.executions where workspace = 'alpha' and status = $1";
        session.query_one(statement, &[&status]).unwrap().get(0)
    });
    House {
        server,
        session,
        held,
        waiting,
        failed,
    }
}

impl House {
    fn fill(&self, call: &str, workspace: &str) -> String {
        call.replace("$W", &format!("'{workspace}'"))
            .replace("$X", &self.held.0.to_string())
            .replace("$N", &self.held.1.to_string())
            .replace("$Q", &self.waiting)
            .replace("$F", &self.failed)
    }
}

/// Runs a call in a transaction that is rolled back, and returns its rows as text.
fn try_call(session: &mut Client, call: &str) -> Result<Vec<String>, Error> {
    let mut transaction = session.transaction().unwrap();
    let rows = transaction.query(&format!("select r::text from {call} r"), &[])?;
    let rows = rows
        .iter()
        .map(|row| row.get::<_, Option<String>>(0).unwrap_or_default())
        .collect();
    transaction.rollback().unwrap();
    Ok(rows)
}

fn all_text(error: &DbError) -> String {
    format!(
        "{} | {} | {}",
        error.message(),
        error.detail().unwrap_or_default(),
        error.hint().unwrap_or_default()
    )
}

#[test]
fn matrix_names_every_function() {
    let server = Server::start();
    let functions: BTreeSet<String> = server
        .session()
        .query(
            "select proname::text from pg_proc where pronamespace = 'kronos'::regnamespace",
            &[],
        )
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let listed = MATRIX.iter().map(|(name, ..)| *name).chain(OTHERS);
    let listed: BTreeSet<String> = listed.map(str::to_owned).collect();
    assert_eq!(listed, functions);
}

#[test]
fn every_role_gets_from_every_function_what_its_grants_allow() {
    assert_matrix(&house());
}

#[test]
fn every_role_gets_the_same_if_kronos_belongs_to_a_plain_role() {
    let mut house = house();
    house
        .session
        .batch_execute("create role keeper login; select kronos.set_owner('keeper')")
        .unwrap();
    assert_matrix(&house);
}

fn assert_matrix(house: &House) {
    for (role, capability, place) in ROLES {
        let mut session = house.server.session_as(role);
        for (name, need, call) in MATRIX {
            let call_here = house.fill(call, "alpha");
            let result = try_call(&mut session, &call_here);
            let outcome = match (&result, need) {
                (Ok(rows), Executions) if rows.iter().all(|row| row.contains(",f,,,,f,,)")) => {
                    Outcome::NotFound
                }
                (Ok(_), _) => Outcome::Allowed,
                (Err(error), _) if error.code().unwrap().code() == "42501" => Outcome::Denied,
                (Err(error), _) => {
                    let error = db_error(error);
                    let detail: serde_json::Value =
                        serde_json::from_str(error.detail().unwrap_or("null")).unwrap();
                    assert!(
                        ["WORKSPACE_NOT_FOUND", "EXECUTION_NOT_FOUND"]
                            .contains(&detail["code"].as_str().unwrap_or_default()),
                        "{role} {name}: {error:?}"
                    );
                    Outcome::NotFound
                }
            };
            assert_eq!(
                outcome,
                expected(need, capability, place),
                "{role}: {call_here}: {result:?}"
            );
            // To whom a workspace is not known, an error says the same as if it did not exist.
            if outcome == Outcome::NotFound && matches!(need, Workspace(_)) {
                let nowhere = try_call(&mut session, &house.fill(call, "nowhere")).unwrap_err();
                let here = all_text(db_error(&result.unwrap_err()));
                assert_eq!(
                    here.replace("alpha", "nowhere"),
                    all_text(db_error(&nowhere)),
                    "{role}: {call_here}"
                );
            }
        }
    }
}

#[test]
fn procedures_need_the_capability_admin_in_all_workspaces() {
    let mut house = house();
    for (role, capability, place) in ROLES {
        let mut session = house.server.session_as(role);
        for procedure in ["tick", "upkeep"] {
            let result = session.batch_execute(&format!("call kronos.{procedure}()"));
            if capability == "admin" && place.is_none() {
                result.unwrap();
            } else {
                assert_code(result, "PERMISSION_DENIED");
            }
            let user: String = session
                .query_one("select current_user::text", &[])
                .unwrap()
                .get(0);
            assert_eq!(user, role);
        }
    }
    assert_sound(&mut house.session);
}

/// The views of schema kronos, and how to find the workspace of a row.
const VIEWS: [(&str, &str); 17] = [
    ("workspaces", "workspace"),
    ("workspace_grants", "workspace"),
    ("payload_specs", "workspace"),
    ("endpoints", "workspace"),
    ("jobs", "workspace"),
    ("job_details", "workspace"),
    ("job_versions", "workspace"),
    ("ticks", "workspace"),
    ("executions", "workspace"),
    ("execution_details", "workspace"),
    (
        "attempts",
        "coalesce((select w.workspace from kronos.workspaces w where w.workspace_id = v.workspace_id), 'unknown')",
    ),
    ("execution_logs", "substr(message, 11)"),
    ("queues", "workspace"),
    ("failing_ticks", "workspace"),
    ("failing_jobs", "workspace"),
    ("running_executions", "workspace"),
    ("stuck_executions", "workspace"),
];

#[test]
fn every_view_shows_the_rows_of_the_workspaces_that_a_role_may_read() {
    let mut house = house();
    lose_wake_ups(&mut house.session, 24);
    house
        .session
        .batch_execute(
            "call kronos.tick();
             insert into kronos_internal.owed (job_id, tick_at, workspace_id, tries, sqlstate, error)
             select job_id, now() + interval '1 day', workspace_id, 1, '23514', 'no' from kronos_internal.jobs;
             update kronos_internal.live_executions set lease_expires_at = now() where status = 'RUNNING'",
        )
        .unwrap();
    let in_catalog: BTreeSet<String> = house
        .session
        .query(
            "select relname::text from pg_class where relnamespace = 'kronos'::regnamespace and relkind = 'v'",
            &[],
        )
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let listed: BTreeSet<String> = VIEWS
        .iter()
        .map(|(view, _)| (*view).to_owned())
        .chain(["upkeep_runs".to_owned()])
        .collect();
    assert_eq!(listed, in_catalog);
    for (role, capability, place) in ROLES {
        let mut session = house.server.session_as(role);
        for (view, workspace) in VIEWS {
            let statement = format!(
                "select distinct {workspace} from kronos.{view} v where {workspace} is not null order by 1"
            );
            let seen: Vec<String> = session
                .query(&statement, &[])
                .unwrap()
                .iter()
                .map(|row| row.get(0))
                .collect();
            let needed = if view == "workspace_grants" {
                "admin"
            } else {
                "viewer"
            };
            let may_read = !capability.is_empty() && includes(capability, needed);
            let expected: Vec<&str> = match place {
                _ if !may_read => vec![],
                Some(place) => vec![place],
                None => vec!["alpha", "beta"],
            };
            let seen: Vec<&str> = seen
                .iter()
                .map(String::as_str)
                .filter(|name| *name != "default")
                .collect();
            assert_eq!(seen, expected, "{role}: {view}");
        }
        let secrets = "select coalesce(string_agg(spec ->> 'token', ', ' order by spec ->> 'token'), '') from kronos.endpoints";
        let secrets: String = session.query_one(secrets, &[]).unwrap().get(0);
        let expected = match place {
            _ if capability != "admin" => "",
            Some("alpha") => "secret of alpha",
            Some(_) => "secret of beta",
            None => "secret of alpha, secret of beta",
        };
        assert_eq!(secrets, expected, "{role}");
        let runs: i64 = count(&mut session, "select count(*) from kronos.upkeep_runs");
        assert!(runs == 0 || place.is_none());
        session
            .batch_execute("select from kronos_internal.jobs")
            .expect_err("the tables are private");
    }
    // A viewer's functions hide the secrets, too.
    let mut viewer = house.server.session_as("alpha_viewer");
    for call in [
        "get_endpoint('hook', workspace => 'alpha')",
        "list_endpoints(workspace => 'alpha')",
    ] {
        let statement = format!("select count(*) from kronos.{call} where spec is not null");
        assert_eq!(count(&mut viewer, &statement), 0, "{call}");
    }
}

#[test]
fn grants_count_for_members_who_inherit_and_for_nobody_of_the_same_name() {
    let mut house = house();
    house
        .session
        .batch_execute(
            "create role member login in role alpha_admin;
             create role hesitant login noinherit in role alpha_admin",
        )
        .unwrap();
    let read = "kronos.list_jobs(workspace => 'alpha')";
    try_call(&mut house.server.session_as("member"), read).unwrap();
    let mut hesitant = house.server.session_as("hesitant");
    assert_code(try_call(&mut hesitant, read), "WORKSPACE_NOT_FOUND");
    hesitant.batch_execute("set role alpha_admin").unwrap();
    try_call(&mut hesitant, read).unwrap();
    // Rights end with the role, and with the grant.
    hesitant.batch_execute("reset role").unwrap();
    assert_code(try_call(&mut hesitant, read), "WORKSPACE_NOT_FOUND");
    house
        .session
        .batch_execute("drop role alpha_viewer; create role alpha_viewer login")
        .unwrap();
    assert_code(
        try_call(&mut house.server.session_as("alpha_viewer"), read),
        "WORKSPACE_NOT_FOUND",
    );
    let mut producer = house.server.session_as("alpha_producer");
    try_call(&mut producer, read).unwrap();
    house
        .session
        .batch_execute(
            "select kronos.revoke_workspace('alpha_producer', 'producer', workspace => 'alpha')",
        )
        .unwrap();
    assert_code(try_call(&mut producer, read), "WORKSPACE_NOT_FOUND");
}

#[test]
fn only_admins_of_everything_grant_everything() {
    let mut house = house();
    for role in ["alpha_admin", "monitor", "fleet", "stranger"] {
        let mut session = house.server.session_as(role);
        let call = "select kronos.grant_workspace('stranger', 'admin', all_workspaces => true)";
        assert_code(session.batch_execute(call), "PERMISSION_DENIED");
    }
    let mut admin = house.server.session_as("alpha_admin");
    let granted: String = admin
        .query_one(
            "select concat_ws(' ', workspace, role, capability, granted_by)
             from kronos.grant_workspace('stranger', 'viewer', workspace => 'alpha')",
            &[],
        )
        .unwrap()
        .get(0);
    assert_eq!(granted, "alpha stranger viewer alpha_admin");
    try_call(
        &mut house.server.session_as("stranger"),
        "kronos.list_jobs(workspace => 'alpha')",
    )
    .unwrap();
    for (arguments, code) in [
        ("'nobody', 'viewer'", "INVALID_ARGUMENT"),
        ("'stranger', 'owner'", "INVALID_ARGUMENT"),
        ("null, 'viewer'", "NULL_ARGUMENT"),
    ] {
        let call = format!("select kronos.grant_workspace({arguments}, workspace => 'alpha')");
        assert_code(house.session.batch_execute(&call), code);
    }
}

// Code that a stranger wrote runs with the stranger's rights, whoever makes it run.
#[test]
fn code_of_a_stranger_has_no_rights_when_the_server_or_a_superuser_runs_it() {
    let mut house = house();
    house
        .session
        .batch_execute(
            "create schema trap authorization stranger; grant usage on schema trap to public",
        )
        .unwrap();
    let mut stranger = house.server.session_as("stranger");
    stranger
        .batch_execute(
            "create function trap.spring(n integer) returns integer language plpgsql immutable as $$
             declare seen text := current_user;
             begin
                 begin
                     perform kronos.create_cron_job('hook', '@daily', name => 'sprung', workspace => 'alpha');
                     seen := 'created';
                 exception when others then
                     seen := seen || ' ' || sqlstate;
                 end;
                 raise warning 'trap: %', seen;
                 return n;
             end $$;
             create table trap.bait (n integer);
             create index on trap.bait (trap.spring(n));
             insert into trap.bait select generate_series(1, 10);
             create materialized view trap.picture as select trap.spring(1);",
        )
        .unwrap();
    for statement in [
        "analyze trap.bait",
        "vacuum full trap.bait",
        "reindex table trap.bait",
        "refresh materialized view trap.picture",
    ] {
        house.session.batch_execute(statement).unwrap();
    }
    let sprung = "select count(*) from kronos.jobs where job_name = 'sprung'";
    assert_eq!(count(&mut house.session, sprung), 0);
    let log = house.server.log();
    assert!(
        log.contains("trap: stranger P0002"),
        "the trap ran as the stranger"
    );
    assert!(!log.contains("trap: created") && !log.contains("trap: postgres"));
}

#[test]
fn security_definer_function_acts_with_the_grants_of_its_owner() {
    let mut house = house();
    house
        .session
        .batch_execute(
            "create schema doors; grant usage on schema doors to public; grant create on schema doors to alpha_producer, stranger",
        )
        .unwrap();
    for (owner, outcome) in [("alpha_producer", "00000"), ("stranger", "P0002")] {
        house
            .server
            .session_as(owner)
            .batch_execute(&format!(
                "create function doors.of_{owner}() returns uuid security definer set search_path = ''
                 begin atomic; select execution_id from kronos.enqueue('hook', workspace => 'alpha'); end"
            ))
            .unwrap();
        for caller in ["stranger", "beta_admin", "alpha_producer"] {
            let mut session = house.server.session_as(caller);
            let call = session.batch_execute(&format!("select doors.of_{owner}()"));
            let sqlstate = call.err().map_or("00000".into(), |error| {
                db_error(&error).code().code().to_owned()
            });
            assert_eq!(sqlstate, outcome, "{caller} through a function of {owner}");
        }
    }
}

// As everywhere in PostgreSQL.
#[test]
fn trigger_acts_with_the_grants_of_whoever_changes_its_table() {
    let mut house = house();
    house
        .session
        .batch_execute("create schema shared; grant usage, create on schema shared to public")
        .unwrap();
    house
        .server
        .session_as("stranger")
        .batch_execute(
            "create table shared.inbox (n integer);
             grant insert on shared.inbox to public;
             create function shared.pass_on() returns trigger language plpgsql as
               $$ begin perform kronos.enqueue('hook', workspace => 'alpha'); return null; end $$;
             create trigger pass_on after insert on shared.inbox for each row execute function shared.pass_on()",
        )
        .unwrap();
    for (writer, is_allowed) in [
        ("stranger", false),
        ("beta_admin", false),
        ("alpha_producer", true),
    ] {
        let mut session = house.server.session_as(writer);
        let insert = session.batch_execute("insert into shared.inbox values (1)");
        assert_eq!(insert.is_ok(), is_allowed, "{writer}");
    }
}

// A procedure has no SET clause, so the search_path of its caller counts until Kronos sets its own.
#[test]
fn search_path_of_the_caller_gains_nothing() {
    let mut house = house();
    house
        .session
        .batch_execute(
            "create schema evil authorization stranger;
             grant usage on schema evil to public;
             set role stranger;
             create function evil.spring() returns void language plpgsql as $$
             begin
                 raise warning 'sprung as %', current_user;
             end $$;
             create function evil.set_config(text, text, boolean) returns text language sql as 'select evil.spring(); select null::text';
             create function evil.pg_has_role(oid, oid, text) returns boolean language sql as 'select evil.spring(); select true';
             create function evil.clock_timestamp() returns timestamptz language sql as 'select evil.spring(); select now()';
             create function evil.equal(text, text) returns boolean language sql as 'select evil.spring(); select true';
             create operator evil.= (leftarg = text, rightarg = text, function = evil.equal);
             reset role",
        )
        .unwrap();
    for role in ["stranger", "operator"] {
        let mut session = house.server.session_as(role);
        session
            .batch_execute("set search_path = evil, pg_catalog")
            .unwrap();
        for statement in [
            "call kronos.tick()",
            "call kronos.upkeep()",
            "begin; call kronos.tick(); commit",
            "begin; call kronos.upkeep(); commit",
            "select kronos.list_jobs(workspace => 'alpha')",
            "select count(*) from kronos.jobs",
        ] {
            let result = session.batch_execute(statement);
            if result.is_err() {
                session.batch_execute("rollback").unwrap();
            }
        }
        let path: String = session
            .query_one("select current_setting('search_path')", &[])
            .unwrap()
            .get(0);
        assert_eq!(path, "evil, pg_catalog");
    }
    house
        .session
        .batch_execute("set search_path = evil, pg_catalog; drop extension kronos")
        .unwrap();
    let log = house.server.log();
    assert!(!log.contains("sprung as postgres"), "{log}");
}
