-- The descriptions of functions that \df+ kronos.* shows, and who may call the functions. Comments on types and views
-- stand beside their definitions.

set local search_path = pg_catalog, pg_temp;

comment on function kronos.start is
'Creates the workspace "default" and the pg_cron entry of upkeep, unless they exist. Call it once after CREATE EXTENSION.
Errors: PG_CRON_UNAVAILABLE (55000), PG_CRON_FAILED (pg_cron''s own SQLSTATE).';

-- Workspaces, endpoints and payload specs

comment on function kronos.create_workspace is
'Creates a workspace, the owner of endpoints, jobs and executions, and returns it.
name: 1 to 200 characters, unique. if_not_exists: returns an existing workspace of that name unchanged, instead of raising WORKSPACE_EXISTS.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_EXISTS (23505), CONCURRENT_CHANGE (40001).';

comment on function kronos.delete_workspace is
'Deletes a workspace with its grants, and returns how many live jobs and unfinished executions it had. Needs the capability admin for all workspaces. The name is free at once; upkeep deletes the history, at most 20000 executions a minute.
cancel: cancels the live jobs and deletes the unfinished executions, instead of raising WORKSPACE_IN_USE. Later reports of workers about them are refused. An execution that another transaction is enqueuing meanwhile is deleted, too.
Errors: NULL_ARGUMENT (22004), PERMISSION_DENIED (42501), WORKSPACE_NOT_FOUND (P0002), WORKSPACE_IN_USE (55006), CONCURRENT_CHANGE (40001), PG_CRON_FAILED (pg_cron''s own SQLSTATE).';

comment on function kronos.get_workspace is
'Returns a workspace. Any grant for it is enough.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND (P0002).';

comment on function kronos.list_workspaces is
'Returns the workspaces, newest first.
max: the most rows to return, 1 to 10000. after: the workspace_id of the last row seen, to read the next page.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023).';

comment on function kronos.grant_workspace is
'Grants a capability to a role, in a workspace or in all workspaces, and returns the grant. Needs the capability admin there.
capability: viewer reads everything but the specs of endpoints; producer also creates and changes jobs, enqueues and cancels; worker claims executions and reports on them; admin does everything, endpoints, payload specs, retention and grants included.
role: the role, whose members have the capability, too. all_workspaces: grants it for all workspaces, also those to come; for fleets of workers, monitoring and operators.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), PERMISSION_DENIED (42501), WORKSPACE_NOT_FOUND (P0002).';

comment on function kronos.revoke_workspace is
'Revokes a capability that grant_workspace() has granted, and returns whether the role had it.
role, capability, all_workspaces: as in grant_workspace.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), PERMISSION_DENIED (42501), WORKSPACE_NOT_FOUND (P0002).';

comment on function kronos.set_owner is
'Makes a role the owner of Kronos''s tables and pg_cron entries, so that Kronos acts with the rights of this role instead of a superuser''s. Only a superuser can call it. Functions and views stay with the superuser who created the extension.
role: a role that can log in and that cron.host lets in. It gets USAGE on the schemas, the privileges on pg_cron''s tables that it needs, and membership in pg_monitor. Call set_owner again after ALTER EXTENSION UPDATE and after a restore.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), PERMISSION_DENIED (42501), PG_CRON_FAILED (pg_cron''s own SQLSTATE).';

comment on function kronos.my_workspaces is
'Returns the ids of the workspaces in which the current user has a capability. Row-level security of the views calls it.
capability: viewer, producer, worker or admin.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023).';

comment on function kronos.set_retention is
'Sets how long a workspace keeps its history, and returns the workspace. Upkeep deletes older rows.
execution_retention: for finished executions, ledger rows and idempotency keys. job_retention: for retired jobs and deleted endpoints. At least 1 day each, 30 days by default; more than 1000 years means forever; NULL keeps the old value.
workspace: NULL means the setting kronos.workspace.
Errors: INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND (P0002).';

