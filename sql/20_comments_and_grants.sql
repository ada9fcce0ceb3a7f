-- What \df+ kronos.* says, and who may call what.

comment on schema kronos is 'Kronos: job scheduling that commits with your data, on top of pg_cron.';

comment on function kronos.create_workspace is
'Makes a workspace, the owner of endpoints and jobs, and returns its row.
name: 1 to 200 characters, unique.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_EXISTS (23505).';

comment on function kronos.set_retention is
'Sets for how long prune() keeps a workspace''s history, and returns the workspace''s row.
executions: how long finished executions are kept, with attempts and logs; jobs: how long retired versions of jobs and deleted endpoints are. At least 1 day each; NULL keeps the old value (30 days at first).
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND (P0002).';

comment on function kronos.create_endpoint is
'Makes an endpoint, the place where executions are delivered, and returns its row.
workspace: the name of its workspace. name: 1 to 200 characters, unique in the workspace.
type: 1 to 100 characters; it tells workers what the spec means (HTTP, KAFKA, REDIS_STREAM, SQL, or any other), and they claim by it; it never changes. spec: a JSON object.
retry_policy: an object with max_attempts (1 to 1000; 5 if left out), backoff (fixed, linear, exponential; exponential), initial_delay_ms (1000), max_delay_ms (3600000), both 0 to 30 days, and jitter (0 to 1; 0.1), the share of a delay that chance may take off. Delays: see retry_delay().
attempt_timeout: how long an attempt may take, at most 30 days: its lease is not extended beyond. NULL is no limit.
payload_spec: the name of a payload spec that the inputs of jobs must satisfy.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023; DETAIL has the field of a retry_policy), WORKSPACE_NOT_FOUND, PAYLOAD_SPEC_NOT_FOUND (P0002), ENDPOINT_EXISTS (23505).';

comment on function kronos.update_endpoint is
'Changes an endpoint, also for the executions that are not finished, and returns its row.
name: which. spec, retry_policy (in full: what is left out has its default), attempt_timeout, payload_spec: as in create_endpoint; NULL keeps the old value, the interval 0 clears attempt_timeout, an empty text clears payload_spec. new_name: another name.
Errors: those of create_endpoint, ENDPOINT_NOT_FOUND (P0002).';

comment on function kronos.delete_endpoint is
'Deletes an endpoint, unless a live job uses it, and returns its row. Executions of retired jobs that are left to run still do.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002), ENDPOINT_IN_USE (23503).';

comment on function kronos.get_endpoint is
'Returns an endpoint.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002).';

comment on function kronos.list_endpoints is
'Returns the endpoints of a workspace, newest first.
endpoint_type: only those of this type. max: how many, 1 to 10000. after_cursor: the cursor of the last row seen, to go on behind it.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND (P0002).';

comment on function kronos.create_payload_spec is
'Makes a payload spec, a JSON Schema (any draft; 2020-12 unless $schema says otherwise) for the inputs of jobs, and returns its row.
name: 1 to 200 characters, unique in the workspace. schema: references to other documents are not fetched; patterns are matched without look-around and back references.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT, INVALID_PAYLOAD_SPEC (22023), WORKSPACE_NOT_FOUND (P0002), PAYLOAD_SPEC_EXISTS (23505).';

comment on function kronos.update_payload_spec is
'Gives a payload spec another schema, for all inputs that come after the commit, and returns its row. Inputs that are there are left alone.
Errors: those of create_payload_spec, PAYLOAD_SPEC_NOT_FOUND (P0002).';

comment on function kronos.delete_payload_spec is
'Deletes a payload spec, unless an endpoint uses it, and returns its row.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, PAYLOAD_SPEC_NOT_FOUND (P0002), PAYLOAD_SPEC_IN_USE (23503).';

comment on function kronos.get_payload_spec is
'Returns a payload spec.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, PAYLOAD_SPEC_NOT_FOUND (P0002).';

comment on function kronos.list_payload_specs is
'Returns the payload specs of a workspace, newest first.
max: how many, 1 to 10000. after_cursor: the cursor of the last row seen, to go on behind it.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND (P0002).';

comment on function kronos.retry_delay is
'How long an execution waits after its n-th failed attempt, before jitter: fixed: initial_delay_ms; linear: n times that; exponential: 2^(n-1) times that; at most max_delay_ms. Jitter takes off up to its share of it.
retry_policy: as an endpoint has it, in full. failed_attempts: n, from 1.';

