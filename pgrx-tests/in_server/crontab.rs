#[pgrx::pg_schema]
mod tests {
    use crate::in_server::{assert_code, count, create, create_acme, run, text};
    use pgrx::prelude::*;

    fn apply(jobs: &str) -> String {
        apply_set("default", jobs)
    }

    /// Applies a declared set, and returns the action and the changed fields of each job.
    fn apply_set(set_name: &str, jobs: &str) -> String {
        text(&format!(
            "select string_agg(concat_ws(' ', job_name, action, nullif(changed::text, '{{}}')), ', ' order by job_name)
             from kronos.apply_crontab('[{jobs}]', set_name => '{set_name}')"
        ))
    }

    const REPORT: &str = r#"{"name": "report", "endpoint": "hook", "cron": "0 9 * * *"}"#;
    const POLL: &str = r#"{"name": "poll", "endpoint": "hook", "cron": "*/5 * * * *", "timezone": "europe/berlin",
                           "input": {"a": [1]}, "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2100-01-01T00:00:00+01:00",
                           "jitter": "20 seconds", "catchup_policy": "all", "catchup_window": "2 hours",
                           "overlap_policy": "skip", "priority": 3, "metadata": {"team": "a"}}"#;

    #[pg_test]
    fn apply_crontab_creates_updates_resumes_and_retires_jobs() {
        create_acme();
        create("'7 7 * * *', name => 'by hand'");
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
        let versions = "select version::bigint from kronos.get_job(job_name => 'report')";
        assert_eq!(count(versions), 2);
        run("select kronos.pause_cron_job(job_name => 'report')");
        assert_eq!(
            apply(&format!("{other}, {POLL}")),
            "poll UNCHANGED, report RESUME"
        );
        run("select kronos.pause_cron_job(job_name => 'report')");
        assert_eq!(
            apply(&format!("{REPORT}, {POLL}")),
            "poll UNCHANGED, report UPDATE {cron,status}"
        );
        assert_eq!(count(versions), 3);
        assert_eq!(apply(REPORT), "poll RETIRE, report UNCHANGED");
        let poll = "select retired_reason from kronos.job_details where job_name = 'poll'";
        assert_eq!(text(poll), "UNDECLARED");
        assert_eq!(apply(""), "report RETIRE");
        let live = "select string_agg(job_name, ',') from kronos.jobs where status <> 'RETIRED'";
        assert_eq!(text(live), "by hand");
        assert_eq!(count("select count(*) from kronos_internal.schedules"), 1);
    }

    #[pg_test]
    fn job_keeps_its_id_through_deployments() {
        create_acme();
        let job_id = "select job_id::text from kronos.get_job(job_name => 'report')";
        apply(REPORT);
        let first = text(job_id);
        apply(&REPORT.replace("0 9", "1 9"));
        assert_eq!(text(job_id), first);
    }

    #[pg_test]
    fn declared_sets_of_a_workspace_are_independent() {
        create_acme();
        assert_eq!(apply_set("a", REPORT), "report CREATE");
        assert_eq!(apply_set("b", POLL), "poll CREATE");
        assert_eq!(apply_set("a", REPORT), "report UNCHANGED");
        let error = assert_code(
            &format!("select kronos.apply_crontab('[{REPORT}]', set_name => 'b')"),
            "JOB_EXISTS",
        );
        assert_eq!(error.detail["declared_by"], "a");
        assert_eq!(error.detail["job_name"], "report");
        assert_eq!(apply_set("b", ""), "poll RETIRE");
        assert_eq!(
            text(
                "select string_agg(job_name || ' ' || declared_by, ',') from kronos.list_jobs(status => 'ACTIVE')"
            ),
            "report a"
        );
    }

    #[pg_test]
    fn field_no_longer_declared_returns_to_its_default() {
        create_acme();
        run("select kronos.create_endpoint('other', 'HTTP')");
        apply(POLL);
        let bare = r#"{"name": "poll", "endpoint": "other", "cron": "*/5 * * * *"}"#;
        assert_eq!(
            apply(bare),
            "poll UPDATE {endpoint,input,timezone,starts_at,ends_at,catchup_policy,catchup_window,overlap_policy,jitter,priority,metadata}"
        );
        let nulls = r#"{"name": "poll", "endpoint": "other", "cron": "*/5 * * * *", "timezone": null, "starts_at": null,
                        "jitter": null, "priority": null, "metadata": null}"#;
        assert_eq!(apply(nulls), "poll UNCHANGED");
    }

    #[pg_test]
    fn dry_run_returns_the_plan_and_changes_nothing() {
        create_acme();
        apply(REPORT);
        let before = text("select string_agg(j::text, ' ') from kronos_internal.jobs j");
        let plan = text(&format!(
            "select string_agg(concat_ws(' ', job_name, action, (job_id is not null)::text), ', ' order by job_name)
             from kronos.apply_crontab('[{POLL}]', dry_run => true)"
        ));
        assert_eq!(plan, "poll CREATE false, report RETIRE true");
        assert_eq!(
            text("select string_agg(j::text, ' ') from kronos_internal.jobs j"),
            before
        );
        let entries = "select count(*) from cron.job where jobname like 'kronos schedule %'";
        assert_eq!(count(entries), 1);
    }

    #[pg_test]
    fn error_of_a_bad_declaration_names_the_job() {
        create_acme();
        create("'7 7 * * *', name => 'by hand'");
        let assert_error = |jobs: &str, code: &str| {
            assert_code(&format!("select kronos.apply_crontab('{jobs}')"), code)
        };
        let with_field = |field: &str| REPORT.replace("\"cron\"", &format!("{field}, \"cron\""));
        for (job, code) in [
            (REPORT.replace("0 9", "0 99"), "INVALID_CRON"),
            (REPORT.replace("hook", "nowhere"), "ENDPOINT_NOT_FOUND"),
            (with_field("\"jitter\": \"2 days\""), "INVALID_ARGUMENT"),
            (with_field("\"jitter\": \"soon\""), "INVALID_ARGUMENT"),
            (with_field("\"starts_at\": \"soon\""), "INVALID_ARGUMENT"),
            (with_field("\"metadata\": 1"), "INVALID_ARGUMENT"),
            (with_field("\"priority\": 11"), "INVALID_ARGUMENT"),
        ] {
            let error = assert_error(&format!("[{POLL}, {job}]"), code);
            assert_eq!(error.detail["job_name"], "report");
            assert_eq!(error.detail["place"], 1);
        }
        assert_error(
            &format!("[{}]", REPORT.replace("report", "by hand")),
            "JOB_EXISTS",
        );
        for jobs in [
            "{}".to_owned(),
            "null".to_owned(),
            "[1]".to_owned(),
            "[{\"name\": \"x\"}]".to_owned(),
            r#"[{"endpoint": "hook", "cron": "* * * * *"}]"#.to_owned(),
            format!("[{}]", REPORT.replace("cron", "corn")),
            format!("[{}]", with_field("\"if_not_exists\": true")),
            format!("[{}]", with_field("\"priority\": \"1\"")),
            format!("[{REPORT}, {REPORT}]"),
        ] {
            let error = assert_error(&jobs, "INVALID_ARGUMENT");
            assert_eq!(error.detail["argument"], "jobs", "{jobs}");
        }
        assert_code("select kronos.apply_crontab(null)", "NULL_ARGUMENT");
        assert_code(
            "select kronos.apply_crontab('[]', set_name => '')",
            "INVALID_ARGUMENT",
        );
        assert_eq!(count("select count(*) from kronos.jobs"), 1);
    }

    #[pg_test]
    fn declared_times_must_be_iso_8601_with_an_offset() {
        create_acme();
        run("set local timezone = 'America/New_York'; set local datestyle = 'SQL, DMY'");
        let at = |time: &str| {
            format!(
                r#"{{"name": "j", "endpoint": "hook", "cron": "0 9 * * *", "starts_at": "{time}"}}"#
            )
        };
        apply(&at("2090-02-01T09:00:00+01:00"));
        let starts_at =
            "select extract(epoch from starts_at)::bigint from kronos.get_job(job_name => 'j')";
        let expected = "select extract(epoch from timestamptz '2090-02-01T08:00:00Z')::bigint";
        assert_eq!(count(starts_at), count(expected));
        assert_eq!(apply(&at("2090-02-01T08:00:00Z")), "j UNCHANGED");
        for time in [
            "2090-02-01 09:00",
            "2090-02-01T09:00:00",
            "2090-02-01",
            "01/02/2090 09:00:00+00",
            "now",
            "tomorrow",
            "4714-11-24T00:00:00Z",
            "2200-01-01T00:00:00Z",
        ] {
            for call in ["apply_crontab", "create_cron_jobs"] {
                let error = assert_code(
                    &format!("select kronos.{call}('[{}]')", at(time)),
                    "INVALID_ARGUMENT",
                );
                assert_eq!(error.detail["argument"], "starts_at", "{time}");
            }
        }
    }

    #[pg_test]
    fn declared_job_whose_ends_at_is_past_is_skipped_or_retired() {
        create_acme();
        let ended = r#"{"name": "sale", "endpoint": "hook", "cron": "0 9 * * *", "ends_at": "2020-01-01T00:00:00Z"}"#;
        assert_eq!(
            apply(&format!("{ended}, {REPORT}")),
            "report CREATE, sale ENDED"
        );
        let stored = "select count(*) from kronos.jobs where job_name = 'sale'";
        assert_eq!(count(stored), 0);

        // A live job of the set is retired once its declared ends_at is past.
        apply(&format!("{}, {REPORT}", ended.replace("2020", "2100")));
        assert_eq!(
            apply(&format!("{ended}, {REPORT}")),
            "report UNCHANGED, sale ENDED"
        );
        assert_eq!(
            text(
                "select status || ' ' || retired_reason from kronos.job_details where job_name = 'sale'"
            ),
            "RETIRED ENDED"
        );
        assert_eq!(
            apply(&format!("{ended}, {REPORT}")),
            "report UNCHANGED, sale ENDED"
        );
    }

    #[pg_test]
    fn set_of_two_thousand_jobs_is_deployed_in_one_call() {
        create_acme();
        let declare = |first: i64| {
            format!(
                "select count(*) from kronos.apply_crontab(
                     (select jsonb_agg(jsonb_build_object('name', 'job ' || n, 'endpoint', 'hook', 'cron', n % 20 || ' 9 * * *'))
                      from generate_series({first}::integer, {first}::integer + 1999) n))
                 where action <> 'UNCHANGED'"
            )
        };
        assert_eq!(count(&declare(1)), 2000);
        assert_eq!(count(&declare(1)), 0);
        assert_eq!(count(&declare(11)), 20);
        assert_eq!(count("select count(*) from kronos_internal.schedules"), 20);
    }
}
