-- Creates different cron expressions that all tick at every minute of today and tomorrow: each leaves out three other
-- days of the month and one other month.
create table schedules as
with now as (
    select array[extract(day from now()), extract(day from now() + interval '1 day')] as days,
           array[extract(month from now()), extract(month from now() + interval '1 day')] as months
),
day_lists as (
    select (select string_agg(day::text, ',' order by day) from generate_series(1, 31) day
            where day not in (a, b, c)) as list
    from now, generate_series(1, 29) a, generate_series(a + 1, 30) b, generate_series(b + 1, 31) c
    where not now.days && array[a, b, c]::numeric[]
),
month_lists as (
    select (select string_agg(month::text, ',' order by month) from generate_series(1, 12) month
            where month <> a) as list
    from now, generate_series(1, 12) a
    where not a::numeric = any (now.months)
)
select row_number() over () as place, format('* * %s %s *', d.list, m.list) as cron
from day_lists d, month_lists m
limit :schedules;
