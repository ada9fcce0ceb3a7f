#[pgrx::pg_schema]
mod tests {
    use crate::in_server::{assert_code, count, make_acme, run, text};
    use pgrx::prelude::*;

    fn apply(jobs: &str) -> String {
        text(&format!(
            "select string_agg(concat_ws(' ', name, action, nullif(changed::text, '{{}}')), ', ' order by name)
             from kronos.apply_crontab('acme', '[{jobs}]')"
        ))
    }

    const REPORT: &str = r#"{"name": "report", "endpoint": "hook", "cron": "0 9 * * *"}"#;
    const POLL: &str = r#"{"name": "poll", "endpoint": "hook", "cron": "*/5 * * * *", "timezone": "europe/berlin",
                           "input": {"a": [1]}, "starts_at": "2026-01-01", "ends_at": "2100-01-01", "jitter": "20 seconds",
                           "catchup_policy": "all", "catchup_window": "2 hours", "overlap_policy": "skip"}"#;

    #[pg_test]
    fn declared_set_is_made_true_and_then_left_alone() {
        make_acme();
        run("select kronos.create_cron_job('acme', 'hook', '7 7 * * *', name => 'by hand')");
        assert_eq!(
            apply(&format!("{REPORT}, {POLL}")),
            "poll CREATE, report CREATE"
        );
        assert_eq!(
            apply(&format!("{REPORT}, {POLL}")),
            "poll UNCHANGED, report UNCHANGED"
        );
        assert_eq!(count("select count(*) from kronos.jobs"), 3);

        let other = REPORT.replace("0 9", "1 9");
        assert_eq!(
            apply(&format!("{other}, {POLL}")),
            "poll UNCHANGED, report UPDATE {cron}"
        );
        run("select kronos.pause_cron_job('acme', job_name => 'report')");
        assert_eq!(
            apply(&format!("{other}, {POLL}")),
            "poll UNCHANGED, report RESUME"
        );
        run("select kronos.pause_cron_job('acme', job_name => 'report')");
        assert_eq!(
            apply(&format!("{REPORT}, {POLL}")),
            "poll UNCHANGED, report UPDATE {cron,status}"
        );
        assert_eq!(apply(REPORT), "poll RETIRE, report UNCHANGED");
        assert_eq!(apply(""), "report RETIRE");
        let live = "select string_agg(name, ',') from kronos.jobs where status <> 'RETIRED'";
        assert_eq!(text(live), "by hand");
        assert_eq!(count("select count(*) from kronos.check()"), 0);
    }

    #[pg_test]
    fn what_is_declared_no_longer_has_its_default_again() {
        make_acme();
        run("select kronos.create_endpoint('acme', 'other', 'HTTP')");
        apply(POLL);
        let bare = r#"{"name": "poll", "endpoint": "other", "cron": "*/5 * * * *"}"#;
        assert_eq!(
            apply(bare),
            "poll UPDATE {timezone,input,starts_at,ends_at,catchup_policy,catchup_window,overlap_policy,jitter,endpoint}"
        );
        assert_eq!(apply(bare), "poll UNCHANGED");
    }

    #[pg_test]
    fn dry_run_tells_the_plan_and_changes_nothing() {
        make_acme();
        apply(REPORT);
        let before = text("select string_agg(j::text, ' ') from kronos.jobs j");
        let plan = text(&format!(
            "select string_agg(concat_ws(' ', name, action, (job_id is not null)::text), ', ' order by name)
             from kronos.apply_crontab('acme', '[{POLL}]', dry_run => true)"
        ));
        assert_eq!(plan, "poll CREATE false, report RETIRE true");
        assert_eq!(
            text("select string_agg(j::text, ' ') from kronos.jobs j"),
            before
        );
        assert_eq!(count("select count(*) from cron.job"), 1);
    }

    #[pg_test]
    fn what_cannot_be_made_true_is_an_error_that_names_the_job() {
        make_acme();
        run("select kronos.create_cron_job('acme', 'hook', '7 7 * * *', name => 'by hand')");
        let refused = |jobs: &str, code: &str| {
            assert_code(
                &format!("select kronos.apply_crontab('acme', '{jobs}')"),
                code,
            )
        };
        for (job, code) in [
            (REPORT.replace("0 9", "0 99"), "INVALID_CRON"),
            (REPORT.replace("hook", "nowhere"), "ENDPOINT_NOT_FOUND"),
            (
                REPORT.replace("\"cron\"", "\"jitter\": \"2 days\", \"cron\""),
                "INVALID_ARGUMENT",
            ),
            (
                REPORT.replace("\"cron\"", "\"jitter\": \"soon\", \"cron\""),
                "INVALID_ARGUMENT",
            ),
            (
                REPORT.replace("\"cron\"", "\"starts_at\": \"soon\", \"cron\""),
                "INVALID_ARGUMENT",
            ),
        ] {
            let told = refused(&format!("[{job}]"), code);
            assert_eq!(told.detail["job_name"], "report");
        }
        refused(
            &format!("[{}]", REPORT.replace("report", "by hand")),
            "JOB_EXISTS",
        );
        for jobs in [
            "{}".to_owned(),
            "[1]".to_owned(),
            "[{\"name\": \"x\"}]".to_owned(),
            format!("[{}]", REPORT.replace("cron", "corn")),
            format!("[{REPORT}, {REPORT}]"),
        ] {
            refused(&jobs, "INVALID_ARGUMENT");
        }
        assert_eq!(count("select count(*) from kronos.jobs"), 1);
    }
}
