//! Invariant 9: no value that one workspace stores makes a call of another, or of Kronos itself, fail.

use super::functions::{Argument, Function, functions};
use super::random_calls::{Choice, Generator};
use super::values::extreme;
use super::verdict::{Judge, detail};
use super::{assert_sound_after_upkeep, generator, seed, size};
use crate::domain::*;
use crate::server::Server;
use postgres::Client;
use postgres::error::DbError;

/// The workspace that stores extreme values.
const WILD: &str = "wild";

/// Calls that store values at the limits.
const AT_THE_LIMITS: [&str; 14] = [
    "create_workspace(repeat('\u{202e}', 200))",
    "grant_workspace('odd role \" \\ 🦀', 'admin')",
    "set_retention('178000000 years', '178000000 years')",
    "create_payload_spec(repeat('\u{202e}', 200), ('{\"anyOf\":[' || repeat('{\"const\":1},', 900) || 'true]}')::jsonb)",
    "create_endpoint('fastest', repeat('🦀', 100), attempt_timeout => '1 microsecond',
        retry_policy => '{\"max_attempts\": 1000, \"initial_delay_ms\": 0, \"max_delay_ms\": 0, \"jitter\": 1}')",
    "create_endpoint('slowest', 'HTTP', jsonb_build_object('x', repeat('x', 65527)), attempt_timeout => '30 days',
        retry_policy => '{\"max_attempts\": 1000, \"backoff\": \"linear\", \"initial_delay_ms\": 2592000000, \"max_delay_ms\": 2592000000}')",
    "create_cron_job('slowest', '0 0 1 1 *', jsonb_build_object('x', repeat('x', 262135)), repeat('\u{202e}', 200),
        'Pacific/Apia', '1970-01-01Z', '2199-12-31T23:59:59.999999Z', 'all', '366 days', 'replace', '1 day', 9,
        jsonb_build_object('x', repeat('x', 8183)), 'slowest', 1000, repeat('\u{202e}', 200))",
    "create_cron_job('fastest', '* * * * *', '1e1000', catchup_policy => 'all', catchup_window => '1 microsecond',
        jitter => '1 microsecond', overlap_policy => 'queue_one', priority => 0)",
    "enqueue('fastest', (repeat('[', 6000) || repeat(']', 6000))::jsonb, '1970-01-01Z', 0)",
    "enqueue('slowest', jsonb_build_object('x', repeat('x', 262135)), '2199-12-31T23:59:59.999999Z', 9,
        repeat('\u{202e}', 200), jsonb_build_object('x', repeat('x', 8183)))",
    "log_execution(execution_id, attempt, 'w1', repeat(chr(1), 10000), 'ERROR', jsonb_build_object('x', repeat('x', 65527)))
     from kronos.claim_executions('w1')",
    "complete_execution(execution_id, attempt, 'w1', jsonb_build_object('x', repeat('x', 262135)))
     from kronos.claim_executions('w1')",
    "fail_execution(execution_id, attempt, 'w1', repeat(chr(1), 1000000), retry_at => '1970-01-01Z')
     from kronos.claim_executions('w1')",
    "fail_execution(execution_id, attempt, repeat('\u{202e}', 200), '', retry_at => '2199-12-31T23:59:59.999999Z')
     from kronos.claim_executions(repeat('\u{202e}', 200), 1, '1 day')",
];

#[test]
fn extreme_values_of_one_workspace_break_no_call_of_another() {
    let server = Server::start();
    let mut owner = server.session();
    owner
        .batch_execute(
            "select kronos.start();
             grant usage on schema kronos to public;
             create role \"odd role \"\" \\ 🦀\";
             create role monitor login;
             select kronos.grant_workspace('monitor', 'viewer', all_workspaces => true);
             create role fleet login;
             select kronos.grant_workspace('fleet', 'worker', all_workspaces => true)",
        )
        .unwrap();
    let mut house = House {
        generator: Generator::new(&functions(&mut owner), generator(seed(), 0)),
        functions: functions(&mut owner),
        judge: Judge::new(&mut owner),
        server,
        owner,
    };
    house.everything_works("before", "before");
    house.store_extremes();
    house.everything_works("after", WILD);
}

