with claimed as (
    update floor.queue
    set locked_by = 'w' || :client_id, locked_until = now() + interval '1 minute', started_at = now(),
        attempt = attempt + 1
    where id = any (array(
        select id from floor.queue
        where run_at <= now() and (locked_until is null or locked_until < now())
        order by priority, run_at, id
        limit :batch
        for update skip locked
    ))
    returning id, attempt, input
)
select count(input) as claimed, array_agg(id) as ids from claimed \gset
with finished as (
    delete from floor.queue where id = any (:ids) and locked_by = 'w' || :client_id returning *
)
insert into floor.history
select id, priority, run_at, attempt, locked_by, started_at, input, enqueued_at, 'SUCCEEDED', null, now() from finished;
