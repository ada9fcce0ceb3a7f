#[pgrx::pg_schema]
mod tests {
    use crate::in_server::{assert_code, count, make_acme, run, text};
    use pgrx::prelude::*;

    #[pg_test]
    fn bad_arguments_of_create_are_refused_before_anything_is_written() {
        make_acme();
        let cases = [
            ("null, 'hook', '* * * * *'", "NULL_ARGUMENT"),
            ("'acme', null, '* * * * *'", "NULL_ARGUMENT"),
            ("'acme', 'hook', null", "NULL_ARGUMENT"),
            (
                "'acme', 'hook', '* * * * *', timezone => null",
                "NULL_ARGUMENT",
            ),
            (
                "'acme', 'hook', '* * * * *', input => null",
                "NULL_ARGUMENT",
            ),
            ("'nowhere', 'hook', '* * * * *'", "WORKSPACE_NOT_FOUND"),
            ("'acme', 'nowhere', '* * * * *'", "ENDPOINT_NOT_FOUND"),
            ("'acme', 'hook', '* * * *'", "INVALID_CRON"),
            ("'acme', 'hook', ''", "INVALID_CRON"),
            ("'acme', 'hook', '0 0 30 2 *'", "NEVER_FIRES"),
            ("'acme', 'hook', '0 0 31 2,4,6,9,11 *'", "NEVER_FIRES"),
            ("'acme', 'hook', '60 seconds'", "INVALID_CRON"),
            (
                "'acme', 'hook', '* * * * *', overlap_policy => 'never'",
                "INVALID_ARGUMENT",
            ),
            (
                "'acme', 'hook', '* * * * *', jitter => '25 hours'",
                "INVALID_ARGUMENT",
            ),
            (
                "'acme', 'hook', '* * * * *', jitter => '-1 second'",
                "INVALID_ARGUMENT",
            ),
            (
                "'acme', 'hook', '* * * * *', name => ''",
                "INVALID_ARGUMENT",
            ),
            (
                "'acme', 'hook', '* * * * *', overlap_policy => null",
                "NULL_ARGUMENT",
            ),
            ("'acme', 'hook', '@reboot'", "CRON_NOT_SUPPORTED"),
            (
                "'acme', 'hook', '* * * * *', timezone => 'Mars/Olympus'",
                "INVALID_TIMEZONE",
            ),
            (
                "'acme', 'hook', '* * * * *', timezone => 'EST5EDT4'",
                "INVALID_TIMEZONE",
            ),
            (
                "'acme', 'hook', '* * * * *', starts_at => '2200-01-02', ends_at => '2200-01-02'",
                "INVALID_WINDOW",
            ),
            (
                "'acme', 'hook', '* * * * *', starts_at => '2200-01-02', ends_at => '2200-01-01'",
                "INVALID_WINDOW",
            ),
            (
                "'acme', 'hook', '* * * * *', ends_at => '2020-01-01'",
                "INVALID_WINDOW",
            ),
            (
                "'acme', 'hook', '* * * * *', starts_at => 'infinity'",
                "INVALID_WINDOW",
            ),
            (
                "'acme', 'hook', '0 0 1 1 *', starts_at => '2090-01-02', ends_at => '2090-12-31'",
                "NEVER_FIRES",
            ),
            (
                "'acme', 'hook', '* * * * *', input => to_jsonb(repeat('x', 262143))",
                "INPUT_TOO_LARGE",
            ),
            (
                "'acme', 'hook', '* * * * *', catchup_policy => 'some'",
                "INVALID_ARGUMENT",
            ),
            (
                "'acme', 'hook', '* * * * *', catchup_policy => null",
                "NULL_ARGUMENT",
            ),
            (
                "'acme', 'hook', '* * * * *', catchup_window => '-1 s'",
                "INVALID_ARGUMENT",
            ),
            (
                "'acme', 'hook', '* * * * *', catchup_window => '2 years'",
                "INVALID_ARGUMENT",
            ),
            (
                "'acme', 'hook', '* * * * *', idempotency_key => ''",
                "INVALID_ARGUMENT",
            ),
            (
                "'acme', 'hook', '* * * * *', idempotency_key => repeat('k', 201)",
                "INVALID_ARGUMENT",
            ),
        ];
        for (arguments, code) in cases {
            assert_code(&format!("select kronos.create_cron_job({arguments})"), code);
        }
        for table in [
            "kronos.jobs",
            "kronos.schedules",
            "kronos.alarms",
            "cron.job",
        ] {
            assert_eq!(
                count(&format!("select count(*) from {table}")),
                0,
                "{table}"
            );
        }
    }

