//! The rows that Kronos's functions return, for the OpenAPI document. The service passes the database's JSON through
//! without reading it, so nothing constructs these types; docs/reference.md describes the fields.
#![expect(dead_code, reason = "the types only describe JSON")]

use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// A time of RFC 3339.
#[derive(ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2030-01-31T09:00:00Z")]
pub struct Time(String);

/// A duration of ISO 8601. Requests may also use PostgreSQL's form, such as `30 seconds`.
#[derive(ToSchema)]
#[schema(value_type = String, example = "PT30S")]
pub struct Interval(String);

/// A page of a list. `next` is the parameter `after` of the next page; null if this is the last one.
#[derive(ToSchema)]
pub struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
pub enum JobStatus {
    Active,
    Paused,
    Retired,
}

#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
pub enum ExecutionStatus {
    Pending,
    Queued,
    Running,
    Retrying,
    Succeeded,
    Failed,
    Cancelled,
}

#[derive(ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Origin {
    Tick,
    Trigger,
    Backfill,
    Enqueue,
    OnFailure,
}

#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
pub enum TickOutcome {
    Run,
    Skipped,
    Owed,
    Dropped,
}

#[derive(ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AttemptOutcome {
    Running,
    Succeeded,
    Failed,
    Released,
    Lost,
    TimedOut,
}

#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
pub enum LogLevel {
    Debug,
    Info,
    Warning,
    Error,
}

