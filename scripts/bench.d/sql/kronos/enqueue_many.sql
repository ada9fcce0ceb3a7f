select count(*)
from kronos.enqueue_many((select jsonb_agg(jsonb_build_object('endpoint', 'noop')) from generate_series(1, :batch)));