comment on function kronos.create_endpoint is
'Creates an endpoint, the place where executions run, and returns it.
name: 1 to 200 characters, unique in the workspace.
endpoint_type: 1 to 100 characters. Workers claim by type, and the type tells them how to read the spec (HTTP, KAFKA, REDIS_STREAM, or any other). Executions of type SQL run in the server itself. It cannot be changed.
spec: a JSON object of at most 65536 bytes. For type SQL: statement (text; it is parsed, but its tables need not exist yet), mode (transaction: the statement, in which $1 is the input as jsonb, commits together with the completion of its execution; autocommit: each statement runs at top level, as VACUUM must, at least once; left out, it follows from the statement), settings (an object: search_path, statement_timeout and the like). The statement runs as the caller: its role becomes the endpoint''s run_as.
retry_policy: an object with max_attempts (1 to 1000; default 5), backoff (fixed, linear, exponential; default exponential), initial_delay_ms (default 1000) and max_delay_ms (default 3600000), both 0 to 30 days, and jitter (0 to 1; default 0.1), the largest share of a delay that is randomly subtracted. See retry_delay.
attempt_timeout: the longest that an attempt may take, at most 30 days; heartbeats do not extend its lease past this. NULL means no limit.
payload_spec: the name of the payload spec that inputs must satisfy.
on_failure: the name of an endpoint of the workspace, without a payload spec. Each execution that ends FAILED gives it an execution, in the same transaction, with the facts as input: execution_id, endpoint, job_id, job_name, tick_at, attempt, failed_attempts, error, status_reason, worker_id, finished_at, and input unless that has more than 65536 bytes. Priority and metadata are those of the failed execution. The failure of an execution of origin ON_FAILURE gives nobody an execution. Once the endpoint is deleted, it gets none. A payload spec that it gets later does not apply to these inputs.
if_not_exists: returns an existing endpoint of that name unchanged, instead of raising ENDPOINT_EXISTS.
max_concurrent: how many attempts may run at once, 1 to 100000; NULL means no limit. rate_limit, rate_interval: how many attempts may start within any rate_interval, 1 to 100000 within 1 millisecond to 1 day; NULL means no limit. Both hold for each concurrency_key by itself; executions without a key share one bucket.
workspace: NULL means the setting kronos.workspace.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023; DETAIL names the field of a retry_policy), VALUE_TOO_LARGE (54000), WORKSPACE_NOT_FOUND, PAYLOAD_SPEC_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002), ENDPOINT_EXISTS (23505), CONCURRENT_CHANGE (40001).';

comment on function kronos.update_endpoint is
'Updates an endpoint, and returns it. Unfinished executions use the endpoint as it is when a worker claims them. Who writes the spec of an SQL endpoint becomes its run_as; the caller needs the privileges of the role that it had.
name: the endpoint. spec, retry_policy (replaced as a whole: an omitted field gets its default), attempt_timeout, payload_spec, on_failure: as in create_endpoint; NULL keeps the old value, the interval 0 clears attempt_timeout, the empty string clears payload_spec and on_failure. new_name: the new name.
max_concurrent, rate_limit, rate_interval: as in create_endpoint; NULL keeps the old value, 0 clears max_concurrent or rate_limit. A limit holds for claims that begin after its commit. Attempts that are running count towards max_concurrent; a rate_limit counts the starts since the endpoint has one.
Errors: as create_endpoint; PERMISSION_DENIED (42501) without the privileges of an SQL endpoint''s run_as.';

comment on function kronos.delete_endpoint is
'Deletes an endpoint, unless a live job uses it, and returns it. Unfinished executions of the endpoint still run, so a paused endpoint must be resumed first.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002), ENDPOINT_IN_USE (23503), ENDPOINT_PAUSED (55000).';

comment on function kronos.pause_endpoint is
'Pauses an endpoint, and returns it with the time, the reason and the role that paused it. Once the transaction commits, no claim starts an execution of the endpoint until it is resumed. Running executions go on, and jobs and enqueue() create executions as before.
name: the endpoint. reason: 1 to 1000 characters, or NULL.
workspace: NULL means the setting kronos.workspace.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002), ENDPOINT_PAUSED (55000).';

comment on function kronos.resume_endpoint is
'Resumes a paused endpoint, notifies the workers of the workspace, and returns the endpoint. Its waiting executions may start once the transaction commits.
name: the endpoint.
workspace: NULL means the setting kronos.workspace.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002), ENDPOINT_NOT_PAUSED (55000).';

comment on function kronos.get_endpoint is
'Returns an endpoint.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002).';

comment on function kronos.list_endpoints is
'Returns the endpoints of a workspace, newest first.
endpoint_type: only endpoints of this type. max: the most rows to return, 1 to 10000. after: the endpoint_id of the last row seen, to read the next page.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND (P0002).';

comment on function kronos.create_payload_spec is
'Creates a payload spec, a JSON Schema (draft 2020-12 unless $schema names another) that inputs must satisfy, and returns it.
name: 1 to 200 characters, unique in the workspace.
schema: at most 65536 bytes. A schema may not refer to itself or to other documents, and its patterns have neither look-around nor back references. A schema that expands too far is refused.
if_not_exists: returns an existing payload spec of that name unchanged, instead of raising PAYLOAD_SPEC_EXISTS.
workspace: NULL means the setting kronos.workspace.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT, INVALID_PAYLOAD_SPEC (22023), VALUE_TOO_LARGE (54000), WORKSPACE_NOT_FOUND (P0002), PAYLOAD_SPEC_EXISTS (23505), CONCURRENT_CHANGE (40001).';

comment on function kronos.update_payload_spec is
'Replaces the schema of a payload spec, and returns the payload spec. Inputs that arrive after the commit must satisfy the new schema; inputs already stored are not checked again.
Errors: as create_payload_spec, and PAYLOAD_SPEC_NOT_FOUND (P0002).';

