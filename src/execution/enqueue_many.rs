//! Enqueuing a list of one-shots: one INSERT for all but those with a key.

use super::enqueue::{Request, SCOPE, find_repeated};
use super::keyed::{self, Keyed, OnConflict};
use crate::args::{self, MAX_INPUT_BYTES, MAX_METADATA_BYTES};
use crate::authority::Authorised;
use crate::error::{self, KronosError, Result};
use crate::id::{EndpointId, ExecutionId, WorkspaceId};
use crate::idempotency::Expiry;
use crate::named::Named;
use crate::sql::{self, Composite, Jsonb};
use crate::{endpoint, idempotency};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;

/// The most executions of one call.
const MAX_LISTED: usize = 10_000;

/// One execution of a list as JSON. Input and metadata are measured; SQL takes them out of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    endpoint: String,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    run_at: Option<String>,
    priority: Option<i32>,
    idempotency_key: Option<String>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    key: Option<String>,
    on_conflict: Option<String>,
    concurrency_key: Option<String>,
}

/// One execution of a list.
struct Listed {
    endpoint: String,
    run_at: Option<TimestampWithTimeZone>,
    priority: i32,
    idempotency_key: Option<String>,
    key: Option<String>,
    on_conflict: OnConflict,
    concurrency_key: Option<String>,
}

/// Enqueues the one-shots of a JSON array, and returns their rows in the order given. Several one-shots with one key
/// follow each other in the order of the list.
///
/// # Errors
/// Those of [`super::enqueue`], with the place in the list (from 0) in DETAIL.
pub fn enqueue_many(workspace: &Authorised, executions: Jsonb) -> Result<Vec<Composite>> {
    let listed = read(executions)?;
    if listed.is_empty() {
        return Ok(vec![]);
    }
    let endpoints = find_endpoints(workspace, &listed)?;
    check_inputs(workspace, executions, &listed, &endpoints)?;
    let (mut ids, repeated) = reserve_keys(workspace.workspace_id, &listed)?;
    let keyed = put_keyed(
        workspace.workspace_id,
        executions,
        &listed,
        &endpoints,
        &mut ids,
    )?;
    let mut enqueued = insert(
        workspace.workspace_id,
        executions,
        &listed,
        &endpoints,
        &ids,
    )?;
    let mut found_ids = HashMap::new();
    for one in keyed {
        found_ids.insert(one.new_id, one.found_id);
        enqueued[one.place] = Some(one.row);
    }
    for (place, made_id) in repeated {
        let made_id = found_ids.get(&made_id).copied().unwrap_or(made_id);
        let compared = compare(
            workspace,
            executions,
            place,
            &listed[place],
            &endpoints,
            made_id,
        );
        enqueued[place] = Some(compared.map_err(|error| at(place, error))?);
    }
    let missing = || KronosError::internal("an enqueued execution has vanished");
    enqueued
        .into_iter()
        .map(|row| row.ok_or_else(missing))
        .collect()
}

/// An error with the place of the execution in the list.
fn at(place: usize, error: KronosError) -> KronosError {
    error.with("place", place)
}

fn invalid(problem: &str) -> KronosError {
    error::invalid_argument("executions", problem)
}

/// Reads and checks the small fields of a list.
fn read(executions: Jsonb) -> Result<Vec<Listed>> {
    let length = executions
        .array_length()
        .ok_or_else(|| invalid("must be a JSON array"))?;
    if length > MAX_LISTED {
        return Err(invalid(&format!(
            "must have at most {MAX_LISTED} elements, not {length}"
        )));
    }
    let unreadable = |problem: serde_json::Error| invalid(&format!("could not be read: {problem}"));
    let text = executions.text();
    let elements: Vec<&RawValue> = serde_json::from_str(&text).map_err(unreadable)?;
    if let Some(place) = elements.iter().position(|one| !one.get().starts_with('{')) {
        return Err(invalid("must be a JSON array of objects").with("place", place));
    }
    let read = |(place, one): (usize, &&RawValue)| {
        sql::check_for_interrupts();
        let fields = serde_json::from_str(one.get()).map_err(unreadable);
        fields.and_then(check).map_err(|error| at(place, error))
    };
    elements.iter().enumerate().map(read).collect()
}

