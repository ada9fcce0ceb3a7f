#[pgrx::pg_schema]
mod tests {
    use crate::in_server::{assert_code, count, create, create_acme, error_of, run, text};
    use pgrx::prelude::*;

    /// Intervals with mixed signs or of a thousand years. PostgreSQL compares intervals by months of 30 days, but adds
    /// them by the calendar.
    const ODD_INTERVALS: [&str; 5] = [
        "-60000000 mons 1800000100 days",
        "60000000 mons -1799999999 days",
        "1 mon -29 days",
        "1 day -1 hour",
        "1000 years",
    ];

    /// Asserts that create_cron_job() fails for each of the arguments, and that nothing is written.
    fn assert_refused(cases: &[(&str, &str)]) {
        create_acme();
        for (arguments, code) in cases {
            assert_code(&format!("select kronos.create_cron_job({arguments})"), code);
        }
        for table in [
            "kronos_internal.jobs",
            "kronos_internal.schedules",
            "cron.job",
        ] {
            let rows = count(&format!("select count(*) from {table}"));
            assert_eq!(rows, 0, "{table}");
        }
    }

    #[pg_test]
    fn nulls_and_unknown_names_are_refused_before_any_write() {
        assert_refused(&[
            ("null, '* * * * *'", "NULL_ARGUMENT"),
            ("'hook', null", "NULL_ARGUMENT"),
            ("'hook', '* * * * *', timezone => null", "NULL_ARGUMENT"),
            ("'hook', '* * * * *', input => null", "NULL_ARGUMENT"),
            ("'hook', '* * * * *', metadata => null", "NULL_ARGUMENT"),
            ("'hook', '* * * * *', priority => null", "NULL_ARGUMENT"),
            (
                "'hook', '* * * * *', overlap_policy => null",
                "NULL_ARGUMENT",
            ),
            (
                "'hook', '* * * * *', catchup_policy => null",
                "NULL_ARGUMENT",
            ),
            (
                "'hook', '* * * * *', catchup_window => null",
                "NULL_ARGUMENT",
            ),
            ("'hook', '* * * * *', jitter => null", "NULL_ARGUMENT"),
            (
                "'hook', '* * * * *', if_not_exists => null",
                "NULL_ARGUMENT",
            ),
            (
                "'hook', '* * * * *', workspace => 'nowhere'",
                "WORKSPACE_NOT_FOUND",
            ),
            ("'nowhere', '* * * * *'", "ENDPOINT_NOT_FOUND"),
        ]);
    }

    #[pg_test]
    fn impossible_schedules_are_refused_before_any_write() {
        assert_refused(&[
            ("'hook', '* * * *'", "INVALID_CRON"),
            ("'hook', ''", "INVALID_CRON"),
            ("'hook', '60 seconds'", "INVALID_CRON"),
            ("'hook', '@reboot'", "CRON_NOT_SUPPORTED"),
            ("'hook', '0 0 30 2 *'", "NEVER_FIRES"),
            ("'hook', '0 0 31 2,4,6,9,11 *'", "NEVER_FIRES"),
            (
                "'hook', '* * * * *', timezone => 'Mars/Olympus'",
                "INVALID_TIMEZONE",
            ),
            (
                "'hook', '* * * * *', timezone => 'EST5EDT4'",
                "INVALID_TIMEZONE",
            ),
            (
                "'hook', '* * * * *', starts_at => '2100-01-02', ends_at => '2100-01-02'",
                "INVALID_WINDOW",
            ),
            (
                "'hook', '* * * * *', starts_at => '2100-01-02', ends_at => '2100-01-01'",
                "INVALID_WINDOW",
            ),
            (
                "'hook', '* * * * *', ends_at => '2020-01-01'",
                "INVALID_WINDOW",
            ),
            (
                "'hook', '* * * * *', starts_at => 'infinity'",
                "INVALID_WINDOW",
            ),
            (
                "'hook', '* * * * *', ends_at => '-infinity'",
                "INVALID_WINDOW",
            ),
            (
                "'hook', '0 0 1 1 *', starts_at => '2090-01-02', ends_at => '2090-12-31'",
                "NEVER_FIRES",
            ),
        ]);
    }