struct House {
    server: Server,
    owner: Client,
    functions: Vec<Function>,
    generator: Generator,
    judge: Judge,
}

/// Few arguments, with usual values.
const FEW: Choice = Choice {
    given: 0.1,
    extremes: 0.0,
    fixed: None,
};

impl House {
    /// Calls every function with every extreme value of every argument, and makes the calls at the limits, in workspace
    /// [`WILD`].
    fn store_extremes(&mut self) {
        create_workspace(&mut self.owner, WILD);
        let mut admin = self.session_for(WILD, "admin");
        let workspace = format!("set kronos.workspace = '{WILD}'");
        self.owner.batch_execute(&workspace).unwrap();
        let mut stored = 0;
        for function in self.functions.clone() {
            if is_reader(&function) || DESTRUCTIVE.contains(&function.name.as_str()) {
                continue;
            }
            restock(&mut self.owner);
            self.generator.look(&mut admin);
            for argument in &function.arguments {
                // It only names a workspace.
                if argument.name == "workspace" {
                    continue;
                }
                stored += self.store(&function, argument, None);
                if let Some(element) = self.generator.element_of(&function, argument) {
                    for field in &element.arguments {
                        stored += self.store(&function, argument, Some((&element, field)));
                    }
                }
            }
        }
        restock(&mut self.owner);
        for call in AT_THE_LIMITS {
            let rows = self.owner.execute(&format!("select kronos.{call}"), &[]);
            assert_eq!(rows.unwrap(), 1, "{call}");
        }
        self.owner.batch_execute("reset kronos.workspace").unwrap();
        println!("calls with an extreme value that succeeded: {stored}");
        assert!(stored > 1000);
    }

    /// Calls a function with each extreme value of an argument, or of a field of its list's elements, and returns how
    /// many values were accepted.
    fn store(
        &mut self,
        function: &Function,
        argument: &Argument,
        field: Option<(&Function, &Argument)>,
    ) -> usize {
        let varied = field.map_or(argument, |(_, field)| field);
        let accepted = extreme(&varied.type_name).iter().filter(|value| {
            let fixed = Some((varied.name.as_str(), **value));
            // A call may fail because of its other arguments.
            for _ in 0..size(4, 12) {
                let call = match field {
                    None => self.generator.call(function, Choice { fixed, ..FEW }),
                    Some((element, _)) => {
                        let element = self.generator.element(element, Choice { fixed, ..FEW });
                        let list = format!("jsonb_build_array({element})");
                        let fixed = Some((argument.name.as_str(), list.as_str()));
                        self.generator.call(function, Choice { fixed, ..FEW })
                    }
                };
                let Err(error) = self.owner.batch_execute(&call.statement) else {
                    return true;
                };
                let fault = self.judge.fault(&error);
                assert_eq!(fault, None, "{}", call.statement);
                self.generator.learn(&call, &error);
                if is_about(db_error(&error), &varied.name) {
                    break;
                }
            }
            false
        });
        accepted.count()
    }
}

/// Whether an error is about an argument that has an extreme value, while the others have usual ones.
fn is_about(error: &DbError, argument: &str) -> bool {
    let detail = detail(error);
    let code = detail["code"].as_str().unwrap_or_default();
    match code.strip_suffix("_NOT_FOUND") {
        Some(noun) => argument.starts_with(&noun.to_lowercase()),
        None => {
            ["22023", "54000", "0A000"].contains(&error.code().code()) && code != "INVALID_INPUT"
        }
    }
}

/// Whether a function only reads rows of a workspace.
fn is_reader(function: &Function) -> bool {
    let name = function.name.as_str();
    name.starts_with("get_") || name.starts_with("list_") || name == "job_status"
}

/// Functions that store no value, and after which the test could not go on.
const DESTRUCTIVE: [&str; 3] = ["delete_workspace", "revoke_workspace", "set_owner"];

