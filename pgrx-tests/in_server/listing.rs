#[pgrx::pg_schema]
mod tests {
    use crate::in_server::{assert_code, count, create, make_acme, run, text};
    use pgrx::prelude::*;

    /// All pages of a list, as ids in the order shown; something is inserted between the pages.
    fn pages(list: &str, id: &str, between: &str) -> Vec<String> {
        let mut seen = vec![];
        let mut cursor = "null".to_owned();
        loop {
            let page = text(&format!(
                "select string_agg({id} || ' ' || cursor, ',') from kronos.{list} max => 3, after_cursor => {cursor})"
            ));
            if page == "null" {
                return seen;
            }
            for row in page.split(',') {
                let (id, next) = row.split_once(' ').unwrap();
                seen.push(id.to_owned());
                cursor = format!("'{next}'");
            }
            run(between);
        }
    }

    #[pg_test]
    fn pages_show_every_row_once_whatever_is_inserted_meanwhile() {
        make_acme();
        let more = "select kronos.create_immediate_job('acme', 'hook') from generate_series(1, 2)";
        for _ in 0..4 {
            run(more);
        }
        let expected = |table: &str, id: &str| {
            text(&format!(
                "select string_agg({id}::text, ',' order by {id} desc) from kronos.{table}"
            ))
        };
        let jobs = expected("jobs", "job_id");
        assert_eq!(pages("list_jobs('acme',", "job_id", more).join(","), jobs);
        let executions = expected("executions", "execution_id");
        assert_eq!(
            pages("list_executions('acme',", "execution_id", more).join(","),
            executions
        );
        for n in 0..7 {
            run(&format!(
                "select kronos.create_endpoint('acme', 'e{n}', 'HTTP')"
            ));
            run(&format!(
                "select kronos.create_payload_spec('acme', 'p{n}', 'true')"
            ));
        }
        assert_eq!(
            pages("list_endpoints('acme',", "name", "select 1").join(" "),
            "e6 e5 e4 e3 e2 e1 e0 hook"
        );
        assert_eq!(
            pages("list_payload_specs('acme',", "name", "select 1").len(),
            7
        );
        for cursor in ["x", "AAAA", "%"] {
            assert_code(
                &format!("select kronos.list_jobs('acme', after_cursor => '{cursor}')"),
                "INVALID_ARGUMENT",
            );
        }
        assert_code(
            "select kronos.list_jobs('acme', max => 0)",
            "INVALID_ARGUMENT",
        );
        assert_code("select kronos.list_jobs('nobody')", "WORKSPACE_NOT_FOUND");
    }

    #[pg_test]
    fn lists_are_filtered() {
        make_acme();
        run("select kronos.create_endpoint('acme', 'bus', 'KAFKA')");
        let job_id = create("'@daily', name => 'daily'");
        run("select kronos.trigger_cron_job('acme', job_name => 'daily')");
        run("select kronos.create_immediate_job('acme', 'bus')");
        run("select kronos.create_delayed_job('acme', 'hook', '2100-01-01')");
        for (list, rows) in [
            ("list_jobs('acme')", 3),
            ("list_jobs('acme', trigger => 'CRON')", 1),
            ("list_jobs('acme', endpoint => 'bus')", 1),
            ("list_jobs('acme', status => 'RETIRED')", 0),
            ("list_executions('acme')", 3),
            ("list_executions('acme', job_name => 'daily')", 1),
            ("list_executions('acme', status => 'PENDING')", 1),
            ("list_executions('acme', origin => 'ONCE')", 2),
            ("list_executions('acme', endpoint_type => 'KAFKA')", 1),
            (
                "list_executions('acme', created_from => now() - interval '1 minute')",
                3,
            ),
            (
                "list_executions('acme', created_before => now() - interval '1 minute')",
                0,
            ),
        ] {
            assert_eq!(
                count(&format!("select count(*) from kronos.{list}")),
                rows,
                "{list}"
            );
        }
        run(&format!(
            "select kronos.update_cron_job('acme', '{job_id}', '@hourly')"
        ));
        assert_eq!(
            count(&format!(
                "select count(*) from kronos.list_executions('acme', '{job_id}')"
            )),
            1,
            "of all versions"
        );
    }

    #[pg_test]
    fn attempts_and_execution_show_what_was_done() {
        make_acme();
        run(
            "select kronos.update_endpoint('acme', 'hook', retry_policy => '{\"initial_delay_ms\": 0}')",
        );
        run("select kronos.create_immediate_job('acme', 'hook')");
        let claim = "select execution_id::text from kronos.claim_executions('acme', 'w')";
        let id = text(claim);
        run(&format!(
            "select kronos.fail_execution('{id}', 1, 'w', repeat('x', 20000))"
        ));
        text(claim);
        run(&format!(
            "select kronos.complete_execution('{id}', 2, 'w', '{{\"done\": true}}')"
        ));
        let attempts = format!(
            "select string_agg(concat_ws(' ', attempt, worker_id, outcome, output, length(error), duration >= '0'), ', ')
             from kronos.list_attempts('acme', '{id}')"
        );
        assert_eq!(
            text(&attempts),
            "1 w FAILED 10008 t, 2 w SUCCEEDED {\"done\": true} t"
        );
        let execution = format!(
            "select concat_ws(' ', status, attempt, failed_attempts, output, duration is not null, started_at is not null)
             from kronos.get_execution('acme', '{id}')"
        );
        assert_eq!(text(&execution), "SUCCESS 2 1 {\"done\": true} t t");
        assert_code(
            "select kronos.list_attempts('acme', '00000000-0000-0000-0000-000000000000')",
            "EXECUTION_NOT_FOUND",
        );
    }

