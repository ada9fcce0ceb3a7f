//! Runs calls of Kronos's functions, each request in one transaction as the role of its token.

use crate::connection::Connection;
use crate::fields::Patch;
use crate::problem::{Codes, Problem, is_outcome_unknown, kronos_code, with_causes};
use crate::settings::Settings;
use axum::http::StatusCode;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use serde_json::value::RawValue;
use std::fmt::{Display, Write};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;

/// A row as the JSON that the database made of it.
pub type Row = Box<RawValue>;

/// The settings of each transaction, gone with its end. The role is set last, and the database checks that the login
/// role is a member of it.
const SET_UP: &str = "select set_config('statement_timeout', $1, true),
                             set_config('idle_in_transaction_session_timeout', $1, true),
                             set_config('search_path', 'pg_catalog, pg_temp', true),
                             set_config('timezone', 'UTC', true),
                             set_config('intervalstyle', 'iso_8601', true),
                             set_config('role', $2, true)";

const BEGIN: &str = "begin isolation level read committed, read write";

/// How much longer than `statement_timeout` the service waits for the server before it gives the connection up.
const MARGIN: Duration = Duration::from_secs(5);

/// How many prepared statements a connection keeps. The server holds memory for each.
const MAX_STATEMENTS: usize = 128;

/// A call of one function. Names and types are the program's own, so no text of a request becomes SQL.
pub struct Call {
    source: Source,
    arguments: Vec<(&'static str, &'static str, String)>,
}

enum Source {
    Function(&'static str),
    /// A view with the column `workspace`, where Kronos has no function.
    View(&'static str),
}

impl Call {
    pub fn function(name: &'static str) -> Call {
        let source = Source::Function(name);
        let arguments = vec![];
        Call { source, arguments }
    }

    pub fn view(name: &'static str, workspace: &str) -> Call {
        let source = Source::View(name);
        let arguments = vec![("workspace", "text", workspace.to_owned())];
        Call { source, arguments }
    }

    pub fn arg(mut self, name: &'static str, kind: &'static str, value: impl Display) -> Call {
        self.arguments.push((name, kind, value.to_string()));
        self
    }

    /// Adds an argument if the request has it. Otherwise the function's own default applies.
    pub fn maybe(
        self,
        name: &'static str,
        kind: &'static str,
        value: Option<impl Display>,
    ) -> Call {
        match value {
            Some(value) => self.arg(name, kind, value),
            None => self,
        }
    }

    /// Adds a field of a PATCH: absent keeps the old value, and null becomes `clear`, the value by which the function
    /// clears it.
    pub fn patch(
        self,
        name: &'static str,
        kind: &'static str,
        value: Patch<impl Display>,
        clear: &'static str,
    ) -> Call {
        match value {
            Patch::Absent => self,
            Patch::Null => self.arg(name, kind, clear),
            Patch::Value(value) => self.arg(name, kind, value),
        }
    }

    fn sql(&self) -> String {
        let name = match self.source {
            Source::View(name) => {
                return format!(
                    "select to_jsonb(r)::text from kronos.{name} r where r.workspace = $1::text"
                );
            }
            Source::Function(name) => name,
        };
        let mut sql = format!("select to_jsonb(r)::text from kronos.{name}(");
        for (index, (name, kind, _)) in self.arguments.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(sql, "{comma}{name} => ${}::text::{kind}", index + 1);
        }
        sql + ") r"
    }

    fn has_idempotency_key(&self) -> bool {
        self.arguments
            .iter()
            .any(|(name, ..)| *name == "idempotency_key")
    }
}

/// The pool of connections, and the codes of Kronos's errors.
pub struct Database {
    pool: Pool,
    codes: RwLock<Arc<Codes>>,
    statement_timeout: Duration,
}

impl Database {
    /// Connects to nothing yet, so the service can start while the database is down.
    pub fn new(connection: Connection, settings: &Settings) -> Result<Database, crate::Error> {
        let Connection { mut config, tls } = connection;
        let statement_timeout = Duration::from_millis(settings.statement_timeout_ms);
        let wait = Duration::from_millis(settings.pool_wait_ms);
        config
            .connect_timeout(wait)
            .keepalives_idle(Duration::from_secs(30))
            .tcp_user_timeout(statement_timeout + MARGIN);
        let recycling_method = RecyclingMethod::Fast;
        let manager = Manager::from_config(config, tls, ManagerConfig { recycling_method });
        let pool = Pool::builder(manager)
            .max_size(settings.pool_size.into())
            .wait_timeout(Some(wait))
            .create_timeout(Some(wait))
            .recycle_timeout(Some(wait))
            .runtime(Runtime::Tokio1)
            .build()?;
        Ok(Database {
            pool,
            codes: RwLock::default(),
            statement_timeout,
        })
    }

