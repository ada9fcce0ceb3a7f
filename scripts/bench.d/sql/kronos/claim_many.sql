select count(input) as claimed, jsonb_agg(jsonb_build_object('execution_id', execution_id, 'attempt', attempt)) as list
from kronos.claim_executions('w' || :client_id, :batch) \gset
select count(*) from kronos.complete_executions('w' || :client_id, :list);
