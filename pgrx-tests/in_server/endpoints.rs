#[pgrx::pg_schema]
mod tests {
    use crate::in_server::{assert_code, count, create, make_acme, run, text};
    use pgrx::prelude::*;

    #[pg_test]
    fn endpoint_lives_from_create_to_delete() {
        make_acme();
        let made = text(
            "select concat_ws('|', name, type, spec, retry_policy ->> 'max_attempts', retry_policy ->> 'backoff', attempt_timeout)
             from kronos.create_endpoint('acme', 'e', 'KAFKA', '{\"topic\": \"t\"}', '{\"max_attempts\": 7}', '30 seconds')",
        );
        assert_eq!(made, "e|KAFKA|{\"topic\": \"t\"}|7|exponential|00:00:30");
        let changed = text(
            "select concat_ws('|', name, spec, retry_policy ->> 'max_attempts', attempt_timeout is null)
             from kronos.update_endpoint('acme', 'e', spec => '{}', attempt_timeout => '0', new_name => 'f')",
        );
        assert_eq!(changed, "f|{}|7|t");
        assert_eq!(
            text("select string_agg(name, ' ') from kronos.list_endpoints('acme')"),
            "f hook"
        );
        assert_eq!(
            text("select name from kronos.list_endpoints('acme', endpoint_type => 'HTTP')"),
            "hook"
        );
        run("select kronos.delete_endpoint('acme', 'f')");
        assert_code(
            "select kronos.get_endpoint('acme', 'f')",
            "ENDPOINT_NOT_FOUND",
        );
        assert_code(
            "select kronos.create_immediate_job('acme', 'f')",
            "ENDPOINT_NOT_FOUND",
        );
        run("select kronos.create_endpoint('acme', 'f', 'HTTP')");
        assert_code(
            "select kronos.update_endpoint('acme', 'f', new_name => 'hook')",
            "ENDPOINT_EXISTS",
        );
    }

    #[pg_test]
    fn endpoint_in_use_is_not_deleted() {
        make_acme();
        let job_id = create("'0 9 * * *'");
        assert_code(
            "select kronos.delete_endpoint('acme', 'hook')",
            "ENDPOINT_IN_USE",
        );
        run(&format!("select kronos.pause_cron_job('acme', '{job_id}')"));
        assert_code(
            "select kronos.delete_endpoint('acme', 'hook')",
            "ENDPOINT_IN_USE",
        );
        let execution = text(&format!(
            "select execution_id::text from kronos.trigger_cron_job('acme', '{job_id}')"
        ));
        run(&format!(
            "select kronos.cancel_cron_job('acme', '{job_id}')"
        ));
        run("select kronos.delete_endpoint('acme', 'hook')");
        // What the cancelled job left to run can still be run.
        assert_eq!(
            text("select execution_id || endpoint from kronos.claim_executions('acme', 'w')"),
            execution + "hook"
        );
    }