comment on function kronos.delete_payload_spec is
'Deletes a payload spec, unless an endpoint uses it, and returns it.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, PAYLOAD_SPEC_NOT_FOUND (P0002), PAYLOAD_SPEC_IN_USE (23503).';

comment on function kronos.get_payload_spec is
'Returns a payload spec.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, PAYLOAD_SPEC_NOT_FOUND (P0002).';

comment on function kronos.list_payload_specs is
'Returns the payload specs of a workspace, newest first.
max: the most rows to return, 1 to 10000. after: the payload_spec_id of the last row seen, to read the next page.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND (P0002).';

-- Cron jobs

comment on function kronos.create_cron_job is
'Creates a cron job in the caller''s transaction, with its schedule and its pg_cron entry, and returns it.
endpoint: the name of the endpoint where its executions run.
cron: five fields in pg_cron''s dialect, a macro such as @hourly, or "N seconds" (1 to 59; needs pg_cron 1.5), which ticks at multiples of N seconds since 1970.
input: passed to every execution, at most 262144 bytes of JSON; it must satisfy the endpoint''s payload spec.
name: 1 to 200 characters, unique among the live jobs of the workspace; other functions take it as job_name.
timezone: an IANA name that this server knows; cron is read in this zone.
starts_at, ends_at: only ticks with starts_at <= tick < ends_at run; NULL or infinity means no bound.
catchup_policy: which missed ticks within catchup_window (0 to 1 year) run: none, last (only the last one) or all (at most the schedule''s latest 10000). A tick is missed if it is handled more than five minutes late.
overlap_policy: what happens to a tick while an execution of the job is unfinished: allow (the tick also runs), skip (the tick is skipped), queue_one (one tick waits, further ticks are skipped), replace (waiting executions are cancelled, the running one is asked to stop).
jitter: 0 to 1 day; run_at is at most this long after the tick, and the same tick of a job always gets the same run_at.
priority: 0 (starts first) to 9.
metadata: the caller''s own JSON object, at most 8192 bytes; claims return it.
concurrency_key: 1 to 200 characters; the limits of the endpoint hold for the executions of each key by itself. NULL means the bucket that all executions without a key share.
on_failure: as in create_endpoint, for the executions of this job; NULL means that of its endpoint.
max_consecutive_failures: 1 to 1000; NULL means no limit. Once the last so many finished executions of the job, in the order in which they were created, have all FAILED, no further tick runs: ticks are SKIPPED, and upkeep pauses the job within a minute. CANCELLED executions neither count nor end the row. An update or a resume counts anew. Counts at most the last 2000 executions that the workspace still keeps.
idempotency_key: 1 to 200 characters, unique in the workspace until prune() deletes the job; a repeated request with the same key and arguments (other than traceparent in metadata) returns the job that the first one created, and created is false.
if_not_exists: returns an existing live job of that name unchanged, instead of raising JOB_EXISTS; needs a name.
workspace: NULL means the setting kronos.workspace.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT, INVALID_CRON, NEVER_FIRES, INVALID_TIMEZONE, INVALID_WINDOW, INVALID_INPUT (22023), CRON_NOT_SUPPORTED (0A000), VALUE_TOO_LARGE (54000), TOO_MANY_ENTRIES (53400), WORKSPACE_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002), JOB_EXISTS, IDEMPOTENCY_CONFLICT (23505), JOB_RETIRED, PG_CRON_UNAVAILABLE (55000), CONCURRENT_CHANGE (40001), PG_CRON_FAILED (pg_cron''s own SQLSTATE).';

comment on function kronos.create_cron_jobs is
'Creates many cron jobs at once, all of them or none, and returns them in the order given.
jobs: an array of at most 10000 objects whose fields are the arguments of create_cron_job; a field that is omitted or null gets its default. starts_at and ends_at are ISO 8601 with an offset.
workspace: NULL means the setting kronos.workspace.
Errors: as create_cron_job, with the place in the array (from 0) in DETAIL.';

comment on function kronos.update_cron_job is
'Ends the current version of a live cron job and begins the next one, at the same instant, and returns the job. The job_id does not change. A paused job stays paused.
job_id, or job_name: the job.
The other arguments are as in create_cron_job; NULL keeps the old value, -infinity clears starts_at, infinity clears ends_at, the empty string clears on_failure and concurrency_key, 0 clears max_consecutive_failures. new_name: the new name.
expected_version: the call fails unless this is the job''s current version.
Ticks that came due before the update belong to the old version. A job whose schedule changes does not catch up on earlier ticks.
Errors: as create_cron_job for its arguments, and JOB_NOT_FOUND (P0002), JOB_RETIRED, VERSION_CONFLICT (55000).';

