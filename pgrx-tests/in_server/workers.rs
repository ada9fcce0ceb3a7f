#[pgrx::pg_schema]
mod tests {
    use crate::in_server::{assert_code, count, create, create_acme, run, text};
    use pgrx::prelude::*;

    const UNKNOWN_EXECUTION: &str =
        "\"execution_id\": \"00000000-0000-0000-0000-000000000000\", \"attempt\": 1";

    /// Enqueues an execution and claims it; returns its id.
    fn enqueue_and_claim() -> String {
        run("select kronos.enqueue('hook')");
        text("select execution_id::text from kronos.claim_executions('w')")
    }

    #[pg_test]
    fn invalid_arguments_of_worker_calls_are_refused() {
        create_acme();
        for call in [
            "claim_executions('')",
            "claim_executions('w', 0)",
            "claim_executions('w', 10001)",
            "claim_executions('w', lease => '0.5 seconds')",
            "claim_executions('w', lease => '25 hours')",
            "claim_executions('w', lease => '-12 mons 361 days')",
            "claim_executions('w', lease => '-60000000 mons 1800000001 days')",
            "heartbeat_executions('w', '{}')",
            "heartbeat_executions('w', '[{\"attempt\": 1}]')",
            "heartbeat_executions('w', '[{\"execution_id\": \"x\", \"attempt\": 1}]')",
            "complete_executions('w', '[1]')",
            "complete_executions('w', '1')",
            "complete_executions('w', '[{\"execution_id\": null, \"attempt\": 1}]')",
            "release_executions('w', '[{\"execution_id\": \"00000000-0000-0000-0000-000000000000\", \"attempt\": \"x\"}]')",
            "complete_execution(kronos.uuid_v7(), 1, repeat('w', 201))",
        ] {
            assert_code(&format!("select kronos.{call}"), "INVALID_ARGUMENT");
        }
        for call in [
            "claim_executions(null)",
            "claim_executions('w', null)",
            "heartbeat_executions('w', null)",
            "complete_execution(null, 1, 'w')",
            "complete_execution(kronos.uuid_v7(), null, 'w')",
            "fail_execution(kronos.uuid_v7(), 1, 'w', null)",
            "next_wakeup(all_workspaces => null)",
        ] {
            assert_code(&format!("select kronos.{call}"), "NULL_ARGUMENT");
        }
        assert_code(
            "select kronos.claim_executions('w', workspace => 'nowhere')",
            "WORKSPACE_NOT_FOUND",
        );
    }

