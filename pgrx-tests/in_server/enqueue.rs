#[pgrx::pg_schema]
mod tests {
    use crate::in_server::factory::age_keys;
    use crate::in_server::{assert_code, count, create_acme, run, text};
    use pgrx::prelude::*;

    #[pg_test]
    fn finished_one_shot_moves_to_history() {
        create_acme();
        let row = text(
            "select concat_ws('|', status, run_at <= clock_timestamp(), created) from kronos.enqueue('hook', '{\"a\": 1}', priority => 2)",
        );
        assert_eq!(row, "QUEUED|t|t");
        run("select kronos.enqueue('hook', run_at => now() + interval '1 hour')");
        let executions = "select string_agg(concat_ws(' ', origin, status, priority, input, metadata, job_id, tick_at), ', ' order by execution_id)
                          from kronos.execution_details";
        assert_eq!(
            text(executions),
            "ENQUEUE QUEUED 2 {\"a\": 1} {}, ENQUEUE PENDING 5 {} {}"
        );
        run(
            "select kronos.complete_execution(execution_id, attempt, 'w', '\"done\"') from kronos.claim_executions('w', 10)",
        );
        run("select kronos.cancel_execution(execution_id) from kronos_internal.live_executions");
        let ended = "select string_agg(concat_ws(' ', status, status_reason, attempt, worker_id, output), ', ' order by execution_id)
                     from kronos.execution_details";
        assert_eq!(text(ended), "SUCCEEDED 1 w \"done\", CANCELLED cancelled 0");
        assert_eq!(
            count("select count(*) from kronos_internal.live_executions"),
            0
        );
        assert_eq!(
            text("select string_agg(outcome, ' ') from kronos.attempts"),
            "SUCCEEDED"
        );
    }

    #[pg_test]
    fn first_call_creates_the_default_workspace_but_no_other() {
        run("select kronos.create_endpoint('hook', 'HTTP')");
        run("select kronos.enqueue('hook')");
        assert_eq!(
            text("select workspace from kronos.execution_details"),
            "default"
        );
        assert_code(
            "select kronos.enqueue('hook', workspace => 'nowhere')",
            "WORKSPACE_NOT_FOUND",
        );
        assert_code("select kronos.enqueue('nowhere')", "ENDPOINT_NOT_FOUND");
    }

    #[pg_test]
    fn invalid_arguments_of_enqueue_are_refused_before_any_write() {
        create_acme();
        run("select kronos.create_endpoint('gone', 'HTTP')");
        run("select kronos.delete_endpoint('gone')");
        for (arguments, code) in [
            ("null", "NULL_ARGUMENT"),
            ("'hook', null", "NULL_ARGUMENT"),
            ("'hook', priority => null", "NULL_ARGUMENT"),
            ("'hook', metadata => null", "NULL_ARGUMENT"),
            ("'nowhere'", "ENDPOINT_NOT_FOUND"),
            ("'gone'", "ENDPOINT_NOT_FOUND"),
            ("'hook', priority => 10", "INVALID_ARGUMENT"),
            ("'hook', priority => -1", "INVALID_ARGUMENT"),
            ("'hook', run_at => 'infinity'", "INVALID_ARGUMENT"),
            ("'hook', run_at => '-infinity'", "INVALID_ARGUMENT"),
            // If stored, such a time would make the next claim of the session fail.
            ("'hook', run_at => '4714-11-24 BC'", "INVALID_ARGUMENT"),
            (
                "'hook', run_at => '1969-12-31 23:59:59Z'",
                "INVALID_ARGUMENT",
            ),
            ("'hook', run_at => '2200-01-01Z'", "INVALID_ARGUMENT"),
            ("'hook', run_at => '294276-12-31'", "INVALID_ARGUMENT"),
            ("'hook', idempotency_key => ''", "INVALID_ARGUMENT"),
            (
                "'hook', idempotency_key => repeat('k', 201)",
                "INVALID_ARGUMENT",
            ),
            ("'hook', metadata => '[]'", "INVALID_ARGUMENT"),
            ("'hook', to_jsonb(repeat('x', 262143))", "VALUE_TOO_LARGE"),
            (
                "'hook', metadata => jsonb_build_object('x', repeat('x', 8192))",
                "VALUE_TOO_LARGE",
            ),
        ] {
            assert_code(&format!("select kronos.enqueue({arguments})"), code);
        }
        assert_eq!(count("select count(*) from kronos.executions"), 0);
        run("select kronos.enqueue('hook', to_jsonb(repeat('x', 262142)))");
        run("select kronos.enqueue('hook', run_at => '1970-01-01Z')");
        run("select kronos.enqueue('hook', run_at => '2199-12-31 23:59:59Z')");
    }

