-- Records attempts that start in lanes with a rate limit, and deletes records that are too old to count.
-- $1 lanes, $2 how many attempts start in each, $3 now, $4 rate_intervals
with started as (
    select s.lane, s.starts, s.rate_interval
    from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::integer[]), pg_catalog.unnest($4::interval[]))
         s (lane, starts, rate_interval)
),
outdated as (
    delete from kronos_internal.attempt_starts a
    where a.ctid = any (array(
        select o.ctid
        from started s
        cross join lateral (
            select b.ctid
            from kronos_internal.attempt_starts b
            where b.lane = s.lane and b.started_at <= $3 - s.rate_interval
            order by b.started_at
            limit 100
            for update skip locked) o))
)
insert into kronos_internal.attempt_starts (lane, started_at, starts)
select s.lane, $3, s.starts
from started s
