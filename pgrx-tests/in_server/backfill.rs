#[pgrx::pg_schema]
mod tests {
    use crate::in_server::{assert_code, count, make_acme, run, text};
    use pgrx::prelude::*;

    fn backfill(arguments: &str) -> String {
        text(&format!(
            "select string_agg(concat_ws(' ', to_char(tick_at at time zone 'UTC', 'DD HH24:MI'), action,
                                         case when execution_id is null then '-' end), ', ' order by tick_at)
             from kronos.backfill_cron_job('acme', {arguments})"
        ))
    }

    #[pg_test]
    fn backfill_runs_each_past_tick_once() {
        make_acme();
        run(
            "select kronos.create_cron_job('acme', 'hook', '0 9 * * *', name => 'report', overlap_policy => 'skip')",
        );
        let range = "job_name => 'report', from_at => '2026-01-01 09:00+00', to_at => '2026-01-03 09:00+00'";
        assert_eq!(
            backfill(&format!("{range}, dry_run => true")),
            "01 09:00 CREATE -, 02 09:00 CREATE -"
        );
        assert_eq!(count("select count(*) from kronos.executions"), 0);
        assert_eq!(backfill(range), "01 09:00 CREATE, 02 09:00 CREATE");
        assert_eq!(
            backfill(
                "job_name => 'report', from_at => '2026-01-02', to_at => '2026-01-03 10:00+00'"
            ),
            "02 09:00 EXISTS, 03 09:00 CREATE"
        );
        let rightly = "select count(*) from kronos.executions
                       where origin = 'BACKFILL' and status = 'QUEUED' and run_at > now() - interval '1 minute'";
        assert_eq!(count(rightly), 3);
        assert_eq!(count("select count(*) from kronos.check()"), 0);
    }

    #[pg_test]
    fn backfill_keeps_to_the_jobs_window_and_runs_a_paused_job() {
        make_acme();
        run(
            "select kronos.create_cron_job('acme', 'hook', '0 9 * * *', name => 'report', starts_at => '2026-01-02')",
        );
        run("select kronos.pause_cron_job('acme', job_name => 'report')");
        assert_eq!(
            backfill("job_name => 'report', from_at => '2026-01-01', to_at => '2026-01-04'"),
            "02 09:00 CREATE, 03 09:00 CREATE"
        );
        assert_eq!(count("select count(*) from kronos.check()"), 0);
    }

    #[pg_test]
    fn backfill_is_bounded_and_refuses_what_is_no_past_range() {
        make_acme();
        run("select kronos.create_cron_job('acme', 'hook', '* * * * *', name => 'poll')");
        let call = |range: &str| {
            format!("select kronos.backfill_cron_job('acme', job_name => 'poll', {range})")
        };
        for range in [
            "from_at => '2026-01-02', to_at => '2026-01-01'",
            "from_at => '2026-01-01', to_at => '2026-01-01'",
            "from_at => '2026-01-01', to_at => now() + interval '1 minute'",
            "from_at => '2026-01-01', to_at => 'infinity'",
            "from_at => '-infinity', to_at => '2026-01-01'",
        ] {
            assert_code(&call(range), "INVALID_ARGUMENT");
        }
        assert_code(&call("from_at => null"), "NULL_ARGUMENT");
        assert_code(
            &call("from_at => '2026-01-01', to_at => '2026-01-08'"),
            "TOO_MANY_TICKS",
        );
        assert_eq!(count("select count(*) from kronos.executions"), 0);
        let most = "from_at => '2026-01-01', to_at => '2026-01-01'::timestamptz + interval '10000 minutes'";
        run(&call(most));
        assert_eq!(count("select count(*) from kronos.executions"), 10_000);
    }
}
