-- What \df+ kronos.* says, and who may call what. Comments on types and views stand beside their definitions.

set local search_path = pg_catalog, pg_temp;

comment on function kronos.start is
'Creates the workspace "default" and the pg_cron entry of upkeep, unless they exist. Call it once after CREATE EXTENSION.
Errors: PG_CRON_UNAVAILABLE (55000), PG_CRON_FAILED (pg_cron''s own SQLSTATE).';

-- Workspaces, endpoints and payload specs

comment on function kronos.create_workspace is
'Creates a workspace, the owner of endpoints, jobs and executions, and returns it.
name: 1 to 200 characters, unique. if_not_exists: returns the workspace of that name as it is, in place of error WORKSPACE_EXISTS.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_EXISTS (23505), CONCURRENT_CHANGE (40001).';

comment on function kronos.get_workspace is
'Returns a workspace.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND (P0002).';

comment on function kronos.list_workspaces is
'Returns the workspaces, newest first.
max: how many, 1 to 10000. after_cursor: the cursor of the last row seen.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023).';

comment on function kronos.set_retention is
'Sets how long a workspace keeps its history, and returns the workspace. Upkeep deletes what is older.
execution_retention: for finished executions, ledger rows and idempotency keys. job_retention: for retired jobs and deleted endpoints. At least 1 day each, 30 days by default; more than 1000 years is for ever; NULL keeps the old value.
workspace: NULL is setting kronos.workspace.
Errors: INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND (P0002).';

comment on function kronos.create_endpoint is
'Creates an endpoint, the place where executions run, and returns it.
name: 1 to 200 characters, unique in the workspace.
endpoint_type: 1 to 100 characters (HTTP, KAFKA, REDIS_STREAM, SQL, or any other). It tells workers how to read the spec, and they claim by it; it never changes.
spec: a JSON object of at most 65536 bytes.
retry_policy: an object with max_attempts (1 to 1000; default 5), backoff (fixed, linear, exponential; default exponential), initial_delay_ms (default 1000) and max_delay_ms (default 3600000), both 0 to 30 days, and jitter (0 to 1; default 0.1), the share of a delay that chance may take off. See retry_delay.
attempt_timeout: the longest that an attempt may take, at most 30 days; its lease is not extended beyond. NULL is no limit.
payload_spec: the name of the payload spec that inputs must satisfy.
if_not_exists: returns the endpoint of that name as it is, in place of error ENDPOINT_EXISTS.
workspace: NULL is setting kronos.workspace.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023; DETAIL names the field of a retry_policy), VALUE_TOO_LARGE (54000), WORKSPACE_NOT_FOUND, PAYLOAD_SPEC_NOT_FOUND (P0002), ENDPOINT_EXISTS (23505), CONCURRENT_CHANGE (40001).';

comment on function kronos.update_endpoint is
'Changes an endpoint, and returns it. Unfinished executions use the endpoint as it is when a worker claims them.
name: the endpoint. spec, retry_policy (in full: a field left out has its default), attempt_timeout, payload_spec: as in create_endpoint; NULL keeps the old value, the interval 0 clears attempt_timeout, an empty text clears payload_spec. new_name: its new name.
Errors: those of create_endpoint, ENDPOINT_NOT_FOUND (P0002).';

comment on function kronos.delete_endpoint is
'Deletes an endpoint, unless a live job uses it, and returns it. Unfinished executions of the endpoint still run.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002), ENDPOINT_IN_USE (23503).';

comment on function kronos.get_endpoint is
'Returns an endpoint.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002).';

comment on function kronos.list_endpoints is
'Returns the endpoints of a workspace, newest first.
endpoint_type: only endpoints of this type. max: how many, 1 to 10000. after_cursor: the cursor of the last row seen.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND (P0002).';

