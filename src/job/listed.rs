//! Jobs in a JSON array, the argument of create_cron_jobs() and apply_crontab().
//!
//! SQL extracts `input` and `metadata` from each element and passes them on untouched. Rust reads only the other
//! fields.

use super::create::NewJob;
use super::definition::{Request, Terms};
use crate::args::{self, iso_instant};
use crate::authority::Authorised;
use crate::endpoint::{self, Endpoint};
use crate::error::{KronosError, Result, endpoint_not_found, invalid_argument};
use crate::id::EndpointId;
use crate::named::Named;
use crate::policy::{CatchupPolicy, OverlapPolicy};
use crate::sql::{self, Jsonb};
use pgrx::PgSqlErrorCode;
use pgrx::datum::{Interval, TimestampWithTimeZone};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};

/// The most jobs in one call.
const MAX_JOBS: usize = 10_000;

/// A job of the array. Fields that are omitted or null have their defaults.
pub struct Listed {
    fields: Fields,
    input: Jsonb,
    metadata: Jsonb,
    catchup_policy: CatchupPolicy,
    overlap_policy: OverlapPolicy,
    catchup_window: Interval,
    jitter: Interval,
    starts_at: Option<TimestampWithTimeZone>,
    ends_at: Option<TimestampWithTimeZone>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Fields {
    endpoint: String,
    cron: String,
    name: Option<String>,
    timezone: Option<String>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    catchup_policy: Option<String>,
    catchup_window: Option<String>,
    overlap_policy: Option<String>,
    jitter: Option<String>,
    priority: Option<i32>,
    on_failure: Option<String>,
    max_consecutive_failures: Option<i32>,
    concurrency_key: Option<String>,
    idempotency_key: Option<String>,
    if_not_exists: Option<bool>,
}

/// The defaults of create_cron_job().
const CATCHUP_WINDOW: &str = "1 hour";
const JITTER: &str = "0";

/// Reads the jobs of an array, in its order. Values are parsed, but not checked.
///
/// # Errors
/// `INVALID_ARGUMENT`, with the place in DETAIL.
pub fn read(jobs: Jsonb) -> Result<Vec<Listed>> {
    let Some(count) = jobs.array_length() else {
        return Err(invalid_argument("jobs", "must be a JSON array"));
    };
    if count > MAX_JOBS {
        let rule = format!("must have at most {MAX_JOBS} elements, not {count}");
        return Err(invalid_argument("jobs", &rule).with("limit", MAX_JOBS));
    }
    let elements = sql::rows(
        include_str!("read_listed_jobs.sql"),
        &[jobs.into()],
        |row| {
            Ok((
                sql::get::<String>(row, "fields")?,
                sql::get::<Jsonb>(row, "input")?,
                sql::get::<Jsonb>(row, "metadata")?,
            ))
        },
    )?;
    let mut intervals = Intervals::default();
    let mut listed = vec![];
    for (place, (fields, input, metadata)) in elements.into_iter().enumerate() {
        sql::check_for_interrupts();
        let fields: Fields =
            serde_json::from_str(&fields).map_err(|problem| refuse(place, &describe(&problem)))?;
        let instant = |argument, text: &Option<String>| {
            let text = text.as_deref();
            text.map(|text| iso_instant(argument, text)).transpose()
        };
        let in_place = at(place, fields.name.as_deref());
        let starts_at = instant("starts_at", &fields.starts_at).map_err(&in_place)?;
        let ends_at = instant("ends_at", &fields.ends_at).map_err(&in_place)?;
        let catchup_window = fields.catchup_window.as_deref().unwrap_or(CATCHUP_WINDOW);
        let catchup_window = intervals.read("catchup_window", catchup_window, &in_place)?;
        let jitter = fields.jitter.as_deref().unwrap_or(JITTER);
        let jitter = intervals.read("jitter", jitter, &in_place)?;
        let catchup_policy = fields.catchup_policy.as_deref().map(CatchupPolicy::parse);
        let catchup_policy = catchup_policy.transpose().map_err(&in_place)?;
        let overlap_policy = fields.overlap_policy.as_deref().map(OverlapPolicy::parse);
        let overlap_policy = overlap_policy.transpose().map_err(&in_place)?;
        drop(in_place);
        listed.push(Listed {
            fields,
            input,
            metadata,
            catchup_policy: catchup_policy.unwrap_or_default(),
            overlap_policy: overlap_policy.unwrap_or_default(),
            catchup_window,
            jitter,
            starts_at,
            ends_at,
        });
    }
    check_unique("name", &listed, |job| job.fields.name.as_deref())?;
    check_unique("idempotency_key", &listed, |job| {
        job.fields.idempotency_key.as_deref()
    })?;
    Ok(listed)
}

/// Reads the jobs of a declared set. Each job must have a name, and must not have the fields that apply only to
/// requests.
///
/// # Errors
/// `INVALID_ARGUMENT`, with the place in DETAIL.
pub fn read_declared(jobs: Jsonb) -> Result<Vec<Listed>> {
    let listed = read(jobs)?;
    for (place, job) in listed.iter().enumerate() {
        if job.fields.name.is_none() {
            return Err(refuse(place, "missing field `name`"));
        }
        if job.fields.idempotency_key.is_some() || job.fields.if_not_exists.is_some() {
            let problem = "idempotency_key and if_not_exists do not apply to declared jobs";
            return Err(refuse(place, problem));
        }
    }
    Ok(listed)
}

impl Listed {
    pub fn name(&self) -> Option<&str> {
        self.fields.name.as_deref()
    }

