insert into floor.queue (input) select '{}' from generate_series(1, :batch);
