#[pgrx::pg_schema]
mod tests {
    use crate::in_server::{assert_code, count, create, make_acme, run, text};
    use pgrx::prelude::*;

    #[pg_test]
    fn create_returns_the_row_it_made() {
        make_acme();
        let row = text(
            "select concat_ws('|', version, status, trigger, cron, timezone, input, starts_at is null, ends_at)
             from kronos.create_cron_job('acme', 'hook', ' 0  9 * * MON-Fri ', input => '{\"a\": 1}',
                                         starts_at => '-infinity', ends_at => '2200-01-01 00:00:00+00')",
        );
        assert_eq!(
            row,
            "1|ACTIVE|CRON|0 9 * * mon-fri|UTC|{\"a\": 1}|t|2200-01-01 00:00:00+00"
        );
    }

    #[pg_test]
    fn same_idempotency_key_returns_the_job_made_first() {
        make_acme();
        let arguments =
            "'0 9 * * *', input => '{}', starts_at => '-infinity', idempotency_key => 'k'";
        let first = create(arguments);
        assert_eq!(create(arguments), first);
        assert_eq!(
            create("'0 9  * * *', idempotency_key => 'k'"),
            first,
            "the same, said otherwise"
        );
        assert_eq!(count("select count(*) from kronos.jobs"), 1);

        // Also after the job has moved on.
        run(&format!(
            "select kronos.update_cron_job('acme', '{first}', '5 5 * * *')"
        ));
        assert_eq!(create(arguments), first);
        assert_eq!(count("select count(*) from kronos.jobs"), 2);
    }

    #[pg_test]
    fn same_idempotency_key_with_other_arguments_is_an_error_that_names_them() {
        make_acme();
        let first = create("'0 9 * * *', idempotency_key => 'k'");
        for (arguments, differing) in [
            ("'0 8 * * *'", "cron"),
            ("'0 9 * * *', input => '{\"a\": 1}'", "input"),
            ("'0 9 * * *', starts_at => '2100-01-01'", "starts_at"),
            ("'0 9 * * *', ends_at => '2100-01-01'", "ends_at"),
            ("'0 9 * * *', catchup_policy => 'all'", "catchup_policy"),
            ("'0 9 * * *', catchup_window => '2 hours'", "catchup_window"),
        ] {
            let statement = format!(
                "select kronos.create_cron_job('acme', 'hook', {arguments}, idempotency_key => 'k')"
            );
            let told = assert_code(&statement, "IDEMPOTENCY_CONFLICT");
            assert_eq!(told.detail["differing"][0], differing);
            assert_eq!(told.detail["job_id"], first);
        }
        run("select kronos.create_endpoint('acme', 'hook2', 'HTTP')");
        run("select kronos.create_cron_job('acme', 'hook2', '0 8 * * *', idempotency_key => 'k')");
    }

