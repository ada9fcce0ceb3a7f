-- The examples of docs/reference.md, in the order in which scripts/generate runs them. `-- # ` begins a section, `-- ## `
-- the example of a function. Ids in the output are numbered in the order in which they appear; later examples use them.

-- # Start and workspaces

-- ## start
SELECT kronos.start();

-- ## create_workspace
SELECT workspace, execution_retention, job_retention FROM kronos.create_workspace('acme');

-- ## delete_workspace
SELECT workspace FROM kronos.create_workspace('trial');
SELECT * FROM kronos.delete_workspace('trial', cancel => true);

-- ## get_workspace
SELECT workspace, workspace_id FROM kronos.get_workspace('acme');

-- ## list_workspaces
SELECT workspace, job_retention FROM kronos.list_workspaces();

-- ## set_retention
SELECT workspace, execution_retention, job_retention
FROM kronos.set_retention(execution_retention => '90 days', workspace => 'acme');

-- # Access

-- ## grant_workspace
CREATE ROLE app;
SELECT workspace, role, capability FROM kronos.grant_workspace('app', 'producer', workspace => 'acme');

-- ## revoke_workspace
SELECT kronos.revoke_workspace('app', 'producer', workspace => 'acme');

-- ## set_owner
CREATE ROLE kronos_owner LOGIN;
SELECT kronos.set_owner('kronos_owner');
SELECT DISTINCT username FROM cron.job;

-- ## my_workspaces
SELECT count(*) FROM kronos.my_workspaces('producer');

-- # Endpoints and payload specs

-- ## create_payload_spec
SELECT payload_spec FROM kronos.create_payload_spec('letter', '{
    "type": "object", "required": ["to"], "properties": {"to": {"type": "string"}}}');

-- ## update_payload_spec
SELECT payload_spec, schema -> 'required' AS required FROM kronos.update_payload_spec('letter', '{
    "type": "object", "required": ["to"], "properties": {"to": {"type": "string"}, "copies": {"type": "integer"}}}');

-- ## get_payload_spec
SELECT payload_spec, schema FROM kronos.get_payload_spec('letter');

-- ## list_payload_specs
SELECT payload_spec FROM kronos.list_payload_specs();

-- ## delete_payload_spec
SELECT payload_spec FROM kronos.create_payload_spec('draft', 'true');
SELECT payload_spec FROM kronos.delete_payload_spec('draft');

-- ## create_endpoint
SELECT endpoint, endpoint_type, max_attempts, backoff, initial_delay_ms, payload_spec
FROM kronos.create_endpoint('mailer', 'HTTP', '{"url": "http://localhost:8080/send"}',
    retry_policy => '{"max_attempts": 3, "initial_delay_ms": 500}', payload_spec => 'letter');

-- ## update_endpoint
SELECT endpoint FROM kronos.create_endpoint('alarm', 'ALARM');
SELECT endpoint, attempt_timeout, on_failure
FROM kronos.update_endpoint('mailer', attempt_timeout => '30 seconds', on_failure => 'alarm');

SELECT endpoint, max_concurrent, rate_limit, rate_interval
FROM kronos.update_endpoint('mailer', max_concurrent => 10, rate_limit => 100, rate_interval => '1 minute');

-- ## pause_endpoint
SELECT endpoint, paused_at IS NOT NULL AS paused, paused_reason, paused_by
FROM kronos.pause_endpoint('mailer', reason => 'the mail server is down');
SELECT kronos.pause_endpoint('mailer');

-- ## resume_endpoint
SELECT endpoint, paused_at IS NOT NULL AS paused FROM kronos.resume_endpoint('mailer');
SELECT kronos.resume_endpoint('mailer');

-- ## get_endpoint
SELECT endpoint, spec, attempt_timeout FROM kronos.get_endpoint('mailer');

-- ## list_endpoints
SELECT endpoint, endpoint_type, payload_spec FROM kronos.list_endpoints(endpoint_type => 'HTTP');

-- ## delete_endpoint
SELECT endpoint FROM kronos.create_endpoint('fax', 'FAX');
SELECT endpoint, deleted_at IS NOT NULL AS deleted FROM kronos.delete_endpoint('fax');

