//! Delivers one attempt as an HTTP request.

use crate::receiver::{Clients, Refused, has_credentials};
use crate::with_causes;
use reqwest::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    RETRY_AFTER, TRANSFER_ENCODING,
};
use reqwest::{Body, Client, Method, Request, StatusCode, Url};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A claimed attempt.
pub struct Execution {
    pub execution_id: String,
    pub attempt: i32,
    /// JSON as PostgreSQL prints it. It is sent without parsing, so that it keeps numbers that a double cannot hold.
    pub input: String,
    pub spec: String,
    /// The time until deadline_at, by the database's clock.
    pub time_left: Option<Duration>,
}

/// The outcome of an attempt.
pub enum Outcome {
    Completed {
        output: Value,
    },
    Failed {
        error: String,
        retryable: bool,
        retry_after: Option<u32>,
    },
    Released,
}

impl Outcome {
    pub fn failed(error: impl Into<String>, retryable: bool) -> Outcome {
        Outcome::Failed {
            error: error.into(),
            retryable,
            retry_after: None,
        }
    }
}

/// How many bytes of a response's body are read, and how many of them are kept.
const MAX_READ_BYTES: usize = 1 << 20;
const MAX_BODY_BYTES: usize = 4096;

/// The spec may not set these headers: they frame the request on a connection that other requests share, or name another
/// host than the one that was checked.
const RESERVED_HEADERS: [HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING];

/// Sends the request of an attempt, and returns the outcome. `time_limit` is for endpoints without an attempt_timeout.
///
/// No error contains the URL, a header's value or the response's body: more people may read errors than specs, which hold
/// secrets, and a receiver may repeat what it was sent.
pub async fn deliver(http: Arc<Clients>, execution: Execution, time_limit: Duration) -> Outcome {
    let request = match build_request(&execution) {
        Ok(request) => request,
        Err(problem) => return Outcome::failed(format!("bad endpoint spec: {problem}"), false),
    };
    let client = match http.client_for(request.url()) {
        Ok(client) => client,
        Err(refused) => return Outcome::failed(refused.to_string(), false),
    };
    let limit = match execution.time_left {
        // The lease ends at the deadline, so the request must end a little earlier to be reported.
        Some(left) => left - Duration::from_secs(1).min(left / 10),
        None => time_limit,
    };
    match timeout(limit, send(client, request)).await {
        Ok(result) => result.unwrap_or_else(no_response),
        Err(_) => Outcome::failed("no response in time", true),
    }
}

/// Builds the request that the spec describes. The error says what is wrong with the spec.
fn build_request(execution: &Execution) -> Result<Request, String> {
    let spec: Value = serde_json::from_str(&execution.spec).map_err(|error| error.to_string())?;
    let url = spec["url"]
        .as_str()
        .ok_or("url is missing or is not a string")?;
    let url = Url::parse(url).map_err(|error| format!("url: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("url: the scheme must be http or https".into());
    }
    if has_credentials(&url) {
        return Err("url: use a header instead of a user and a password".into());
    }
    let method = match &spec["method"] {
        Value::Null => Method::POST,
        Value::String(method) => method.parse().map_err(|_| "method is not valid in HTTP")?,
        _ => return Err("method must be a string".into()),
    };
    let mut request = Request::new(method, url);
    *request.body_mut() = Some(Body::from(execution.input.clone()));
    *request.headers_mut() = headers(&spec["headers"], execution)?;
    Ok(request)
}

/// The spec's headers, and those by which the receiver knows the execution: these cannot be overridden.
fn headers(spec: &Value, execution: &Execution) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut insert = |name: &str, value: &str| {
        let key: HeaderName = name
            .parse()
            .map_err(|_| "headers: a name is not valid in HTTP")?;
        if RESERVED_HEADERS.contains(&key) {
            return Err(format!("headers: {key} is set by the worker"));
        }
        let value = value
            .parse()
            .map_err(|_| format!("headers: the value of {key} is not valid in HTTP"))?;
        headers.insert(key, value);
        Ok(())
    };
    match spec {
        Value::Null => {}
        Value::Object(given) => {
            for (name, value) in given {
                insert(
                    name,
                    value.as_str().ok_or("headers: a value is not a string")?,
                )?;
            }
        }
        _ => return Err("headers must be an object".into()),
    }
    insert("idempotency-key", &execution.execution_id)?;
    insert("kronos-execution-id", &execution.execution_id)?;
    insert("kronos-attempt", &execution.attempt.to_string())?;
    Ok(headers)
}

async fn send(http: &Client, request: Request) -> Result<Outcome, reqwest::Error> {
    let mut response = http.execute(request).await?;
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    // A body within the limit is read to its end, because a truncated response is a failure.
    let mut body = vec![];
    while body.len() < MAX_READ_BYTES
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    if status.is_success() {
        let output = json!({ "status": status.as_u16(), "body": to_text(&body) });
        return Ok(Outcome::Completed { output });
    }
    let retryable = is_retryable(status);
    Ok(Outcome::Failed {
        error: format!("HTTP status {}", status.as_u16()),
        retryable,
        retry_after: retry_after.filter(|_| retryable),
    })
}

/// Whether the same request may succeed later.
fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429) || status.is_server_error()
}

/// Converts the start of a body to text. PostgreSQL's JSON cannot hold U+0000; the last character may be cut in two.
fn to_text(body: &[u8]) -> String {
    let start = &body[..MAX_BODY_BYTES.min(body.len())];
    let text = String::from_utf8_lossy(start).replace('\0', "\u{fffd}");
    match start.len() {
        MAX_BODY_BYTES => text.trim_end_matches('\u{fffd}').to_owned(),
        _ => text,
    }
}

/// Converts an error of reqwest to an outcome.
fn no_response(error: reqwest::Error) -> Outcome {
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Outcome::failed(refused.to_string(), false);
        }
        cause = error.source();
    }
    let retryable = !error.is_builder();
    Outcome::failed(
        format!("no response: {}", with_causes(&error.without_url())),
        retryable,
    )
}
