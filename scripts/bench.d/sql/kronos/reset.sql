truncate kronos_internal.live_executions, kronos_internal.history, kronos_internal.attempts;