comment on function kronos.create_cron_job is
'Makes a cron job in the caller''s transaction, with its schedule and its pg_cron entry, and returns its row.
workspace, endpoint: names. cron: five fields in pg_cron''s dialect, @hourly and its kin, or N seconds (1 to 59; needs pg_cron 1.5), whose ticks lie on a fixed grid from 1970 on.
timezone: an IANA name that this server knows, in any case; the ticks are times on that zone''s clock. input: what every execution gets, at most 262144 bytes of JSON; it must satisfy the endpoint''s payload spec.
starts_at, ends_at: only ticks with starts_at <= tick < ends_at run; NULL or infinity is no bound.
idempotency_key: 1 to 200 characters, unique per endpoint; the same key and arguments again return the job made first and change nothing.
catchup_policy: which ticks are made good that were missed (handled more than five minutes late): none, last (the last one), or all, of those within catchup_window (0 to 1 year); all is at most the latest 10000.
name: 1 to 200 characters, unique among the live jobs of the workspace; functions take it as job_name in place of job_id.
overlap_policy: what becomes of a tick while an execution of the job is not finished: allow (it runs as well), skip (it is skipped), queue_one (one waits, further ones are skipped), replace (waiting ones are cancelled, a running one is asked to stop). A skipped tick is an execution with status SKIPPED and the reason.
jitter: 0 to 1 day; run_at lies within it after the tick, always the same for a job and a tick.
priority: 0 (most urgent) to 9: which executions of the workspace start first.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT, INVALID_CRON, NEVER_FIRES, INVALID_TIMEZONE, INVALID_WINDOW (22023), CRON_NOT_SUPPORTED (0A000), INPUT_TOO_LARGE (54000), INPUT_INVALID (22023), WORKSPACE_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002), IDEMPOTENCY_CONFLICT, JOB_EXISTS (23505), CONCURRENT_CHANGE (40001), PG_CRON_UNAVAILABLE (55000), PG_CRON_FAILED (pg_cron''s own).';

comment on function kronos.update_cron_job is
'Retires the live version of a cron job, puts the next one in its place at one instant, and returns the new version''s row (it has a new job_id).
job_id: the live version, or job_name: its name. cron, timezone, input, starts_at, ends_at, catchup_policy, catchup_window, name (a new one), endpoint, overlap_policy, jitter, priority: as in create_cron_job; NULL keeps the old value, -infinity clears starts_at, infinity clears ends_at.
expected_version: if given, the update fails unless it is the job''s version.
Ticks that came due before the update are the old version''s, those after it the new one''s.
Errors: those of create_cron_job for its arguments, JOB_NOT_FOUND (P0002), JOB_RETIRED, VERSION_CONFLICT (55000).';

comment on function kronos.cancel_cron_job is
'Retires a cron job, releases its schedule (the last job takes the pg_cron entry with it), and returns the job''s row.
job_id: the live version, or job_name: its name. No further tick is materialised once the transaction commits; executions that exist are left to run.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002), JOB_RETIRED (55000), CONCURRENT_CHANGE (40001), PG_CRON_FAILED (pg_cron''s own).';

comment on function kronos.create_immediate_job is
'Makes a job that runs once, at once, together with its execution, and returns the job''s row (last_execution_id is the execution). It retires when the execution ends.
workspace, endpoint: names. input: at most 262144 bytes of JSON; it must satisfy the endpoint''s payload spec.
idempotency_key: 1 to 200 characters, unique per endpoint; the same key and arguments again return the job made first and change nothing. priority: 0 (most urgent) to 9.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT, INPUT_INVALID (22023), INPUT_TOO_LARGE (54000), WORKSPACE_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002), IDEMPOTENCY_CONFLICT (23505), CONCURRENT_CHANGE (40001).';

comment on function kronos.create_delayed_job is
'Makes a job that runs once, at run_at (at once if that is past), together with its execution, and returns the job''s row.
The other arguments, and errors: as in create_immediate_job.';

comment on function kronos.create_jobs is
'Makes many one-shot jobs with their executions in one statement, and returns their ids in the order given; created is false for one that was made before with the same idempotency key.
jobs: an array of objects with endpoint and, as in create_delayed_job, input, run_at (left out: at once), idempotency_key, priority.
Errors: those of create_immediate_job; DETAIL has the place in the array, from 0.';