    #[pg_test]
    fn update_retires_the_old_version_and_links_both() {
        make_acme();
        let first = create("'0 9 * * *', input => '{\"a\": 1}', ends_at => '2200-01-01'");
        let second = text(&format!(
            "select job_id::text from kronos.update_cron_job('acme', '{first}', '0 10 * * *')"
        ));
        assert_ne!(first, second);
        let old = text(&format!("select concat_ws('|', status, retired_reason, replaced_by_id, schedule_id is null, version)
                                 from kronos.get_job('acme', '{first}')"));
        assert_eq!(old, format!("RETIRED|REPLACED|{second}|t|1"));
        let new = text(&format!("select concat_ws('|', status, previous_version_id, lineage_id, version, cron, input, ends_at is not null)
                                 from kronos.get_job('acme', '{second}')"));
        assert_eq!(
            new,
            format!("ACTIVE|{first}|{first}|2|0 10 * * *|{{\"a\": 1}}|t"),
            "what is not given is kept"
        );
        let versions = format!(
            "select string_agg(version || ' ' || job_id, ',') from kronos.job_versions('acme', '{first}')"
        );
        assert_eq!(text(&versions), format!("1 {first},2 {second}"));
        assert_eq!(
            text("select string_agg(cron, ',') from kronos.schedules"),
            "0 10 * * *"
        );
    }

    #[pg_test]
    fn update_with_infinity_clears_the_window() {
        make_acme();
        let first = create("'0 9 * * *', starts_at => '2100-01-01', ends_at => '2200-01-01'");
        let row = text(&format!(
            "select concat_ws('|', starts_at is null, ends_at is null)
             from kronos.update_cron_job('acme', '{first}', starts_at => '-infinity', ends_at => 'infinity')"
        ));
        assert_eq!(row, "t|t");
    }

    #[pg_test]
    fn update_with_a_wrong_expected_version_names_the_current_one() {
        make_acme();
        let first = create("'0 9 * * *'");
        let statement =
            format!("select kronos.update_cron_job('acme', '{first}', expected_version => 3)");
        let told = assert_code(&statement, "VERSION_CONFLICT");
        assert_eq!(told.detail["current_version"], 1);
        run(&format!(
            "select kronos.update_cron_job('acme', '{first}', expected_version => 1)"
        ));
    }

    #[pg_test]
    fn bad_update_leaves_the_job_alone() {
        make_acme();
        let first = create("'0 9 * * *', starts_at => '2100-01-01'");
        for (arguments, code) in [
            ("'0 0 30 2 *'", "NEVER_FIRES"),
            ("'x'", "INVALID_CRON"),
            ("timezone => 'Europe/Nowhere'", "INVALID_TIMEZONE"),
            ("ends_at => '2099-01-01'", "INVALID_WINDOW"),
            ("input => to_jsonb(repeat('x', 262143))", "INPUT_TOO_LARGE"),
        ] {
            assert_code(
                &format!("select kronos.update_cron_job('acme', '{first}', {arguments})"),
                code,
            );
        }
        assert_eq!(
            text(&format!(
                "select status from kronos.get_job('acme', '{first}')"
            )),
            "ACTIVE"
        );
    }

    #[pg_test]
    fn retired_job_tells_since_when_and_why() {
        make_acme();
        let first = create("'0 9 * * *'");
        let second = text(&format!(
            "select job_id::text from kronos.update_cron_job('acme', '{first}')"
        ));
        let replaced = assert_code(
            &format!("select kronos.cancel_cron_job('acme', '{first}')"),
            "JOB_RETIRED",
        );
        assert_eq!(replaced.detail["retired_reason"], "REPLACED");
        assert_eq!(replaced.detail["replaced_by_id"], second);
        assert!(replaced.detail["retired_at"].is_string());

        run(&format!(
            "select kronos.cancel_cron_job('acme', '{second}')"
        ));
        for call in ["update_cron_job", "cancel_cron_job"] {
            let cancelled = assert_code(
                &format!("select kronos.{call}('acme', '{second}')"),
                "JOB_RETIRED",
            );
            assert_eq!(cancelled.detail["retired_reason"], "CANCELLED");
        }
        assert_eq!(count("select count(*) from kronos.schedules"), 0);
        assert_eq!(count("select count(*) from cron.job"), 0);
    }

    #[pg_test]
    fn trigger_runs_a_job_outside_its_schedule_once_per_key() {
        make_acme();
        let job_id = create("'0 9 * * *'");
        let trigger = |job_id: &str, key: &str| {
            text(&format!(
                "select concat_ws('|', execution_id, status, tick_at is null, run_at <= clock_timestamp())
                 from kronos.trigger_cron_job('acme', '{job_id}', {key})"
            ))
        };
        let first = trigger(&job_id, "'k'");
        assert!(first.ends_with("|QUEUED|t|t"), "{first}");
        assert_eq!(trigger(&job_id, "'k'"), first);
        assert_ne!(trigger(&job_id, "'l'"), first);
        assert_ne!(trigger(&job_id, "null"), trigger(&job_id, "null"));
        let next = text(&format!(
            "select job_id::text from kronos.update_cron_job('acme', '{job_id}')"
        ));
        assert_eq!(trigger(&next, "'k'"), first, "also for the next version");
        run(&format!("select kronos.pause_cron_job('acme', '{next}')"));
        trigger(&next, "'while paused'");
        assert_eq!(count("select count(*) from kronos.executions"), 5);
        assert_eq!(count("select count(*) from kronos.check()"), 0);

        assert_code(
            &format!("select kronos.trigger_cron_job('acme', '{job_id}')"),
            "JOB_RETIRED",
        );
        assert_code(
            &format!("select kronos.trigger_cron_job('acme', '{next}', '')"),
            "INVALID_ARGUMENT",
        );
        assert_code(
            "select kronos.trigger_cron_job('acme', null)",
            "NULL_ARGUMENT",
        );
    }

    #[pg_test]
    fn schedules_share_alarms_up_to_the_limit() {
        make_acme();
        create("'0 9 * * *'");
        create("'0 9 * * *'");
        create("'* * * * *'");
        assert_eq!(count("select count(*) from kronos.schedules"), 2);
        assert_eq!(count("select count(*) from cron.job"), 2);
        run(
            "select kronos.create_cron_job('acme', 'hook', format('%s 10 * * *', n % 60)) from generate_series(0, 59) n",
        );
        run(
            "select kronos.create_cron_job('acme', 'hook', format('%s 11 * * *', n % 60)) from generate_series(0, 59) n",
        );
        assert_eq!(count("select count(*) from kronos.schedules"), 122);
        assert_eq!(
            count("select count(*) from cron.job"),
            101,
            "100 of their own, and the catch-all"
        );
        assert_eq!(count("select count(*) from kronos.check()"), 0);
        run("select kronos.cancel_cron_job('acme', job_id) from kronos.jobs");
        assert_eq!(count("select count(*) from cron.job"), 0);
    }
}