    /// Includes JSON that serde_json cannot read or would change.
    #[pg_test]
    fn json_is_stored_and_returned_unchanged() {
        create_acme();
        let deep = "(repeat('[', 5000) || repeat(']', 5000))::jsonb";
        let nested = "(repeat('[', 1000) || repeat(']', 1000))::jsonb";
        let number = r#"'{"$serde_json::private::Number": "12"}'::jsonb"#;
        let precise = "'[1.000000000000000000000000000000000000001, 1e400]'::jsonb";
        run("create temporary table given (execution_id uuid, input jsonb)");
        for input in [deep, number, precise] {
            run(&format!(
                "insert into given select execution_id, {input} from kronos.enqueue('hook', {input})"
            ));
            run(&format!(
                "insert into given select execution_id, {input}
                 from kronos.enqueue_many(jsonb_build_array(jsonb_build_object('endpoint', 'hook', 'input', {input})))"
            ));
        }
        run(&format!(
            "select kronos.enqueue('hook', metadata => jsonb_build_object('x', {nested}))"
        ));
        run("delete from kronos_internal.live_executions where metadata <> '{}'");
        run("create temporary table claimed as select * from kronos.claim_executions('w', 100)");
        let same = "select count(*) from given join claimed using (execution_id) where given.input::text = claimed.input::text";
        assert_eq!(count(same), 6);
        run(
            "select kronos.log_execution(execution_id, attempt, 'w', 'm', data => left(input::text, 60000)::text::jsonb)
             from claimed where octet_length(input::text) < 1000",
        );
        run(
            "select kronos.complete_execution(execution_id, attempt, 'w', input) from claimed order by execution_id limit 3",
        );
        run(
            "select kronos.complete_executions('w', jsonb_agg(jsonb_build_object('execution_id', execution_id, 'attempt', attempt, 'output', input)))
             from claimed where execution_id in (select execution_id from kronos_internal.live_executions)",
        );
        let stored =
            "select count(*) from given join kronos.execution_details x using (execution_id)
                      where given.input::text = x.output::text and x.status = 'SUCCEEDED'";
        assert_eq!(count(stored), 6);
    }

    #[pg_test]
    fn same_key_returns_the_first_execution_or_names_the_differences() {
        create_acme();
        run("select kronos.create_endpoint('bus', 'KAFKA')");
        let call = |arguments: &str| {
            format!(
                "select execution_id || ' ' || created from kronos.enqueue({arguments}, idempotency_key => 'k')"
            )
        };
        let first = text(&call("'hook', run_at => '2100-01-01Z'"));
        assert!(first.ends_with(" true"));
        let again = first.replace("true", "false");
        assert_eq!(text(&call("'hook', run_at => '2100-01-01Z'")), again);
        for (arguments, differing) in [
            ("'bus', run_at => '2100-01-01Z'", "endpoint"),
            ("'hook', run_at => '2100-01-02Z'", "run_at"),
            ("'hook'", "run_at"),
            ("'hook', '{\"a\": 1}', '2100-01-01Z'", "input"),
            ("'hook', run_at => '2100-01-01Z', priority => 1", "priority"),
            (
                "'hook', run_at => '2100-01-01Z', metadata => '{\"a\": 1}'",
                "metadata",
            ),
        ] {
            let error = assert_code(&call(arguments), "IDEMPOTENCY_CONFLICT");
            assert_eq!(error.detail["differing"][0], differing);
            assert_eq!(error.detail["differing"].as_array().unwrap().len(), 1);
        }
        run("select kronos.cancel_execution(execution_id) from kronos_internal.live_executions");
        assert_eq!(text(&call("'hook', run_at => '2100-01-01Z'")), again);
        assert_eq!(
            text(
                "select status from kronos.enqueue('hook', run_at => '2100-01-01Z', idempotency_key => 'k')"
            ),
            "CANCELLED"
        );
        assert_eq!(count("select count(*) from kronos.executions"), 1);
        run("select kronos.create_workspace('other')");
        run("select kronos.create_endpoint('hook', 'HTTP', workspace => 'other')");
        let other = "select created::text from kronos.enqueue('hook', idempotency_key => 'k', workspace => 'other')";
        assert_eq!(text(other), "true");
    }

