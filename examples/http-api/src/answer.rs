//! The successful answers: rows of the database as JSON, with status, ETag and Location.

use crate::database::Row;
use crate::problem::Problem;
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// How many rows a page has, unless the request says.
const PAGE: i32 = 100;

pub struct Answer {
    status: StatusCode,
    etag: Option<i32>,
    location: Option<String>,
    body: String,
}

/// The fields of a row that become parts of the HTTP answer.
#[derive(Deserialize)]
struct Facts {
    version: Option<i32>,
    created: Option<bool>,
    job_id: Option<Uuid>,
    execution_id: Option<Uuid>,
}

impl Answer {
    pub fn row(row: Row) -> Answer {
        Answer {
            status: StatusCode::OK,
            etag: None,
            location: None,
            body: Box::<str>::from(row).into_string(),
        }
    }

    /// A job: its ETag is its version.
    pub fn job(row: Row) -> Result<Answer, Problem> {
        let etag = facts(&row)?.version;
        Ok(Answer {
            etag,
            ..Answer::row(row)
        })
    }

    /// What the request created: 201, or 200 if it existed already. `created` in the row tells.
    pub fn made(workspace: &str, row: Row) -> Result<Answer, Problem> {
        let facts = facts(&row)?;
        let workspace = utf8_percent_encode(workspace, NON_ALPHANUMERIC);
        let path = match (facts.job_id, facts.execution_id) {
            (Some(id), _) => format!("/workspaces/{workspace}/jobs/{id}"),
            (_, Some(id)) => format!("/workspaces/{workspace}/executions/{id}"),
            _ => return Err(Problem::internal("the row has no id")),
        };
        let is_new = facts.created == Some(true);
        Ok(Answer {
            status: if is_new {
                StatusCode::CREATED
            } else {
                StatusCode::OK
            },
            etag: facts.version,
            location: is_new.then_some(path),
            body: Box::<str>::from(row).into_string(),
        })
    }

    /// A row that no earlier request can have created.
    pub fn created(row: Row) -> Answer {
        Answer {
            status: StatusCode::CREATED,
            ..Answer::row(row)
        }
    }

    /// All rows of a call, as an array.
    pub fn rows(rows: Vec<Row>) -> Result<Answer, Problem> {
        Answer::of(&rows)
    }

    /// A page of a list. `cursor` is the field by which the next page begins.
    pub fn page(rows: Vec<Row>, max: Option<i32>, cursor: &str) -> Result<Answer, Problem> {
        #[derive(Serialize)]
        struct Page {
            items: Vec<Row>,
            next: Option<String>,
        }
        let is_full = usize::try_from(page_size(max)).is_ok_and(|max| rows.len() >= max);
        let next = match rows.last() {
            Some(last) if is_full => {
                let mut last: Value = serde_json::from_str(last.get()).map_err(invalid_row)?;
                Some(match last[cursor].take() {
                    Value::String(cursor) => cursor,
                    cursor => cursor.to_string(),
                })
            }
            _ => None,
        };
        Answer::of(&Page { items: rows, next })
    }

    pub fn of(value: &impl Serialize) -> Result<Answer, Problem> {
        Ok(Answer {
            status: StatusCode::OK,
            etag: None,
            location: None,
            body: serde_json::to_string(value).map_err(invalid_row)?,
        })
    }
}

/// The argument `max` of a list. The service always gives it, so as to know whether a page is full.
pub fn page_size(max: Option<i32>) -> i32 {
    max.unwrap_or(PAGE)
}

fn facts(row: &Row) -> Result<Facts, Problem> {
    serde_json::from_str(row.get()).map_err(invalid_row)
}

fn invalid_row(error: serde_json::Error) -> Problem {
    Problem::internal(format!("unexpected row: {error}"))
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(CONTENT_TYPE, json);
        let etag = self.etag.map(|version| format!("\"{version}\""));
        for (name, value) in [(ETAG, etag), (LOCATION, self.location)] {
            if let Some(value) = value.and_then(|value| value.try_into().ok()) {
                headers.insert(name, value);
            }
        }
        response
    }
}
