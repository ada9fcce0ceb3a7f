//! The OpenAPI document: the routes and schemas of the handlers, and what all routes share.

use crate::rows::Problem;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response};
use utoipa::{Modify, OpenApi as _};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Kronos", description = "Jobs that run on a schedule, and executions that run once. Each request is one \
          call of a SQL function, in one transaction: a 2xx means that it has committed."),
    components(schemas(Problem)),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Base;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("bearer", scheme);
    }
}

/// The document without routes.
pub fn base() -> OpenApi {
    Base::openapi()
}

/// Adds to each operation the problems that it can answer with.
pub fn add_problems(openapi: &mut OpenApi) {
    for (path, item) in &mut openapi.paths.paths {
        let is_probe = path == "/health" || path == "/ready";
        let writes = [
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in writes.into_iter().flatten() {
            add(
                operation,
                "409",
                "The state of the object, or another object, does not allow it",
            );
            add(
                operation,
                "422",
                "The input does not satisfy the payload spec",
            );
            if operation.request_body.is_some() {
                add(operation, "408", "The body did not arrive in time");
                add(operation, "415", "The body is not JSON");
            }
        }
        if let Some(operation) = &mut item.patch
            && path.ends_with("/jobs/{job_id}")
        {
            add(operation, "412", "If-Match names another version");
        }
        let all = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in all.into_iter().flatten() {
            add(
                operation,
                "500",
                "A bug, or a mistake in the configuration of the service",
            );
            add(
                operation,
                "503",
                "Not available now; Retry-After says when to try again",
            );
            if !is_probe {
                add(operation, "400", "A value is missing or invalid");
                add(operation, "401", "The token is missing or unknown");
                add(operation, "403", "The role of the token may not do this");
                add(
                    operation,
                    "404",
                    "The object does not exist, or the role may not see it",
                );
                add(operation, "413", "The body or a value is too large");
                add(operation, "504", "The database did not finish in time");
            }
        }
    }
}

fn add(operation: &mut Operation, status: &str, description: &str) {
    let schema = RefOr::Ref(Ref::from_schema_name("Problem"));
    let mut response = Response::new(description);
    response.content.insert(
        "application/problem+json".into(),
        Content::new(Some(schema)),
    );
    operation
        .responses
        .responses
        .insert(status.into(), RefOr::T(response));
}
