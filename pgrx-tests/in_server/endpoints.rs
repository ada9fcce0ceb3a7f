#[pgrx::pg_schema]
mod tests {
    use crate::in_server::{assert_code, count, create, create_acme, run, text};
    use pgrx::prelude::*;

    const COLUMNS: &str = "concat_ws('|', endpoint, endpoint_type, spec, max_attempts, backoff, initial_delay_ms, max_delay_ms,
                                     retry_jitter, attempt_timeout, payload_spec)";

    #[pg_test]
    fn endpoint_can_be_created_updated_listed_and_deleted() {
        create_acme();
        let created = text(&format!(
            "select {COLUMNS} from kronos.create_endpoint('e', 'KAFKA', '{{\"topic\": \"t\"}}', '{{\"max_attempts\": 7}}', '30 seconds')"
        ));
        assert_eq!(
            created,
            "e|KAFKA|{\"topic\": \"t\"}|7|exponential|1000|3600000|0.1|00:00:30"
        );
        let updated = text(&format!(
            "select {COLUMNS} from kronos.update_endpoint('e', spec => '{{}}', attempt_timeout => '0', new_name => 'f')"
        ));
        assert_eq!(updated, "f|KAFKA|{}|7|exponential|1000|3600000|0.1");
        assert_eq!(
            text("select string_agg(endpoint, ' ') from kronos.list_endpoints()"),
            "f hook"
        );
        assert_eq!(
            text("select endpoint from kronos.list_endpoints(endpoint_type => 'HTTP')"),
            "hook"
        );
        run("select kronos.delete_endpoint('f')");
        for call in [
            "get_endpoint('f')",
            "delete_endpoint('f')",
            "update_endpoint('f')",
        ] {
            assert_code(&format!("select kronos.{call}"), "ENDPOINT_NOT_FOUND");
        }
        assert_eq!(
            text("select string_agg(endpoint, ' ') from kronos.list_endpoints()"),
            "hook"
        );
        run("select kronos.create_endpoint('f', 'HTTP')");
        assert_code(
            "select kronos.update_endpoint('f', new_name => 'hook')",
            "ENDPOINT_EXISTS",
        );
    }

    #[pg_test]
    fn endpoint_of_a_live_job_cannot_be_deleted() {
        create_acme();
        run("select kronos.create_endpoint('bus', 'KAFKA')");
        let job_id = create("'0 9 * * *'");
        let delete = "select kronos.delete_endpoint('hook')";
        let error = assert_code(delete, "ENDPOINT_IN_USE");
        assert_eq!(error.detail["endpoint"], "hook");
        run(&format!("select kronos.pause_cron_job('{job_id}')"));
        assert_code(delete, "ENDPOINT_IN_USE");
        // A replaced version does not count as a use.
        run(&format!(
            "select kronos.update_cron_job('{job_id}', endpoint => 'bus')"
        ));
        run(delete);
        assert_eq!(
            text(
                "select endpoint from kronos.list_job_versions((select job_id from kronos.jobs)) where version = 1"
            ),
            "hook"
        );
        assert_code("select kronos.delete_endpoint('bus')", "ENDPOINT_IN_USE");
        assert_eq!(count("select count(*) from kronos.check()"), 0);
    }

    #[pg_test]
    fn executions_of_a_cancelled_job_outlive_its_endpoint() {
        create_acme();
        let job_id = create("'0 9 * * *', input => '{\"a\": 1}'");
        let execution = text(&format!(
            "select execution_id::text from kronos.trigger_cron_job('{job_id}')"
        ));
        run(&format!("select kronos.cancel_cron_job('{job_id}')"));
        run("select kronos.delete_endpoint('hook')");
        // A new endpoint of the same name does not serve the old execution.
        run("select kronos.create_endpoint('hook', 'HTTP', '{\"new\": true}')");
        let claimed = "select concat_ws('|', execution_id, endpoint, endpoint_spec, input, attempt) from kronos.claim_executions('w')";
        assert_eq!(
            text(claimed),
            format!("{execution}|hook|{{}}|{{\"a\": 1}}|1")
        );
        assert_eq!(
            text(&format!(
                "select status from kronos.fail_execution('{execution}', 1, 'w', 'no')"
            )),
            "RETRYING"
        );
    }

    #[pg_test]
    fn create_of_an_existing_endpoint_fails_or_returns_it_unchanged() {
        create_acme();
        assert_code(
            "select kronos.create_endpoint('hook', 'KAFKA')",
            "ENDPOINT_EXISTS",
        );
        assert_eq!(
            text(
                "select endpoint_type from kronos.create_endpoint('hook', 'KAFKA', if_not_exists => true)"
            ),
            "HTTP"
        );
        assert_eq!(
            text(
                "select endpoint_type from kronos.create_endpoint('new', 'KAFKA', if_not_exists => true)"
            ),
            "KAFKA"
        );
    }

    #[pg_test]
    fn endpoint_of_another_workspace_is_not_found() {
        create_acme();
        run("select kronos.create_workspace('other')");
        assert_code(
            "select kronos.get_endpoint('hook', workspace => 'other')",
            "ENDPOINT_NOT_FOUND",
        );
        run("select kronos.create_payload_spec('p', 'true')");
        assert_code(
            "select kronos.create_endpoint('e', 'HTTP', payload_spec => 'p', workspace => 'other')",
            "PAYLOAD_SPEC_NOT_FOUND",
        );
    }

    #[pg_test]
    fn update_of_an_endpoint_keeps_the_arguments_left_out() {
        create_acme();
        run("select kronos.create_payload_spec('p', 'true')");
        run(
            "select kronos.create_endpoint('e', 'HTTP', '{\"a\": 1}', '{\"max_attempts\": 3, \"backoff\": \"linear\"}', '1 minute', 'p')",
        );
        let unchanged = "e|HTTP|{\"a\": 1}|3|linear|1000|3600000|0.1|00:01:00|p";
        assert_eq!(
            text(&format!(
                "select {COLUMNS} from kronos.update_endpoint('e')"
            )),
            unchanged
        );
        // A retry policy is replaced as a whole.
        assert_eq!(
            text(
                "select max_attempts || backoff || retry_jitter from kronos.update_endpoint('e', retry_policy => '{\"jitter\": 1}')"
            ),
            "5exponential1"
        );
        assert_eq!(
            text(
                "select coalesce(payload_spec, 'none') || attempt_timeout from kronos.update_endpoint('e', payload_spec => '')"
            ),
            "none00:01:00"
        );
    }

    #[pg_test]
    fn retry_policy_is_checked_field_by_field() {
        create_acme();
        for (policy, field) in [
            (r#"{"max_attempts": 0}"#, "max_attempts"),
            (r#"{"max_attempts": 1.5}"#, "max_attempts"),
            (r#"{"max_attempts": 1001}"#, "max_attempts"),
            (r#"{"max_attempts": 1e400}"#, "max_attempts"),
            (r#"{"max_attempts": "3"}"#, "max_attempts"),
            (r#"{"backoff": "quadratic"}"#, "backoff"),
            (r#"{"backoff": null}"#, "backoff"),
            (r#"{"initial_delay_ms": -1}"#, "initial_delay_ms"),
            (r#"{"max_delay_ms": 2592000001}"#, "max_delay_ms"),
            (r#"{"jitter": 1.1}"#, "jitter"),
            (r#"{"jitter": -0.1}"#, "jitter"),
            (r#"{"jitter": 1e400}"#, "jitter"),
            (r#"{"jitter": -1e400}"#, "jitter"),
            (r#"{"jitter": "NaN"}"#, "jitter"),
            (r#"{"attempts": 3}"#, "attempts"),
        ] {
            for call in [
                format!("create_endpoint('e', 'HTTP', retry_policy => '{policy}')"),
                format!("update_endpoint('hook', retry_policy => '{policy}')"),
            ] {
                let error = assert_code(&format!("select kronos.{call}"), "INVALID_ARGUMENT");
                assert_eq!(error.detail["field"], field, "{policy}");
            }
        }
        assert_code(
            "select kronos.create_endpoint('e', 'HTTP', retry_policy => '[]')",
            "INVALID_ARGUMENT",
        );
    }

    /// Stored as written, such a jitter would make every later claim fail.
    #[pg_test]
    fn jitter_below_the_smallest_float_can_be_read_again() {
        create_acme();
        for jitter in ["1e-400", "-0", "1e-320"] {
            run(&format!(
                "select kronos.update_endpoint('hook', retry_policy => '{{\"jitter\": {jitter}}}')"
            ));
            assert_eq!(
                text(
                    "select (retry_jitter >= 0 and retry_jitter * random() < 0.001)::text from kronos.get_endpoint('hook')"
                ),
                "true"
            );
        }
    }

    #[pg_test]
    fn attempt_timeout_out_of_range_is_refused() {
        create_acme();
        let mixed = "-70000000 months 2100000001 days";
        for timeout in ["0", "-1 second", "31 days", "30 days 1 microsecond", mixed] {
            assert_code(
                &format!(
                    "select kronos.create_endpoint('e', 'HTTP', attempt_timeout => '{timeout}')"
                ),
                "INVALID_ARGUMENT",
            );
        }
        assert_code(
            &format!("select kronos.update_endpoint('hook', attempt_timeout => '{mixed}')"),
            "INVALID_ARGUMENT",
        );
        assert_eq!(
            text(
                "select attempt_timeout::text from kronos.update_endpoint('hook', attempt_timeout => '1 month')"
            ),
            "720:00:00"
        );
    }

    #[pg_test]
    fn long_empty_and_null_arguments_of_endpoints_are_refused() {
        create_acme();
        let huge = format!("{{\"a\": \"{}\"}}", "x".repeat(70_000));
        for call in [
            format!("create_endpoint('e', 'HTTP', '{huge}')"),
            format!("update_endpoint('hook', '{huge}')"),
        ] {
            let error = assert_code(&format!("select kronos.{call}"), "VALUE_TOO_LARGE");
            assert_eq!(error.detail["argument"], "spec");
        }
        let name = "n".repeat(201);
        for call in [
            format!("create_endpoint('{name}', 'HTTP')"),
            format!("create_endpoint('e', '{name}')"),
            "create_endpoint('', 'HTTP')".into(),
            "create_endpoint('e', '')".into(),
            format!("update_endpoint('hook', new_name => '{name}')"),
            "create_endpoint('e', 'HTTP', '[]')".into(),
            format!("list_endpoints(endpoint_type => '{name}')"),
        ] {
            assert_code(&format!("select kronos.{call}"), "INVALID_ARGUMENT");
        }
        for call in [
            "create_endpoint(null, 'HTTP')",
            "create_endpoint('e', null)",
            "create_endpoint('e', 'HTTP', null)",
            "create_endpoint('e', 'HTTP', if_not_exists => null)",
            "get_endpoint(null)",
        ] {
            assert_code(&format!("select kronos.{call}"), "NULL_ARGUMENT");
        }
    }

    /// pgrx's own type for jsonb cannot read such JSON.
    #[pg_test]
    fn deeply_nested_spec_is_stored_unchanged() {
        create_acme();
        let deep = format!("{{\"a\": {}1{}}}", "[".repeat(500), "]".repeat(500));
        run(&format!(
            "select kronos.create_endpoint('e', 'HTTP', '{deep}')"
        ));
        let odd = r#"{"$serde_json::private::Number": "12"}"#;
        assert_eq!(
            text(&format!(
                "select spec::text from kronos.update_endpoint('e', '{odd}')"
            )),
            odd
        );
    }
}
