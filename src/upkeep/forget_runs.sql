-- Deletes the records of all but the last thousand runs, and of runs in the future (the clock was ahead).
delete from kronos_internal.upkeep_steps
where (started_at, step) in (
    select u.started_at, u.step
    from kronos_internal.upkeep_steps u
    where u.started_at > clock_timestamp()
       or u.started_at < (select min(r.started_at)
                          from (select distinct s.started_at
                                from kronos_internal.upkeep_steps s
                                order by s.started_at desc
                                limit 1000) r)
    for update skip locked)