    #[pg_test]
    fn input_of_just_the_limit_is_taken() {
        make_acme();
        run(
            "select kronos.create_cron_job('acme', 'hook', '* * * * *', input => to_jsonb(repeat('x', 262142)))",
        );
    }

    #[pg_test]
    fn malformed_cron_names_the_field_and_the_text() {
        make_acme();
        let told = assert_code(
            "select kronos.create_cron_job('acme', 'hook', '* 5,24 * * *')",
            "INVALID_CRON",
        );
        assert_eq!(told.detail["field"], "hour");
        assert_eq!(told.detail["text"], "24");
        assert_eq!(told.detail["allowed"], "0 to 23");
    }

    #[pg_test]
    fn bad_arguments_of_workspace_and_endpoint_are_refused() {
        make_acme();
        assert_code("select kronos.create_workspace(null)", "NULL_ARGUMENT");
        assert_code("select kronos.create_workspace('')", "INVALID_ARGUMENT");
        assert_code("select kronos.create_workspace('acme')", "WORKSPACE_EXISTS");
        assert_code(
            "select kronos.create_endpoint('acme', 'hook', 'HTTP', '{}')",
            "ENDPOINT_EXISTS",
        );
        assert_code(
            "select kronos.create_endpoint('acme', null, 'HTTP', '{}')",
            "NULL_ARGUMENT",
        );
        assert_code(
            "select kronos.create_endpoint('acme', 'x', '', '{}')",
            "INVALID_ARGUMENT",
        );
        assert_code(
            "select kronos.create_endpoint('acme', 'x', 'HTTP', '[]')",
            "INVALID_ARGUMENT",
        );
        assert_code(
            "select kronos.create_endpoint('nowhere', 'x', 'HTTP', '{}')",
            "WORKSPACE_NOT_FOUND",
        );
    }

    #[pg_test]
    fn job_of_another_workspace_is_not_found() {
        make_acme();
        run("select kronos.create_workspace('other')");
        let job_id =
            text("select job_id::text from kronos.create_cron_job('acme', 'hook', '* * * * *')");
        for call in [
            "update_cron_job",
            "cancel_cron_job",
            "get_job",
            "job_versions",
        ] {
            assert_code(
                &format!("select kronos.{call}('other', '{job_id}')"),
                "JOB_NOT_FOUND",
            );
            assert_code(
                &format!("select kronos.{call}('acme', kronos.uuid_v7())"),
                "JOB_NOT_FOUND",
            );
            assert_code(
                &format!("select kronos.{call}('nowhere', '{job_id}')"),
                "WORKSPACE_NOT_FOUND",
            );
            assert_code(
                &format!("select kronos.{call}('acme', null)"),
                "NULL_ARGUMENT",
            );
        }
    }

    #[pg_test]
    fn every_name_of_utc_is_the_same_schedule() {
        make_acme();
        for zone in ["UTC", "gmt", "Etc/UTC", "Etc/GMT"] {
            run(&format!(
                "select kronos.create_cron_job('acme', 'hook', '* * * * *', timezone => '{zone}')"
            ));
        }
        assert_eq!(
            text("select string_agg(timezone, ',') from kronos.schedules"),
            "UTC"
        );
    }
}
