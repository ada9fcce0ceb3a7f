select pgmq.send('noop', '{}');