comment on function kronos.cancel_cron_job is
'Retires a live cron job, releases its schedule (and the pg_cron entry, if no other job uses it), and returns the job. Once the transaction commits, no further tick is written. Existing executions still run.
job_id, or job_name: the job.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002), JOB_RETIRED (55000), CONCURRENT_CHANGE (40001), PG_CRON_FAILED (pg_cron''s own SQLSTATE).';

comment on function kronos.pause_cron_job is
'Pauses an active cron job, releases its schedule (and the pg_cron entry, if no other job uses it), and returns the job with the time and the reason. Once the transaction commits, no further tick is written. Existing executions still run.
job_id, or job_name: the job. reason: 1 to 1000 characters, or NULL.
Errors: as cancel_cron_job, and JOB_PAUSED (55000).';

comment on function kronos.resume_cron_job is
'Resumes a paused cron job, and returns it. The job runs the ticks that come due from now on; ticks during the pause are not caught up.
job_id, or job_name: the job.
Errors: as cancel_cron_job, and JOB_NOT_PAUSED, PG_CRON_UNAVAILABLE (55000), INVALID_WINDOW, NEVER_FIRES (22023), TOO_MANY_ENTRIES (53400).';

comment on function kronos.trigger_cron_job is
'Runs a live cron job now, outside its schedule, even if the job is paused and whatever its overlap_policy. Returns the execution, which belongs to no tick.
job_id, or job_name: the job. idempotency_key: 1 to 200 characters, unique for the job; a repeated request with the same key returns the execution of the first one, and created is false.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002), JOB_RETIRED (55000), CONCURRENT_CHANGE (40001).';

comment on function kronos.schedule is
'Runs a SQL statement in the server on a schedule, by one call as in pg_cron: creates a cron job and an SQL endpoint of the same name. If a job of that name runs a statement already, changes it. Returns the job.
name: 1 to 200 characters. cron: as in create_cron_job. statement, mode, settings: as in the spec of an SQL endpoint (see create_endpoint); the statement runs as the caller. timezone: an IANA name; default UTC.
retry_policy, attempt_timeout: as in create_endpoint. overlap_policy, catchup_policy, catchup_window, jitter, priority, on_failure, max_consecutive_failures: as in create_cron_job, but overlap_policy is queue_one by default, as in pg_cron. For a job that exists, NULL keeps the old value.
workspace: NULL means the setting kronos.workspace. The caller needs the capability admin.
Errors: as create_endpoint, create_cron_job and update_cron_job; JOB_EXISTS (23505) if a job of that name runs no statement.';

comment on function kronos.unschedule is
'Retires the job of a name, as cancel_cron_job does, and deletes the SQL endpoint of the same name unless another job uses it. Returns the job. Existing executions still run.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002), PERMISSION_DENIED (42501).';

comment on function kronos.run is
'Runs a live cron job now, as trigger_cron_job does. Returns the execution.
name: the job. workspace: NULL means the setting kronos.workspace.
Errors: as trigger_cron_job.';

comment on function kronos.import_pg_cron is
'Moves entries of pg_cron itself into jobs that run the same statements: each with an SQL endpoint of its name, which runs as the entry''s role, in the time zone of pg_cron. The entries are removed in the same transaction. Returns one row per entry: action is MOVE, LEAVE (it runs in another database, or @reboot; reason says which) or, in a dry run, FAIL (reason says why). An entry that is not active becomes a paused job.
filter: a LIKE pattern for the names of entries; an entry without a name matches by its number. Entries of Kronos are left out. dry_run: returns what the call would do, and does nothing.
The entries are read and removed with the caller''s privileges, and the caller needs those of each entry''s role.
Errors: those of schedule for the first entry that is wrong, with its pg_cron_jobid in DETAIL: then nothing is moved. PG_CRON_FAILED.';

comment on function kronos.backfill_cron_job is
'Runs a live cron job for past ticks of its schedule that lie in its window and are not in the ledger, even if the job is paused and whatever its overlap_policy. Returns one row per tick: action is CREATE, or EXISTS for a tick that is in the ledger already, run or skipped. Ticks whose ledger rows have been pruned are left out.
job_id, or job_name: the job. tick_from, tick_before: the ticks with tick_from <= tick < tick_before; tick_before is not in the future. One call handles at most 10000 ticks.
dry_run: returns what the call would do, and does nothing.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), TOO_MANY_TICKS (54000), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002), JOB_RETIRED (55000).';

