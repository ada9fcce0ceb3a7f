select execution_id, attempt, input from kronos.claim_executions('w' || :client_id) \gset
select status from kronos.complete_execution(:execution_id, :attempt, 'w' || :client_id);