    pub fn endpoint(&self) -> &str {
        &self.fields.endpoint
    }

    pub fn input(&self) -> Jsonb {
        self.input
    }

    pub fn metadata(&self) -> Jsonb {
        self.metadata
    }

    pub fn as_new(&self) -> NewJob<'_> {
        let fields = &self.fields;
        NewJob {
            endpoint: &fields.endpoint,
            input: self.input,
            metadata: self.metadata,
            request: Request {
                name: fields.name.as_deref(),
                cron: &fields.cron,
                timezone: fields.timezone.as_deref().unwrap_or("UTC"),
                starts_at: self.starts_at,
                ends_at: self.ends_at,
                catchup_policy: self.catchup_policy,
                catchup_window: self.catchup_window,
                overlap_policy: self.overlap_policy,
                jitter: self.jitter,
                priority: fields.priority.unwrap_or(args::DEFAULT_PRIORITY),
                max_consecutive_failures: fields.max_consecutive_failures,
                concurrency_key: fields.concurrency_key.as_deref(),
            },
            on_failure: fields.on_failure.as_deref(),
            idempotency_key: fields.idempotency_key.as_deref(),
            if_not_exists: fields.if_not_exists.unwrap_or(false),
        }
    }

    /// Checks the job's request and metadata, and returns its terms.
    ///
    /// # Errors
    /// The errors of [`Request::check`] and [`args::metadata`].
    pub fn check(&self, on_failure_id: Option<EndpointId>) -> Result<Terms<'_>> {
        args::metadata(self.metadata)?;
        self.as_new().request.check(on_failure_id)
    }
}

/// The live endpoints of the listed jobs, those that handle failures included, by name.
///
/// # Errors
/// Fails only if SQL does.
pub fn find_endpoints(
    workspace: &Authorised,
    listed: &[Listed],
) -> Result<HashMap<String, Endpoint>> {
    let handlers = listed
        .iter()
        .filter_map(|job| job.fields.on_failure.as_deref());
    let names: HashSet<&str> = listed
        .iter()
        .map(Listed::endpoint)
        .chain(handlers)
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    let found = endpoint::find_many(workspace, &names)?;
    Ok(found
        .into_iter()
        .map(|endpoint| (endpoint.name.clone(), endpoint))
        .collect())
}