comment on function kronos.cancel_job is
'Cancels a job of any kind, and returns its row: a cron job as cancel_cron_job does; a one-shot job together with its execution.
job_id, or job_name: the name of a live one. request_stop: for a one-shot job whose execution runs (which is an error otherwise): asks the worker to stop; the job retires when it has.
Errors: those of cancel_cron_job; INVALID_ARGUMENT (22023) for request_stop with a cron job, EXECUTION_RUNNING, JOB_RETIRED (55000).';

comment on function kronos.pause_cron_job is
'Pauses a live cron job: it leaves its schedule (the last job takes the pg_cron entry with it). Returns the job''s row, with the time and the reason.
job_id: the live version, or job_name: its name. reason: 1 to 1000 characters, or NULL. No further tick is materialised once the transaction commits; executions that exist are left to run. An update of a paused job leaves it paused.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002), JOB_RETIRED, JOB_PAUSED (55000), CONCURRENT_CHANGE (40001), PG_CRON_FAILED (pg_cron''s own).';

comment on function kronos.resume_cron_job is
'Lets a paused cron job go on with the ticks that come due from now on, on its schedule and with its pg_cron entry; ticks of the pause are not made good. Returns the job''s row, which keeps when and why it was paused.
job_id: the live version, or job_name: its name.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002), JOB_RETIRED, JOB_NOT_PAUSED, PG_CRON_UNAVAILABLE (55000), INVALID_WINDOW, NEVER_FIRES (22023), CONCURRENT_CHANGE (40001), PG_CRON_FAILED (pg_cron''s own).';

comment on function kronos.trigger_cron_job is
'Runs a live cron job now, outside its schedule (also a paused one, and whatever its overlap_policy): writes an execution that stands for no tick, and returns its row.
job_id: the live version, or job_name: its name. idempotency_key: 1 to 200 characters, unique for the job through all its versions; the same key again returns the execution made first.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002), JOB_RETIRED (55000).';

comment on function kronos.backfill_cron_job is
'Runs a live cron job (also a paused one, and whatever its overlap_policy) for the past ticks of its schedule with from_at <= tick < to_at that lie in its window and have no execution. Returns one row per tick: action is CREATE, or EXISTS where there was an execution (also one that was skipped).
job_id: the live version, or job_name: its name. to_at: not to come. dry_run: only says what it would do. One call takes at most 10000 ticks.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), TOO_MANY_TICKS (54000), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002), JOB_RETIRED (55000).';

comment on function kronos.apply_crontab is
'Makes the cron jobs of a workspace that were made by this function be those declared, in one transaction; for deployments. Returns one row per job: action is CREATE, UPDATE (changed says what), RESUME, RETIRE (declared no longer) or UNCHANGED. The same set again changes nothing. Jobs made by create_cron_job are left alone.
jobs: an array of objects with name, endpoint, cron and, as in create_cron_job, timezone, input, starts_at, ends_at, catchup_policy, catchup_window, overlap_policy, jitter, priority; what is left out has its default.
dry_run: does all of it, pg_cron included, and takes it back; job_id is then NULL for versions that would be made.
Errors: those of create_cron_job, update_cron_job, resume_cron_job and cancel_cron_job, with job_name in DETAIL; INVALID_ARGUMENT (22023) for what is no declaration; JOB_EXISTS (23505) for a name of a live job that was not made by this function.';

comment on function kronos.get_job is
'Returns one version of a job, as kronos.job_details has it: with next_tick_at, last_tick_at, and the ticks skipped in the last day.
job_id: any version, or job_name: the name of the live one.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002).';

comment on function kronos.list_jobs is
'Returns the jobs of a workspace (all their versions), newest first.
status (ACTIVE, PAUSED, RETIRED), trigger (CRON, IMMEDIATE, DELAYED), endpoint (its name): only such. max: how many, 1 to 10000. after_cursor: the cursor of the last row seen, to go on behind it.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND (P0002).';

comment on function kronos.job_status is
'How a job fares, in all its versions: what waits and runs now; total, succeeded, failed and durations of the executions made in the last 24 hours; and its health. Of the last 10 of these that ended in SUCCESS or FAILED: IDLE (there is none), HEALTHY (none failed), FAILING (half of them or more failed), DEGRADED (some failed).
job_id: any version, or job_name: the name of the live one.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002).';

comment on function kronos.job_versions is
'Returns all versions of a job, oldest first.
job_id: any version, or job_name: the name of the live one.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002).';

comment on function kronos.get_execution is
'Returns an execution, with what its last attempt did.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, EXECUTION_NOT_FOUND (P0002).';

