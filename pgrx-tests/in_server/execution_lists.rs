#[pgrx::pg_schema]
mod tests {
    use crate::in_server::{assert_code, count, create, create_acme, run, text};
    use pgrx::prelude::*;

    #[pg_test]
    fn pages_list_every_execution_once_while_more_are_enqueued() {
        create_acme();
        let more = "select kronos.enqueue('hook') from generate_series(1, 2)";
        for _ in 0..4 {
            run(more);
        }
        // Finish some, so that pages span both tables.
        run(
            "select kronos.complete_execution(execution_id, attempt, 'w') from kronos.claim_executions('w', 3)",
        );
        let expected = text(
            "select string_agg(execution_id::text, ',' order by execution_id desc) from kronos.execution_details",
        );
        let mut seen = vec![];
        let mut after = "null".to_owned();
        loop {
            let page = text(&format!(
                "select string_agg(execution_id::text, ',') from kronos.list_executions(max => 3, after => {after})"
            ));
            if page == "null" {
                break;
            }
            seen.extend(page.split(',').map(str::to_owned));
            after = format!("'{}'", seen.last().unwrap());
            run(more);
        }
        assert_eq!(seen.join(","), expected);
    }

    #[pg_test]
    fn list_executions_filters_by_each_argument() {
        create_acme();
        run("select kronos.create_endpoint('bus', 'KAFKA')");
        run("select kronos.create_workspace('other')");
        run("select kronos.enqueue('bus')");
        run("select kronos.enqueue('hook', run_at => '2100-01-01Z')");
        run("select kronos.enqueue('hook')");
        run(
            "select kronos.complete_execution(execution_id, attempt, 'w') from kronos.claim_executions('w', endpoint_types => '{HTTP}')",
        );
        for (arguments, rows) in [
            ("", 3),
            ("status => 'PENDING'", 1),
            ("status => 'SUCCEEDED'", 1),
            ("status => 'FAILED'", 0),
            ("origin => 'ENQUEUE'", 3),
            ("origin => 'TICK'", 0),
            ("endpoint_type => 'KAFKA'", 1),
            ("created_from => now() - interval '1 minute'", 3),
            ("created_before => now() - interval '1 minute'", 0),
            // Infinite and extreme times are valid bounds.
            (
                "created_from => '-infinity', created_before => 'infinity'",
                3,
            ),
            ("created_from => 'infinity'", 0),
            ("created_before => '-infinity'", 0),
            ("created_before => '4714-11-24 BC'", 0),
            ("created_from => '294276-12-31'", 0),
            ("workspace => 'other'", 0),
        ] {
            let statement = format!("select count(*) from kronos.list_executions({arguments})");
            assert_eq!(count(&statement), rows, "{arguments}");
        }
    }

    #[pg_test]
    fn list_executions_of_a_job_filters_by_each_argument() {
        create_acme();
        let job_id = create("'0 9 * * *', name => 'report'");
        let other = create("'0 9 * * *'");
        run(&format!("select kronos.trigger_cron_job('{other}')"));
        for _ in 0..3 {
            run(&format!("select kronos.trigger_cron_job('{job_id}')"));
        }
        run(&format!(
            "select kronos.backfill_cron_job('{job_id}', tick_from => '2026-01-01 09:00+00', tick_before => '2026-01-02 09:00+00')"
        ));
        run(&format!(
            "select kronos.cancel_execution(execution_id) from kronos.list_executions('{job_id}', origin => 'TRIGGER', max => 1)"
        ));
        for (arguments, rows) in [
            ("", 4),
            (", status => 'QUEUED'", 3),
            (", status => 'CANCELLED'", 1),
            (", status => 'SUCCEEDED'", 0),
            (", origin => 'TRIGGER'", 3),
            (", origin => 'BACKFILL'", 1),
            (", origin => 'TRIGGER', status => 'CANCELLED'", 1),
            (", origin => 'BACKFILL', status => 'CANCELLED'", 0),
            (", endpoint_type => 'HTTP'", 4),
            (", endpoint_type => 'KAFKA'", 0),
            (", created_from => now() - interval '1 minute'", 4),
            (", created_from => now() + interval '1 hour'", 0),
            (", created_before => now() - interval '1 minute'", 0),
            (", max => 2", 2),
        ] {
            let statement = format!(
                "select count(*) from kronos.list_executions(job_name => 'report'{arguments})"
            );
            assert_eq!(count(&statement), rows, "{arguments}");
        }
        let mut pages = vec![];
        let mut after = String::new();
        loop {
            let page = text(&format!(
                "select string_agg(execution_id::text, ',') from kronos.list_executions('{job_id}', max => 1{after})"
            ));
            if page == "null" {
                break;
            }
            after = format!(", after => '{page}'");
            pages.push(page);
        }
        let all = format!(
            "select string_agg(execution_id::text, ' ' order by execution_id desc) from kronos.execution_details where job_id = '{job_id}'"
        );
        assert_eq!(pages.join(" "), text(&all));
    }