    #[pg_test]
    fn invalid_retry_times_are_refused() {
        create_acme();
        let id = enqueue_and_claim();
        for at in [
            "infinity",
            "-infinity",
            "4714-11-24 BC",
            "2200-01-01Z",
            "1969-12-31Z",
        ] {
            assert_code(
                &format!("select kronos.fail_execution('{id}', 1, 'w', 'no', retry_at => '{at}')"),
                "INVALID_ARGUMENT",
            );
        }
        for at in [
            "infinity",
            "never",
            "2100-01-01",
            "01/02/2100 04:00",
            "2100-01-01 04:00:00",
        ] {
            for key in [
                UNKNOWN_EXECUTION.to_owned(),
                format!("\"execution_id\": \"{id}\", \"attempt\": 1"),
            ] {
                assert_code(
                    &format!(
                        "select kronos.fail_executions('w', '[{{{key}, \"retry_at\": \"{at}\"}}]')"
                    ),
                    "INVALID_ARGUMENT",
                );
            }
        }
        let retried = format!(
            "select concat_ws(' ', status, run_at = '2100-01-01 03:00Z') from kronos.fail_executions('w',
                 '[{{\"execution_id\": \"{id}\", \"attempt\": 1, \"error\": \"no\", \"retry_at\": \"2100-01-01T04:00:00+01:00\"}}]')"
        );
        assert_eq!(text(&retried), "RETRYING t");
    }

    /// A failure may carry an output of any size, because it is not stored.
    #[pg_test]
    fn outputs_are_bounded_and_stored_for_completions_only() {
        create_acme();
        let id = enqueue_and_claim();
        let large = "to_jsonb(repeat('x', 262143))";
        let list = |output: &str| {
            format!(
                "jsonb_build_array(jsonb_build_object('execution_id', '{id}', 'attempt', 1, 'output', {output}))"
            )
        };
        for call in [
            format!("complete_execution('{id}', 1, 'w', {large})"),
            format!("complete_executions('w', {})", list(large)),
            format!("log_execution('{id}', 1, 'w', 'm', data => to_jsonb(repeat('x', 65535)))"),
        ] {
            assert_code(&format!("select kronos.{call}"), "VALUE_TOO_LARGE");
        }
        assert_code(
            &format!("select kronos.log_execution('{id}', 1, 'w', 'm', 'LOUD')"),
            "INVALID_ARGUMENT",
        );
        run(&format!(
            "select kronos.fail_executions('w', {})",
            list("to_jsonb(repeat('x', 20000000))")
        ));
        assert_eq!(
            text("select status || output from kronos.execution_details"),
            "null"
        );
        assert_eq!(text("select status from kronos.executions"), "RETRYING");
        let id = enqueue_and_claim();
        run(&format!(
            "select kronos.complete_execution('{id}', 1, 'w', to_jsonb(repeat('x', 262142)))"
        ));
    }

    #[pg_test]
    fn long_errors_are_truncated() {
        create_acme();
        let id = enqueue_and_claim();
        run(&format!(
            "select kronos.fail_execution('{id}', 1, 'w', repeat('é', 20000), retryable => false)"
        ));
        let error = "select concat_ws(' ', status, status_reason, length(error), right(error, 5)) from kronos.execution_details";
        assert_eq!(text(error), "FAILED not retryable 10008 (cut)");
    }

    /// A jitter below the smallest float must not make the retry of a lost lease fail.
    #[pg_test]
    fn lost_lease_with_a_tiny_retry_jitter_is_retried() {
        create_acme();
        run(
            "select kronos.update_endpoint('hook', retry_policy => '{\"jitter\": 1e-400, \"initial_delay_ms\": 1000}')",
        );
        enqueue_and_claim();
        run(
            "update kronos_internal.live_executions set lease_expires_at = now() - interval '1 second'",
        );
        assert_eq!(count("select kronos.expire_leases()"), 1);
        assert_eq!(text("select status from kronos.executions"), "RETRYING");
    }

    /// If stored, such an interval would make the claims of all sessions fail.
    #[pg_test]
    fn attempt_timeout_with_mixed_signs_is_refused() {
        create_acme();
        for timeout in ["-6000000 mons 180000001 days", "-12 mons 361 days"] {
            assert_code(
                &format!("select kronos.update_endpoint('hook', attempt_timeout => '{timeout}')"),
                "INVALID_ARGUMENT",
            );
        }
        run("select kronos.update_endpoint('hook', attempt_timeout => '30 days')");
        enqueue_and_claim();
        assert_eq!(
            text(
                "select (deadline_at = started_at + interval '720 hours')::text from kronos.execution_details"
            ),
            "true"
        );
    }

    #[pg_test]
    fn listed_failures_are_retried_unless_marked_otherwise() {
        create_acme();
        run("select kronos.enqueue('hook') from generate_series(1, 3)");
        run("create temporary table claimed as select * from kronos.claim_executions('w', 3)");
        let reports = "select string_agg(status, ' ' order by status) from kronos.fail_executions('w',
             (select jsonb_agg(jsonb_build_object('execution_id', execution_id, 'attempt', attempt, 'error', 'no')
                               || (array['{}', '{\"retryable\": true}', '{\"retryable\": false}'])[n]::jsonb)
              from (select *, row_number() over () as n from claimed) c))";
        assert_eq!(text(reports), "FAILED RETRYING RETRYING");
        assert_eq!(
            text("select status_reason from kronos.execution_details where status = 'FAILED'"),
            "not retryable"
        );
    }

    #[pg_test]
    fn released_execution_keeps_its_place_in_the_queue() {
        create_acme();
        run(
            "select kronos.enqueue('hook', run_at => now() - n * interval '1 minute') from generate_series(1, 3) n",
        );
        let first = text("select execution_id::text from kronos.claim_executions('w')");
        run(&format!(
            "select kronos.release_execution('{first}', 1, 'w')"
        ));
        assert_eq!(
            text("select execution_id || ' ' || attempt from kronos.claim_executions('w')"),
            format!("{first} 2")
        );
    }

    /// Executions of an ordered job run one at a time, including those that belong to no tick.
    #[pg_test]
    fn tick_of_an_ordered_job_waits_for_a_triggered_execution() {
        create_acme();
        let job_id = create("'0 9 * * *', overlap_policy => 'queue_one'");
        run(&format!("select kronos.trigger_cron_job('{job_id}')"));
        let triggered = text("select execution_id::text from kronos.claim_executions('w')");
        run(&format!(
            "insert into kronos_internal.live_executions
                 (workspace_id, endpoint_id, job_id, version, tick_at, run_at, priority, in_order, origin, status, endpoint_type)
             select workspace_id, endpoint_id, job_id, version, '2026-01-01', '2026-01-01', priority, true, 'TICK', 'QUEUED', endpoint_type
             from kronos_internal.jobs where job_id = '{job_id}'"
        ));
        let claimed = "select count(*) from kronos.claim_executions('w', 10)";
        let wakes_late = "select (kronos.next_wakeup() > now() + interval '50 seconds')::text";
        assert_eq!(count(claimed), 0);
        assert_eq!(text(wakes_late), "true");
        run(&format!(
            "select kronos.complete_execution('{triggered}', 1, 'w')"
        ));
        assert_eq!(text(wakes_late), "false");
        assert_eq!(count(claimed), 1);
    }

    #[pg_test]
    fn claim_returns_the_input_of_the_executions_version() {
        create_acme();
        let job_id = create("'0 9 * * *', input => '1', metadata => '{\"a\": 1}'");
        let trigger = format!("select kronos.trigger_cron_job('{job_id}')");
        run(&trigger);
        run(&format!(
            "select kronos.update_cron_job('{job_id}', input => '2', metadata => '{{\"a\": 2}}')"
        ));
        run(&trigger);
        let claimed = "select string_agg(concat_ws(' ', version, input, metadata), ', ' order by version) from kronos.claim_executions('w', 2)";
        assert_eq!(text(claimed), "1 1 {\"a\": 1}, 2 2 {\"a\": 2}");
    }

    /// The inputs of jobs count like those of one-shots.
    #[pg_test]
    fn claim_of_jobs_with_large_inputs_is_bounded() {
        create_acme();
        let job_id = create("'0 9 * * *', input => to_jsonb(repeat('x', 250000))");
        run(&format!(
            "select kronos.trigger_cron_job('{job_id}') from generate_series(1, 140)"
        ));
        let claimed = "select count(*) from kronos.claim_executions('w', 1000)";
        assert_eq!(count(claimed), 67);
        run(&format!(
            "select kronos.update_cron_job('{job_id}', input => '{{}}')"
        ));
        assert_eq!(count(claimed), 67, "executions of an earlier version");
        assert_eq!(count(claimed), 6);
    }

    /// The specs are large, the inputs small.
    #[pg_test]
    fn claim_of_executions_with_large_specs_is_bounded() {
        create_acme();
        run(
            "select kronos.update_endpoint('hook', spec => jsonb_build_object('x', repeat('x', 65000)))",
        );
        run("select kronos.enqueue('hook') from generate_series(1, 300)");
        let claimed = "select count(*) from kronos.claim_executions('w', 1000)";
        assert_eq!([(); 3].map(|()| count(claimed)), [258, 42, 0]);
    }

    #[pg_test]
    fn second_stop_request_keeps_the_time_of_the_first() {
        create_acme();
        let id = enqueue_and_claim();
        let stop = format!("select kronos.cancel_execution('{id}', request_stop => true)");
        let requested = "select stop_requested_at::text from kronos.execution_details";
        run(&stop);
        let first = text(requested);
        run(&stop);
        assert_eq!(text(requested), first);
        assert_ne!(first, "null");
    }

    #[pg_test]
    fn next_wakeup_ignores_leases_of_other_workspaces_and_types() {
        create_acme();
        run("select kronos.create_endpoint('bus', 'KAFKA')");
        enqueue_and_claim();
        run("select kronos.create_workspace('other')");
        for (arguments, wakes) in [
            ("", "true"),
            ("'{HTTP}'", "true"),
            ("'{KAFKA}'", "false"),
            ("'{KAFKA}', all_workspaces => true", "false"),
            ("all_workspaces => true", "true"),
            ("workspace => 'other'", "false"),
        ] {
            let wakeup = format!("select (kronos.next_wakeup({arguments}) is not null)::text");
            assert_eq!(text(&wakeup), wakes, "{arguments}");
        }
    }

    #[pg_test]
    fn executions_of_a_deleted_endpoint_still_run() {
        create_acme();
        run("select kronos.enqueue('hook')");
        run("select kronos.delete_endpoint('hook')");
        let id = text("select execution_id::text from kronos.claim_executions('w')");
        assert_eq!(
            text(&format!(
                "select status from kronos.complete_execution('{id}', 1, 'w')"
            )),
            "SUCCEEDED"
        );
    }
}
