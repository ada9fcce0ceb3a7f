-- The running attempts of an endpoint that started from the common lane, before the endpoint was gated, by lane. Reads
-- all running executions. xmin and xmax are those of the snapshot.
-- $1 endpoint_id
select s.xmin, s.xmax, c.lane, c.running
from (select pg_snapshot_xmin(n.snapshot)::text::bigint as xmin, pg_snapshot_xmax(n.snapshot)::text::bigint as xmax
      from (select pg_current_snapshot() as snapshot) n) s
left join (
    select kronos_internal.lane(x.endpoint_id, x.concurrency_key) as lane, count(*) as running
    from kronos_internal.live_executions x
    where x.status = 'RUNNING' and x.endpoint_id = $1 and x.lane = ''
    group by 1) c on true