    #[pg_test]
    fn filters_of_executions_refuse_unknown_values() {
        create_acme();
        run("select kronos.enqueue('hook')");
        let id = text("select execution_id::text from kronos.execution_details");
        for call in [
            "list_executions(status => 'SUCCESS')".to_owned(),
            "list_executions(origin => 'ONCE')".to_owned(),
            "list_executions(max => 0)".to_owned(),
            "list_executions(max => 10001)".to_owned(),
            format!("list_attempts('{id}', outcome => 'SUCCESS')"),
            format!("list_logs('{id}', level => 'LOUD')"),
        ] {
            assert_code(&format!("select kronos.{call}"), "INVALID_ARGUMENT");
        }
    }

    #[pg_test]
    fn execution_of_another_workspace_is_not_found() {
        create_acme();
        run("select kronos.create_workspace('other')");
        run("select kronos.enqueue('hook') from generate_series(1, 2)");
        run(
            "select kronos.complete_execution(execution_id, 1, 'w') from kronos.claim_executions('w')",
        );
        for id in text("select string_agg(execution_id::text, ',') from kronos.execution_details")
            .split(',')
        {
            assert_eq!(
                text(&format!(
                    "select execution_id::text from kronos.get_execution('{id}')"
                )),
                id
            );
            for function in [
                "get_execution",
                "cancel_execution",
                "reschedule_execution",
                "retry_execution",
                "list_attempts",
                "list_logs",
            ] {
                assert_code(
                    &format!("select kronos.{function}('{id}', workspace => 'other')"),
                    "EXECUTION_NOT_FOUND",
                );
                assert_code(
                    &format!("select kronos.{function}(kronos.uuid_v7())"),
                    "EXECUTION_NOT_FOUND",
                );
                assert_code(
                    &format!("select kronos.{function}('{id}', workspace => 'nowhere')"),
                    "WORKSPACE_NOT_FOUND",
                );
                assert_code(&format!("select kronos.{function}(null)"), "NULL_ARGUMENT");
            }
        }
    }

    #[pg_test]
    fn attempts_are_listed_in_order() {
        create_acme();
        run("select kronos.update_endpoint('hook', retry_policy => '{\"initial_delay_ms\": 0}')");
        run("select kronos.enqueue('hook')");
        for end in [
            "fail_execution(execution_id, attempt, 'w', 'no')",
            "release_execution(execution_id, attempt, 'w')",
            "complete_execution(execution_id, attempt, 'w', '1')",
        ] {
            let list = "select string_agg(outcome, ' ') from kronos.list_attempts((select execution_id from kronos.execution_details))";
            run("create temporary table c as select * from kronos.claim_executions('w')");
            assert!(text(list).ends_with("RUNNING"));
            run(&format!("select kronos.{end} from c"));
            run("drop table c");
        }
        let list =
            "select string_agg(concat_ws(' ', attempt, outcome, worker_id, error, output), ', ')
                    from kronos.list_attempts((select execution_id from kronos.execution_details))";
        assert_eq!(text(list), "1 FAILED w no, 2 RELEASED w, 3 SUCCEEDED w 1");
        let rest = "select count(*) from kronos.list_attempts((select execution_id from kronos.execution_details),
                        after => 1)";
        assert_eq!(count(rest), 2);
        let failed = "select count(*) from kronos.list_attempts((select execution_id from kronos.execution_details), 'FAILED')";
        assert_eq!(count(failed), 1);
    }
}