/// The endpoint of a listed job.
///
/// # Errors
/// `ENDPOINT_NOT_FOUND`; `PERMISSION_DENIED` for an SQL endpoint whose role the caller does not have.
pub fn endpoint_of<'a>(
    workspace: &Authorised,
    endpoints: &'a HashMap<String, Endpoint>,
    job: &Listed,
) -> Result<&'a Endpoint> {
    get(workspace, endpoints, job.endpoint())
}

/// The endpoint that handles the failures of a listed job, if it has one.
///
/// # Errors
/// `ENDPOINT_NOT_FOUND`; `INVALID_ARGUMENT` for an endpoint with a payload spec.
pub fn handler_of(
    workspace: &Authorised,
    endpoints: &HashMap<String, Endpoint>,
    job: &Listed,
) -> Result<Option<EndpointId>> {
    let name = job.fields.on_failure.as_deref();
    name.map(|name| get(workspace, endpoints, name)?.as_handler(workspace))
        .transpose()
}

/// The endpoint of a name, which the caller may use.
fn get<'a>(
    workspace: &Authorised,
    endpoints: &'a HashMap<String, Endpoint>,
    name: &str,
) -> Result<&'a Endpoint> {
    let endpoint = endpoints
        .get(name)
        .ok_or_else(|| endpoint_not_found(&workspace.name, name))?;
    endpoint.require_use(workspace)?;
    Ok(endpoint)
}

/// Adds the place and the name of the job to an error about an element of the array.
pub fn at(place: usize, job_name: Option<&str>) -> impl Fn(KronosError) -> KronosError + use<> {
    let job_name = job_name.map(str::to_owned);
    move |error| {
        let error = error.with("place", place);
        match &job_name {
            Some(name) => error.with("job_name", name.as_str()),
            None => error,
        }
    }
}

fn refuse(place: usize, problem: &str) -> KronosError {
    invalid_argument(&format!("jobs[{place}]:"), problem)
        .with("argument", "jobs")
        .with("place", place)
}

/// The message of serde_json without its line and column: they refer to a text that the caller has never seen.
fn describe(problem: &serde_json::Error) -> String {
    let text = problem.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn check_unique(
    field: &str,
    listed: &[Listed],
    value: impl Fn(&Listed) -> Option<&str>,
) -> Result<()> {
    let mut seen = HashSet::new();
    for (place, job) in listed.iter().enumerate() {
        if let Some(value) = value(job)
            && !seen.insert(value)
        {
            return Err(refuse(place, &format!("{field} {value:?} is given twice")));
        }
    }
    Ok(())
}

/// A cache of intervals, so that PostgreSQL parses each text only once.
#[derive(Default)]
struct Intervals(HashMap<String, Interval>);

impl Intervals {
    fn read(
        &mut self,
        argument: &'static str,
        text: &str,
        in_place: &impl Fn(KronosError) -> KronosError,
    ) -> Result<Interval> {
        if let Some(known) = self.0.get(text) {
            return Ok(*known);
        }
        let read = || {
            sql::row(
                "select $1::text::interval as value",
                &[text.into()],
                |row| sql::get::<Interval>(row, "value"),
            )
        };
        let found = sql::convert_errors(read, |report| {
            let code = report.sql_error_code();
            let is_malformed = [
                PgSqlErrorCode::ERRCODE_INVALID_DATETIME_FORMAT,
                PgSqlErrorCode::ERRCODE_DATETIME_FIELD_OVERFLOW,
                PgSqlErrorCode::ERRCODE_INTERVAL_FIELD_OVERFLOW,
            ]
            .contains(&code);
            is_malformed
                .then(|| invalid_argument(argument, "is not a valid interval").with("value", text))
        });
        let interval = found.map_err(in_place)?;
        let interval = interval.ok_or_else(|| KronosError::internal("an interval has vanished"))?;
        self.0.insert(text.to_owned(), interval);
        Ok(interval)
    }
}
