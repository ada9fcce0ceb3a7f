#[pgrx::pg_schema]
mod tests {
    use crate::in_server::factory::{age_jobs, set_handled_until};
    use crate::in_server::{count, create_acme, run, text};
    use pgrx::prelude::*;

    /// Creates two jobs whose tick at the start of this year has been written.
    fn create_handled_jobs() {
        create_acme();
        run("select kronos.start()");
        run(
            "select kronos.create_cron_job('hook', '0 0 1 1 *', catchup_policy => 'all', catchup_window => '1 year')
             from generate_series(1, 2)",
        );
        age_jobs("date_trunc('year', now()) - interval '2 days'");
        set_handled_until("date_trunc('year', now()) - interval '1 day'");
        assert_eq!(count("select executions from kronos.run_due()"), 2);
        assert_eq!(
            text("select string_agg(problem, ', ') from kronos.check()"),
            "null"
        );
    }

    /// Each case is an invariant, the problem that check() reports, and the damage that causes it.
    const CASES: [(i32, &str, &str); 30] = [
        (
            1,
            "an active job has no schedule",
            "alter table kronos_internal.jobs drop constraint jobs_active_job_has_schedule;
             update kronos_internal.jobs set schedule_id = null",
        ),
        (
            1,
            "a job and its schedule differ in cron, timezone or workspace",
            "update kronos_internal.jobs set cron = '1 * * * *'",
        ),
        (
            1,
            "a pg_cron entry is missing",
            "select cron.unschedule(jobid) from cron.job where jobname like 'kronos schedule %'",
        ),
        (
            1,
            "a pg_cron entry is missing",
            "select cron.unschedule(jobid) from cron.job where jobname = 'kronos upkeep'",
        ),
        (
            1,
            "a pg_cron entry is altered or inactive, so it does not wake its schedule",
            "select cron.alter_job(jobid, active => false) from cron.job where jobname like 'kronos schedule %'",
        ),
        (
            1,
            "a pg_cron entry is altered or inactive, so it does not wake its schedule",
            "select cron.alter_job(jobid, active => false) from cron.job where jobname = 'kronos upkeep'",
        ),
        (
            1,
            "a pg_cron entry is altered or inactive, so it does not wake its schedule",
            "select cron.alter_job(jobid, schedule => '7 7 7 7 *') from cron.job",
        ),
        (
            1,
            "a pg_cron entry is altered or inactive, so it does not wake its schedule",
            "select cron.alter_job(jobid, command => 'select 1') from cron.job",
        ),
        (
            1,
            "a pg_cron entry is altered or inactive, so it does not wake its schedule",
            "update cron.job set database = 'template1'",
        ),
        (
            1,
            "a pg_cron entry does not cover the ticks of its schedule",
            "update kronos_internal.schedules set entry_cron = '1 1 1 1 *'",
        ),
        (
            1,
            "a pg_cron entry does not cover the ticks of its schedule",
            "update kronos_internal.schedules set timezone = 'Europe/Berlin', cron = '0 9 * * *'",
        ),
        (
            2,
            "a pg_cron entry of Kronos has no schedule",
            "select cron.schedule('kronos schedule 01900000-0000-7000-8000-000000000001', '* * * * *', 'select 1')",
        ),
        (
            2,
            "a pg_cron entry of Kronos has no schedule",
            "select cron.schedule('kronos schedule 01900000-0000-7000-8000-000000000000', '* * * * *', 'select 1')",
        ),
        (
            2,
            "a pg_cron entry of Kronos has no schedule",
            "insert into cron.job (schedule, command, nodename, nodeport, database, username, jobname)
             select schedule, command, nodename, nodeport, database, 'x', jobname from cron.job",
        ),
        (
            2,
            "a schedule has no active job",
            "update kronos_internal.jobs set schedule_id = null, status = 'PAUSED', paused_at = now()",
        ),
        (
            2,
            "a schedule has a pg_cron entry beyond kronos.max_entries",
            "update kronos_internal.schedules set slot = 33",
        ),
        (
            4,
            "a schedule is overdue: no wake-up has handled its tick for five minutes",
            "update kronos_internal.schedules set next_tick_at = now() - interval '6 minutes'",
        ),
        (
            4,
            "the clock was ahead when a schedule was handled: its next tick is wrong until the next wake-up",
            "update kronos_internal.schedules set ticked_until = clock_timestamp() + interval '3 seconds'",
        ),
        (
            4,
            "the clock was ahead when a job became active: it has no ticks until the next wake-up",
            "update kronos_internal.jobs set active_since = clock_timestamp() + interval '3 seconds'",
        ),
        (
            4,
            "the next tick of a schedule does not follow from its rule",
            "update kronos_internal.schedules set next_tick_at = next_tick_at + interval '1 minute'",
        ),
        (
            4,
            "a tick is before the ledger_from of its job",
            "update kronos_internal.jobs set ledger_from = now()",
        ),
        (
            4,
            "a tick that was run has no execution",
            "delete from kronos_internal.live_executions",
        ),
        (
            6,
            "a tick was written after its job was cancelled or paused",
            "update kronos_internal.jobs set status = 'RETIRED', retired_reason = 'CANCELLED', schedule_id = null,
                                             retired_at = now() - interval '1 hour';
             update kronos_internal.ticks set recorded_at = recorded_at",
        ),
        (
            6,
            "a tick was written after its job was cancelled or paused",
            "update kronos_internal.jobs set status = 'PAUSED', schedule_id = null, paused_at = now() - interval '1 hour';
             update kronos_internal.ticks set recorded_at = recorded_at",
        ),
        (
            7,
            "a tick lies outside its job''s window",
            "update kronos_internal.jobs set starts_at = now()",
        ),
        (
            7,
            "a tick lies outside its job''s window",
            "update kronos_internal.jobs set ends_at = date_trunc('year', now())",
        ),
        (
            8,
            "an execution is both unfinished and in history",
            "insert into kronos_internal.history (execution_id, workspace_id, endpoint_id, run_at, created_at, finished_at,
                                                  priority, attempt, failed_attempts, origin, status, endpoint_type)
             select execution_id, workspace_id, endpoint_id, run_at, created_at, now(), priority, attempt, failed_attempts,
                    origin, 'CANCELLED', endpoint_type
             from kronos_internal.live_executions",
        ),
        (
            10,
            "a tick could not be written",
            "insert into kronos_internal.owed (job_id, tick_at, workspace_id, tries, sqlstate, error)
             select job_id, now(), workspace_id, 1, '23514', 'no' from kronos_internal.jobs limit 1",
        ),
        (
            10,
            "a tick could not be written",
            "insert into kronos_internal.owed (job_id, tick_at, workspace_id, tries, sqlstate, error)
             select kronos.uuid_v7(), now(), workspace_id, 1, '23514', 'of a job that is gone' from kronos_internal.jobs limit 1",
        ),
        (
            4,
            "a schedule is overdue: no wake-up has handled its tick for five minutes",
            "update kronos_internal.schedules set timezone = 'Mars/Olympus', next_tick_at = now() - interval '6 minutes'",
        ),
    ];

    #[pg_test]
    fn check_reports_every_violation() {
        run("set timezone = 'UTC'");
        create_handled_jobs();
        run("set constraints all immediate");
        for (invariant, problem, damage) in CASES {
            // The exception at the end of the block rolls the damage back.
            run("create temporary table seen (found bigint)");
            let block = format!(
                "do $do$
                 declare found bigint;
                 begin
                     begin
                         execute $sql${damage}$sql$;
                         select count(*) into found from kronos.check() c
                         where c.invariant = {invariant} and c.problem = '{problem}' and c.detail <> '{{}}';
                         raise exception using errcode = 'KX001', message = found::text;
                     exception when sqlstate 'KX001' then
                         insert into seen values (sqlerrm::bigint);
                     end;
                 end $do$"
            );
            run(&block);
            assert!(
                count("select found from seen") > 0,
                "{invariant} {problem}: {damage}"
            );
            run("drop table seen");
            assert_eq!(
                text("select string_agg(problem, ', ') from kronos.check()"),
                "null",
                "the damage is rolled back"
            );
        }
    }
}
