select count(*) from pgmq.send_batch('noop', array(select '{}'::jsonb from generate_series(1, :batch)));
