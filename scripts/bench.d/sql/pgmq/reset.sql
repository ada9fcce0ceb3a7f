truncate pgmq.q_noop, pgmq.a_noop;