/// Creates what the calls need: jobs, endpoints, a payload spec, executions that wait and executions that run.
fn restock(owner: &mut Client) {
    owner
        .batch_execute(
            "select kronos.create_endpoint('hook', 'HTTP', if_not_exists => true);
             select kronos.resume_endpoint(endpoint) from kronos.endpoints where paused_at is not null;
             select kronos.update_endpoint('hook', payload_spec => '', attempt_timeout => '0', max_concurrent => 0, rate_limit => 0);
             select kronos.create_payload_spec('spec', 'true', if_not_exists => true);
             select kronos.create_endpoint('endpoint ' || n, 'HTTP', if_not_exists => true) from generate_series(1, 3) n;
             select kronos.create_cron_job('hook', '0 0 1 1 *', name => 'job ' || n, if_not_exists => true) from generate_series(1, 3) n;
             select kronos.create_cron_job('hook', '0 0 1 1 *') from generate_series(1, 10);
             select kronos.enqueue('hook') from generate_series(1, 120);
             select kronos.claim_executions('w1', 100, '1 day')",
        )
        .unwrap();
}

impl House {
    /// Opens a session of a role with a capability in a workspace.
    fn session_for(&mut self, workspace: &str, capability: &str) -> Client {
        let role = format!("{workspace}_{capability}");
        self.owner
            .batch_execute(&format!(
                "create role {role} login;
                 alter role {role} set kronos.workspace = '{workspace}';
                 select kronos.grant_workspace('{role}', '{capability}', workspace => '{workspace}')"
            ))
            .unwrap();
        self.server.session_as(&role)
    }

    /// Asserts that a new workspace, a fleet, the operator and a monitor of all workspaces can do all that they can do
    /// on a new server.
    fn everything_works(&mut self, workspace: &str, monitored: &str) {
        create_workspace(&mut self.owner, workspace);
        let mut admin = self.session_for(workspace, "admin");
        self.ticks_run(&mut admin, workspace);
        self.executions_run(&mut admin, monitored);
        self.maintenance_works(workspace);
        let mut viewer = self.session_for(workspace, "viewer");
        self.everything_is_readable(&mut viewer);
        let mut monitor = self.server.session_as("monitor");
        let set = format!("set kronos.workspace = '{monitored}'");
        monitor.batch_execute(&set).unwrap();
        self.everything_is_readable(&mut monitor);
        for name in ["check", "metrics", "doctor"] {
            if self.functions.iter().any(|function| function.name == name) {
                let call = format!("select r from kronos.{name}() r");
                monitor.batch_execute(&call).unwrap();
            }
        }
    }

    /// Ticks on time, missed ticks, and ticks of every schedule after hours without wake-ups.
    fn ticks_run(&mut self, admin: &mut Client, workspace: &str) {
        for (nth, make_due) in DUE_IN_BOTH_WAYS.into_iter().enumerate() {
            let job_id = create_named(admin, workspace, &format!("yearly {nth}"), YEARLY);
            make_due(&mut self.owner);
            tick(&mut self.owner);
            assert_eq!(outcomes(&mut self.owner, job_id), ["RUN"]);
        }
        let hourly = create_named(admin, workspace, "hourly", "@hourly");
        lose_wake_ups(&mut self.owner, 5);
        tick(&mut self.owner);
        assert!(executions_of(&mut self.owner, hourly) >= 5);
        for call in [
            "update_cron_job(job_name => 'hourly', cron => '0 */2 * * *', jitter => '1 hour')",
            "pause_cron_job(job_name => 'hourly')",
            "resume_cron_job(job_name => 'hourly')",
            "backfill_cron_job(job_name => 'hourly', tick_from => now() - interval '1 day')",
            "trigger_cron_job(job_name => 'hourly')",
            "cancel_cron_job(job_name => 'hourly')",
            "create_payload_spec('spec', 'true')",
        ] {
            admin
                .batch_execute(&format!("select kronos.{call}"))
                .unwrap();
        }
    }