comment on function kronos.apply_crontab is
'Creates, updates, resumes and retires the cron jobs of a declared set until they match an array, in one transaction; for deployments. Returns one row per job: action is CREATE, UPDATE (changed lists the arguments that differ), RESUME, RETIRE (the set no longer declares the job), UNCHANGED, or ENDED (ends_at is past: the job is not created, or retires). Repeating the call changes nothing. Jobs outside the set are left alone.
jobs: an array of at most 10000 objects with name, endpoint, cron and other arguments of create_cron_job (except idempotency_key and if_not_exists); a field that is omitted or null gets its default. starts_at and ends_at are ISO 8601 with an offset.
set_name: the set, 1 to 200 characters. Concurrent deployments of one set run one after the other.
dry_run: makes every change, including those to pg_cron, and rolls it back; job_id is NULL for jobs that would be created.
Errors: as create_cron_job and cancel_cron_job, with place (from 0) and job_name in DETAIL; JOB_EXISTS (23505) for the name of a live job outside the set.';

comment on function kronos.get_job is
'Returns a cron job in its current version, with its next and last tick.
job_id, also of a retired job, or job_name, of a live one.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002).';

comment on function kronos.list_jobs is
'Returns the cron jobs of a workspace, newest first.
status (ACTIVE, PAUSED, RETIRED), endpoint (a name): only jobs that match. max: the most rows to return, 1 to 10000. after: the job_id of the last row seen, to read the next page.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002).';

comment on function kronos.list_job_versions is
'Returns the versions of a cron job, newest first, the current one included.
job_id, also of a retired job, or job_name, of a live one. max: the most rows to return, 1 to 10000. after: the version of the last row seen, to read the next page.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002).';

comment on function kronos.list_ticks is
'Returns the ticks of a cron job and their outcomes, newest first.
job_id, also of a retired job, or job_name, of a live one. outcome (RUN, SKIPPED, OWED, DROPPED), tick_from, tick_before: only ticks with this outcome and with tick_from <= tick < tick_before. max: the most rows to return, 1 to 10000. after: the tick_at of the last row seen, to read the next page.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002).';

comment on function kronos.job_status is
'Returns the health and recent results of a cron job, in all its versions: how many executions wait and run now; how many executions of the last 24 hours there were, succeeded and failed, how many ticks were skipped, and the mean and p99 duration. health is judged by the last 10 executions of these 24 hours that succeeded or failed: IDLE (none), HEALTHY (none failed), FAILING (half or more failed), DEGRADED (some failed).
job_id, also of a retired job, or job_name, of a live one.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002).';

-- One-shots

comment on function kronos.enqueue is
'Enqueues one execution without a job, in the caller''s transaction, and returns it. Workers see it once the transaction commits.
endpoint: the name of the endpoint where it runs. input: at most 262144 bytes of JSON; it must satisfy the endpoint''s payload spec.
run_at: the earliest start, in the years 1970 to 2199; NULL means now. priority: 0 (starts first) to 9. metadata: the caller''s own JSON object, at most 8192 bytes; claims return it.
concurrency_key: 1 to 200 characters; the limits of the endpoint hold for the executions of each key by itself. NULL means the bucket that all executions without a key share.
idempotency_key: 1 to 200 characters, unique in the workspace; a repeated request with the same key and arguments (other than traceparent in metadata) returns the execution of the first one, whatever its status, and created is false.
key: 1 to 200 characters; names the execution in the workspace while it is unfinished. Then the key is free again. Of a repeated request with a key and an idempotency_key, only the key is compared.
on_conflict: what happens if an unfinished execution has the key. keep returns it unchanged. replace gives it this call''s endpoint, input, run_at, priority and metadata, with a full set of attempts, and raises KEY_IN_USE if it is running. error raises KEY_IN_USE. After keep and replace, created is false. A call that creates or replaces the execution waits for an open transaction that does so or that holds the execution.
workspace: NULL means the setting kronos.workspace.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT, INVALID_INPUT (22023), VALUE_TOO_LARGE (54000), WORKSPACE_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002), IDEMPOTENCY_CONFLICT, KEY_IN_USE (23505), CONCURRENT_CHANGE (40001).';

comment on function kronos.enqueue_many is
'Enqueues many executions at once, all of them or none, and returns them in the order given.
executions: an array of at most 10000 objects whose fields are the arguments of enqueue; a field that is omitted or null gets its default. run_at is ISO 8601 with an offset, such as 2026-01-31T09:00:00+01:00. Executions with the same key follow each other in the order of the array, each by its own on_conflict.
workspace: NULL means the setting kronos.workspace.
Errors: as enqueue, with the place in the array (from 0) in DETAIL.';

-- Workers

comment on function kronos.claim_executions is
'Claims executions of a workspace that may start now, by priority, then run_at; no two workers get the same one. Executions of paused endpoints, and those that a limit of their endpoint holds back, are passed over. Returns everything that a worker needs to run them. Commit before starting the work. Each attempt begins now, and the worker holds its execution until lease_expires_at. Heartbeats extend the lease, but not past deadline_at (the endpoint''s attempt_timeout).
worker_id: 1 to 200 characters, unique to the process; it does not begin with "sql ", as those of the server''s own workers do. max: the most executions to claim, 1 to 10000; one claim returns at most 16 MB of inputs and specs, but at least one execution. lease: 1 second to 1 day. endpoint_types: only executions of these types; NULL means all but SQL, which the server runs itself.
workspace: NULL means the setting kronos.workspace.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND (P0002).';

