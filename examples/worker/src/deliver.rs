//! Delivers one attempt as an HTTP request.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Body, Client, Method, Request, StatusCode, Url};
use serde_json::{Value, json};
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

/// How many bytes of a response's body are kept.
const MAX_BODY_BYTES: usize = 4096;

/// Sends the request of an attempt, and returns the outcome.
pub async fn deliver(http: Client, execution: Execution) -> Outcome {
    let request = match build_request(&execution) {
        Ok(request) => request,
        Err(problem) => return Outcome::failed(format!("bad endpoint spec: {problem}"), false),
    };
    let outcome = async { send(&http, request).await.unwrap_or_else(no_response) };
    match execution.time_left {
        // The lease ends at the deadline, so the request must end a little earlier to be reported.
        Some(left) => timeout(left - Duration::from_secs(1).min(left / 10), outcome)
            .await
            .unwrap_or_else(|_| Outcome::failed("no response before the deadline", true)),
        None => outcome.await,
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
        return Err(format!("url: {} is not http or https", url.scheme()));
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
        let bad = |part| format!("headers: the {part} of {name:?} is not valid in HTTP");
        let key: HeaderName = name.parse().map_err(|_| bad("name"))?;
        headers.insert(key, value.parse().map_err(|_| bad("value"))?);
        Ok::<(), String>(())
    };
    match spec {
        Value::Null => {}
        Value::Object(given) => {
            for (name, value) in given {
                let value = value.as_str();
                insert(
                    name,
                    value.ok_or(format!("headers: {name:?} is not a string"))?,
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
    // The body is read to its end, because a truncated response is a failure.
    let mut body = vec![];
    while let Some(chunk) = response.chunk().await? {
        let room = MAX_BODY_BYTES - body.len();
        body.extend_from_slice(&chunk[..room.min(chunk.len())]);
    }
    let body = to_text(&body);
    if status.is_success() {
        let output = json!({ "status": status.as_u16(), "body": body });
        return Ok(Outcome::Completed { output });
    }
    let retryable = is_retryable(status);
    Ok(Outcome::Failed {
        error: format!("HTTP status {}: {body}", status.as_u16()),
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
    let text = String::from_utf8_lossy(body).replace('\0', "\u{fffd}");
    match body.len() {
        MAX_BODY_BYTES => text.trim_end_matches('\u{fffd}').to_owned(),
        _ => text,
    }
}

/// Converts an error of reqwest to an outcome, with its causes but without the URL, which may contain a secret.
fn no_response(error: reqwest::Error) -> Outcome {
    let retryable = !error.is_builder();
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    Outcome::failed(text, retryable)
}