comment on function kronos.create_payload_spec is
'Creates a payload spec, a JSON Schema (draft 2020-12 unless $schema names another) that inputs must satisfy, and returns it.
name: 1 to 200 characters, unique in the workspace.
schema: at most 65536 bytes. Other documents are not fetched, patterns have neither look-around nor back references, and a schema may not refer to itself; schemas that unfold to too much are refused.
if_not_exists: returns the payload spec of that name as it is, in place of error PAYLOAD_SPEC_EXISTS.
workspace: NULL is setting kronos.workspace.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT, INVALID_PAYLOAD_SPEC (22023), VALUE_TOO_LARGE (54000), WORKSPACE_NOT_FOUND (P0002), PAYLOAD_SPEC_EXISTS (23505), CONCURRENT_CHANGE (40001).';

comment on function kronos.update_payload_spec is
'Gives a payload spec another schema, and returns it. Inputs that arrive after the commit must satisfy it; inputs that are stored already are left alone.
Errors: those of create_payload_spec, PAYLOAD_SPEC_NOT_FOUND (P0002).';

comment on function kronos.delete_payload_spec is
'Deletes a payload spec, unless an endpoint uses it, and returns it.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, PAYLOAD_SPEC_NOT_FOUND (P0002), PAYLOAD_SPEC_IN_USE (23503).';

comment on function kronos.get_payload_spec is
'Returns a payload spec.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, PAYLOAD_SPEC_NOT_FOUND (P0002).';

comment on function kronos.list_payload_specs is
'Returns the payload specs of a workspace, newest first.
max: how many, 1 to 10000. after_cursor: the cursor of the last row seen.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND (P0002).';

-- Cron jobs

comment on function kronos.create_cron_job is
'Creates a cron job in the caller''s transaction, with its schedule and its pg_cron entry, and returns it.
endpoint: the name of the endpoint where its executions run.
cron: five fields in pg_cron''s dialect, @hourly and its kin, or "N seconds" (1 to 59; needs pg_cron 1.5), whose ticks lie on a fixed grid from 1970 on.
input: passed to every execution, at most 262144 bytes of JSON; it must satisfy the endpoint''s payload spec.
name: 1 to 200 characters, unique among the live jobs of the workspace; other functions take it as job_name.
timezone: an IANA name that this server knows; the ticks are times on that zone''s clock.
starts_at, ends_at: only ticks with starts_at <= tick < ends_at run; NULL or infinity is no bound.
catchup_policy: which missed ticks run, of those within catchup_window (0 to 1 year): none, last (the last one) or all (the schedule''s latest 10000 at most). A tick is missed if it is handled more than five minutes late.
overlap_policy: what happens to a tick while an execution of the job is unfinished: allow (it runs as well), skip (it is skipped), queue_one (one waits, further ones are skipped), replace (waiting ones are cancelled, a running one is asked to stop).
jitter: 0 to 1 day; run_at lies within it after the tick, always at the same time for a job and a tick.
priority: 0 (starts first) to 9.
metadata: the caller''s own JSON object, at most 8192 bytes; claims return it.
idempotency_key: 1 to 200 characters, unique in the workspace until prune() deletes the job; the same key and arguments again return the job that the first request created, and created is false.
if_not_exists: returns the live job of that name as it is, in place of error JOB_EXISTS; needs a name.
workspace: NULL is setting kronos.workspace.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT, INVALID_CRON, NEVER_FIRES, INVALID_TIMEZONE, INVALID_WINDOW, INVALID_INPUT (22023), CRON_NOT_SUPPORTED (0A000), VALUE_TOO_LARGE (54000), TOO_MANY_ENTRIES (53400), WORKSPACE_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002), JOB_EXISTS, IDEMPOTENCY_CONFLICT (23505), JOB_RETIRED, PG_CRON_UNAVAILABLE (55000), CONCURRENT_CHANGE (40001), PG_CRON_FAILED (pg_cron''s own SQLSTATE).';

comment on function kronos.create_cron_jobs is
'Creates many cron jobs at once, and returns them in the order given; all of them, or none.
jobs: an array of at most 10000 objects whose fields are the arguments of create_cron_job; a field left out or null has its default. starts_at and ends_at are ISO 8601 with an offset.
workspace: NULL is setting kronos.workspace.
Errors: those of create_cron_job, with the place in the array (from 0) in DETAIL.';