    /// A job whose last executions ended so, in this order.
    fn make_job_that_ended(statuses: &str) -> String {
        run("truncate kronos.executions cascade");
        let job_id = create("'@daily'");
        for status in statuses.chars() {
            run(&format!(
                "select kronos.trigger_cron_job('acme', '{job_id}')"
            ));
            let end = match status {
                's' => "complete_execution(execution_id, attempt, 'w')",
                _ => "fail_execution(execution_id, attempt, 'w', 'no', retryable => false)",
            };
            run(&format!(
                "select kronos.{end} from kronos.claim_executions('acme', 'w')"
            ));
        }
        job_id
    }

    #[pg_test]
    fn health_is_that_of_the_last_ten_that_ended() {
        make_acme();
        for (statuses, health) in [
            ("", "IDLE"),
            ("ssss", "HEALTHY"),
            ("f", "FAILING"),
            ("sf", "FAILING"),
            ("ssf", "DEGRADED"),
            ("ffffffffffsssssf", "FAILING"),
            ("fffffffffssssssssff", "DEGRADED"),
            ("fffffssssssssss", "HEALTHY"),
        ] {
            let job_id = make_job_that_ended(statuses);
            let status = text(&format!(
                "select concat_ws(' ', health, total, succeeded, failed) from kronos.job_status('acme', '{job_id}')"
            ));
            let failed = statuses.matches('f').count();
            let total = statuses.len();
            assert_eq!(
                status,
                format!("{health} {total} {} {failed}", total - failed),
                "{statuses}"
            );
        }
    }

    #[pg_test]
    fn job_status_counts_what_waits_and_runs_and_how_long_it_took() {
        make_acme();
        let job_id = make_job_that_ended("ss");
        run("update kronos.attempts set finished_at = started_at + attempt * interval '1 second'");
        run(
            "update kronos.attempts set finished_at = started_at + interval '3 seconds'
             where execution_id = (select max(execution_id::text)::uuid from kronos.executions)",
        );
        for _ in 0..3 {
            run(&format!(
                "select kronos.trigger_cron_job('acme', '{job_id}')"
            ));
        }
        run("select kronos.claim_executions('acme', 'w')");
        let status = text(&format!(
            "select concat_ws(' ', status, waiting, running, last_execution_status, total, mean_duration, p99_duration, next_tick_at > now())
             from kronos.job_status('acme', '{job_id}')"
        ));
        assert_eq!(status, "ACTIVE 2 1 QUEUED 5 00:00:02 00:00:02.98 t");
        run("update kronos.executions set run_at = now() - interval '1 minute'");
        let queues = "select concat_ws(' ', workspace, endpoint_type, waiting, delayed, retrying, running, lag >= '0') from kronos.queues";
        assert_eq!(text(queues), "acme HTTP 2 0 0 1 t");
    }

    #[pg_test]
    fn arguments_of_workers_are_checked() {
        make_acme();
        run("select kronos.create_immediate_job('acme', 'hook')");
        for call in [
            "claim_executions('acme', '')",
            "claim_executions('acme', 'w', 0)",
            "claim_executions('acme', 'w', 10001)",
            "claim_executions('acme', 'w', lease => '0.5 seconds')",
            "claim_executions('acme', 'w', lease => '25 hours')",
            "heartbeat_executions('w', '{}')",
            "heartbeat_executions('w', '[{\"attempt\": 1}]')",
            "complete_executions('w', '[1]')",
            "fail_executions('w', '[{\"execution_id\": \"00000000-0000-0000-0000-000000000000\", \"attempt\": 1, \"retry_at\": \"never\"}]')",
            "prune(0)",
            "set_retention('acme', executions => '1 hour')",
        ] {
            assert_code(&format!("select kronos.{call}"), "INVALID_ARGUMENT");
        }
        let id = text("select execution_id::text from kronos.claim_executions('acme', 'w')");
        assert_code(
            &format!("select kronos.fail_execution('{id}', 1, 'w', 'no', retry_at => 'infinity')"),
            "INVALID_ARGUMENT",
        );
        let large = format!("to_jsonb(repeat('x', {}))", 262_144);
        assert_code(
            &format!("select kronos.complete_execution('{id}', 1, 'w', {large})"),
            "OUTPUT_TOO_LARGE",
        );
        assert_code(
            &format!("select kronos.log_execution('{id}', 1, 'w', 'm', data => {large})"),
            "OUTPUT_TOO_LARGE",
        );
        assert_code(
            &format!("select kronos.log_execution('{id}', 1, 'w', 'm', 'LOUD')"),
            "INVALID_ARGUMENT",
        );
        run(&format!(
            "select kronos.complete_execution('{id}', 1, 'w', to_jsonb(repeat('x', 262142)))"
        ));
    }
}