comment on function kronos.claim_any_executions is
'Claims executions of all workspaces, in turn: workspaces with waiting executions get equal shares of max, and the session''s next call continues after the last one served. Grant it only to workers that may work for every workspace.
The arguments and errors are as in claim_executions.';

comment on function kronos.heartbeat_executions is
'Extends the leases of executions that a worker holds to now + lease, but not past deadline_at. Returns one row per execution: accepted is false if the worker does not hold it; stop_requested asks the worker to stop its work and release the execution.
worker_id: as claimed. executions: an array of at most 10000 objects {"execution_id": ..., "attempt": ...}. lease: 1 second to 1 day.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023).';

comment on function kronos.complete_execution is
'Reports that an attempt succeeded: the execution becomes SUCCEEDED. In one transaction with the worker''s own writes, both commit or neither does. Returns the result of the report.
execution_id, attempt, worker_id: as claimed; the worker must hold the execution, and the lease must not have expired when the call begins. output: at most 262144 bytes of JSON.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), VALUE_TOO_LARGE (54000), EXECUTION_NOT_FOUND (P0002), LEASE_LOST (55000).';

comment on function kronos.fail_execution is
'Reports that an attempt failed. The execution becomes RETRYING, with run_at set to retry_at or by the endpoint''s retry policy; or FAILED, if no attempt is left or retryable is false; or CANCELLED, if it was asked to stop. Returns the result of the report.
execution_id, attempt, worker_id: as claimed. error: what went wrong; text beyond 10000 characters is cut off.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), EXECUTION_NOT_FOUND (P0002), LEASE_LOST (55000).';

comment on function kronos.release_execution is
'Gives an execution back unfinished. It becomes QUEUED, and the attempt does not count against the retry policy; or CANCELLED, if it was asked to stop. Returns the result of the report.
execution_id, attempt, worker_id: as claimed.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), EXECUTION_NOT_FOUND (P0002), LEASE_LOST (55000).';

comment on function kronos.postpone_execution is
'Gives an execution back unfinished, to be run later. It becomes PENDING, with run_at set to until (or QUEUED, if until has passed), and the attempt does not count against the retry policy; or CANCELLED, if it was asked to stop. Later ticks of a job with overlap_policy queue_one or replace wait behind it. Returns the result of the report.
execution_id, attempt, worker_id: as claimed. until: the earliest start of the next attempt, in the years 1970 to 2199.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), EXECUTION_NOT_FOUND (P0002), LEASE_LOST (55000).';

comment on function kronos.complete_executions is
'complete_execution for many executions. Returns one row per execution: accepted is false if the worker does not hold it; the others are completed all the same.
executions: an array of at most 10000 objects {"execution_id": ..., "attempt": ..., "output": ...}.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), VALUE_TOO_LARGE (54000).';

comment on function kronos.fail_executions is
'fail_execution for many executions. Returns one row per execution: accepted is false if the worker does not hold it; the others fail all the same.
executions: an array of at most 10000 objects {"execution_id": ..., "attempt": ..., "error": ..., "retryable": ..., "retry_at": ...}; retry_at is ISO 8601 with an offset.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023).';

comment on function kronos.release_executions is
'release_execution for many executions. Returns one row per execution: accepted is false if the worker does not hold it; the others are released all the same.
executions: an array of at most 10000 objects {"execution_id": ..., "attempt": ...}.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023).';

comment on function kronos.log_execution is
'Appends a line to the log of an execution that the worker holds, and returns the number of the line. An execution keeps its last 1000 lines.
execution_id, attempt, worker_id: as claimed. message: 1 to 10000 characters. level: DEBUG, INFO, WARNING or ERROR. data: at most 65536 bytes of JSON.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), VALUE_TOO_LARGE (54000), EXECUTION_NOT_FOUND (P0002), LEASE_LOST (55000).';

comment on function kronos.next_wakeup is
'Returns until when an idle worker may sleep unless it is notified (channel kronos_executions, payload: the workspace_id): now, if an execution may start; otherwise the earliest run_at, end of a lease or time at which a rate_limit lets an execution start; NULL if there is none. Executions of paused endpoints do not count; those that max_concurrent holds back start when another one finishes, which notifies workers. Sleep for at least a tenth of a second and at most one minute.
endpoint_types: only executions of these types; NULL means all. all_workspaces: looks at every workspace, for a worker that calls claim_any_executions. workspace: NULL means the setting kronos.workspace.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND (P0002).';

-- Executions

comment on function kronos.get_execution is
'Returns an execution, live or finished, with its last attempt.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, EXECUTION_NOT_FOUND (P0002).';