    #[pg_test]
    fn retry_policy_is_checked_field_by_field() {
        make_acme();
        for (policy, field) in [
            (r#"{"max_attempts": 0}"#, "max_attempts"),
            (r#"{"max_attempts": 1.5}"#, "max_attempts"),
            (r#"{"max_attempts": 1001}"#, "max_attempts"),
            (r#"{"max_attempts": "3"}"#, "max_attempts"),
            (r#"{"backoff": "quadratic"}"#, "backoff"),
            (r#"{"backoff": null}"#, "backoff"),
            (r#"{"initial_delay_ms": -1}"#, "initial_delay_ms"),
            (r#"{"max_delay_ms": 2592000001}"#, "max_delay_ms"),
            (r#"{"jitter": 1.1}"#, "jitter"),
            (r#"{"attempts": 3}"#, "attempts"),
        ] {
            for call in [
                format!("create_endpoint('acme', 'e', 'HTTP', retry_policy => '{policy}')"),
                format!("update_endpoint('acme', 'hook', retry_policy => '{policy}')"),
            ] {
                let told = assert_code(&format!("select kronos.{call}"), "INVALID_ARGUMENT");
                assert_eq!(told.detail["field"], field, "{policy}");
            }
        }
        assert_code(
            "select kronos.create_endpoint('acme', 'e', 'HTTP', retry_policy => '[]')",
            "INVALID_ARGUMENT",
        );
        for timeout in ["0", "-1 second", "31 days"] {
            assert_code(
                &format!(
                    "select kronos.create_endpoint('acme', 'e', 'HTTP', attempt_timeout => '{timeout}')"
                ),
                "INVALID_ARGUMENT",
            );
        }
    }

    #[pg_test]
    fn schema_that_is_none_is_refused_with_what_is_wrong() {
        run("select kronos.create_workspace('acme')");
        for (schema, path) in [
            (r#"{"type": "objekt"}"#, "/type"),
            (
                r#"{"properties": {"a": {"minimum": "0"}}}"#,
                "/properties/a/minimum",
            ),
            (r#""no""#, ""),
        ] {
            let told = assert_code(
                &format!("select kronos.create_payload_spec('acme', 'p', '{schema}')"),
                "INVALID_PAYLOAD_SPEC",
            );
            assert_eq!(told.detail["violations"][0]["path"], path, "{schema}");
        }
        for schema in [
            r#"{"$ref": "https://example.com/schema.json"}"#,
            r#"{"pattern": "(?=look)around"}"#,
            r#"{"$ref": "file:///etc/passwd"}"#,
        ] {
            assert_code(
                &format!("select kronos.create_payload_spec('acme', 'p', '{schema}')"),
                "INVALID_PAYLOAD_SPEC",
            );
        }
        run("select kronos.create_payload_spec('acme', 'p', 'true')");
        assert_code(
            "select kronos.create_payload_spec('acme', 'p', 'true')",
            "PAYLOAD_SPEC_EXISTS",
        );
        assert_code(
            "select kronos.update_payload_spec('acme', 'q', 'true')",
            "PAYLOAD_SPEC_NOT_FOUND",
        );
    }

    const ORDER: &str = r#"{"type": "object", "required": ["id"], "additionalProperties": false,
        "properties": {"id": {"type": "integer"}, "lines": {"type": "array", "items": {"type": "string", "maxLength": 3}}}}"#;

    fn make_orders() {
        make_acme();
        run(&format!(
            "select kronos.create_payload_spec('acme', 'order', '{ORDER}')"
        ));
        run("select kronos.create_endpoint('acme', 'orders', 'HTTP', payload_spec => 'order')");
    }

    #[pg_test]
    fn every_violation_of_an_input_is_listed_by_path() {
        make_orders();
        let bad = r#"{"id": "x", "lines": ["ok", "too long", 5], "more": 1}"#;
        for call in [
            format!("create_immediate_job('acme', 'orders', '{bad}')"),
            format!("create_delayed_job('acme', 'orders', now(), '{bad}')"),
            format!("create_cron_job('acme', 'orders', '@daily', input => '{bad}')"),
            format!("create_jobs('acme', '[{{\"endpoint\": \"orders\", \"input\": {bad}}}]')"),
        ] {
            let told = assert_code(&format!("select kronos.{call}"), "INPUT_INVALID");
            let mut paths: Vec<&str> = told.detail["violations"]
                .as_array()
                .unwrap()
                .iter()
                .map(|violation| violation["path"].as_str().unwrap())
                .collect();
            paths.sort_unstable();
            assert_eq!(paths, ["", "/id", "/lines/1", "/lines/2"], "{call}");
        }
        assert_eq!(count("select count(*) from kronos.jobs"), 0);
        run(
            "select kronos.create_immediate_job('acme', 'orders', '{\"id\": 12345678901234567890}')",
        );
    }

    #[pg_test]
    fn update_of_a_job_must_leave_it_with_a_valid_input() {
        make_orders();
        let job_id = text(
            "select job_id::text from kronos.create_cron_job('acme', 'orders', '@daily', input => '{\"id\": 1}')",
        );
        let update = |arguments: &str| {
            format!("select kronos.update_cron_job('acme', '{job_id}', {arguments})")
        };
        assert_code(&update("input => '{}'"), "INPUT_INVALID");
        run(
            "select kronos.update_payload_spec('acme', 'order', '{\"properties\": {\"id\": {\"minimum\": 5}}}')",
        );
        assert_code(&update("cron => '@hourly'"), "INPUT_INVALID");
        let free = create("'@daily', name => 'free'");
        assert_code(
            &format!(
                "select kronos.update_cron_job('acme', '{free}', input => '{{\"id\": 1}}', endpoint => 'orders')"
            ),
            "INPUT_INVALID",
        );
        run(&update("input => '{\"id\": 5}'"));
    }

    #[pg_test]
    fn payload_spec_in_use_is_not_deleted() {
        make_orders();
        assert_code(
            "select kronos.delete_payload_spec('acme', 'order')",
            "PAYLOAD_SPEC_IN_USE",
        );
        run("select kronos.update_endpoint('acme', 'orders', payload_spec => '')");
        run("select kronos.create_immediate_job('acme', 'orders', '[1]')");
        run("select kronos.delete_payload_spec('acme', 'order')");
        assert_eq!(
            count("select count(*) from kronos.list_payload_specs('acme')"),
            0
        );
    }
}