comment on function kronos.list_executions is
'Returns the executions of a workspace, or of one job through all its versions, newest first.
job_id (any version) or job_name: only those of this job. status, origin (TICK, TRIGGER, BACKFILL, ONCE), endpoint_type, created_from, created_before: only such. max: how many, 1 to 10000. after_cursor: the cursor of the last row seen, to go on behind it.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002).';

comment on function kronos.list_attempts is
'Returns the attempts at an execution, first to last.
outcome (RUNNING, SUCCEEDED, FAILED, RELEASED, LOST, TIMED_OUT): only such. max: how many, 1 to 10000. after_cursor: the cursor of the last row seen, to go on behind it.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, EXECUTION_NOT_FOUND (P0002).';

comment on function kronos.list_logs is
'Returns what workers have logged about an execution, first to last.
attempt, level (DEBUG, INFO, WARNING, ERROR): only such. max: how many, 1 to 10000. after_cursor: the cursor of the last row seen, to go on behind it.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, EXECUTION_NOT_FOUND (P0002).';

comment on function kronos.cancel_execution is
'Cancels an execution that waits, and returns its row; a one-shot job retires with it.
request_stop: for one that runs (which is an error otherwise): asks its worker to stop. The worker hears of it by its next heartbeat; unless it completes, the execution ends as CANCELLED.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, EXECUTION_NOT_FOUND (P0002), EXECUTION_RUNNING, EXECUTION_FINISHED (55000).';

comment on function kronos.claim_executions is
'Gives a worker executions of a workspace that may start now: by priority, then run_at; no two workers the same. Returns all that it needs to run them. The attempt begins now, and is the worker''s until lease_expires_at; heartbeats extend that, but not beyond deadline_at (the endpoint''s attempt_timeout).
worker_id: 1 to 200 characters, unique to the process. max: how many at the most, 1 to 10000. lease: 1 second to 1 day. endpoint_types: only those of these types; NULL is any.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND (P0002).';

comment on function kronos.claim_any_executions is
'The same for all workspaces, in turn: those that have something waiting get equal shares of max, and the session''s next call goes on behind the last one served. Grant it to workers that may work for every workspace.
The arguments, and errors: as in claim_executions.';

comment on function kronos.heartbeat_executions is
'Extends the leases of executions that a worker holds to now + lease (not beyond deadline_at). Returns a row for each: accepted is false if the worker does not hold it (any more); stop_requested says that it should stop, and release it.
worker_id: as it claimed. executions: an array of {"execution_id": ..., "attempt": ...}. lease: 1 second to 1 day.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023).';

comment on function kronos.complete_execution is
'Ends an attempt in success: the execution is SUCCESS. Returns its row.
execution_id, attempt, worker_id: as claimed; all three must be those of the lease, and that not expired. output: at most 262144 bytes of JSON.
Errors: NULL_ARGUMENT (22004), OUTPUT_TOO_LARGE (54000), EXECUTION_NOT_FOUND (P0002), LEASE_LOST (55000).';

comment on function kronos.fail_execution is
'Ends an attempt in failure. The execution is RETRYING, at retry_at or after the delay of the endpoint''s retry policy; or FAILED if that allows no further attempt or retryable is false; or CANCELLED if it was asked to stop. Returns its row.
execution_id, attempt, worker_id: as claimed. error: what went wrong; of more than 10000 characters the rest is cut.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), EXECUTION_NOT_FOUND (P0002), LEASE_LOST (55000).';

comment on function kronos.release_execution is
'Gives an attempt back: the execution is QUEUED again, and the attempt does not count against the retry policy (CANCELLED if it was asked to stop). Returns its row.
execution_id, attempt, worker_id: as claimed.
Errors: NULL_ARGUMENT (22004), EXECUTION_NOT_FOUND (P0002), LEASE_LOST (55000).';

comment on function kronos.complete_executions is
'complete_execution for many. Returns a row for each: accepted is false if the worker does not hold it (any more); the others are done all the same.
executions: an array of {"execution_id": ..., "attempt": ..., "output": ...}.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), OUTPUT_TOO_LARGE (54000).';

comment on function kronos.fail_executions is
'fail_execution for many. Returns a row for each: accepted is false if the worker does not hold it (any more); the others are done all the same.
executions: an array of {"execution_id": ..., "attempt": ..., "error": ..., "retryable": ..., "retry_at": ...}.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023).';

comment on function kronos.release_executions is
'release_execution for many. Returns a row for each: accepted is false if the worker does not hold it (any more); the others are done all the same.
executions: an array of {"execution_id": ..., "attempt": ...}.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023).';