comment on function kronos.list_executions is
'Returns the executions of a workspace, or of one job in all its versions, newest first.
job_id or job_name: only executions of this job. status (PENDING, QUEUED, RUNNING, RETRYING, SUCCEEDED, FAILED, CANCELLED), origin (TICK, TRIGGER, BACKFILL, ENQUEUE, ON_FAILURE), endpoint_type, created_from, created_before: only executions that match. max: the most rows to return, 1 to 10000. after: the execution_id of the last row seen, to read the next page.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002).';

comment on function kronos.list_attempts is
'Returns the attempts of an execution, oldest first.
outcome (RUNNING, SUCCEEDED, FAILED, RELEASED, LOST, TIMED_OUT): only attempts that match. max: the most rows to return, 1 to 10000. after: the attempt of the last row seen, to read the next page.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, EXECUTION_NOT_FOUND (P0002).';

comment on function kronos.list_logs is
'Returns the log of an execution, oldest line first.
attempt, level (DEBUG, INFO, WARNING, ERROR): only lines that match. max: the most rows to return, 1 to 10000. after: the line of the last row seen, to read the next page.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, EXECUTION_NOT_FOUND (P0002).';

comment on function kronos.cancel_execution is
'Cancels a waiting execution, and returns it.
request_stop: asks the worker of a running execution to stop; without it, a running execution is an error. The worker learns of the request at its next heartbeat; the statement of an SQL execution is cancelled at once. Unless the worker completes the execution, the execution becomes CANCELLED.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, EXECUTION_NOT_FOUND (P0002), EXECUTION_RUNNING, EXECUTION_FINISHED (55000).';

comment on function kronos.cancel_executions is
'Cancels the waiting executions that pass a filter, those with the earliest run_at first, and returns one row per execution: its status before, and action: CANCEL; REQUEST_STOP; or SKIP with the reason. It waits for no other session: an execution that another session has locked is skipped, so call it again.
job_id or job_name, endpoint (a name), status (PENDING, QUEUED, RETRYING, RUNNING), run_from <= run_at < run_before, created_from <= created_at < created_before: only executions that match; NULL means any.
request_stop: also asks the workers of running executions to stop, as cancel_execution does.
max: the most executions to handle, 1 to 10000. dry_run: returns the same rows, and rolls everything back.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002).';

comment on function kronos.reschedule_execution is
'Changes when and how urgently a waiting execution starts, and returns the execution. It becomes PENDING or QUEUED, by its run_at; one that is RETRYING stays RETRYING.
run_at: the earliest start, in the years 1970 to 2199; NULL keeps the old one. priority: 0 (starts first) to 9; NULL keeps the old one.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, EXECUTION_NOT_FOUND (P0002), EXECUTION_RUNNING, EXECUTION_FINISHED (55000).';

comment on function kronos.retry_execution is
'Runs an execution that FAILED or was CANCELLED again, and returns it. It keeps its id, and so the idempotency key that workers send to receivers. It gets a new round of attempts: failed_attempts starts at 0, and the number of the attempt goes on. It may run beside other executions of its job, and counts as unfinished for the job''s overlap_policy. retried_by and retried_at tell who retried it last, and when.
run_at: the earliest start, in the years 1970 to 2199; NULL means now.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, EXECUTION_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002; its endpoint was deleted), EXECUTION_SUCCEEDED, EXECUTION_UNFINISHED (55000), KEY_IN_USE (23505; its key names another execution, which is unfinished), PERMISSION_DENIED (42501) without the privileges of an SQL endpoint''s run_as.';

comment on function kronos.retry_executions is
'Runs the executions that pass a filter again, as retry_execution does, those that finished first first. Returns one row per execution: its status before, and action: RETRY, or SKIP with the reason. It waits for no other session: an execution that another session is retrying is skipped.
job_id or job_name, endpoint (a name), finished_from <= finished_at < finished_before, error_contains (1 to 1000 characters that the last error contains): only executions that match; NULL means any. status: FAILED or CANCELLED; NULL means both.
run_at: the earliest start, in the years 1970 to 2199; NULL means now. max: the most executions to handle, 1 to 10000. dry_run: returns the same rows, and rolls everything back.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002).';

-- Time

comment on function kronos.next_ticks is
'Returns the next ticks of a schedule; use it to check a schedule before creating a job.
cron, timezone: as in create_cron_job. after: only ticks later than this. max: the most ticks to return, 0 to 10000.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT, INVALID_CRON, INVALID_TIMEZONE (22023), CRON_NOT_SUPPORTED (0A000).';

comment on function kronos.describe_schedule is
'Describes a schedule in plain English.
cron, timezone: as in create_cron_job.
Errors: NULL_ARGUMENT (22004), INVALID_CRON, INVALID_TIMEZONE (22023), CRON_NOT_SUPPORTED (0A000).';

