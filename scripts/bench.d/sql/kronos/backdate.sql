-- Moves the creation of all jobs back by a day: a job has no ticks from before it was created.
update kronos_internal.jobs
set created_at = created_at - interval '1 day', version_since = version_since - interval '1 day',
    active_since = active_since - interval '1 day';
