select msg_id, message from pgmq.read('noop', 60, 1) \gset
select pgmq.archive('noop', cast(:msg_id as bigint));