-- # Cron jobs

-- ## create_cron_job
SELECT job_id, job_name, version, status, next_tick_at, created
FROM kronos.create_cron_job('mailer', '0 8 * * mon', input => '{"to": "Ada"}', name => 'weekly digest',
    timezone => 'Europe/Berlin', starts_at => '2030-01-01T00:00:00+01:00', idempotency_key => 'digest-ada');
-- The same request again:
SELECT job_id, created
FROM kronos.create_cron_job('mailer', '0 8 * * mon', input => '{"to": "Ada"}', name => 'weekly digest',
    timezone => 'Europe/Berlin', starts_at => '2030-01-01T00:00:00+01:00', idempotency_key => 'digest-ada');
SELECT kronos.create_cron_job('mailer', '0 8 * * mon', input => '{"cc": "Bob"}');

-- ## create_cron_jobs
SELECT job_name, version, status, cron, created FROM kronos.create_cron_jobs('[
    {"endpoint": "mailer", "cron": "0 6 1 * *", "name": "monthly invoice", "input": {"to": "Bob"},
     "starts_at": "2025-01-01T00:00:00Z"},
    {"endpoint": "mailer", "cron": "0 9 * * *", "name": "reminder", "input": {"to": "Bob"},
     "starts_at": "2030-06-01T00:00:00Z"}]');

-- ## update_cron_job
SELECT job_name, version, cron, priority, next_tick_at
FROM kronos.update_cron_job(job_name => 'weekly digest', cron => '0 7 * * mon', priority => 2, expected_version => 1);
SELECT kronos.update_cron_job(job_name => 'weekly digest', priority => 3, expected_version => 1);

-- ## pause_cron_job
SELECT job_name, status, paused_reason, next_tick_at
FROM kronos.pause_cron_job(job_name => 'reminder', reason => 'Bob is on holiday');

-- ## resume_cron_job
SELECT job_name, status, next_tick_at FROM kronos.resume_cron_job(job_name => 'reminder');

-- ## cancel_cron_job
SELECT job_name, status, retired_reason FROM kronos.cancel_cron_job(job_name => 'reminder');
SELECT kronos.cancel_cron_job(job_name => 'reminder');

-- ## trigger_cron_job
SELECT execution_id, status, created FROM kronos.trigger_cron_job(job_name => 'weekly digest');

-- ## schedule
SELECT job_name, status, cron, timezone
FROM kronos.schedule('sweep', '*/10 * * * *', 'DELETE FROM sessions WHERE expires_at < now()', timezone => 'Europe/Berlin');

-- ## run
SELECT status FROM kronos.run('sweep');

-- ## unschedule
SELECT job_name, status FROM kronos.unschedule('sweep');

-- ## import_pg_cron
SELECT cron.schedule('analyze', '0 3 * * *', 'ANALYZE');
SELECT job_name, cron, action FROM kronos.import_pg_cron('ana%', dry_run => true);

-- ## backfill_cron_job
SELECT tick_at, action FROM kronos.backfill_cron_job(job_name => 'monthly invoice',
    tick_from => '2025-11-01T00:00:00Z', tick_before => '2026-01-01T00:00:00Z');

-- ## apply_crontab
SELECT job_name, action, changed FROM kronos.apply_crontab('[
    {"name": "nightly report", "endpoint": "mailer", "cron": "0 2 * * *", "input": {"to": "Ada"}}]', set_name => 'reports');
SELECT job_name, action, changed FROM kronos.apply_crontab('[
    {"name": "nightly report", "endpoint": "mailer", "cron": "0 3 * * *", "input": {"to": "Ada"}}]', set_name => 'reports');
SELECT job_name, action, changed FROM kronos.apply_crontab('[]', set_name => 'reports');

-- ## get_job
SELECT job_name, version, status, cron, timezone, next_tick_at FROM kronos.get_job(job_name => 'weekly digest');

-- ## list_jobs
SELECT job_name, status, cron FROM kronos.list_jobs(status => 'ACTIVE');

-- ## list_job_versions
SELECT version, cron, priority, ended_at IS NULL AS current FROM kronos.list_job_versions(job_name => 'weekly digest');

