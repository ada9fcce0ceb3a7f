#[pgrx::pg_schema]
mod tests {
    use crate::in_server::factory::{
        age_jobs, insert_executed_ticks, set_handled_until, set_window,
    };
    use crate::in_server::{assert_code, count, create, create_acme, run, text};
    use pgrx::prelude::*;

    #[pg_test]
    fn job_is_found_by_its_current_name_in_every_version() {
        create_acme();
        let first = create("'0 9 * * *', name => 'report'");
        let by_name = |function: &str| {
            text(&format!(
                "select concat_ws(' ', version, status, job_name, cron) from kronos.{function}"
            ))
        };
        assert_eq!(
            by_name("update_cron_job(job_name => 'report', cron => '1 9 * * *')"),
            "2 ACTIVE report 1 9 * * *"
        );
        assert_eq!(
            by_name("get_job(job_name => 'report')"),
            "2 ACTIVE report 1 9 * * *"
        );
        assert_eq!(
            by_name("pause_cron_job(job_name => 'report')"),
            "2 PAUSED report 1 9 * * *"
        );
        assert_eq!(
            by_name("resume_cron_job(job_name => 'report')"),
            "2 ACTIVE report 1 9 * * *"
        );
        let versions = "select count(*) from kronos.list_job_versions(job_name => 'report')";
        assert_eq!(count(versions), 2);
        run("select kronos.trigger_cron_job(job_name => 'report')");
        assert_eq!(
            by_name("update_cron_job(job_name => 'report', new_name => 'summary')"),
            "3 ACTIVE summary 1 9 * * *"
        );
        let names = "select string_agg(job_name || ' ' || name, ',') from kronos.list_job_versions(job_name => 'summary')";
        assert_eq!(text(names), "summary summary,summary report,summary report");
        assert_code(
            "select kronos.get_job(job_name => 'report')",
            "JOB_NOT_FOUND",
        );
        assert_eq!(
            by_name("cancel_cron_job(job_name => 'summary')"),
            "3 RETIRED summary 1 9 * * *"
        );
        let error = assert_code(
            "select kronos.cancel_cron_job(job_name => 'summary')",
            "JOB_NOT_FOUND",
        );
        assert_eq!(error.detail["job_name"], "summary");
        assert_code(
            &format!("select kronos.cancel_cron_job('{first}')"),
            "JOB_RETIRED",
        );
        create("'0 9 * * *', name => 'summary'");
    }

    #[pg_test]
    fn name_is_unique_among_the_live_jobs_of_a_workspace() {
        create_acme();
        create("'0 9 * * *', name => 'report'");
        create("'0 9 * * *', name => 'other'");
        let error = assert_code(
            "select kronos.create_cron_job('hook', '5 5 * * *', name => 'report')",
            "JOB_EXISTS",
        );
        assert_eq!(error.detail["job_name"], "report");
        assert_code(
            "select kronos.update_cron_job(job_name => 'other', new_name => 'report')",
            "JOB_EXISTS",
        );
        run("select kronos.create_workspace('bravo')");
        run("select kronos.create_endpoint('hook', 'HTTP', workspace => 'bravo')");
        run(
            "select kronos.create_cron_job('hook', '0 9 * * *', name => 'report', workspace => 'bravo')",
        );
    }

    #[pg_test]
    fn calls_need_either_a_job_id_or_a_job_name() {
        create_acme();
        let job_id = create("'0 9 * * *', name => 'report'");
        for function in [
            "cancel_cron_job",
            "pause_cron_job",
            "resume_cron_job",
            "update_cron_job",
            "trigger_cron_job",
            "backfill_cron_job",
            "get_job",
            "list_job_versions",
            "list_ticks",
            "job_status",
        ] {
            assert_code(&format!("select kronos.{function}()"), "NULL_ARGUMENT");
            assert_code(
                &format!("select kronos.{function}('{job_id}', 'report')"),
                "INVALID_ARGUMENT",
            );
        }
    }

    #[pg_test]
    fn job_shows_its_next_and_last_tick() {
        create_acme();
        let next = |job_id: &str| {
            text(&format!(
                "select to_char(next_tick_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') from kronos.get_job('{job_id}')"
            ))
        };
        let job_id = create("'0 9 1 1 *', starts_at => '2090-01-01 09:00+00'");
        assert_eq!(next(&job_id), "2090-01-01 09:00");
        set_window("'2090-01-01 09:00+00'", "'2090-01-01 09:00:00.000001+00'");
        assert_eq!(next(&job_id), "2090-01-01 09:00");
        set_window("null", "now()");
        assert_eq!(next(&job_id), "null", "its window has passed");

        let job_id = create("'0 9 1 1 *'");
        let expected = text(
            "select to_char(t at time zone 'UTC', 'YYYY-MM-DD HH24:MI') from kronos.next_ticks('0 9 1 1 *', max => 1) t",
        );
        assert_eq!(next(&job_id), expected);
        age_jobs("'2020-01-01'");
        set_handled_until("'2021-01-01'");
        assert_eq!(
            next(&job_id),
            "2021-01-01 09:00",
            "due, but not handled yet"
        );
        insert_executed_ticks(&job_id, "'2020-01-01 09:00+00', '2022-01-01 09:00+00'");
        let last = format!(
            "select to_char(last_tick_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') from kronos.get_job('{job_id}')"
        );
        assert_eq!(text(&last), "2022-01-01 09:00");
        run(&format!("select kronos.pause_cron_job('{job_id}')"));
        assert_eq!(next(&job_id), "null");
    }
}
