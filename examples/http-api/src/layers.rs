//! What happens to every request: an id, a line in the log, the limit on concurrency, and the body of its problem.

use crate::App;
use crate::problem::Problem;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::any::Any;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

const REQUEST_ID: &str = "x-request-id";

/// Gives the request its id, renders its problem, and logs it. The log has no query, header or body, which may hold
/// secrets.
pub async fn identify(request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID);
    let id = match given.and_then(|value| value.to_str().ok()) {
        Some(id) if is_sane(id) => id.to_owned(),
        _ => Uuid::new_v4().to_string(),
    };
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    let started = Instant::now();
    let mut response = next.run(request).await;
    let problem = response.extensions_mut().remove::<Problem>();
    let (status, ms) = (
        response.status().as_u16(),
        started.elapsed().as_secs_f64() * 1e3,
    );
    let code = problem.as_ref().map(|problem| problem.code.as_str());
    let cause = problem
        .as_ref()
        .and_then(|problem| problem.internal.as_deref());
    if status >= 500 {
        tracing::error!(request_id = %id, %method, path, route, status, ms, code, cause, "request failed");
    } else {
        tracing::info!(request_id = %id, %method, path, route, status, ms, code, cause, "request");
    }
    if let Some(problem) = problem {
        let allow = response.headers().get(axum::http::header::ALLOW).cloned();
        response = problem.render(&id);
        if let Some(allow) = allow {
            response
                .headers_mut()
                .insert(axum::http::header::ALLOW, allow);
        }
    }
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Whether an id of a client can go into the log and the answer as it is.
fn is_sane(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

/// Refuses requests beyond the limit at once: a queue would only make all of them late.
pub async fn limit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.slots.try_acquire() {
        Ok(_slot) => next.run(request).await,
        Err(_) => {
            let detail = "the service handles as many requests as it may; nothing was changed";
            Problem::unavailable("OVERLOADED", detail).into_response()
        }
    }
}

pub async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "NO_ROUTE", "there is no such route")
}

pub async fn method_not_allowed(method: Method) -> Problem {
    let detail = format!("the route does not support {method}; see the header Allow");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", detail)
}

/// The answer for a handler that panicked.
pub fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Problem::internal(format!("panic: {}", text.unwrap_or_default())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_id_of_a_client_is_kept_only_if_it_is_short_and_plain() {
        assert!(is_sane("9f2c-41.a:b_c"));
        for id in ["", "a b", "a\"b", "ä", &"a".repeat(129)] {
            assert!(!is_sane(id), "{id}");
        }
    }
}