    /// Runs calls in one transaction as a role, or as the login role without one. Returns the rows of each once COMMIT has succeeded.
    ///
    /// The transaction runs in a task of its own: if the client goes away, the handler's future is dropped, and the task
    /// still ends the transaction in order, so that the connection can serve the next request. `statement_timeout`
    /// bounds how long that takes, and the size of the pool how many such tasks exist.
    pub async fn run(
        self: &Arc<Self>,
        role: Option<&str>,
        calls: Vec<Call>,
    ) -> Result<Vec<Vec<Row>>, Problem> {
        let connection = self.pool.get().await;
        let connection = connection.map_err(|error| Problem::from_pool(&error))?;
        let (database, role) = (self.clone(), role.unwrap_or("none").to_owned());
        let task = tokio::spawn(async move {
            let session = Session(Some(connection));
            database.transaction(session, &role, &calls).await
        });
        let ended = task.await;
        ended.unwrap_or_else(|error| Err(Problem::internal(with_causes(&error))))
    }

    async fn transaction(
        &self,
        session: Session,
        role: &str,
        calls: &[Call],
    ) -> Result<Vec<Vec<Row>>, Problem> {
        self.begin(&session, role).await?;
        let called = async {
            self.load_codes(&session).await?;
            let mut results = Vec::with_capacity(calls.len());
            for call in calls {
                results.push(self.call(&session, call).await?);
            }
            Ok::<_, Problem>(results)
        };
        match called.await {
            Ok(results) => {
                let has_key = calls.iter().any(Call::has_idempotency_key);
                self.commit(&session, has_key).await?;
                session.give_back();
                Ok(results)
            }
            Err(problem) => {
                let rollback = session.client().batch_execute("rollback");
                let rolled_back = timeout(MARGIN, rollback).await;
                // A session with an old library reports LIBRARY_MISMATCH until it ends.
                let is_sound = problem.status != StatusCode::INTERNAL_SERVER_ERROR
                    && problem.code != "LIBRARY_MISMATCH";
                if is_sound && matches!(rolled_back, Ok(Ok(()))) {
                    session.give_back();
                }
                Err(problem)
            }
        }
    }

    /// Begins the transaction and sets its role. An error is never the client's fault.
    async fn begin(&self, session: &Session, role: &str) -> Result<(), Problem> {
        let client = session.client();
        let limit = self.statement_timeout.as_millis().to_string();
        let set_up = async {
            // Sent together. Should BEGIN fail, the settings end with their own statement.
            let statement = client.prepare_cached(SET_UP).await?;
            let parameters: [&(dyn ToSql + Sync); 2] = [&limit, &role];
            let settings = client.execute(&statement, &parameters);
            tokio::try_join!(client.batch_execute(BEGIN), settings)
        };
        match self.bounded(set_up).await {
            Ok(_) => Ok(()),
            Err(problem) if problem.status == StatusCode::SERVICE_UNAVAILABLE => Err(problem),
            Err(problem) => {
                let cause = problem.internal.as_deref().unwrap_or(&problem.code);
                let cause = format!("cannot begin as role {role}: {cause}");
                Err(Problem::internal(cause))
            }
        }
    }

