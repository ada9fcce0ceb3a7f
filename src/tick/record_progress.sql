-- Records the progress of the passes of the schedules $1: the next tick $2 and ticked_until $3 (null: unchanged), and
-- the end $4 and the last job $5 of the current pass (null: the pass is finished).
update kronos_internal.schedules s
set next_tick_at = coalesce(p.next_tick_at, s.next_tick_at), ticked_until = coalesce(p.ticked_until, s.ticked_until),
    pass_until = p.pass_until, pass_job_id = p.pass_job_id
from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::uuid[])
    p (schedule_id, next_tick_at, ticked_until, pass_until, pass_job_id)
where s.schedule_id = p.schedule_id
