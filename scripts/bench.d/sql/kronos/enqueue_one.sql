select execution_id from kronos.enqueue('noop');
