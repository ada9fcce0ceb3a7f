-- What \df+ kronos.* says, and who may call what.

comment on schema kronos is 'Kronos: job scheduling that commits with your data, on top of pg_cron.';

comment on function kronos.create_workspace is
'Makes a workspace, the owner of endpoints and jobs, and returns its row.
name: 1 to 200 characters, unique.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_EXISTS (23505).';

comment on function kronos.create_endpoint is
'Makes an endpoint, the place where executions are delivered, and returns its row.
workspace: the name of its workspace. name: 1 to 200 characters, unique in the workspace.
type: 1 to 100 characters; it tells workers what the spec means (HTTP, KAFKA, ...). spec: a JSON object.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT (22023), WORKSPACE_NOT_FOUND (P0002), ENDPOINT_EXISTS (23505).';

comment on function kronos.create_cron_job is
'Makes a cron job in the caller''s transaction, with its schedule and its pg_cron entry, and returns its row.
workspace, endpoint: names. cron: five fields in pg_cron''s dialect, @hourly and its kin, or N seconds (1 to 59; needs pg_cron 1.5), whose ticks lie on a fixed grid from 1970 on.
timezone: an IANA name that this server knows, in any case; the ticks are times on that zone''s clock. input: what every execution gets, at most 262144 bytes of JSON.
starts_at, ends_at: only ticks with starts_at <= tick < ends_at run; NULL or infinity is no bound.
idempotency_key: 1 to 200 characters, unique per endpoint; the same key and arguments again return the job made first and change nothing.
catchup_policy: which ticks are made good that were missed (handled more than five minutes late): none, last (the last one), or all, of those within catchup_window (0 to 1 year); all is at most the latest 10000.
name: 1 to 200 characters, unique among the live jobs of the workspace; functions take it as job_name in place of job_id.
overlap_policy: what becomes of a tick while an execution of the job is not finished: allow (it runs as well), skip (it is skipped), queue_one (one waits, further ones are skipped), replace (waiting ones are cancelled, a running one is asked to stop). A skipped tick is an execution with status SKIPPED and the reason.
jitter: 0 to 1 day; run_at lies within it after the tick, always the same for a job and a tick.
Errors: NULL_ARGUMENT (22004), INVALID_ARGUMENT, INVALID_CRON, NEVER_FIRES, INVALID_TIMEZONE, INVALID_WINDOW (22023), CRON_NOT_SUPPORTED (0A000), INPUT_TOO_LARGE (54000), WORKSPACE_NOT_FOUND, ENDPOINT_NOT_FOUND (P0002), IDEMPOTENCY_CONFLICT, JOB_EXISTS (23505), CONCURRENT_CHANGE (40001), PG_CRON_UNAVAILABLE (55000), PG_CRON_FAILED (pg_cron''s own).';

comment on function kronos.update_cron_job is
'Retires the live version of a cron job, puts the next one in its place at one instant, and returns the new version''s row (it has a new job_id).
job_id: the live version, or job_name: its name. cron, timezone, input, starts_at, ends_at, catchup_policy, catchup_window, name (a new one), endpoint, overlap_policy, jitter: as in create_cron_job; NULL keeps the old value, -infinity clears starts_at, infinity clears ends_at.
expected_version: if given, the update fails unless it is the job''s version.
Ticks that came due before the update are the old version''s, those after it the new one''s.
Errors: those of create_cron_job for its arguments, JOB_NOT_FOUND (P0002), JOB_RETIRED, VERSION_CONFLICT (55000).';

comment on function kronos.cancel_cron_job is
'Retires a cron job, releases its schedule (the last job takes the pg_cron entry with it), and returns the job''s row.
job_id: the live version, or job_name: its name. No further tick is materialised once the transaction commits; executions that exist are left to run.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002), JOB_RETIRED (55000), CONCURRENT_CHANGE (40001), PG_CRON_FAILED (pg_cron''s own).';

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
jobs: an array of objects with name, endpoint, cron and, as in create_cron_job, timezone, input, starts_at, ends_at, catchup_policy, catchup_window, overlap_policy, jitter; what is left out has its default.
dry_run: does all of it, pg_cron included, and takes it back; job_id is then NULL for versions that would be made.
Errors: those of create_cron_job, update_cron_job, resume_cron_job and cancel_cron_job, with job_name in DETAIL; INVALID_ARGUMENT (22023) for what is no declaration; JOB_EXISTS (23505) for a name of a live job that was not made by this function.';

comment on function kronos.get_job is
'Returns one version of a job, as kronos.job_details has it: with next_tick_at, last_tick_at, and the ticks skipped in the last day.
job_id: any version, or job_name: the name of the live one.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002).';

comment on function kronos.job_versions is
'Returns all versions of a job, oldest first.
job_id: any version, or job_name: the name of the live one.
Errors: NULL_ARGUMENT (22004), WORKSPACE_NOT_FOUND, JOB_NOT_FOUND (P0002).';

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

comment on function kronos.uuid_v7 is
'A new UUIDv7 (RFC 9562): it sorts by the time at which it was made.';

-- Kronos's functions act with its owner's rights; the operator says which roles may call them.
revoke execute on all functions in schema kronos from public;
