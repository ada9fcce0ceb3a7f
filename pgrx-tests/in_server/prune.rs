//! Which rows prune() deletes, and which it keeps.

#[pgrx::pg_schema]
mod tests {
    use crate::in_server::factory::{age_ended, age_jobs, insert_dropped_ticks};
    use crate::in_server::{count, create, create_acme, run, text};
    use pgrx::prelude::*;

    /// Calls prune() once, and returns how many executions, jobs and endpoints it deleted.
    fn prune(max: i64) -> String {
        text(&format!(
            "select concat_ws(' ', executions, jobs, endpoints) from kronos.prune({max})"
        ))
    }

    fn rows(table: &str) -> i64 {
        count(&format!("select count(*) from kronos_internal.{table}"))
    }

    /// Claims every execution that may start, and makes `call` for each.
    fn claim_and(call: &str) {
        run("create temporary table claimed as select * from kronos.claim_executions('w', 100)");
        run(&format!("select kronos.{call} from claimed"));
        run("drop table claimed");
    }

    #[pg_test]
    fn executions_past_their_retention_are_pruned_in_batches() {
        create_acme();
        run("select kronos.create_workspace('other')");
        run("select kronos.create_endpoint('hook', 'HTTP', workspace => 'other')");
        run("select kronos.set_retention('5 days', '15 days')");
        run("select kronos.update_endpoint('hook', retry_policy => '{\"initial_delay_ms\": 0}')");
        run("select kronos.enqueue('hook') from generate_series(1, 30)");
        claim_and("fail_execution(execution_id, attempt, 'w', 'no')");
        claim_and("log_execution(execution_id, attempt, 'w', 'done')");
        run("select kronos.enqueue('hook', workspace => 'other')");
        run(
            "select kronos.complete_execution(execution_id, attempt, 'w') from kronos.execution_details where status = 'RUNNING'",
        );
        run(
            "select kronos.complete_execution(execution_id, attempt, 'w') from kronos.claim_executions('w', workspace => 'other')",
        );
        run("select kronos.enqueue('hook')");
        assert_eq!(
            rows("history") + rows("attempts") + rows("execution_logs"),
            91
        );

        age_ended(4);
        assert_eq!(prune(1000), "0 0 0");
        age_ended(6);
        assert_eq!(prune(20), "20 0 0");
        assert_eq!(prune(20), "10 0 0");
        assert_eq!(prune(20), "0 0 0");
        assert_eq!(rows("attempts") + rows("execution_logs"), 0);
        assert_eq!(
            text(
                "select string_agg(workspace || ' ' || status, ', ' order by workspace) from kronos.execution_details"
            ),
            "acme QUEUED, other SUCCEEDED"
        );
    }

    /// An execution's id tells when it was created, not when it finished.
    #[pg_test]
    fn old_execution_that_has_just_finished_is_kept() {
        create_acme();
        run("select kronos.set_retention('5 days')");
        run("select kronos.enqueue('hook')");
        claim_and("complete_execution(execution_id, attempt, 'w')");
        age_ended(6);
        run("update kronos_internal.history set finished_at = now() - interval '4 days'");
        assert_eq!(prune(1000), "0 0 0");
    }

    #[pg_test]
    fn retired_job_and_deleted_endpoint_are_pruned_once_unreferenced() {
        create_acme();
        run("select kronos.set_retention('5 days', '15 days')");
        let job_id = create("'0 9 * * *'");
        run(&format!(
            "select kronos.update_cron_job('{job_id}', priority => 1)"
        ));
        run(&format!("select kronos.trigger_cron_job('{job_id}')"));
        run(&format!("select kronos.cancel_cron_job('{job_id}')"));
        run("select kronos.delete_endpoint('hook')");
        run("select kronos.create_endpoint('other', 'HTTP')");
        run("select kronos.create_cron_job('other', '0 9 * * *')");
        age_ended(100);
        assert_eq!(prune(1000), "0 0 0", "an execution is unfinished");
        claim_and("complete_execution(execution_id, attempt, 'w')");
        assert_eq!(prune(1000), "0 0 0", "an execution is in history");
        age_ended(14);
        assert_eq!(prune(1000), "1 0 0");
        age_ended(16);
        assert_eq!(prune(1000), "0 1 1");
        assert_eq!(
            (rows("jobs"), rows("job_versions"), rows("endpoints")),
            (1, 0, 1)
        );
        assert_eq!(count("select count(*) from kronos.check()"), 0);
    }

    #[pg_test]
    fn deleted_endpoint_is_kept_while_one_of_its_executions_waits() {
        create_acme();
        run("select kronos.enqueue('hook', run_at => now() + interval '1 year')");
        run("select kronos.delete_endpoint('hook')");
        age_ended(365);
        assert_eq!(prune(1000), "0 0 0");
    }

    #[pg_test]
    fn job_versions_are_listed_even_if_their_endpoint_was_pruned() {
        create_acme();
        run("select kronos.create_endpoint('bus', 'KAFKA')");
        let job_id = create("'0 9 * * *'");
        run(&format!(
            "select kronos.update_cron_job('{job_id}', endpoint => 'bus')"
        ));
        run("select kronos.delete_endpoint('hook')");
        age_ended(365);
        run("select kronos.prune()");
        let versions = format!(
            "select string_agg(version || ' ' || coalesce(endpoint, '-'), ', ') from kronos.list_job_versions('{job_id}')"
        );
        assert_eq!(text(&versions), "2 bus, 1 -");
    }

    #[pg_test]
    fn old_pg_cron_runs_of_kronos_are_pruned() {
        create_acme();
        create("'0 9 * * *'");
        run(
            "insert into cron.job_run_details (jobid, runid, database, username, command, end_time)
             select 1, n, current_database(), current_user, coalesce(r.command, j.command), now() - days * interval '1 day'
             from (values (1, null, 8), (2, null, 9), (3, null, 6), (4, 'VACUUM', 9)) r (n, command, days),
                  (select command from cron.job where jobname like 'kronos schedule %') j",
        );
        let pruned = "select pg_cron_runs from kronos.prune(1)";
        assert_eq!([(); 3].map(|()| count(pruned)), [1, 1, 0]);
        assert_eq!(
            count("select sum(runid)::bigint from cron.job_run_details"),
            7
        );
    }

    #[pg_test]
    fn dropped_ticks_of_a_job_without_a_ledger_are_pruned() {
        create_acme();
        let job_id = create("'0 9 * * *'");
        age_jobs("now() - interval '60 days'");
        let outage = ("2026-01-01 09:00+00", "2026-01-04 09:00+00");
        insert_dropped_ticks(&job_id, outage, "now() - interval '50 days'");
        assert_eq!(count("select ticks from kronos.prune()"), 1);
        assert_eq!(rows("dropped_ticks"), 0);
    }
}