comment on function kronos.update_cron_job is
'Ends the current version of a live cron job and begins the next one at one instant, and returns the job. The job_id stays. A paused job stays paused.
job_id, or job_name: the job.
The other arguments are those of create_cron_job; NULL keeps the old value, -infinity clears starts_at, infinity clears ends_at. name is a new name.
expected_version: fails unless it is the job''s current version.
Ticks that came due before the update belong to the old version. A job whose schedule changes does not catch up on earlier ticks.
Errors: those of create_cron_job for its arguments, JOB_NOT_FOUND (P0002), JOB_RETIRED, VERSION_CONFLICT (55000).';

comment on function kronos.cancel_cron_job is
'Retires a live cron job, releases its schedule (the last job takes the pg_cron entry with it), and returns the job. Once the transaction commits, no further tick is written. Executions that exist are left to run.
job_id, or job_name: the job.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002), JOB_RETIRED (55000), CONCURRENT_CHANGE (40001), PG_CRON_FAILED (pg_cron''s own SQLSTATE).';

comment on function kronos.pause_cron_job is
'Pauses an active cron job, releases its schedule (the last job takes the pg_cron entry with it), and returns the job with the time and the reason. Once the transaction commits, no further tick is written. Executions that exist are left to run.
job_id, or job_name: the job. reason: 1 to 1000 characters, or NULL.
Errors: those of cancel_cron_job, JOB_PAUSED (55000).';

comment on function kronos.resume_cron_job is
'Resumes a paused cron job with the ticks that come due from now on, and returns it. Ticks of the pause are not caught up.
job_id, or job_name: the job.
Errors: those of cancel_cron_job, JOB_NOT_PAUSED, PG_CRON_UNAVAILABLE (55000), INVALID_WINDOW, NEVER_FIRES (22023), TOO_MANY_ENTRIES (53400).';

comment on function kronos.trigger_cron_job is
'Runs a live cron job now, outside its schedule: also a paused one, and whatever its overlap_policy. Returns the execution, which belongs to no tick.
job_id, or job_name: the job. idempotency_key: 1 to 200 characters, unique for the job; the same key again returns the execution of the first request, and created is false.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002), JOB_RETIRED (55000), CONCURRENT_CHANGE (40001).';

comment on function kronos.backfill_cron_job is
'Runs a live cron job for past ticks of its schedule that lie in its window and that the ledger does not have: also a paused one, and whatever its overlap_policy. Returns one row per tick: action is CREATE, or EXISTS for a tick that the ledger has, run or skipped. Ticks whose ledger rows have been pruned are left out.
job_id, or job_name: the job. tick_from, tick_before: the ticks with tick_from <= tick < tick_before; tick_before is not in the future. One call takes at most 10000 ticks.
dry_run: only says what the call would do.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), TOO_MANY_TICKS (54000), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002), JOB_RETIRED (55000).';

comment on function kronos.apply_crontab is
'Makes the cron jobs of a declared set exactly those of an array, in one transaction; for deployments. Returns one row per job: action is CREATE, UPDATE (changed lists the arguments that differ), RESUME, RETIRE (the set no longer declares the job), UNCHANGED, or ENDED (ends_at is past: the job is not created, or retires). The same call again changes nothing. Jobs outside the set are left alone.
jobs: an array of at most 10000 objects with name, endpoint, cron and further arguments of create_cron_job (not idempotency_key and if_not_exists); a field left out or null has its default. starts_at and ends_at are ISO 8601 with an offset.
set_name: the set, 1 to 200 characters. Deployments of one set run one after the other.
dry_run: does all of it, pg_cron included, and rolls it back; job_id is NULL for jobs that would be created.
Errors: those of create_cron_job and cancel_cron_job, with place (from 0) and job_name in DETAIL; JOB_EXISTS (23505) for the name of a live job outside the set.';

