select id from graphile_worker.add_job('noop', '{}');