    #[pg_test]
    fn values_out_of_range_are_refused_before_any_write() {
        assert_refused(&[
            (
                "'hook', '* * * * *', overlap_policy => 'never'",
                "INVALID_ARGUMENT",
            ),
            (
                "'hook', '* * * * *', catchup_policy => 'some'",
                "INVALID_ARGUMENT",
            ),
            (
                "'hook', '* * * * *', jitter => '25 hours'",
                "INVALID_ARGUMENT",
            ),
            (
                "'hook', '* * * * *', jitter => '-1 second'",
                "INVALID_ARGUMENT",
            ),
            (
                "'hook', '* * * * *', catchup_window => '-1 s'",
                "INVALID_ARGUMENT",
            ),
            (
                "'hook', '* * * * *', catchup_window => '2 years'",
                "INVALID_ARGUMENT",
            ),
            ("'hook', '* * * * *', priority => 10", "INVALID_ARGUMENT"),
            ("'hook', '* * * * *', priority => -1", "INVALID_ARGUMENT"),
            ("'hook', '* * * * *', name => ''", "INVALID_ARGUMENT"),
            (
                "'hook', '* * * * *', idempotency_key => ''",
                "INVALID_ARGUMENT",
            ),
            (
                "'hook', '* * * * *', idempotency_key => repeat('k', 201)",
                "INVALID_ARGUMENT",
            ),
            (
                "'hook', '* * * * *', if_not_exists => true",
                "INVALID_ARGUMENT",
            ),
            (
                "'hook', '* * * * *', input => to_jsonb(repeat('x', 262143))",
                "VALUE_TOO_LARGE",
            ),
            ("'hook', '* * * * *', metadata => '[]'", "INVALID_ARGUMENT"),
            (
                "'hook', '* * * * *', metadata => jsonb_build_object('x', repeat('x', 8192))",
                "VALUE_TOO_LARGE",
            ),
        ]);
    }

    #[pg_test]
    fn intervals_with_mixed_signs_or_of_thousands_of_years_are_refused() {
        create_acme();
        let job_id = create("'* * * * *', name => 'existing'");
        for argument in ["catchup_window", "jitter"] {
            for interval in ODD_INTERVALS {
                let listed = format!(
                    r#"[{{"name": "j", "endpoint": "hook", "cron": "* * * * *", "{argument}": "{interval}"}}]"#
                );
                for call in [
                    format!("create_cron_job('hook', '* * * * *', {argument} => '{interval}')"),
                    format!("update_cron_job('{job_id}', {argument} => '{interval}')"),
                    format!("create_cron_jobs('{listed}')"),
                    format!("apply_crontab('{listed}')"),
                ] {
                    let error = assert_code(&format!("select kronos.{call}"), "INVALID_ARGUMENT");
                    assert_eq!(error.detail["argument"], argument, "{call}");
                    assert_eq!(error.sqlstate, "22023", "{call}");
                }
            }
        }
        assert_eq!(count("select count(*) from kronos.jobs"), 1);
    }

    #[pg_test]
    fn durations_are_stored_without_days_and_months() {
        create_acme();
        let job_id =
            create("'* * * * *', catchup_window => '1 mon 2 days 3 hours', jitter => '1 day'");
        let stored = format!(
            "select catchup_window::interval::text || ' ' || jitter::interval::text
             from kronos_internal.jobs where job_id = '{job_id}'"
        );
        assert_eq!(text(&stored), "771:00:00 24:00:00");
    }

    #[pg_test]
    fn times_outside_1970_to_2200_are_refused() {
        create_acme();
        let job_id = create("'* * * * *'");
        for time in [
            "4714-11-24 00:00:00+00 BC",
            "1969-12-31",
            "2200-01-02",
            "294276-12-31",
        ] {
            for argument in ["starts_at", "ends_at"] {
                for call in [
                    format!("create_cron_job('hook', '* * * * *', {argument} => '{time}')"),
                    format!("update_cron_job('{job_id}', {argument} => '{time}')"),
                ] {
                    let error = assert_code(&format!("select kronos.{call}"), "INVALID_ARGUMENT");
                    assert_eq!(error.detail["argument"], argument, "{call}");
                }
            }
        }
    }

    #[pg_test]
    fn input_of_exactly_the_limit_is_accepted() {
        create_acme();
        create("'* * * * *', input => to_jsonb(repeat('x', 262142))");
    }