comment on function kronos.get_job is
'Returns a cron job in its current version, with its next and last tick.
job_id, also of a retired job, or job_name, of a live one.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002).';

comment on function kronos.list_jobs is
'Returns the cron jobs of a workspace, newest first.
status (ACTIVE, PAUSED, RETIRED), endpoint (a name): only jobs with it. max: how many, 1 to 10000. after_cursor: the cursor of the last row seen.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002).';

comment on function kronos.list_job_versions is
'Returns the versions of a cron job, newest first, the current one included.
job_id, also of a retired job, or job_name, of a live one. max: how many, 1 to 10000. after_cursor: the cursor of the last row seen.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002).';

comment on function kronos.list_ticks is
'Returns what became of the ticks of a cron job, newest first.
job_id, also of a retired job, or job_name, of a live one. outcome (RUN, SKIPPED, OWED, DROPPED), tick_from, tick_before: only ticks with that outcome, and with tick_from <= tick < tick_before. max: how many, 1 to 10000. after_cursor: the cursor of the last row seen.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002).';

comment on function kronos.job_status is
'How a cron job fares, in all its versions: the executions that wait and run now; of the last 24 hours how many there were, succeeded, failed and were skipped, with mean and p99 duration; and health. Of the last 10 executions of that day that succeeded or failed: IDLE (none), HEALTHY (none failed), FAILING (half or more failed), DEGRADED (some failed).
job_id, also of a retired job, or job_name, of a live one.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002).';

-- One-shots

comment on function kronos.enqueue is
'Enqueues one execution without a job, in the caller''s transaction, and returns it. Workers see it once the transaction commits.
endpoint: the name of the endpoint where it runs. input: at most 262144 bytes of JSON; it must satisfy the endpoint''s payload spec.
run_at: it starts then or later, in the years 1970 to 2199; NULL is at once. priority: 0 (starts first) to 9. metadata: the caller''s own JSON object, at most 8192 bytes; claims return it.
idempotency_key: 1 to 200 characters, unique in the workspace; the same key and arguments again return the execution of the first request in whatever status it is, and created is false.
workspace: NULL is setting kronos.workspace.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT, INVALID_INPUT (22023), VALUE_TOO_LARGE (54000), WORKSPACE_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002), IDEMPOTENCY_CONFLICT (23505), CONCURRENT_CHANGE (40001).';

comment on function kronos.enqueue_many is
'Enqueues many executions at once, and returns them in the order given; all of them, or none.
executions: an array of at most 10000 objects whose fields are the arguments of enqueue; a field left out or null has its default. run_at is ISO 8601 with an offset, such as 2026-01-31T09:00:00+01:00.
workspace: NULL is setting kronos.workspace.
Errors: those of enqueue, with the place in the array (from 0) in DETAIL.';

-- Workers

comment on function kronos.claim_executions is
'Claims executions of a workspace that may start now, by priority, then run_at; no two workers get the same one. Returns all that a worker needs to run them. Commit before the work begins. The attempt begins now and belongs to the worker until lease_expires_at; heartbeats extend that, but not beyond deadline_at (the endpoint''s attempt_timeout).
worker_id: 1 to 200 characters, unique to the process. max: how many, 1 to 10000; one claim returns at most 16 MB of inputs and specs, but at least one execution. lease: 1 second to 1 day. endpoint_types: only executions of these types; NULL is any.
workspace: NULL is setting kronos.workspace.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND (P0002).';

comment on function kronos.claim_any_executions is
'Claims executions of all workspaces, in turn: workspaces with waiting executions get equal shares of max, and the session''s next call continues after the last one served. Grant it to workers that may work for every workspace.
The arguments and errors are those of claim_executions.';

comment on function kronos.heartbeat_executions is
'Extends the leases of executions that a worker holds to now + lease, but not beyond deadline_at. Returns a row for each: accepted is false if the worker does not hold it; stop_requested says that the worker should stop the work and release it.
worker_id: as it claimed. executions: an array of at most 10000 objects {"execution_id": ..., "attempt": ...}. lease: 1 second to 1 day.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023).';

