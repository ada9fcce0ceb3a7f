//! Who calls, and path, query and body of a request. Each part refuses what it cannot read with a [`Problem`].

use crate::App;
use crate::database::{Call, Row};
use crate::problem::Problem;
use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::time::timeout;

/// The only route whose function can check a version.
const PATH_WITH_PRECONDITION: &str = "/workspaces/{workspace}/jobs/{job_id}";

/// The role of the request's token, and its way to the database.
pub struct Caller {
    app: Arc<App>,
    role: String,
}

impl Caller {
    /// Runs one call, and returns its rows.
    pub async fn rows(&self, call: Call) -> Result<Vec<Row>, Problem> {
        let mut results = self.transaction(vec![call]).await?;
        Ok(results.pop().unwrap_or_default())
    }

    /// Runs one call, and returns its only row.
    pub async fn row(&self, call: Call) -> Result<Row, Problem> {
        let row = self.rows(call).await?.pop();
        row.ok_or_else(|| Problem::internal("the function returned no row"))
    }

    /// Runs several calls in one transaction.
    pub async fn transaction(&self, calls: Vec<Call>) -> Result<Vec<Vec<Row>>, Problem> {
        self.app.database.run(Some(&self.role), calls).await
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Caller, Problem> {
        let token = bearer_token(&parts.headers);
        let role = token.and_then(|token| app.tokens.role(token));
        let role = role.ok_or_else(|| {
            let detail = "the request needs a header Authorization: Bearer with a known token";
            Problem::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", detail)
        })?;
        let path = parts.extensions.get::<MatchedPath>();
        let may_have_precondition = parts.method == Method::PATCH
            && path.is_some_and(|path| path.as_str() == PATH_WITH_PRECONDITION);
        if parts.headers.contains_key(IF_MATCH) && !may_have_precondition {
            // To ignore it would break the promise that the header asks for.
            let detail = "If-Match works only when a job is updated by PATCH";
            return Err(Problem::bad_request(detail));
        }
        let (app, role) = (app.clone(), role.to_owned());
        Ok(Caller { app, role })
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub struct Path<T>(pub T);

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub struct Query<T>(pub T);

/// A JSON body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Body<T>, Problem> {
        let body = read_body(request, app).await?;
        parse(&body).map(Body)
    }
}

/// A JSON body that may be left out, or be null.
pub struct OptionalBody<T>(pub T);

impl<T: DeserializeOwned + Default> FromRequest<Arc<App>> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<OptionalBody<T>, Problem> {
        match &*read_body(request, app).await? {
            [] => Ok(OptionalBody(T::default())),
            body => {
                let given: Option<T> = parse(body)?;
                Ok(OptionalBody(given.unwrap_or_default()))
            }
        }
    }
}

async fn read_body(request: Request, app: &App) -> Result<Vec<u8>, Problem> {
    let is_json = is_json(request.headers());
    let max = app.settings.max_body;
    let read = to_bytes(request.into_body(), max);
    let Ok(read) = timeout(app.settings.read_timeout(), read).await else {
        let detail = "the body did not arrive in time";
        let status = StatusCode::REQUEST_TIMEOUT;
        return Err(Problem::new(status, "REQUEST_TIMEOUT", detail));
    };
    let body = read.map_err(|error| {
        let cause = std::error::Error::source(&error);
        match cause.is_some_and(|cause| cause.to_string() == "length limit exceeded") {
            true => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "BODY_TOO_LARGE",
                format!("the body has more than {max} bytes"),
            ),
            false => Problem::bad_request("the body ended too early"),
        }
    })?;
    if !body.is_empty() && !is_json {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let detail = "the body must have Content-Type: application/json";
        return Err(Problem::new(status, "UNSUPPORTED_MEDIA_TYPE", detail));
    }
    Ok(body.into())
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::bad_request(format!("body: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_token_is_read_whatever_the_case_of_the_scheme() {
        let token = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            bearer_token(&headers).map(str::to_owned)
        };
        assert_eq!(token("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(token("bearer  abc").as_deref(), Some("abc"));
        assert_eq!(token("Basic abc"), None);
        assert_eq!(token("abc"), None);
    }
}