comment on procedure kronos.tick is
'Writes every tick that is due, for all workspaces, in batches that commit, and retries owed ticks. pg_cron calls it; it is safe to call at any time, also concurrently. Inside a transaction block it runs one batch and does not commit.';

comment on function kronos.run_due is
'Runs one batch of tick() in the caller''s transaction: at most 1000 schedules and 10000 jobs. Returns how many schedules it finished, how many executions it wrote, and how many ticks were skipped.';

-- Upkeep

comment on procedure kronos.upkeep is
'Maintains Kronos, in batches that commit: writes due ticks, expires leases, does what reconcile() does, and prunes. pg_cron calls it every minute. A step that fails does not keep the others from running; kronos.upkeep_runs shows the results. Does nothing if kronos.enabled is off.';

comment on function kronos.expire_leases is
'Fails the attempt of every execution whose lease has expired, and returns how many there were. Later reports from the previous holders are rejected. Upkeep calls it every minute. A claim that finds fewer executions than it asks for does the same for the workspaces that it claims from.
max: the most leases to expire, 1 to 1000000.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023).';

comment on function kronos.expire_worker_leases is
'Ends the leases of a worker that is known to be dead, before they expire. Each attempt fails as LOST and counts against the retry policy, as if its lease had expired. Returns one row per execution: its next status and run_at. Reports of the worker, should it live, are rejected. Needs the capability admin. Leaves out executions that another session has locked.
worker_id: as in kronos.running_executions. max: the most leases to end, 1 to 10000.
all_workspaces: ends the worker''s leases in all workspaces; needs the capability admin for all. workspace: NULL means the setting kronos.workspace.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), PERMISSION_DENIED (42501), WORKSPACE_NOT_FOUND (P0002).';

comment on function kronos.prune is
'Deletes finished executions (with attempts and logs), ledger rows, retired jobs, deleted endpoints and idempotency keys that are older than their workspace''s retention (set_retention), and Kronos''s rows of cron.job_run_details that are older than a week. Returns how many of each it deleted; call it again while one of the numbers is at least max. Upkeep calls it every minute.
max: the most rows of each to delete, 1 to 1000000.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023).';

comment on function kronos.doctor is
'Returns one row per finding about the server, its settings and pg_cron: what keeps Kronos from working (severity ERROR), or from working well (WARNING), with the facts (detail) and what to do (advice). No row when all is well. It changes nothing. Needs the capability viewer for all workspaces.
Errors: PERMISSION_DENIED (42501).';

comment on function kronos.metrics is
'Returns the numbers for a monitoring system, one row each, as Prometheus stores them: name, labels, value and help. A name that ends in _total is a counter, any other a gauge. It takes no lock that a claim waits for.
A viewer of some workspaces gets the numbers of these; the capability viewer for all workspaces adds those of the whole instance.';

comment on function kronos.reconcile is
'Repairs what a crash, an operator, a restore or a change of the server has left behind, and returns one row per repair: retires jobs whose ends_at is past, pauses jobs that have reached their max_consecutive_failures, deletes schedules without jobs, creates missing pg_cron entries, replaces altered ones and removes those that belong to no schedule, renews their expressions, corrects wrong next ticks, and gives free slots to schedules without an entry. Upkeep does the same every minute. One call works for about a second; call it again until it returns no rows. It leaves out what another session has locked.
dry_run: returns the repairs, and changes nothing. max: the most repairs of each kind, 1 to 10000.
error: why a repair failed; NULL if it was done.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), PG_CRON_UNAVAILABLE (55000).';

comment on function kronos.check is
'Returns one row per violated invariant: its number, the problem, the names and ids concerned (detail), since when (NULL if that is unknown), and what mends it (remedy; NULL if Kronos has a bug, or somebody has changed its tables). It returns no rows when all is well, and changes nothing.';

comment on function kronos.error_codes is
'Returns the codes that Kronos puts into the DETAIL of errors ({"code": "JOB_NOT_FOUND", ...}), each with its SQLSTATE, a suitable HTTP status, and its meaning.';

comment on function kronos.retry_delay is
'Returns the delay after an execution''s n-th failed attempt, before jitter: initial_delay_ms (fixed), n times initial_delay_ms (linear) or 2^(n-1) times initial_delay_ms (exponential), but at most max_delay_ms.
backoff, initial_delay_ms, max_delay_ms: as in an endpoint''s retry_policy. failed_attempts: n, from 1.';

comment on function kronos.uuid_v7 is
'Returns a new UUIDv7 (RFC 9562). UUIDv7s sort by the time at which they were created.';

comment on function kronos.uuid_v7_at is
'Returns the smallest UUIDv7 of an instant: ids created from then on are greater.';

-- EXECUTE stays PUBLIC's, and so does SELECT on the views: grants of workspaces decide what a role may do and see. USAGE
-- on schema kronos, which an operator grants, is the switch.
