#[pgrx::pg_schema]
mod tests {
    use crate::in_server::factory::{age_ended, age_keys};
    use crate::in_server::{assert_code, count, create, create_acme, run, text};
    use pgrx::prelude::*;

    fn entries() -> i64 {
        count("select count(*) from cron.job where jobname like 'kronos schedule %'")
    }

    #[pg_test]
    fn create_returns_the_created_job() {
        create_acme();
        let row = text(
            "select concat_ws('|', job_name, version, status, cron, timezone, next_tick_at, created)
             from kronos.create_cron_job('hook', ' 0  9 * * MON-Fri ', name => 'report', starts_at => '2090-01-02 09:00+00')",
        );
        assert_eq!(
            row,
            "report|1|ACTIVE|0 9 * * mon-fri|UTC|2090-01-02 09:00:00+00|t"
        );
        let row = text(
            "select concat_ws('|', j.version, j.status, endpoint, input, metadata, priority, starts_at is null, ends_at,
                                   catchup_policy, catchup_window, overlap_policy, jitter)
             from kronos.create_cron_job('hook', '0 9 * * *', name => 'other', input => '{\"a\": 1}', starts_at => '-infinity',
                                         ends_at => '2100-01-01 00:00:00+00', metadata => '{\"b\": 2}') c, kronos.get_job(c.job_id) j",
        );
        assert_eq!(
            row,
            "1|ACTIVE|hook|{\"a\": 1}|{\"b\": 2}|5|t|2100-01-01 00:00:00+00|last|01:00:00|allow|00:00:00"
        );
    }

    #[pg_test]
    fn same_idempotency_key_returns_the_first_job() {
        create_acme();
        let arguments = "'0 9 * * *', input => '{\"n\": 1.0}', starts_at => '-infinity', idempotency_key => 'k'";
        let first = create(arguments);
        assert_eq!(create(arguments), first);
        assert_eq!(
            create("'0 9  * * *', input => '{\"n\": 1.00}', idempotency_key => 'k'"),
            first,
            "the same request, written differently"
        );
        let created =
            format!("select created::text from kronos.create_cron_job('hook', {arguments})");
        assert_eq!(text(&created), "false");
        let listed = r#"[{"endpoint": "hook", "cron": "0 9 * * *", "input": {"n": 1}, "idempotency_key": "k"}]"#;
        let repeated = text(&format!(
            "select string_agg(job_id || ' ' || created, ',') from kronos.create_cron_jobs('{listed}')"
        ));
        assert_eq!(repeated, format!("{first} false"));
        assert_eq!(count("select count(*) from kronos.jobs"), 1);

        // Also after an update of the job.
        run(&format!(
            "select kronos.update_cron_job('{first}', cron => '5 5 * * *')"
        ));
        assert_eq!(create(arguments), first);
        let row = text(&format!(
            "select concat_ws(' ', version, cron, created) from kronos.create_cron_job('hook', {arguments})"
        ));
        assert_eq!(row, "2 5 5 * * * f");
    }

    #[pg_test]
    fn same_idempotency_key_for_another_request_names_the_differences() {
        create_acme();
        run("select kronos.create_endpoint('hook2', 'HTTP')");
        create("'0 9 * * *', idempotency_key => 'k'");
        let error = assert_code(
            "select kronos.create_cron_job('hook2', '0 8 * * *', timezone => 'Europe/Berlin', input => '[]', ends_at => '2100-01-01',
                 name => 'n', starts_at => '2026-01-01', catchup_policy => 'all', catchup_window => '0', overlap_policy => 'skip',
                 jitter => '1 s', priority => 1, metadata => '{\"a\": 1}', idempotency_key => 'k')",
            "IDEMPOTENCY_CONFLICT",
        );
        assert_eq!(
            error.detail["differing"],
            serde_json::json!([
                "endpoint",
                "cron",
                "input",
                "name",
                "timezone",
                "starts_at",
                "ends_at",
                "catchup_policy",
                "catchup_window",
                "overlap_policy",
                "jitter",
                "priority",
                "metadata"
            ])
        );
        create("'0 8 * * *', idempotency_key => 'another'");
    }

    #[pg_test]
    fn repeated_request_for_a_retired_job_fails() {
        create_acme();
        let arguments = "'0 9 * * *', idempotency_key => 'k'";
        let job_id = create(arguments);
        run(&format!("select kronos.cancel_cron_job('{job_id}')"));
        let error = assert_code(
            &format!("select kronos.create_cron_job('hook', {arguments})"),
            "JOB_RETIRED",
        );
        assert_eq!(error.detail["job_id"], job_id);
        let listed = r#"[{"endpoint": "hook", "cron": "0 9 * * *", "idempotency_key": "k"}]"#;
        assert_code(
            &format!("select kronos.create_cron_jobs('{listed}')"),
            "JOB_RETIRED",
        );
    }

    #[pg_test]
    fn idempotency_key_of_a_job_lasts_until_the_job_is_pruned() {
        create_acme();
        let call = "select job_id::text from kronos.create_cron_job('hook', '0 9 * * *', idempotency_key => 'k')";
        let job_id = text(call);
        // Pretend that ten years have passed.
        age_keys("10 years");
        run("select kronos.prune()");
        assert_eq!(text(call), job_id);
        run(&format!("select kronos.cancel_cron_job('{job_id}')"));
        assert_code(call, "JOB_RETIRED");
        age_ended(730);
        run("select kronos.prune()");
        assert_eq!(
            count("select count(*) from kronos_internal.idempotency_keys"),
            0
        );
        assert_ne!(text(call), job_id);
    }

    #[pg_test]
    fn view_of_jobs_shows_a_job_whose_zone_the_server_no_longer_knows() {
        create_acme();
        let job_id = create("'0 9 * * *'");
        create("'0 9 * * *', timezone => 'Europe/Berlin'");
        run(&format!(
            "update kronos_internal.jobs set timezone = 'Europe/Atlantis' where job_id = '{job_id}'"
        ));
        assert_eq!(
            count("select count(*) from kronos.jobs where next_tick_at is null"),
            1
        );
        assert_eq!(count("select count(*) from kronos.list_jobs()"), 2);
    }

    #[pg_test]
    fn if_not_exists_returns_a_live_job_of_that_name_unchanged() {
        create_acme();
        let job_id = create("'0 9 * * *', name => 'report'");
        let create_if_missing = |arguments: &str| {
            text(&format!(
                "select concat_ws(' ', job_id, version, cron, next_tick_at is not null, created)
                 from kronos.create_cron_job('hook', {arguments}, name => 'report', if_not_exists => true)"
            ))
        };
        assert_eq!(
            create_if_missing("'0 10 * * *'"),
            format!("{job_id} 1 0 9 * * * t f")
        );
        run(&format!("select kronos.pause_cron_job('{job_id}')"));
        assert_eq!(
            create_if_missing("'0 10 * * *'"),
            format!("{job_id} 1 0 9 * * * f f")
        );
        run(&format!("select kronos.cancel_cron_job('{job_id}')"));
        let next = create_if_missing("'0 10 * * *'");
        assert!(
            !next.starts_with(&job_id) && next.ends_with(" 1 0 10 * * * t t"),
            "{next}"
        );
    }

    #[pg_test]
    fn listed_jobs_are_created_and_returned_in_order() {
        create_acme();
        let existing = create("'0 9 * * *', name => 'existing'");
        let rows = text(
            r#"select string_agg(concat_ws(' ', job_name, cron, timezone, status, version, created, next_tick_at is not null,
                                           (job_id = (kronos.get_job(job_name => job_name)).job_id)), ', ')
               from kronos.create_cron_jobs('[
                   {"endpoint": "hook", "cron": "1 9 * * *", "name": "c", "timezone": "europe/berlin", "jitter": "1 minute"},
                   {"endpoint": "hook", "cron": "7 7 * * *", "name": "existing", "if_not_exists": true},
                   {"endpoint": "hook", "cron": "1 9 * * *", "name": "a", "timezone": "Europe/Berlin", "input": {"x": 1}},
                   {"endpoint": "hook", "cron": "0 9 * * *", "name": "b"}]')"#,
        );
        assert_eq!(
            rows,
            "c 1 9 * * * Europe/Berlin ACTIVE 1 t t t, existing 0 9 * * * UTC ACTIVE 1 f t t, \
             a 1 9 * * * Europe/Berlin ACTIVE 1 t t t, b 0 9 * * * UTC ACTIVE 1 t t t"
        );
        assert_eq!(count("select count(*) from kronos_internal.schedules"), 2);
        assert_eq!(
            count("select count(*) from kronos.create_cron_jobs('[]')"),
            0
        );
        assert_eq!(
            text("select input::text from kronos.get_job(job_name => 'a')"),
            "{\"x\": 1}"
        );
        assert_eq!(
            text(&format!("select cron from kronos.get_job('{existing}')")),
            "0 9 * * *"
        );
    }

    #[pg_test]
    fn list_with_an_invalid_job_creates_none_and_names_it() {
        create_acme();
        create("'0 9 * * *', name => 'taken'");
        let good = r#"{"endpoint": "hook", "cron": "1 9 * * *", "name": "good"}"#;
        for (bad, code) in [
            (r#"{"endpoint": "hook", "cron": "1 9 * *"}"#, "INVALID_CRON"),
            (
                r#"{"endpoint": "nowhere", "cron": "1 9 * * *"}"#,
                "ENDPOINT_NOT_FOUND",
            ),
            (
                r#"{"endpoint": "hook", "cron": "1 9 * * *", "name": "taken"}"#,
                "JOB_EXISTS",
            ),
            (
                r#"{"endpoint": "hook", "cron": "0 0 30 2 *"}"#,
                "NEVER_FIRES",
            ),
            (
                r#"{"endpoint": "hook", "cron": "1 9 * * *", "name": "good"}"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"{"endpoint": "hook", "cron": "1 9 * * *", "if_not_exists": true}"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"{"endpoint": "hook", "cron": "1 9 * * *", "limit": 1}"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"{"endpoint": "hook", "cron": "1 9 * * *", "metadata": []}"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"{"endpoint": "hook", "cron": "1 9 * * *", "ends_at": "2020-01-01T00:00:00Z"}"#,
                "INVALID_WINDOW",
            ),
        ] {
            let error = assert_code(
                &format!("select kronos.create_cron_jobs('[{good}, {bad}]')"),
                code,
            );
            assert_eq!(error.detail["place"], 1, "{bad}");
        }
        assert_code("select kronos.create_cron_jobs(null)", "NULL_ARGUMENT");
        assert_code("select kronos.create_cron_jobs('{}')", "INVALID_ARGUMENT");
        let many = "select kronos.create_cron_jobs((select jsonb_agg(n) from generate_series(1, 10001) n))";
        assert_code(many, "INVALID_ARGUMENT");
        assert_eq!(count("select count(*) from kronos.jobs"), 1);
    }

    #[pg_test]
    fn update_keeps_the_id_and_archives_the_version() {
        create_acme();
        let job_id = create("'0 9 * * *', input => '{\"a\": 1}', ends_at => '2100-01-01'");
        let updated = text(&format!(
            "select concat_ws('|', job_id, status, version, cron, input, ends_at is not null)
             from kronos.update_cron_job('{job_id}', cron => '0 10 * * *')"
        ));
        assert_eq!(
            updated,
            format!("{job_id}|ACTIVE|2|0 10 * * *|{{\"a\": 1}}|t"),
            "arguments left out keep their values"
        );
        run(&format!(
            "select kronos.update_cron_job('{job_id}', input => '{{\"a\": 2}}', priority => 1, metadata => '{{\"b\": 1}}')"
        ));
        let versions = text(&format!(
            "select string_agg(concat_ws(' ', version, cron, input, priority, metadata, ended_at is null), ', ')
             from kronos.list_job_versions('{job_id}')"
        ));
        assert_eq!(
            versions,
            "3 0 10 * * * {\"a\": 2} 1 {\"b\": 1} t, 2 0 10 * * * {\"a\": 1} 5 {} f, 1 0 9 * * * {\"a\": 1} 5 {} f"
        );
        let seamless = format!(
            "select count(*) from kronos.list_job_versions('{job_id}') a join kronos.list_job_versions('{job_id}') b
                 on b.version = a.version + 1 and b.began_at = a.ended_at"
        );
        assert_eq!(count(&seamless), 2);
        assert_eq!(
            text("select string_agg(cron, ',') from kronos_internal.schedules"),
            "0 10 * * *"
        );
        let rest = format!(
            "select string_agg(version::text, ',') from kronos.list_job_versions('{job_id}', after => 3)"
        );
        assert_eq!(text(&rest), "2,1");
    }

    #[pg_test]
    fn update_to_another_endpoint_changes_the_type_of_later_executions() {
        create_acme();
        run("select kronos.create_endpoint('queue', 'SQS')");
        let job_id = create("'0 9 * * *'");
        run(&format!(
            "select kronos.update_cron_job('{job_id}', endpoint => 'queue')"
        ));
        run(&format!("select kronos.trigger_cron_job('{job_id}')"));
        assert_eq!(
            text("select endpoint || ' ' || endpoint_type from kronos.execution_details"),
            "queue SQS"
        );
    }

    #[pg_test]
    fn updated_job_has_only_later_ticks() {
        create_acme();
        let job_id = create("'0 9 * * *'");
        let active_since = format!(
            "select active_since::text from kronos_internal.jobs where job_id = '{job_id}'"
        );
        for change in [
            "priority => 1",
            "cron => '0 10 * * *'",
            "timezone => 'Europe/Berlin'",
        ] {
            let before = text(&active_since);
            run(&format!(
                "select kronos.update_cron_job('{job_id}', {change})"
            ));
            assert_ne!(text(&active_since), before, "{change}");
        }
    }

    #[pg_test]
    fn update_with_infinity_clears_the_window() {
        create_acme();
        let job_id = create("'0 9 * * *', starts_at => '2090-01-01', ends_at => '2100-01-01'");
        let row = text(&format!(
            "select concat_ws('|', starts_at is null, ends_at is null)
             from kronos.update_cron_job('{job_id}', starts_at => '-infinity', ends_at => 'infinity')"
        ));
        assert_eq!(row, "t|t");
    }

    #[pg_test]
    fn update_works_while_constraints_are_immediate() {
        create_acme();
        let job_id = create("'0 9 * * *'");
        run("set constraints all immediate");
        run(&format!(
            "select kronos.update_cron_job('{job_id}', cron => '0 10 * * *')"
        ));
        run(&format!("select kronos.pause_cron_job('{job_id}')"));
        run(&format!("select kronos.resume_cron_job('{job_id}')"));
        run(&format!("select kronos.cancel_cron_job('{job_id}')"));
    }

    #[pg_test]
    fn window_includes_its_start_and_excludes_its_end() {
        create_acme();
        let first = |window: &str| {
            text(&format!(
                "select to_char(next_tick_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') from kronos.create_cron_job('hook', '0 9 * * *', {window})"
            ))
        };
        assert_eq!(
            first("starts_at => '2090-01-02 09:00Z'"),
            "2090-01-02 09:00"
        );
        assert_eq!(
            first("starts_at => '2090-01-02 09:00:00.000001Z'"),
            "2090-01-03 09:00"
        );
        assert_eq!(
            first("starts_at => '2090-01-02Z', ends_at => '2090-01-02 09:00:00.000001Z'"),
            "2090-01-02 09:00"
        );
        assert_code(
            "select kronos.create_cron_job('hook', '0 9 * * *', starts_at => '2090-01-02Z', ends_at => '2090-01-02 09:00Z')",
            "NEVER_FIRES",
        );
    }

    #[pg_test]
    fn update_with_a_wrong_expected_version_names_the_current_one() {
        create_acme();
        let job_id = create("'0 9 * * *'");
        let statement = format!("select kronos.update_cron_job('{job_id}', expected_version => 3)");
        let error = assert_code(&statement, "VERSION_CONFLICT");
        assert_eq!(error.detail["current_version"], 1);
        run(&format!(
            "select kronos.update_cron_job('{job_id}', expected_version => 1)"
        ));
        let error = assert_code(&statement.replace("3)", "1)"), "VERSION_CONFLICT");
        assert_eq!(error.detail["current_version"], 2);
    }

    #[pg_test]
    fn invalid_update_leaves_the_job_unchanged() {
        create_acme();
        let job_id = create("'0 9 * * *', starts_at => '2090-01-01'");
        for (arguments, code) in [
            ("cron => '0 0 30 2 *'", "NEVER_FIRES"),
            ("cron => 'x'", "INVALID_CRON"),
            ("timezone => 'Europe/Nowhere'", "INVALID_TIMEZONE"),
            ("ends_at => '2089-01-01'", "INVALID_WINDOW"),
            ("input => to_jsonb(repeat('x', 262143))", "VALUE_TOO_LARGE"),
            ("endpoint => 'nowhere'", "ENDPOINT_NOT_FOUND"),
            ("new_name => ''", "INVALID_ARGUMENT"),
            ("priority => 10", "INVALID_ARGUMENT"),
            ("overlap_policy => 'never'", "INVALID_ARGUMENT"),
            ("catchup_policy => 'never'", "INVALID_ARGUMENT"),
            ("metadata => '1'", "INVALID_ARGUMENT"),
        ] {
            assert_code(
                &format!("select kronos.update_cron_job('{job_id}', {arguments})"),
                code,
            );
        }
        assert_eq!(
            text(&format!(
                "select status || ' ' || version from kronos.get_job('{job_id}')"
            )),
            "ACTIVE 1"
        );
    }

    #[pg_test]
    fn paused_job_can_be_updated_and_stays_paused() {
        create_acme();
        let job_id = create("'0 9 * * *'");
        run(&format!(
            "select kronos.pause_cron_job('{job_id}', reason => 'month-end')"
        ));
        let error = assert_code(
            &format!("select kronos.pause_cron_job('{job_id}')"),
            "JOB_PAUSED",
        );
        assert!(error.detail["paused_at"].is_string());
        let row = text(&format!(
            "select concat_ws('|', status, paused_reason, version, cron, next_tick_at is null)
             from kronos.update_cron_job('{job_id}', cron => '0 10 * * *')"
        ));
        assert_eq!(row, "PAUSED|month-end|2|0 10 * * *|t");
        assert_eq!(entries(), 0);
        run(&format!("select kronos.resume_cron_job('{job_id}')"));
        assert_code(
            &format!("select kronos.resume_cron_job('{job_id}')"),
            "JOB_NOT_PAUSED",
        );
        assert_eq!(entries(), 1);
    }

    #[pg_test]
    fn error_of_a_retired_job_says_when_and_why_it_was_retired() {
        create_acme();
        let job_id = create("'0 9 * * *'");
        run(&format!("select kronos.cancel_cron_job('{job_id}')"));
        for call in [
            "update_cron_job",
            "cancel_cron_job",
            "pause_cron_job",
            "resume_cron_job",
            "trigger_cron_job",
        ] {
            let error = assert_code(&format!("select kronos.{call}('{job_id}')"), "JOB_RETIRED");
            assert_eq!(error.detail["job_id"], job_id);
            assert_eq!(error.detail["retired_reason"], "CANCELLED");
            assert!(error.detail["retired_at"].is_string());
        }
        let backfill =
            format!("select kronos.backfill_cron_job('{job_id}', tick_from => '2026-01-01')");
        assert_code(&backfill, "JOB_RETIRED");
        assert_eq!(count("select count(*) from kronos_internal.schedules"), 0);
        assert_eq!(entries(), 0);
    }

    #[pg_test]
    fn trigger_runs_a_job_outside_its_schedule_once_per_key() {
        create_acme();
        let job_id =
            create("'0 9 * * *', input => '{\"a\": 1}', metadata => '{\"b\": 1}', priority => 2");
        let trigger = |key: &str| {
            text(&format!(
                "select concat_ws('|', execution_id, status, run_at <= clock_timestamp(), created)
                 from kronos.trigger_cron_job('{job_id}', idempotency_key => {key})"
            ))
        };
        let first = trigger("'k'");
        assert!(first.ends_with("|QUEUED|t|t"), "{first}");
        let repeated = first.replace("|t|t", "|t|f");
        assert_eq!(trigger("'k'"), repeated);
        assert_ne!(trigger("'l'").split('|').next(), first.split('|').next());
        assert_ne!(trigger("null"), trigger("null"));
        run(&format!(
            "select kronos.update_cron_job('{job_id}', input => '{{}}')"
        ));
        assert_eq!(trigger("'k'"), repeated, "also after an update");
        run(&format!("select kronos.pause_cron_job('{job_id}')"));
        trigger("'while paused'");
        let executions = text(
            "select string_agg(concat_ws(' ', origin, version, input, metadata, priority, tick_at is null), ', ' order by execution_id)
             from kronos.execution_details",
        );
        let of_version_1 = "TRIGGER 1 {\"a\": 1} {\"b\": 1} 2 t";
        assert_eq!(
            executions,
            format!(
                "{}, TRIGGER 2 {{}} {{\"b\": 1}} 2 t",
                [of_version_1; 4].join(", ")
            )
        );
        let other = create("'0 9 * * *'");
        let created = format!(
            "select created::text from kronos.trigger_cron_job('{other}', idempotency_key => 'k')"
        );
        assert_eq!(text(&created), "true", "keys belong to a job");
        assert_code(
            &format!("select kronos.trigger_cron_job('{job_id}', idempotency_key => '')"),
            "INVALID_ARGUMENT",
        );
    }
}
