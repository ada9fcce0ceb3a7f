#[pgrx::pg_schema]
mod tests {
    use crate::in_server::factory::{
        insert_dropped_ticks, insert_executed_ticks, insert_skipped_ticks,
    };
    use crate::in_server::{count, create, create_acme, run, text};
    use pgrx::prelude::*;

    #[pg_test]
    fn pages_list_every_job_once_while_more_are_created() {
        create_acme();
        for _ in 0..8 {
            create("'@daily'");
        }
        let expected =
            text("select string_agg(job_id::text, ',' order by job_id desc) from kronos.jobs");
        let mut seen = vec![];
        let mut after = "null".to_owned();
        loop {
            let page = text(&format!(
                "select string_agg(job_id::text, ',') from kronos.list_jobs(max => 3, after => {after})"
            ));
            if page == "null" {
                break;
            }
            seen.extend(page.split(',').map(str::to_owned));
            after = format!("'{}'", seen.last().unwrap());
            create("'@daily'");
        }
        assert_eq!(seen.join(","), expected);
    }

    #[pg_test]
    fn list_jobs_filters_by_status_and_endpoint() {
        create_acme();
        run("select kronos.create_endpoint('other', 'HTTP')");
        create("'0 9 * * *', name => 'a'");
        create("'0 9 * * *', name => 'b'");
        create("'0 9 * * *', name => 'c'");
        run("select kronos.update_cron_job(job_name => 'c', endpoint => 'other')");
        run("select kronos.pause_cron_job(job_name => 'b')");
        run("select kronos.cancel_cron_job(job_name => 'a')");
        let listed = |filter: &str| {
            text(&format!(
                "select string_agg(job_name, ',') from kronos.list_jobs({filter})"
            ))
        };
        assert_eq!(listed(""), "c,b,a");
        assert_eq!(listed("status => 'PAUSED'"), "b");
        assert_eq!(listed("endpoint => 'other'"), "c");
        assert_eq!(listed("'RETIRED', endpoint => 'other'"), "null");
        let newest = text("select job_id::text from kronos.list_jobs(max => 1)");
        assert_eq!(listed(&format!("max => 1, after => '{newest}'")), "b");
    }

    #[pg_test]
    fn job_status_counts_the_last_day() {
        create_acme();
        let job_id = create("'0 9 * * *', name => 'report'");
        let status = || {
            text(
                "select concat_ws(' ', status, health, waiting, running, total, succeeded, failed, skipped,
                                  last_execution_status, mean_duration)
                 from kronos.job_status(job_name => 'report')",
            )
        };
        assert_eq!(status(), "ACTIVE IDLE 0 0 0 0 0 0");
        run(&format!(
            "insert into kronos_internal.history (execution_id, workspace_id, endpoint_id, job_id, version, run_at, tick_at, created_at,
                 started_at, finished_at, priority, attempt, failed_attempts, origin, status, endpoint_type, outcome)
             select kronos.uuid_v7(), workspace_id, endpoint_id, job_id, 1, now(), now(), now(), now() - interval '4 s', now() - n * interval '1 s',
                    5, 1, 0, 'TICK', case when n = 1 then 'FAILED' else 'SUCCEEDED' end, 'HTTP',
                    case when n = 1 then 'FAILED' else 'SUCCEEDED' end
             from kronos_internal.jobs, generate_series(1, 3) n where job_id = '{job_id}'"
        ));
        let ticks = [1, 2, 2000].map(|minutes| format!("now() - interval '{minutes} minutes'"));
        insert_skipped_ticks(&job_id, &ticks.join(", "));
        run("select kronos.trigger_cron_job(job_name => 'report')");
        assert_eq!(status(), "ACTIVE DEGRADED 1 0 4 2 1 2 QUEUED 00:00:02");
        let ticks = "select string_agg(outcome, ',') from kronos.list_ticks(job_name => 'report', tick_from => now() - interval '1 hour')";
        assert_eq!(text(ticks), "SKIPPED,SKIPPED");
    }

    #[pg_test]
    fn pages_of_ticks_list_every_row_once_even_at_equal_times() {
        create_acme();
        let job_id = create("'0 9 * * *'");
        let ticks = [1, 2, 3, 4, 5, 6].map(|day| format!("'2026-01-{day:02} 09:00+00'"));
        insert_executed_ticks(&job_id, &ticks.join(", "));
        let dropped = ("2026-01-02 09:00+00", "2026-01-04 09:00+00");
        insert_dropped_ticks(&job_id, dropped, "now()");
        let page = |arguments: &str| {
            text(&format!(
                "select string_agg(to_char(tick_at at time zone 'UTC', 'DD') || outcome || ' ' || tick_at, ',')
                 from kronos.list_ticks('{job_id}'{arguments})"
            ))
        };
        let mut seen = vec![];
        let mut arguments = ", max => 3".to_owned();
        loop {
            let rows = page(&arguments);
            if rows == "null" {
                break;
            }
            for row in rows.split(',') {
                let (tick, tick_at) = row.split_once(' ').unwrap();
                seen.push(tick.to_owned());
                arguments = format!(", max => 3, after => '{tick_at}'");
            }
        }
        assert!(
            seen.is_sorted_by(|one, next| one[..2] >= next[..2]),
            "{seen:?}"
        );
        seen.sort();
        assert_eq!(
            seen.join(" "),
            "01RUN 02RUN 03RUN 04DROPPED 04RUN 05RUN 06RUN"
        );
        let some = page(
            ", outcome => 'RUN', tick_from => '2026-01-03', tick_before => '2026-01-05 09:00+00'",
        );
        let days: Vec<&str> = some.split(',').map(|row| &row[..2]).collect();
        assert_eq!(days, ["04", "03"]);
    }

    /// Creates a job whose executions ended in the given order: `s` for success, `f` for failure.
    fn create_job_with_history(statuses: &str) -> String {
        let job_id = create("'@daily'");
        for status in statuses.chars() {
            run(&format!("select kronos.trigger_cron_job('{job_id}')"));
            let end = match status {
                's' => "complete_execution(execution_id, attempt, 'w')",
                _ => "fail_execution(execution_id, attempt, 'w', 'no', retryable => false)",
            };
            run(&format!(
                "select kronos.{end} from kronos.claim_executions('w')"
            ));
        }
        job_id
    }

    #[pg_test]
    fn health_reflects_the_last_ten_finished_executions() {
        create_acme();
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
            let job_id = create_job_with_history(statuses);
            let status = text(&format!(
                "select concat_ws(' ', health, total, succeeded, failed) from kronos.job_status('{job_id}')"
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
    fn job_status_counts_unfinished_executions_and_measures_durations() {
        create_acme();
        let job_id = create_job_with_history("ss");
        run("update kronos_internal.history
             set finished_at = started_at + interval '1 second' * case execution_id when (
                 select execution_id from kronos_internal.history order by execution_id desc limit 1) then 3 else 1 end");
        for _ in 0..3 {
            run(&format!("select kronos.trigger_cron_job('{job_id}')"));
        }
        run("select kronos.claim_executions('w')");
        let status = text(&format!(
            "select concat_ws(' ', status, waiting, running, last_execution_status, total, mean_duration, p99_duration, next_tick_at > now())
             from kronos.job_status('{job_id}')"
        ));
        assert!(
            status.starts_with("ACTIVE 2 1 ") && status.ends_with(" 5 00:00:02 00:00:02.98 t"),
            "{status}"
        );
        run("update kronos_internal.live_executions set run_at = now() - interval '1 minute'");
        assert_eq!(
            count("select count(*) from kronos.queues where waiting = 2 and running = 1"),
            1
        );
    }
}
