#[pgrx::pg_schema]
mod tests {
    use crate::in_server::{assert_code, count, create, make_acme, run, text};
    use pgrx::prelude::*;

    #[pg_test]
    fn one_shot_job_comes_with_its_execution_and_retires_with_it() {
        make_acme();
        let row = text(
            "select concat_ws('|', trigger, status, cron is null, priority, input) from kronos.create_immediate_job('acme', 'hook', '{\"a\": 1}', priority => 2)",
        );
        assert_eq!(row, "IMMEDIATE|ACTIVE|t|2|{\"a\": 1}");
        run("select kronos.create_delayed_job('acme', 'hook', now() + interval '1 hour')");
        let executions = "select string_agg(concat_ws(' ', origin, status, priority, tick_at is null), ', ' order by execution_id)
                          from kronos.list_executions('acme')";
        assert_eq!(text(executions), "ONCE QUEUED 2 t, ONCE PENDING 5 t");
        run(
            "select kronos.complete_execution(execution_id, attempt, 'w') from kronos.claim_executions('acme', 'w', 10)",
        );
        let jobs = "select string_agg(concat_ws(' ', trigger, status, retired_reason), ', ' order by job_id) from kronos.jobs";
        assert_eq!(text(jobs), "IMMEDIATE RETIRED FINISHED, DELAYED ACTIVE");
        run("select kronos.cancel_job('acme', job_id) from kronos.jobs where status = 'ACTIVE'");
        assert_eq!(
            text(jobs),
            "IMMEDIATE RETIRED FINISHED, DELAYED RETIRED CANCELLED"
        );
        assert_eq!(
            count("select count(*) from kronos.executions where status = 'CANCELLED'"),
            1
        );
        assert_eq!(count("select count(*) from kronos.check()"), 0);
    }

    #[pg_test]
    fn cancel_job_cancels_cron_jobs_too() {
        make_acme();
        let job_id = create("'0 9 * * *', name => 'nine'");
        assert_code(
            "select kronos.cancel_job('acme', job_name => 'nine', request_stop => true)",
            "INVALID_ARGUMENT",
        );
        let status =
            "select status || retired_reason from kronos.cancel_job('acme', job_name => 'nine')";
        assert_eq!(text(status), "RETIREDCANCELLED");
        assert_code(
            &format!("select kronos.cancel_job('acme', '{job_id}')"),
            "JOB_RETIRED",
        );
        assert_eq!(count("select count(*) from cron.job"), 0);
    }

    #[pg_test]
    fn same_key_finds_the_one_shot_job_made_first_or_names_what_differs() {
        make_acme();
        let call = |arguments: &str| {
            format!(
                "select job_id::text from kronos.create_delayed_job('acme', 'hook', {arguments}, idempotency_key => 'k')"
            )
        };
        let first = text(&call("'2100-01-01'"));
        assert_eq!(text(&call("'2100-01-01'")), first);
        for (arguments, differing) in [
            ("'2100-01-02'", "run_at"),
            ("'2100-01-01', '{\"a\": 1}'", "input"),
            ("'2100-01-01', priority => 1", "priority"),
        ] {
            let told = assert_code(&call(arguments), "IDEMPOTENCY_CONFLICT");
            assert_eq!(told.detail["differing"][0], differing);
        }
        for other in [
            "create_immediate_job('acme', 'hook', idempotency_key => 'k')",
            "create_cron_job('acme', 'hook', '@daily', idempotency_key => 'k')",
        ] {
            let told = assert_code(&format!("select kronos.{other}"), "IDEMPOTENCY_CONFLICT");
            assert_eq!(told.detail["differing"][0], "trigger");
        }
        create("'@daily', idempotency_key => 'c'");
        assert_code(
            "select kronos.create_immediate_job('acme', 'hook', idempotency_key => 'c')",
            "IDEMPOTENCY_CONFLICT",
        );
        assert_eq!(count("select count(*) from kronos.executions"), 1);
    }

    #[pg_test]
    fn list_of_jobs_is_made_in_its_order_or_not_at_all() {
        make_acme();
        run("select kronos.create_endpoint('acme', 'bus', 'KAFKA')");
        run(
            "create temporary table made as
             select * from kronos.create_jobs('acme', '[
                 {\"endpoint\": \"bus\", \"input\": 1, \"idempotency_key\": \"a\"},
                 {\"endpoint\": \"hook\", \"input\": 2, \"run_at\": \"2100-01-01\", \"priority\": 0},
                 {\"endpoint\": \"bus\", \"input\": 1, \"idempotency_key\": \"a\"},
                 {\"endpoint\": \"hook\", \"input\": 3}]') with ordinality",
        );
        let made = "select string_agg(concat_ws(' ', input, trigger, created), ', ' order by ordinality) from made join kronos.jobs using (job_id)";
        assert_eq!(
            text(made),
            "1 IMMEDIATE t, 2 DELAYED t, 1 IMMEDIATE f, 3 IMMEDIATE t"
        );
        for (jobs, code) in [
            (
                r#"[{"endpoint": "hook"}, {"endpoint": "none"}]"#,
                "ENDPOINT_NOT_FOUND",
            ),
            (
                r#"[{"endpoint": "hook"}, {"endpoint": "hook", "run_at": "never"}]"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"[{"endpoint": "hook"}, {"endpoint": "hook", "run_at": "infinity"}]"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"[{"endpoint": "hook"}, {"endpoint": "hook", "priority": 10}]"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"[{"endpoint": "hook"}, {"endpoint": "hook", "name": "x"}]"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"[{"endpoint": "hook"}, {"endpoint": "bus", "idempotency_key": "a"}]"#,
                "IDEMPOTENCY_CONFLICT",
            ),
            (r#"{"endpoint": "hook"}"#, "INVALID_ARGUMENT"),
        ] {
            let told = assert_code(
                &format!("select kronos.create_jobs('acme', '{jobs}')"),
                code,
            );
            if code.ends_with("FOUND") || code.ends_with("CONFLICT") {
                assert_eq!(told.detail["place"], "1", "{jobs}");
            }
        }
        assert_eq!(count("select count(*) from kronos.jobs"), 3);
        assert_eq!(
            count("select count(*) from kronos.create_jobs('acme', '[]')"),
            0
        );
    }
}