#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
pub enum Health {
    Idle,
    Healthy,
    Degraded,
    Failing,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OverlapPolicy {
    Allow,
    Skip,
    QueueOne,
    Replace,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum CatchupPolicy {
    None,
    Last,
    All,
}

/// What happens if an unfinished execution has the key.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OnConflict {
    Keep,
    Replace,
    Error,
}

/// The job of a request. `created` is false if it existed already.
#[derive(ToSchema)]
pub struct CreatedJob {
    job_name: Option<String>,
    job_id: Uuid,
    version: i32,
    status: JobStatus,
    cron: String,
    timezone: String,
    next_tick_at: Option<Time>,
    created: bool,
}

#[derive(ToSchema)]
pub struct Job {
    workspace: String,
    job_name: Option<String>,
    job_id: Uuid,
    version: i32,
    status: JobStatus,
    cron: String,
    timezone: String,
    endpoint: Option<String>,
    next_tick_at: Option<Time>,
    last_tick_at: Option<Time>,
    priority: i32,
    overlap_policy: OverlapPolicy,
    catchup_policy: CatchupPolicy,
    catchup_window: Interval,
    jitter: Interval,
    starts_at: Option<Time>,
    ends_at: Option<Time>,
    input: Value,
    metadata: Value,
    concurrency_key: Option<String>,
    on_failure: Option<String>,
    max_consecutive_failures: Option<i32>,
    declared_by: Option<String>,
    created_at: Time,
    version_since: Time,
    paused_at: Option<Time>,
    paused_reason: Option<String>,
    retired_at: Option<Time>,
    retired_reason: Option<String>,
}

#[derive(ToSchema)]
pub struct JobVersion {
    workspace: String,
    job_name: Option<String>,
    job_id: Uuid,
    version: i32,
    name: Option<String>,
    cron: String,
    timezone: String,
    endpoint: Option<String>,
    priority: i32,
    overlap_policy: OverlapPolicy,
    catchup_policy: CatchupPolicy,
    catchup_window: Interval,
    jitter: Interval,
    starts_at: Option<Time>,
    ends_at: Option<Time>,
    input: Value,
    metadata: Value,
    concurrency_key: Option<String>,
    on_failure: Option<String>,
    max_consecutive_failures: Option<i32>,
    began_at: Time,
    ended_at: Option<Time>,
}

#[derive(ToSchema)]
pub struct Tick {
    workspace: String,
    job_name: Option<String>,
    tick_at: Time,
    outcome: TickOutcome,
    reason: Option<String>,
    job_id: Uuid,
    version: Option<i32>,
    execution_id: Option<Uuid>,
    recorded_at: Option<Time>,
    from_tick_at: Option<Time>,
}

/// The health of a job, and its results of the last 24 hours.
#[derive(ToSchema)]
pub struct JobHealth {
    job_name: Option<String>,
    job_id: Uuid,
    status: JobStatus,
    health: Health,
    waiting: i64,
    running: i64,
    last_tick_at: Option<Time>,
    next_tick_at: Option<Time>,
    last_execution_id: Option<Uuid>,
    last_execution_status: Option<ExecutionStatus>,
    last_finished_at: Option<Time>,
    total: i64,
    succeeded: i64,
    failed: i64,
    skipped: i64,
    mean_duration: Option<Interval>,
    p99_duration: Option<Interval>,
}

/// A past tick of a backfill: CREATE, or EXISTS if the ledger has it already.
#[derive(ToSchema)]
pub struct BackfilledTick {
    tick_at: Time,
    action: String,
    execution_id: Option<Uuid>,
}

/// What happens to a job of a declared set: CREATE, UPDATE, RESUME, RETIRE, UNCHANGED or ENDED.
#[derive(ToSchema)]
pub struct CrontabChange {
    job_name: String,
    action: String,
    job_id: Option<Uuid>,
    /// The arguments that differ.
    changed: Option<Vec<String>>,
}

/// The execution of a request. `created` is false if it existed already.
#[derive(ToSchema)]
pub struct EnqueuedExecution {
    execution_id: Uuid,
    status: ExecutionStatus,
    run_at: Time,
    created: bool,
}

#[derive(ToSchema)]
pub struct Execution {
    workspace: String,
    job_name: Option<String>,
    execution_id: Uuid,
    status: ExecutionStatus,
    tick_at: Option<Time>,
    run_at: Time,
    endpoint: Option<String>,
    attempt: i32,
    worker_id: Option<String>,
    started_at: Option<Time>,
    finished_at: Option<Time>,
    duration: Option<Interval>,
    output: Option<Value>,
    error: Option<String>,
    status_reason: Option<String>,
    origin: Origin,
    endpoint_type: String,
    priority: i32,
    concurrency_key: Option<String>,
    job_id: Option<Uuid>,
    version: Option<i32>,
    failed_attempts: i32,
    lease_expires_at: Option<Time>,
    deadline_at: Option<Time>,
    stop_requested_at: Option<Time>,
    rescheduled_at: Option<Time>,
    retried_at: Option<Time>,
    retried_by: Option<String>,
    created_at: Time,
    input: Value,
    metadata: Value,
    key: Option<String>,
}

#[derive(ToSchema)]
pub struct Attempt {
    execution_id: Uuid,
    attempt: i32,
    outcome: AttemptOutcome,
    worker_id: Option<String>,
    started_at: Time,
    finished_at: Option<Time>,
    duration: Option<Interval>,
    error: Option<String>,
    output: Option<Value>,
    workspace_id: Uuid,
}

#[derive(ToSchema)]
pub struct LogLine {
    execution_id: Uuid,
    line: i32,
    logged_at: Time,
    level: LogLevel,
    message: String,
    data: Option<Value>,
    attempt: i32,
}

#[derive(ToSchema)]
pub struct Endpoint {
    workspace: String,
    endpoint: String,
    endpoint_type: String,
    /// null unless the caller is an admin.
    spec: Option<Value>,
    max_attempts: i32,
    backoff: String,
    initial_delay_ms: i64,
    max_delay_ms: i64,
    retry_jitter: f64,
    attempt_timeout: Option<Interval>,
    max_concurrent: Option<i32>,
    rate_limit: Option<i32>,
    rate_interval: Option<Interval>,
    payload_spec: Option<String>,
    on_failure: Option<String>,
    run_as: Option<String>,
    paused_at: Option<Time>,
    paused_reason: Option<String>,
    paused_by: Option<String>,
    created_at: Time,
    updated_at: Time,
    deleted_at: Option<Time>,
    endpoint_id: Uuid,
}

#[derive(ToSchema)]
pub struct PayloadSpec {
    workspace: String,
    payload_spec: String,
    /// A JSON Schema.
    schema: Value,
    created_at: Time,
    updated_at: Time,
    payload_spec_id: Uuid,
}

#[derive(ToSchema)]
pub struct Workspace {
    workspace: String,
    execution_retention: Interval,
    job_retention: Interval,
    created_at: Time,
    workspace_id: Uuid,
}

/// How many executions of an endpoint type wait and run.
#[derive(ToSchema)]
pub struct Queue {
    workspace: String,
    endpoint_type: String,
    waiting: i64,
    running: i64,
    delayed: i64,
    retrying: i64,
    paused: i64,
    /// How long the oldest waiting execution has been due.
    lag: Option<Interval>,
}

/// A live job whose newest finished execution failed.
#[derive(ToSchema)]
pub struct FailingJob {
    workspace: String,
    job_name: Option<String>,
    endpoint: Option<String>,
    failures: i64,
    failing_since: Time,
    last_error: Option<String>,
    remedy: Option<String>,
    job_id: Uuid,
}

/// An execution whose lease has expired, or that has been due for five minutes.
#[derive(ToSchema)]
pub struct StuckExecution {
    workspace: String,
    job_name: Option<String>,
    endpoint: Option<String>,
    status: ExecutionStatus,
    stuck_since: Time,
    reason: String,
    remedy: Option<String>,
    execution_id: Uuid,
}

/// RFC 9457. An error of Kronos adds the members of its DETAIL.
#[derive(ToSchema)]
pub struct Problem {
    r#type: String,
    /// What the code means.
    title: String,
    status: u16,
    detail: String,
    /// A code of `kronos.error_codes()`, or one of the service.
    code: String,
    request_id: String,
    hint: Option<String>,
}
