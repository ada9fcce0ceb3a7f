-- Removes every job, schedule and pg_cron entry except upkeep's. Truncates the tables, because a million calls of
-- cancel_cron_job would take hours.
delete from cron.job where command not like '%upkeep%';
truncate kronos_internal.jobs, kronos_internal.job_versions, kronos_internal.schedules, kronos_internal.ticks,
    kronos_internal.dropped_ticks, kronos_internal.owed, kronos_internal.live_executions, kronos_internal.history,
    kronos_internal.attempts, kronos_internal.idempotency_keys cascade;