comment on function kronos.log_execution is
'Appends a line to the log of an execution that the worker holds, and returns its number. Of an execution the last 1000 lines are kept.
execution_id, attempt, worker_id: as claimed. message: 1 to 10000 characters. level: DEBUG, INFO, WARNING or ERROR. data: at most 65536 bytes of JSON.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), OUTPUT_TOO_LARGE (54000), EXECUTION_NOT_FOUND (P0002), LEASE_LOST (55000).';

comment on function kronos.next_wakeup is
'Until when a worker that has found nothing may sleep, unless it is notified (channel kronos_executions, payload: the workspace): now, if something may start; else the first run_at to come, or the first end of a lease. NULL: nothing is to come.
workspace: NULL is all. endpoint_types: only these; NULL is any.
Errors: WORKSPACE_NOT_FOUND (P0002).';

comment on function kronos.reap_expired_leases is
'Takes up executions whose lease has run out: a failed attempt each, with that reason; the old holder can change nothing any more. Returns how many. Claims that find less than they ask for do it, and run_due(); it may be called at any time.
max: how many at the most.';

comment on function kronos.prune is
'Deletes finished executions (with attempts and logs), retired versions of jobs and deleted endpoints that are older than their workspace keeps them (set_retention()), and Kronos''s rows of cron.job_run_details that are older than a week. Returns how many of each; to be called again while there are as many as max_rows.
max_rows: of each, at the most.
Errors: INVALID_ARGUMENT (22023).';

comment on function kronos.run_due is
'Materialises every tick that has come due: one execution per live job and tick, for all due schedules at once. pg_cron calls it; calling it at any other time, or many times at once, does no harm.
Returns how many schedules it handled, how many executions it wrote, and how many ticks were skipped by overlap_policy. A job whose execution cannot be written does not hold back the others: its tick is kept in kronos.pending_ticks with the error, shown by check(), and tried again by later calls.';

comment on function kronos.next_ticks is
'The next ticks of a schedule, so that a person sees them before creating a job.
cron, timezone: as in create_cron_job. after: only ticks after this instant. count: how many, 0 to 10000.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT, INVALID_CRON, INVALID_TIMEZONE (22023), CRON_NOT_SUPPORTED (0A000).';

comment on function kronos.describe_schedule is
'Says in plain English when a schedule ticks.
cron, timezone: as in create_cron_job.
Errors: NULL_ARGUMENT (22004), INVALID_CRON, INVALID_TIMEZONE (22023), CRON_NOT_SUPPORTED (0A000).';

comment on function kronos.realign_alarms is
'Gives every schedule whose pg_cron entry no longer covers its ticks one that does, and returns how many there were. To be called after a change of cron.timezone, or of a zone''s rules (a new tzdata); check() names such schedules.
Errors: CONCURRENT_CHANGE (40001), PG_CRON_UNAVAILABLE (55000), PG_CRON_FAILED (pg_cron''s own).';

comment on function kronos.check is
'Returns one row per violated invariant, with its number, what is wrong, and the ids concerned; no row when all is well. It changes nothing.';

comment on function kronos.error_codes is
'The codes that Kronos puts in an error''s DETAIL ({"code": "JOB_NOT_FOUND", ...}), with SQLSTATE, a fitting HTTP status, and meaning.';

comment on function kronos.uuid_v7_at is
'The least UUIDv7 of an instant: ids of what was made from then on are greater.';

comment on function kronos.refuse_transition is
'Trigger: raises INVALID_TRANSITION (55000) for a change of an execution''s status that no arrow of the README''s diagram has.';

comment on function kronos.notify_workers is
'Trigger: one notification per statement and workspace when executions are made that may start now.';

comment on function kronos.uuid_v7 is
'A new UUIDv7 (RFC 9562): it sorts by the time at which it was made.';

-- Kronos's functions act with its owner's rights; the operator says which roles may call them.
revoke execute on all functions in schema kronos from public;

-- Their plans are made for many workspaces and types, and cost much by estimate alone: compiling them would take longer
-- than running them.
do $$
declare
    f regprocedure;
begin
    foreach f in array array['kronos.claim_executions(text, text, integer, interval, text[])'::regprocedure,
                             'kronos.claim_any_executions(text, integer, interval, text[])',
                             'kronos.next_wakeup(text, text[])'] loop
        execute format('alter function %s set jit = off', f);
    end loop;
end
$$;