fn check(fields: Fields) -> Result<Listed> {
    let size = |argument: &str, value: Option<&RawValue>, limit: usize| {
        let bytes = value.map_or(0, |value| value.get().len());
        if bytes <= limit {
            return Ok(());
        }
        Err(error::value_too_large(argument, bytes, limit))
    };
    size("input", fields.input, MAX_INPUT_BYTES)?;
    size("metadata", fields.metadata, MAX_METADATA_BYTES)?;
    if fields
        .metadata
        .is_some_and(|metadata| !metadata.get().starts_with('{'))
    {
        return Err(error::invalid_argument("metadata", "must be a JSON object"));
    }
    let priority = fields.priority.unwrap_or(args::DEFAULT_PRIORITY);
    args::priority(priority)?;
    if let Some(key) = &fields.idempotency_key {
        args::length("idempotency_key", key, 200)?;
    }
    if let Some(key) = &fields.key {
        args::length("key", key, 200)?;
    }
    let on_conflict = fields.on_conflict.as_deref().map(OnConflict::parse);
    args::concurrency_key(fields.concurrency_key.as_deref())?;
    let run_at = match &fields.run_at {
        None => None,
        Some(text) => Some(args::instant("run_at", args::iso_instant("run_at", text)?)?),
    };
    Ok(Listed {
        endpoint: fields.endpoint,
        run_at,
        priority,
        idempotency_key: fields.idempotency_key,
        key: fields.key,
        on_conflict: on_conflict.transpose()?.unwrap_or_default(),
        concurrency_key: fields.concurrency_key,
    })
}

/// The facts about an endpoint that writing an execution needs.
struct Found {
    endpoint_id: EndpointId,
    endpoint_type: String,
    has_payload_spec: bool,
    /// The role of an SQL endpoint.
    run_as: Option<pg_sys::Oid>,
    is_gated: bool,
}

const FIND_ENDPOINTS: &str = "
select name, endpoint_id, endpoint_type, payload_spec_id is not null as has_payload_spec,
       run_as::oid as run_as,
       gated_at is not null as is_gated
from kronos_internal.endpoints
where workspace_id = $1 and name = any ($2) and deleted_at is null";

