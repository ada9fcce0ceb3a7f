#[pgrx::pg_schema]
mod tests {
    use crate::in_server::factory::{
        age_jobs, insert_dropped_ticks, insert_skipped_ticks, set_window,
    };
    use crate::in_server::{assert_code, count, create, create_acme, run, text};
    use pgrx::prelude::*;

    /// Backfills job `report`, and returns each tick with its action; `-` marks a tick without an execution.
    fn backfill(arguments: &str) -> String {
        text(&format!(
            "select string_agg(concat_ws(' ', to_char(tick_at at time zone 'UTC', 'DD HH24:MI'), action,
                                         case when execution_id is null then '-' end), ', ' order by tick_at)
             from kronos.backfill_cron_job(job_name => 'report', {arguments})"
        ))
    }

    #[pg_test]
    fn backfill_runs_each_past_tick_once() {
        create_acme();
        create("'0 9 * * *', name => 'report', overlap_policy => 'skip'");
        let range = "tick_from => '2026-01-01 09:00+00', tick_before => '2026-01-03 09:00+00'";
        assert_eq!(
            backfill(&format!("{range}, dry_run => true")),
            "01 09:00 CREATE -, 02 09:00 CREATE -"
        );
        assert_eq!(count("select count(*) from kronos.executions"), 0);
        assert_eq!(backfill(range), "01 09:00 CREATE, 02 09:00 CREATE");
        assert_eq!(
            backfill("tick_from => '2026-01-02', tick_before => '2026-01-03 10:00+00'"),
            "02 09:00 EXISTS, 03 09:00 CREATE"
        );
        let queued = "select count(*) from kronos.execution_details
                       where origin = 'BACKFILL' and status = 'QUEUED' and run_at > now() - interval '1 minute'";
        assert_eq!(count(queued), 3);
        let ledger =
            "select count(*) from kronos.list_ticks(job_name => 'report', outcome => 'RUN')";
        assert_eq!(count(ledger), 3);
    }

    #[pg_test]
    fn backfill_does_not_run_a_skipped_tick() {
        create_acme();
        let job_id = create("'0 9 * * *', name => 'report'");
        insert_skipped_ticks(&job_id, "'2026-01-01 09:00+00'");
        assert_eq!(
            backfill("tick_from => '2026-01-01', tick_before => '2026-01-03'"),
            "01 09:00 EXISTS -, 02 09:00 CREATE"
        );
    }

    #[pg_test]
    fn backfill_respects_the_window_and_runs_a_paused_job() {
        create_acme();
        create("'0 9 * * *', name => 'report', starts_at => '2026-01-02', ends_at => '2100-01-01'");
        run("select kronos.pause_cron_job(job_name => 'report')");
        assert_eq!(
            backfill("tick_from => '2026-01-01', tick_before => '2026-01-04'"),
            "02 09:00 CREATE, 03 09:00 CREATE"
        );
        // After its end a job stays live until upkeep retires it.
        set_window("'2026-01-02'", "'2026-01-06 09:00+00'");
        assert_eq!(
            backfill("tick_from => '2026-01-03', tick_before => '2026-01-10'"),
            "03 09:00 EXISTS, 04 09:00 CREATE, 05 09:00 CREATE"
        );
    }

    #[pg_test]
    fn backfill_stops_where_the_ledger_has_been_pruned() {
        create_acme();
        let job_id = create("'0 9 * * *', name => 'report'");
        run(&format!(
            "update kronos_internal.jobs set ledger_from = '2026-01-02 09:00+00' where job_id = '{job_id}'"
        ));
        assert_eq!(
            backfill("tick_from => '2026-01-01', tick_before => '2026-01-04'"),
            "02 09:00 CREATE, 03 09:00 CREATE"
        );
    }

    /// prune() goes by the time at which a ledger row was recorded, not by its tick.
    #[pg_test]
    fn backfilled_old_ticks_survive_prune() {
        create_acme();
        let job_id = create("'0 9 * * *', name => 'report'");
        age_jobs("now() - interval '1 year'");
        let range = "tick_from => '2026-01-01', tick_before => '2026-01-03'";
        assert_eq!(backfill(range), "01 09:00 CREATE, 02 09:00 CREATE");
        insert_skipped_ticks(&job_id, "'2025-12-01 09:00+00'");
        for (tick_at, recorded_at) in [
            ("2025-12-01", "now() - interval '60 days'"),
            ("2025-12-02", "now() - interval '1 day'"),
        ] {
            insert_dropped_ticks(&job_id, (tick_at, tick_at), recorded_at);
        }
        assert_eq!(count("select ticks from kronos.prune()"), 2);
        assert_eq!(
            backfill(&range.replace("2026-01-01", "2025-12-01")),
            "01 09:00 EXISTS, 02 09:00 EXISTS",
            "older ticks are before the ledger_from"
        );
        assert_eq!(
            text("select string_agg(outcome, ' ' order by tick_at) from kronos.ticks"),
            "DROPPED RUN RUN"
        );
    }

    #[pg_test]
    fn backfill_refuses_too_many_ticks_and_ranges_not_in_the_past() {
        create_acme();
        create("'* * * * *', name => 'poll'");
        let call =
            |range: &str| format!("select kronos.backfill_cron_job(job_name => 'poll', {range})");
        for range in [
            "tick_from => '2026-01-02', tick_before => '2026-01-01'",
            "tick_from => '2026-01-01', tick_before => '2026-01-01'",
            "tick_from => '2026-01-01', tick_before => now() + interval '1 minute'",
            "tick_from => '2026-01-01', tick_before => 'infinity'",
            "tick_from => '-infinity', tick_before => '2026-01-01'",
            "tick_from => '4714-11-24 00:00:00+00 BC', tick_before => '2026-01-01'",
        ] {
            assert_code(&call(range), "INVALID_ARGUMENT");
        }
        assert_code(&call("tick_from => null"), "NULL_ARGUMENT");
        assert_code(
            &call("tick_from => '2026-01-01', tick_before => null"),
            "NULL_ARGUMENT",
        );
        assert_code(
            &call("tick_from => '2026-01-01', tick_before => '2026-01-08'"),
            "TOO_MANY_TICKS",
        );
        assert_eq!(count("select count(*) from kronos.executions"), 0);
        let most = "tick_from => '2026-01-01', tick_before => '2026-01-01'::timestamptz + interval '10000 minutes'";
        run(&call(most));
        assert_eq!(count("select count(*) from kronos.executions"), 10_000);
    }
}