    async fn call(&self, session: &Session, call: &Call) -> Result<Vec<Row>, Problem> {
        let client = session.client();
        let values = call.arguments.iter().map(|(.., value)| value);
        let parameters: Vec<_> = values.map(|value| value as &(dyn ToSql + Sync)).collect();
        // Each combination of optional arguments is a statement of its own, and clients choose the combinations.
        if client.statement_cache.size() >= MAX_STATEMENTS {
            client.statement_cache.clear();
        }
        let rows = self.bounded(async {
            let statement = client.prepare_cached(&call.sql()).await?;
            client.query(&statement, &parameters).await
        });
        let rows = rows.await?;
        let rows = rows.iter().map(|row| {
            let text: Option<String> = row
                .try_get(0)
                .map_err(|e| Problem::internal(with_causes(&e)))?;
            let json = RawValue::from_string(text.unwrap_or_else(|| "null".into()));
            json.map_err(|error| Problem::internal(error.to_string()))
        });
        rows.collect()
    }

    /// Success means that everything is committed, because no statement of the transaction has failed.
    async fn commit(&self, session: &Session, has_key: bool) -> Result<(), Problem> {
        let limit = self.statement_timeout + MARGIN;
        match timeout(limit, session.client().batch_execute("commit")).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if !is_outcome_unknown(&error) => {
                Err(Problem::from_postgres(&error, &self.codes()))
            }
            Ok(Err(error)) => Err(Problem::outcome_unknown(has_key, with_causes(&error))),
            Err(_) => Err(Problem::outcome_unknown(has_key, "no answer to COMMIT")),
        }
    }

    /// Waits for the server. `statement_timeout` ends a slow statement; this ends the wait for a server that is gone.
    async fn bounded<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Problem> {
        match timeout(self.statement_timeout + MARGIN, answer).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let problem = Problem::from_postgres(&error, &self.codes());
                let code = error.as_db_error().and_then(kronos_code);
                if code.is_some_and(|code| !self.codes().contains_key(&code)) {
                    // An upgrade of the extension may have added a code: the next transaction reads them anew.
                    *self.codes.write().unwrap_or_else(PoisonError::into_inner) = Arc::default();
                }
                Err(problem)
            }
            Err(_) => {
                let detail = "the database does not answer; nothing was changed";
                Err(Problem::unavailable("DATABASE_UNAVAILABLE", detail))
            }
        }
    }

    fn codes(&self) -> Arc<Codes> {
        let codes = self.codes.read();
        codes.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the codes of Kronos's errors, unless they are known.
    async fn load_codes(&self, session: &Session) -> Result<(), Problem> {
        if !self.codes().is_empty() {
            return Ok(());
        }
        let statement = "select code, http_status, meaning from kronos.error_codes()";
        let rows = self.bounded(session.client().query(statement, &[])).await?;
        let read = |row: &tokio_postgres::Row| -> Result<_, tokio_postgres::Error> {
            let status = u16::try_from(row.try_get::<_, i32>(1)?).ok();
            let status = status.and_then(|status| StatusCode::from_u16(status).ok());
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Ok((row.try_get(0)?, (status, row.try_get(2)?)))
        };
        let codes: Result<Codes, _> = rows.iter().map(read).collect();
        let codes = codes.map_err(|error| Problem::internal(with_causes(&error)))?;
        *self.codes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(codes);
        Ok(())
    }
}

/// A connection with a transaction. Dropped in any other way than by [`Session::give_back`], it closes the connection,
/// and PostgreSQL rolls back. So no transaction, and no role, ever reaches the next request.
struct Session(Option<Object>);

impl Session {
    fn client(&self) -> &Object {
        self.0.as_ref().expect("only give_back and drop take it")
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_has_only_the_arguments_that_the_request_gives() {
        let call = Call::function("update_cron_job")
            .arg("job_id", "uuid", "x")
            .maybe("cron", "text", None::<String>)
            .patch("ends_at", "timestamptz", Patch::<String>::Null, "infinity")
            .patch("on_failure", "text", Patch::<String>::Absent, "")
            .patch("priority", "integer", Patch::Value(3), "");
        let sql = "select to_jsonb(r)::text from kronos.update_cron_job(job_id => $1::text::uuid, \
                   ends_at => $2::text::timestamptz, priority => $3::text::integer) r";
        assert_eq!(call.sql(), sql);
        let values: Vec<&str> = call.arguments.iter().map(|(.., value)| &**value).collect();
        assert_eq!(values, ["x", "infinity", "3"]);
    }
}