    #[pg_test]
    fn deep_or_odd_input_is_stored_unchanged() {
        create_acme();
        let deep = format!("{}1{}", "[".repeat(2000), "]".repeat(2000));
        let odd = r#"{"$serde_json::private::Number": "12", "n": 12345678901234567890.10}"#;
        for input in [deep.as_str(), odd] {
            let job_id = create(&format!("'* * * * *', input => '{input}'"));
            let stored = |job_id: &str| {
                count(&format!(
                    "select count(*) from kronos.get_job('{job_id}') where input::text = '{input}'::jsonb::text"
                ))
            };
            assert_eq!(stored(&job_id), 1);
            run(&format!(
                "select kronos.update_cron_job('{job_id}', input => '{{}}')"
            ));
            run(&format!(
                "select kronos.update_cron_job('{job_id}', input => '{input}')"
            ));
            assert_eq!(stored(&job_id), 1);
            let job_id = text(&format!(
                r#"select job_id::text from kronos.create_cron_jobs('[{{"endpoint": "hook", "cron": "* * * * *", "input": {input}}}]')"#
            ));
            assert_eq!(stored(&job_id), 1);
            let declared = format!(
                r#"[{{"name": "d", "endpoint": "hook", "cron": "* * * * *", "input": {input}}}]"#
            );
            let job_id = text(&format!(
                "select job_id::text from kronos.apply_crontab('{declared}')"
            ));
            assert_eq!(stored(&job_id), 1);
            run("select kronos.apply_crontab('[]')");
        }
        let metadata = r#"{"$serde_json::private::Number": "x"}"#;
        let job_id = create(&format!("'* * * * *', metadata => '{metadata}'"));
        assert_eq!(
            text(&format!(
                "select metadata::text from kronos.get_job('{job_id}')"
            )),
            metadata
        );
    }

    #[pg_test]
    fn error_of_a_malformed_cron_names_the_field_and_the_text() {
        create_acme();
        let error = assert_code(
            "select kronos.create_cron_job('hook', '* 5,24 * * *')",
            "INVALID_CRON",
        );
        assert_eq!(error.detail["field"], "hour");
        assert_eq!(error.detail["text"], "24");
        assert_eq!(error.detail["allowed"], "0 to 23");
    }

    #[pg_test]
    fn job_of_another_workspace_is_not_found() {
        create_acme();
        run("select kronos.create_workspace('other')");
        let job_id = create("'* * * * *'");
        for call in [
            "update_cron_job",
            "cancel_cron_job",
            "pause_cron_job",
            "resume_cron_job",
            "trigger_cron_job",
            "get_job",
            "list_job_versions",
            "list_ticks",
            "job_status",
        ] {
            let assert_error = |arguments: &str, code: &str| {
                assert_code(&format!("select kronos.{call}({arguments})"), code);
            };
            assert_error(
                &format!("'{job_id}', workspace => 'other'"),
                "JOB_NOT_FOUND",
            );
            assert_error("kronos.uuid_v7()", "JOB_NOT_FOUND");
            assert_error(
                &format!("'{job_id}', workspace => 'nowhere'"),
                "WORKSPACE_NOT_FOUND",
            );
            assert_error("null", "NULL_ARGUMENT");
        }
    }

    #[pg_test]
    fn filters_of_jobs_refuse_unknown_values() {
        create_acme();
        let job_id = create("'* * * * *'");
        for (call, code) in [
            (
                "list_jobs(status => 'RUNNING')".to_owned(),
                "INVALID_ARGUMENT",
            ),
            (
                "list_jobs(endpoint => 'nowhere')".to_owned(),
                "ENDPOINT_NOT_FOUND",
            ),
            ("list_jobs(max => 0)".to_owned(), "INVALID_ARGUMENT"),
            (
                format!("list_ticks('{job_id}', outcome => 'LATE')"),
                "INVALID_ARGUMENT",
            ),
            (
                format!("list_ticks('{job_id}', max => null)"),
                "NULL_ARGUMENT",
            ),
            (
                format!("list_job_versions('{job_id}', max => 10001)"),
                "INVALID_ARGUMENT",
            ),
        ] {
            assert_code(&format!("select kronos.{call}"), code);
        }
        let all = format!(
            "select count(*) from kronos.list_ticks('{job_id}', tick_from => '-infinity', tick_before => 'infinity')"
        );
        assert_eq!(count(&all), 0);
    }

    #[pg_test]
    fn jobs_in_any_zone_named_utc_share_a_schedule() {
        create_acme();
        for zone in ["UTC", "gmt", "Etc/UTC", "Etc/GMT"] {
            create(&format!("'* * * * *', timezone => '{zone}'"));
        }
        assert_eq!(
            text("select string_agg(timezone, ',') from kronos_internal.schedules"),
            "UTC"
        );
    }

    #[pg_test]
    fn detail_of_an_error_is_bounded() {
        create_acme();
        let error = error_of("select kronos.create_cron_job('hook', repeat('x', 100000))");
        assert_eq!(error.detail["code"], "INVALID_CRON");
        assert!(error.detail.to_string().len() < 8192);
    }
}
