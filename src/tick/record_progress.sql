-- Records how far the passes of the schedules $1 have come: $2 next tick and $3 handled up to (null: as before), $4 end and
-- $5 last job of the pass under way (null: the pass is finished).
update kronos_internal.schedules s
set next_tick_at = coalesce(p.next_tick_at, s.next_tick_at), ticked_until = coalesce(p.ticked_until, s.ticked_until),
    pass_until = p.pass_until, pass_job_id = p.pass_job_id
from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::uuid[])
    p (schedule_id, next_tick_at, ticked_until, pass_until, pass_job_id)
where s.schedule_id = p.schedule_id