-- ## list_ticks
SELECT tick_at, outcome, version FROM kronos.list_ticks(job_name => 'monthly invoice');

-- ## job_status
SELECT job_name, status, health, waiting, running, total FROM kronos.job_status(job_name => 'monthly invoice');

-- # One-shots

-- ## enqueue
SELECT execution_id, status, created
FROM kronos.enqueue('mailer', '{"to": "Eve"}', priority => 0, idempotency_key => 'welcome-eve');
SELECT execution_id, status, created
FROM kronos.enqueue('mailer', '{"to": "Eve"}', priority => 0, idempotency_key => 'welcome-eve');

-- A key names the execution until it has finished:
SELECT status, created
FROM kronos.enqueue('mailer', '{"to": "Fay"}', run_at => '2030-01-31T09:00:00Z', key => 'reminder-fay');
SELECT status, run_at, created
FROM kronos.enqueue('mailer', '{"to": "Fay"}', run_at => '2030-02-28T09:00:00Z', key => 'reminder-fay',
    on_conflict => 'replace');

-- ## enqueue_many
SELECT execution_id, status, run_at FROM kronos.enqueue_many('[
    {"endpoint": "mailer", "input": {"to": "Tom"}, "priority": 1},
    {"endpoint": "mailer", "input": {"to": "Tim"}, "run_at": "2030-01-31T09:00:00+01:00"}]');

-- # Workers

-- ## next_wakeup
SELECT kronos.next_wakeup(endpoint_types => '{HTTP}') <= clock_timestamp() AS now;

-- ## claim_executions
SELECT execution_id, attempt, priority, input, endpoint, max_attempts, lease_expires_at
FROM kronos.claim_executions('worker-1', max => 2, lease => '1 minute', endpoint_types => '{HTTP}');

-- ## claim_any_executions
SELECT execution_id, attempt, workspace, job_name, version, input
FROM kronos.claim_any_executions('worker-2', max => 3);

-- ## heartbeat_executions
SELECT execution_id, accepted, status, stop_requested, held_by
FROM kronos.heartbeat_executions('worker-1', '[
    {"execution_id": "018f0000-0000-7000-8000-000000000004", "attempt": 1},
    {"execution_id": "018f0000-0000-7000-8000-000000000003", "attempt": 1}]', lease => '1 minute');

-- ## log_execution
SELECT kronos.log_execution('018f0000-0000-7000-8000-000000000004', 1, 'worker-1', 'rendered', data => '{"pages": 2}');

-- ## complete_execution
SELECT accepted, status
FROM kronos.complete_execution('018f0000-0000-7000-8000-000000000004', 1, 'worker-1', '{"message_id": 17}');
SELECT kronos.complete_execution('018f0000-0000-7000-8000-000000000003', 1, 'worker-1');

-- ## fail_execution
SELECT accepted, status, run_at > now() + interval '50 minutes' AS later
FROM kronos.fail_execution('018f0000-0000-7000-8000-000000000005', 1, 'worker-1', 'HTTP status 503',
    retry_at => now() + interval '1 hour');

-- ## release_execution
SELECT accepted, status FROM kronos.release_execution('018f0000-0000-7000-8000-000000000008', 1, 'worker-2');

-- ## postpone_execution
SELECT execution_id, attempt FROM kronos.claim_executions('worker-2');
SELECT accepted, status, run_at
FROM kronos.postpone_execution('018f0000-0000-7000-8000-000000000008', 2, 'worker-2', until => '2030-01-31T09:00:00Z');
SELECT status FROM kronos.reschedule_execution('018f0000-0000-7000-8000-000000000008', run_at => now());

-- ## complete_executions
SELECT execution_id, accepted, status, held_by FROM kronos.complete_executions('worker-2', '[
    {"execution_id": "018f0000-0000-7000-8000-000000000003", "attempt": 1, "output": {"message_id": 18}},
    {"execution_id": "018f0000-0000-7000-8000-000000000004", "attempt": 1}]');

-- ## fail_executions
SELECT execution_id, accepted, status FROM kronos.fail_executions('worker-2', '[
    {"execution_id": "018f0000-0000-7000-8000-000000000007", "attempt": 1, "error": "no such address", "retryable": false}]');

