-- Makes one tick of every schedule due: the start of the current minute, as if no wake-up had handled it.
truncate kronos_internal.ticks, kronos_internal.dropped_ticks, kronos_internal.owed, kronos_internal.live_executions;
update kronos_internal.schedules
set next_tick_at = date_trunc('minute', now()), ticked_until = date_trunc('minute', now()) - interval '1 second',
    pass_until = null, pass_job_id = null;