comment on function kronos.complete_execution is
'Ends an attempt in success: the execution becomes SUCCEEDED. In one transaction with the worker''s own writes, both commit or neither does. Returns the report.
execution_id, attempt, worker_id: as claimed; the worker must hold the execution, and the lease must not have expired when the call begins. output: at most 262144 bytes of JSON.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), VALUE_TOO_LARGE (54000), EXECUTION_NOT_FOUND (P0002), LEASE_LOST (55000).';

comment on function kronos.fail_execution is
'Ends an attempt in failure. The execution becomes RETRYING, with run_at at retry_at or after the delay of the endpoint''s retry policy; or FAILED, if no attempt is left or retryable is false; or CANCELLED, if it was asked to stop. Returns the report.
execution_id, attempt, worker_id: as claimed. error: what went wrong; text beyond 10000 characters is cut.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), EXECUTION_NOT_FOUND (P0002), LEASE_LOST (55000).';

comment on function kronos.release_execution is
'Gives an execution back unfinished. It becomes QUEUED, and the attempt does not count against the retry policy; or CANCELLED, if it was asked to stop. Returns the report.
execution_id, attempt, worker_id: as claimed.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), EXECUTION_NOT_FOUND (P0002), LEASE_LOST (55000).';

comment on function kronos.complete_executions is
'complete_execution for many. Returns a row for each: accepted is false if the worker does not hold it; the others are completed nevertheless.
executions: an array of at most 10000 objects {"execution_id": ..., "attempt": ..., "output": ...}.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), VALUE_TOO_LARGE (54000).';

comment on function kronos.fail_executions is
'fail_execution for many. Returns a row for each: accepted is false if the worker does not hold it; the others fail nevertheless.
executions: an array of at most 10000 objects {"execution_id": ..., "attempt": ..., "error": ..., "retryable": ..., "retry_at": ...}; retry_at is ISO 8601 with an offset.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023).';

comment on function kronos.release_executions is
'release_execution for many. Returns a row for each: accepted is false if the worker does not hold it; the others are released nevertheless.
executions: an array of at most 10000 objects {"execution_id": ..., "attempt": ...}.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023).';

comment on function kronos.log_execution is
'Appends a line to the log of an execution that the worker holds, and returns its number. An execution keeps its last 1000 lines.
execution_id, attempt, worker_id: as claimed. message: 1 to 10000 characters. level: DEBUG, INFO, WARNING or ERROR. data: at most 65536 bytes of JSON.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), VALUE_TOO_LARGE (54000), EXECUTION_NOT_FOUND (P0002), LEASE_LOST (55000).';

comment on function kronos.next_wakeup is
'Until when a worker that has found nothing may sleep, unless it is notified (channel kronos_executions, payload: the workspace_id): now, if an execution may start; else the earliest run_at or end of a lease. NULL: nothing is to come. Sleep for one minute at most, and a tenth of a second at least.
endpoint_types: only executions of these types; NULL is any. all_workspaces: looks at every workspace, for a worker that calls claim_any_executions. workspace: NULL is setting kronos.workspace.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND (P0002).';

-- Executions

comment on function kronos.get_execution is
'Returns an execution, live or finished, with its last attempt.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, EXECUTION_NOT_FOUND (P0002).';

comment on function kronos.list_executions is
'Returns the executions of a workspace, or of one job in all its versions, newest first.
job_id or job_name: only executions of this job. status (PENDING, QUEUED, RUNNING, RETRYING, SUCCEEDED, FAILED, CANCELLED), origin (TICK, TRIGGER, BACKFILL, ENQUEUE), endpoint_type, created_from, created_before: only executions with them. max: how many, 1 to 10000. after_cursor: the cursor of the last row seen.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002).';

