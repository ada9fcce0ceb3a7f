-- A page of the executions of a workspace, newest first. One statement reads both tables: two statements could both
-- miss an execution that moves from one table to the other between them.
-- $1 workspace_id, $2 workspace, $3 status, $4 origin, $5 endpoint_type, $6 created_from, $7 created_before, $8 max,
-- $9 after
with page as materialized (
    select u.execution_id
    from ((select l.execution_id
         from kronos_internal.live_executions l
         where l.workspace_id = $1 and l.execution_id < coalesce($9, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
           and l.execution_id < kronos.uuid_v7_at($7) and l.execution_id >= kronos.uuid_v7_at($6)
           and ($3::text is null or $3 not in ('SUCCEEDED', 'FAILED', 'CANCELLED')) and ($3 is null or l.status = $3) and ($4::text is null or l.origin = $4)
           and ($5::text is null or l.endpoint_type = $5)
         order by l.execution_id desc
         limit $8)
        union all
        (select h.execution_id
         from kronos_internal.history h
         where h.workspace_id = $1 and h.execution_id < coalesce($9, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
           and h.execution_id < kronos.uuid_v7_at($7) and h.execution_id >= kronos.uuid_v7_at($6)
           and ($3::text is null or $3 in ('SUCCEEDED', 'FAILED', 'CANCELLED')) and ($3 is null or h.status = $3) and ($4::text is null or h.origin = $4)
           and ($5::text is null or h.endpoint_type = $5)
         order by h.execution_id desc
         limit $8)) u
    order by u.execution_id desc
    limit $8
)
select x.d
from page p
cross join lateral (
    select d
    from kronos.execution_details d
    where d.workspace = $2 and d.execution_id = p.execution_id
    offset 0) x (d)
order by p.execution_id desc