-- ## release_executions
SELECT execution_id, attempt FROM kronos.claim_executions('worker-2');
SELECT execution_id, accepted, status FROM kronos.release_executions('worker-2', '[
    {"execution_id": "018f0000-0000-7000-8000-000000000008", "attempt": 3}]');

-- ## expire_leases
SELECT execution_id, attempt FROM kronos.claim_executions('worker-3', lease => '1 second');
SELECT pg_sleep(1.1);
SELECT kronos.expire_leases();

-- ## expire_worker_leases
SELECT status FROM kronos.enqueue('mailer', '{"to": "Zoe"}');
SELECT execution_id, attempt FROM kronos.claim_executions('worker-4', lease => '1 hour');
SELECT execution_id, attempt, status FROM kronos.expire_worker_leases('worker-4');

-- # Executions

-- ## get_execution
SELECT status, attempt, worker_id, output, input FROM kronos.get_execution('018f0000-0000-7000-8000-000000000004');

-- ## list_executions
SELECT execution_id, job_name, status, status_reason, error FROM kronos.list_executions(job_name => 'monthly invoice');

-- ## list_attempts
SELECT attempt, outcome, worker_id, error FROM kronos.list_attempts('018f0000-0000-7000-8000-000000000008');

-- ## list_logs
SELECT line, level, message, data, attempt FROM kronos.list_logs('018f0000-0000-7000-8000-000000000004');

-- ## cancel_execution
SELECT status, status_reason FROM kronos.cancel_execution('018f0000-0000-7000-8000-000000000006');
SELECT kronos.cancel_execution('018f0000-0000-7000-8000-000000000004');

-- ## retry_execution
SELECT status, attempt, failed_attempts, retried_by
FROM kronos.retry_execution('018f0000-0000-7000-8000-000000000007');
SELECT kronos.retry_execution('018f0000-0000-7000-8000-000000000004');

-- ## retry_executions
SELECT execution_id, job_name, status, action
FROM kronos.retry_executions(endpoint => 'mailer', status => 'CANCELLED', dry_run => true);

-- ## reschedule_execution
SELECT status, run_at, priority
FROM kronos.reschedule_execution('018f0000-0000-7000-8000-000000000007', '2030-01-31T09:00:00Z', priority => 0);

-- ## cancel_executions
SELECT execution_id, job_name, status, action
FROM kronos.cancel_executions(endpoint => 'mailer', run_from => '2030-01-01T00:00:00Z');

-- # Time

-- ## next_ticks
SELECT * FROM kronos.next_ticks('30 2 * * *', 'Europe/Berlin', after => '2026-03-28T00:00:00Z', max => 3);

-- ## describe_schedule
SELECT kronos.describe_schedule('30 2 * * mon-fri', 'Europe/Berlin');

-- # Upkeep

-- ## tick
CALL kronos.tick();

-- ## run_due
SELECT * FROM kronos.run_due();

-- ## upkeep
CALL kronos.upkeep();

-- ## prune
SELECT * FROM kronos.prune();

-- ## check
SELECT * FROM kronos.check();
-- An operator deletes an entry:
SELECT cron.unschedule(jobid) FROM cron.job WHERE schedule = '0 5,6 * * 1';
SELECT invariant, problem FROM kronos.check();

-- ## doctor
ALTER ROLE app SET default_transaction_read_only = on;
SELECT severity, finding, detail, advice FROM kronos.doctor() WHERE finding LIKE '%default%';
ALTER ROLE app RESET default_transaction_read_only;

-- ## metrics
SELECT name, labels, value FROM kronos.metrics() WHERE name = 'kronos_jobs' AND labels ->> 'workspace' = 'default';

-- ## reconcile
SELECT subject, problem, repair FROM kronos.reconcile();
SELECT invariant, problem FROM kronos.check();

-- ## error_codes
SELECT * FROM kronos.error_codes() WHERE http_status = 422;

-- ## retry_delay
SELECT n, kronos.retry_delay('exponential', 500, 3600000, n) FROM generate_series(1, 4) n;

-- ## uuid_v7
SELECT kronos.uuid_v7();

-- ## uuid_v7_at
SELECT kronos.uuid_v7_at('2026-01-31T09:00:00Z');
