truncate floor.queue, floor.history;