comment on function kronos.list_attempts is
'Returns the attempts of an execution, oldest first.
outcome (RUNNING, SUCCEEDED, FAILED, RELEASED, LOST, TIMED_OUT): only attempts with it. max: how many, 1 to 10000. after_cursor: the cursor of the last row seen.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, EXECUTION_NOT_FOUND (P0002).';

comment on function kronos.list_logs is
'Returns the log of an execution, oldest line first.
attempt, level (DEBUG, INFO, WARNING, ERROR): only lines with them. max: how many, 1 to 10000. after_cursor: the cursor of the last row seen.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, EXECUTION_NOT_FOUND (P0002).';

comment on function kronos.cancel_execution is
'Cancels an execution that waits, and returns it.
request_stop: asks the worker of a running execution (an error otherwise) to stop. The worker hears of it at its next heartbeat; unless it completes the execution, that becomes CANCELLED.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, EXECUTION_NOT_FOUND (P0002), EXECUTION_RUNNING, EXECUTION_FINISHED (55000).';

-- Time

comment on function kronos.next_ticks is
'The next ticks of a schedule, to look at before creating a job.
cron, timezone: as in create_cron_job. after: only ticks later than this. max: how many, 0 to 10000.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT, INVALID_CRON, INVALID_TIMEZONE (22023), CRON_NOT_SUPPORTED (0A000).';

comment on function kronos.describe_schedule is
'A schedule in plain English.
cron, timezone: as in create_cron_job.
Errors: NULL_ARGUMENT (22004), INVALID_CRON, INVALID_TIMEZONE (22023), CRON_NOT_SUPPORTED (0A000).';

comment on procedure kronos.tick is
'Writes every tick that is due, for all workspaces, in batches that commit, and retries owed ticks. pg_cron calls it; calling it at any time, also many times at once, is harmless. Inside a transaction block it does one batch and does not commit.';

comment on function kronos.run_due is
'One batch of tick() in the caller''s transaction: at most 1000 schedules and 10000 jobs. Returns how many schedules it finished, how many executions it wrote, and how many ticks were skipped.';

-- Upkeep

comment on procedure kronos.upkeep is
'Keeps Kronos in order, in batches that commit: ticks whatever is due, expires leases, corrects the next tick and the pg_cron entry of schedules, and prunes. pg_cron calls it every minute.';

comment on function kronos.expire_leases is
'Fails the attempt of every execution whose lease has expired, and returns how many there were. Later reports from the previous holders are rejected. Upkeep calls it every minute, and so do claims that find fewer executions than they ask for.
max: how many at most, 1 to 1000000.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023).';

comment on function kronos.prune is
'Deletes finished executions (with attempts and logs), ledger rows, retired jobs, deleted endpoints and idempotency keys that their workspaces no longer keep (set_retention), and Kronos''s rows of cron.job_run_details that are older than a week. Returns how many of each; call it again while one of them equals max. Upkeep calls it every minute.
max: how many of each at most, 1 to 1000000.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023).';

comment on function kronos.check is
'Returns one row per violated invariant: its number, the problem, and the ids concerned. No row when all is well. It changes nothing.';

comment on function kronos.error_codes is
'The codes that Kronos puts into the DETAIL of errors ({"code": "JOB_NOT_FOUND", ...}), each with SQLSTATE, a fitting HTTP status, and meaning.';

comment on function kronos.retry_delay is
'How long an execution waits after its n-th failed attempt, before jitter: fixed: initial_delay_ms; linear: n times that; exponential: 2^(n-1) times that; at most max_delay_ms.
backoff, initial_delay_ms, max_delay_ms: as in an endpoint''s retry_policy. failed_attempts: n, from 1.';

comment on function kronos.uuid_v7 is
'A new UUIDv7 (RFC 9562): it sorts by the time at which it was created.';

comment on function kronos.uuid_v7_at is
'The least UUIDv7 of an instant: ids created from then on are greater.';

-- Kronos's functions act with its owner's rights; the operator says which roles may call them.
revoke execute on all routines in schema kronos from public;