/// The endpoints of a list, by name.
fn find_endpoints(workspace: &Authorised, listed: &[Listed]) -> Result<HashMap<String, Found>> {
    let mut names: Vec<&str> = listed.iter().map(|one| one.endpoint.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let args = [workspace.workspace_id.into(), names.into()];
    let found: HashMap<String, Found> = sql::rows(FIND_ENDPOINTS, &args, |row| {
        let endpoint = Found {
            endpoint_id: sql::get(row, "endpoint_id")?,
            endpoint_type: sql::get(row, "endpoint_type")?,
            has_payload_spec: sql::get(row, "has_payload_spec")?,
            run_as: sql::get_opt(row, "run_as")?,
            is_gated: sql::get(row, "is_gated")?,
        };
        Ok((sql::get(row, "name")?, endpoint))
    })?
    .into_iter()
    .collect();
    for (place, one) in listed.iter().enumerate() {
        let usable = match found.get(&one.endpoint) {
            None => Err(error::endpoint_not_found(&workspace.name, &one.endpoint)),
            Some(endpoint) => endpoint
                .run_as
                .map_or(Ok(()), |role| workspace.require_role(role, &one.endpoint)),
        };
        usable.map_err(|error| at(place, error))?;
    }
    Ok(found)
}

/// Input and metadata of one execution of a list.
const PICK: &str = "
select coalesce($1 -> $2 -> 'input', '{}') as input, coalesce(nullif($1 -> $2 -> 'metadata', 'null'), '{}') as metadata";

/// Checks the inputs whose endpoints have a payload spec.
fn check_inputs(
    workspace: &Authorised,
    executions: Jsonb,
    listed: &[Listed],
    endpoints: &HashMap<String, Found>,
) -> Result<()> {
    let mut checked: HashMap<&str, endpoint::Endpoint> = HashMap::new();
    for (place, one) in listed.iter().enumerate() {
        sql::check_for_interrupts();
        if !endpoints[&one.endpoint].has_payload_spec {
            continue;
        }
        if !checked.contains_key(one.endpoint.as_str()) {
            let endpoint = endpoint::find(workspace, &one.endpoint)?;
            checked.insert(&one.endpoint, endpoint);
        }
        let endpoint = &checked[one.endpoint.as_str()];
        let args = [executions.into(), (place as i32).into()];
        sql::row(PICK, &args, |row| {
            endpoint.check_input(sql::get(row, "input")?)
        })
        .map_err(|error| at(place, error))?;
    }
    Ok(())
}

/// The ids of the new executions by place (None for a repeated request), and the executions of earlier requests by place.
type Reserved = (Vec<Option<ExecutionId>>, Vec<(usize, ExecutionId)>);

/// Reserves the keys of a list, in the order of the keys: two sessions that reserve the same keys in different orders
/// would wait for each other.
fn reserve_keys(workspace_id: WorkspaceId, listed: &[Listed]) -> Result<Reserved> {
    let mut ids: Vec<Option<ExecutionId>> = listed
        .iter()
        .map(|_| Some(ExecutionId::generate()))
        .collect();
    let mut keys: Vec<(&str, usize)> = listed
        .iter()
        .enumerate()
        .filter_map(|(place, one)| Some((one.idempotency_key.as_deref()?, place)))
        .collect();
    keys.sort_unstable();
    let mut repeated = vec![];
    for (key, place) in keys {
        sql::check_for_interrupts();
        if let Some(id) = ids[place] {
            let run_at = listed[place].run_at;
            let earlier = idempotency::reserve(workspace_id, SCOPE, key, id, Expiry::After(run_at));
            if let Some(made_id) = earlier.map_err(|error| at(place, error))? {
                ids[place] = None;
                repeated.push((place, made_id));
            }
        }
    }
    Ok((ids, repeated))
}

/// A written one-shot with a key.
struct Put {
    place: usize,
    new_id: ExecutionId,
    /// Another id if an execution with the key existed.
    found_id: ExecutionId,
    row: Composite,
}

/// Writes the one-shots with a key, in the order of the keys and the list, and takes their ids out of `ids`.
fn put_keyed(
    workspace_id: WorkspaceId,
    executions: Jsonb,
    listed: &[Listed],
    endpoints: &HashMap<String, Found>,
    ids: &mut [Option<ExecutionId>],
) -> Result<Vec<Put>> {
    let mut keys: Vec<(&str, usize)> = listed
        .iter()
        .enumerate()
        .filter_map(|(place, one)| Some((one.key.as_deref()?, place)))
        .collect();
    keys.sort_unstable();
    let mut written = vec![];
    for (key, place) in keys {
        let Some(execution_id) = ids[place].take() else {
            continue;
        };
        let one = &listed[place];
        let endpoint = &endpoints[&one.endpoint];
        let put = |row: &sql::Row| {
            keyed::put(&Keyed {
                execution_id,
                workspace_id,
                endpoint_id: endpoint.endpoint_id,
                endpoint_type: &endpoint.endpoint_type,
                run_at: one.run_at,
                priority: one.priority,
                input: sql::get(row, "input")?,
                metadata: sql::get(row, "metadata")?,
                key,
                concurrency_key: one.concurrency_key.as_deref(),
                on_conflict: one.on_conflict,
            })
        };
        let args = [executions.into(), (place as i32).into()];
        let (row, found_id) = sql::row(PICK, &args, put)
            .map_err(|error| at(place, error))?
            .ok_or_else(error::concurrent_change)?;
        if let Some(idempotency_key) = &one.idempotency_key
            && found_id != execution_id
        {
            idempotency::point_to(workspace_id, SCOPE, idempotency_key, found_id)?;
        }
        written.push(Put {
            place,
            new_id: execution_id,
            found_id,
            row,
        });
    }
    Ok(written)
}

const ENQUEUE_MANY: &str = include_str!("enqueue_many.sql");

/// Writes the new executions of a list and returns their rows by place.
fn insert(
    workspace_id: WorkspaceId,
    executions: Jsonb,
    listed: &[Listed],
    endpoints: &HashMap<String, Found>,
    ids: &[Option<ExecutionId>],
) -> Result<Vec<Option<Composite>>> {
    let mut enqueued: Vec<Option<Composite>> = listed.iter().map(|_| None).collect();
    let places: HashMap<ExecutionId, usize> = ids
        .iter()
        .enumerate()
        .filter_map(|(place, id)| Some(((*id)?, place)))
        .collect();
    if places.is_empty() {
        return Ok(enqueued);
    }
    let now = sql::now();
    let of = |one: &Listed| &endpoints[&one.endpoint];
    let args = [
        executions.into(),
        workspace_id.into(),
        ids.to_vec().into(),
        listed
            .iter()
            .map(|one| of(one).endpoint_id)
            .collect::<Vec<_>>()
            .into(),
        listed
            .iter()
            .map(|one| of(one).endpoint_type.as_str())
            .collect::<Vec<_>>()
            .into(),
        listed
            .iter()
            .map(|one| one.run_at)
            .collect::<Vec<_>>()
            .into(),
        sql::to_pg(now).into(),
        listed
            .iter()
            .map(|one| one.priority)
            .collect::<Vec<_>>()
            .into(),
        listed
            .iter()
            .map(|one| one.concurrency_key.as_deref())
            .collect::<Vec<_>>()
            .into(),
        listed
            .iter()
            .map(|one| of(one).is_gated)
            .collect::<Vec<_>>()
            .into(),
    ];
    let written = sql::rows(ENQUEUE_MANY, &args, |row| {
        Ok((
            sql::get::<ExecutionId>(row, "execution_id")?,
            sql::first(row)?,
        ))
    })?;
    let mut earliest = None;
    for (execution_id, row) in written {
        let place = places[&execution_id];
        let run_at = listed[place].run_at.map_or(now, sql::from_pg);
        if endpoints[&listed[place].endpoint].run_as.is_some() {
            super::wake_sql_workers(run_at);
        }
        earliest =
            Some(earliest.map_or(run_at, |earliest: chrono::DateTime<_>| earliest.min(run_at)));
        enqueued[place] = Some(row);
    }
    if let Some(earliest) = earliest {
        super::notify_workers(workspace_id, earliest);
    }
    Ok(enqueued)
}

/// The execution that an earlier request, or an earlier element of the list, created with the key of a listed execution.
fn compare(
    workspace: &Authorised,
    executions: Jsonb,
    place: usize,
    one: &Listed,
    endpoints: &HashMap<String, Found>,
    made_id: ExecutionId,
) -> Result<Composite> {
    let args = [executions.into(), (place as i32).into()];
    let compared = sql::row(PICK, &args, |row| {
        let request = Request {
            endpoint_id: endpoints[&one.endpoint].endpoint_id,
            run_at: one.run_at,
            priority: one.priority,
            input: sql::get(row, "input")?,
            metadata: sql::get(row, "metadata")?,
            key: one.key.as_deref(),
            concurrency_key: one.concurrency_key.as_deref(),
        };
        let key = one.idempotency_key.as_deref().unwrap_or_default();
        find_repeated(workspace.workspace_id, key, made_id, &request)
    })?;
    compared.ok_or_else(error::concurrent_change)
}