    /// A worker of the workspace, and a fleet of all workspaces that claims whatever is due and whose leases expire.
    fn executions_run(&mut self, admin: &mut Client, monitored: &str) {
        admin
            .batch_execute(
                "select kronos.enqueue('hook', priority => 0) from generate_series(1, 5)",
            )
            .unwrap();
        let claim = "select execution_id, attempt from kronos.claim_executions('w', 4)";
        let held: Vec<Held> = admin
            .query(claim, &[])
            .unwrap()
            .iter()
            .map(|row| (row.get(0), row.get(1)))
            .collect();
        assert_eq!(complete(admin, "w", held[0]).unwrap(), "SUCCEEDED");
        assert_eq!(fail(admin, "w", held[1]).unwrap(), "RETRYING");
        for call in [
            "heartbeat_executions('w', $1)",
            "release_executions('w', $1)",
        ] {
            let accepted = format!("select bool_and(accepted) from kronos.{call}");
            let row = admin.query_one(&accepted, &[&list_of(&held[2..])]).unwrap();
            assert!(row.get::<_, bool>(0), "{call}");
        }
        let mut fleet = self.server.session_as("fleet");
        for end in ["fail_executions", "complete_executions"] {
            let mut of_monitored = 0;
            loop {
                let claimed = fleet
                    .query(
                        "select execution_id, attempt, workspace from kronos.claim_any_executions('fleet', 1000)",
                        &[],
                    )
                    .unwrap();
                let held: Vec<Held> = claimed.iter().map(|row| (row.get(0), row.get(1))).collect();
                if held.is_empty() {
                    break;
                }
                of_monitored += claimed
                    .iter()
                    .filter(|row| row.get::<_, &str>(2) == monitored)
                    .count();
                let end = format!("select kronos.{end}('fleet', $1)");
                fleet.query(&end, &[&list_of(&held)]).unwrap();
            }
            assert!(of_monitored > 0, "{end}");
            self.owner
                .batch_execute("update kronos_internal.live_executions set run_at = now() where status = 'RETRYING'")
                .unwrap();
        }
    }

    /// The operator: leases expire, history past its retention is pruned, upkeep and repairs have no errors.
    fn maintenance_works(&mut self, workspace: &str) {
        let owner = &mut self.owner;
        owner
            .batch_execute(
                "select kronos.enqueue('hook', workspace => w.workspace) from kronos.workspaces w, generate_series(1, 5)
                 where w.workspace in (select e.workspace from kronos.endpoints e where e.endpoint = 'hook' and e.deleted_at is null);
                 select kronos.claim_any_executions('crashed', 1000)",
            )
            .unwrap();
        end_leases(owner);
        owner
            .batch_execute("select kronos.expire_leases(max => 1000000)")
            .unwrap();
        let running = "select count(*) from kronos.executions where status = 'RUNNING'";
        assert_eq!(count(owner, running), 0);
        age_ledger(owner, 400);
        age_history(owner);
        let pruned =
            "select executions + ticks + jobs + endpoints + idempotency_keys from kronos.prune()";
        while count(owner, pruned) > 0 {}
        let finished = format!(
            "select count(*) from kronos.executions where workspace = '{workspace}' and status = 'SUCCEEDED'"
        );
        assert_eq!(count(owner, &finished), 0, "history past its retention");
        assert_sound_after_upkeep(owner);
    }

    /// Reads every view, and calls every function that reads, until it finds arguments that are accepted.
    fn everything_is_readable(&mut self, reader: &mut Client) {
        let views = "select relname::text from pg_class where relnamespace = 'kronos'::regnamespace and relkind = 'v'";
        for view in self.owner.query(views, &[]).unwrap() {
            let view: &str = view.get(0);
            reader
                .batch_execute(&format!("select v from kronos.{view} v"))
                .unwrap();
        }
        self.generator.look(reader);
        for function in self.functions.clone() {
            if !is_reader(&function) {
                continue;
            }
            let mut refused = vec![];
            while refused.len() < 100 {
                let call = self.generator.call(&function, FEW);
                let Err(error) = reader.batch_execute(&call.statement) else {
                    break;
                };
                let fault = self.judge.fault(&error);
                assert_eq!(fault, None, "{}", call.statement);
                refused.push(format!(
                    "{}: {}",
                    call.statement,
                    db_error(&error).message()
                ));
            }
            assert!(refused.len() < 100, "{refused:#?}");
        }
    }
}
