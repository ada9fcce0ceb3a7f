select count(message) as claimed, array_agg(msg_id) as ids from pgmq.read('noop', 60, :batch) \gset
select count(*) from pgmq.archive('noop', cast(:ids as bigint[]));
