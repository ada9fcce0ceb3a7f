-- A page of the ticks of a job, newest first. It ends at its $5th ledger row at the latest: this bound keeps the view
-- from reading the job's whole ledger.
-- $1 job_id, $2 outcome, $3 tick_from, $4 tick_before, $5 max, $6 after
select t
from kronos.ticks t
where t.job_id = $1
  and ($2::text is null or t.outcome = $2)
  and t.tick_at >= coalesce(
      (select l.tick_at
       from kronos_internal.ticks l
       where l.job_id = $1
         and l.tick_at >= coalesce($3, '-infinity'::timestamptz)
         and l.tick_at < least($4::timestamptz, $6::timestamptz, 'infinity'::timestamptz)
         and ($2 is null or $2 = case when l.execution_id is null then 'SKIPPED' else 'RUN' end)
       order by l.tick_at desc
       offset $5 - 1
       limit 1),
      $3,
      '-infinity'::timestamptz)
  and t.tick_at < least($4::timestamptz, $6::timestamptz, 'infinity'::timestamptz)
order by t.tick_at desc
fetch first $5 rows with ties
