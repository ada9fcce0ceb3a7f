#[pgrx::pg_schema]
mod tests {
    use crate::in_server::{count, make_acme, run, text};
    use pgrx::prelude::*;

    /// Two jobs on one schedule of the past, handled.
    fn make_handled_job() {
        make_acme();
        run(
            "select kronos.create_cron_job('acme', 'hook', '0 0 1 1 *', catchup_policy => 'all', catchup_window => '1 year') from generate_series(1, 2)",
        );
        run(
            "update kronos.jobs set created_at = date_trunc('year', now()) - interval '2 days',
                               active_since = date_trunc('year', now()) - interval '2 days'",
        );
        run(
            "update kronos.schedules set next_tick_at = date_trunc('year', now()),
                                         settled_at = date_trunc('year', now()) - interval '1 day'",
        );
        assert_eq!(count("select executions from kronos.run_due()"), 2);
        assert_eq!(count("select count(*) from kronos.check()"), 0);
    }

    #[pg_test]
    fn check_names_every_violation() {
        run("set timezone = 'UTC'");
        make_handled_job();
        run("set constraints all immediate");
        let cases = [
            (1, "a live cron job has no schedule",
             "alter table kronos.jobs drop constraint jobs_live_cron_job_has_schedule;
              update kronos.jobs set schedule_id = null"),
            (1, "a schedule is not that of its job", "update kronos.jobs set cron = '1 * * * *'"),
            (1, "a schedule has no alarm",
             "alter table kronos.schedules drop constraint schedules_alarm_id_fkey; delete from kronos.alarms"),
            (1, "an alarm does not cover the ticks of its schedule", "update kronos.alarms set cron = '1 1 1 1 *'"),
            (1, "an alarm does not cover the ticks of its schedule", "update kronos.schedules set timezone = 'Europe/Berlin', cron = '0 9 * * *'"),
            (1, "an alarm has no pg_cron entry that would fire as it should", "select cron.unschedule(jobid) from cron.job"),
            (1, "an alarm has no pg_cron entry that would fire as it should",
             "select cron.alter_job(jobid, active => false) from cron.job"),
            (2, "a pg_cron entry of Kronos has no alarm", "select cron.schedule('kronos alarm x', '* * * * *', 'select 1')"),
            (2, "an alarm has more than one pg_cron entry",
             "insert into cron.job (schedule, command, nodename, nodeport, database, username, jobname)
              select schedule, command, nodename, nodeport, database, 'x', jobname from cron.job"),
            (2, "an alarm has no schedule",
             "insert into kronos.alarms (cron, slot) values ('9 9 9 9 *', 77)"),
            (2, "a schedule has no live job",
             "update kronos.jobs set schedule_id = null, status = 'PAUSED', paused_at = now()"),
            (2, "there are more pg_cron entries than kronos.max_alarms allows",
             "select cron.schedule('kronos alarm ' || n, '* * * * *', 'select 1') from generate_series(1, 160) n"),
            (
                4,
                "a schedule is overdue: no wake-up has handled its tick",
                "update kronos.schedules set next_tick_at = now() - interval '6 minutes'",
            ),
(4, "a live job has no execution for its schedule's last tick", "delete from kronos.executions; update kronos.schedules set last_tick_at = now() - interval '29 days'"),
            (5, "an execution belongs to a version that was not in force at its tick",
             "update kronos.jobs set created_at = now()"),
            (6, "an execution was written after its job was cancelled or paused",
             "update kronos.jobs set status = 'RETIRED', retired_reason = 'CANCELLED', schedule_id = null,
                                     retired_at = now() - interval '1 hour'"),
            (6, "an execution was written after its job was cancelled or paused",
             "update kronos.jobs set status = 'PAUSED', schedule_id = null, paused_at = now() - interval '1 hour'"),
            (7, "an execution lies outside its job's window", "update kronos.jobs set starts_at = now()"),
            (8, "an execution that runs has no attempt of its worker's",
             "select kronos.claim_executions('acme', 'w'); delete from kronos.attempts"),
            (10, "a tick could not be materialised",
             "insert into kronos.pending_ticks (lineage_id, tick_at, job_id, sqlstate, error)
              select job_id, now(), job_id, '23514', 'no' from kronos.jobs limit 1"),
        ];
        for (invariant, problem, damage) in cases {
            let problem_literal = problem.replace('\'', "''");
            // A block whose exception undoes the damage.
            run("create temporary table seen (found bigint)");
            let block = format!(
                "do $do$
                 declare found bigint;
                 begin
                     begin
                         execute $sql${damage}$sql$;
                         select count(*) into found from kronos.check() c
                         where c.invariant = {invariant} and c.problem = '{problem_literal}' and c.detail <> '{{}}';
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
                "undone"
            );
        }
    }
}