    /// A retry moves run_at, but the request is still the same.
    #[pg_test]
    fn same_key_returns_an_execution_that_was_retried() {
        create_acme();
        let call = "select execution_id::text from kronos.enqueue('hook', run_at => '2000-01-01Z', idempotency_key => 'k')";
        let first = text(call);
        run(
            "select kronos.fail_execution(execution_id, attempt, 'w', 'no') from kronos.claim_executions('w')",
        );
        assert_eq!(text(call), first);
    }

    /// A key lasts for the retention of its workspace, counted from run_at if that is in the future.
    #[pg_test]
    fn idempotency_key_expires_after_the_retention() {
        create_acme();
        run("select kronos.set_retention('2 days')");
        let call = |arguments: &str| {
            text(&format!(
                "select execution_id::text from kronos.enqueue('hook', {arguments})"
            ))
        };
        let now = "idempotency_key => 'now'";
        let later = "run_at => '2100-01-01Z', idempotency_key => 'later'";
        let (first_now, first_later) = (call(now), call(later));
        age_keys("1 day");
        run("select kronos.prune()");
        assert_eq!(
            (call(now), call(later)),
            (first_now.clone(), first_later.clone())
        );
        age_keys("1 day");
        let second = call(now);
        assert_ne!(second, first_now);
        assert_eq!(call(later), first_later);
        assert_eq!(call(now), second);
        age_keys("3 days");
        assert_eq!(count("select idempotency_keys from kronos.prune()"), 1);
        assert_eq!(call(later), first_later);
    }

    #[pg_test]
    fn list_is_enqueued_in_order_or_not_at_all() {
        create_acme();
        run("select kronos.create_endpoint('bus', 'KAFKA')");
        run(
            "create temporary table enqueued as
             select * from kronos.enqueue_many('[
                 {\"endpoint\": \"bus\", \"input\": 1, \"idempotency_key\": \"a\"},
                 {\"endpoint\": \"hook\", \"input\": 2, \"run_at\": \"2100-01-01T00:00:00Z\", \"priority\": 0},
                 {\"endpoint\": \"bus\", \"input\": 1, \"idempotency_key\": \"a\", \"metadata\": null},
                 {\"endpoint\": \"hook\", \"input\": null, \"metadata\": {\"a\": 1}}]') with ordinality",
        );
        let rows = "select string_agg(concat_ws(' ', x.input, x.endpoint, x.priority, x.metadata, enqueued.status, enqueued.created), ', ' order by ordinality)
                    from enqueued join kronos.execution_details x using (execution_id)";
        assert_eq!(
            text(rows),
            "1 bus 5 {} QUEUED t, 2 hook 0 {} PENDING t, 1 bus 5 {} QUEUED f, null hook 5 {\"a\": 1} QUEUED t"
        );
        for (list, code) in [
            (
                r#"[{"endpoint": "hook"}, {"endpoint": "none"}]"#,
                "ENDPOINT_NOT_FOUND",
            ),
            (
                r#"[{"endpoint": "hook"}, {"input": 1}]"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"[{"endpoint": "hook"}, {"endpoint": "hook", "run_at": "never"}]"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"[{"endpoint": "hook"}, {"endpoint": "hook", "run_at": "1969-01-01T00:00:00Z"}]"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"[{"endpoint": "hook"}, {"endpoint": "hook", "priority": 10}]"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"[{"endpoint": "hook"}, {"endpoint": "hook", "priority": "5"}]"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"[{"endpoint": "hook"}, {"endpoint": "hook", "name": "x"}]"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"[{"endpoint": "hook"}, {"endpoint": "hook", "$serde_json::private::Number": "1"}]"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"[{"endpoint": "hook"}, {"endpoint": "hook", "metadata": []}]"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"[{"endpoint": "hook"}, {"endpoint": "hook", "idempotency_key": ""}]"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"[{"endpoint": "hook"}, {"endpoint": "bus", "idempotency_key": "a"}]"#,
                "IDEMPOTENCY_CONFLICT",
            ),
            (r#"[{"endpoint": "hook"}, 1]"#, "INVALID_ARGUMENT"),
        ] {
            let error = assert_code(&format!("select kronos.enqueue_many('{list}')"), code);
            assert_eq!(error.detail["place"], 1, "{list}");
        }
        for list in [r#"{"endpoint": "hook"}"#, "1", "null", r#""x""#] {
            assert_code(
                &format!("select kronos.enqueue_many('{list}')"),
                "INVALID_ARGUMENT",
            );
        }
        assert_code("select kronos.enqueue_many(null)", "NULL_ARGUMENT");
        assert_eq!(count("select count(*) from kronos.executions"), 3);
        assert_eq!(count("select count(*) from kronos.enqueue_many('[]')"), 0);
    }
}
