//! Calls Kronos in SQL. All times are durations by the database's clock, because the worker's clock may differ.

use crate::connection::Connection;
use crate::deliver::{Execution, Outcome};
use crate::{Error, Settings};
use serde_json::{Value, json};
use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Row};

/// A connection that listens for notifications. Each call commits on its own: no execution runs inside a transaction.
pub struct Database {
    client: Client,
    notifications: mpsc::Receiver<()>,
    workspace: Option<String>,
    worker_id: String,
    lease: f64,
    /// How long a call may take. A longer call would delay the heartbeat.
    call_timeout: Duration,
}

/// The id of an execution, and the number of the attempt.
pub type Key = (String, i32);

/// Kronos's reply about one execution of a heartbeat or a report.
pub struct Reply {
    pub key: Key,
    /// Whether the worker holds the execution, or held it until this report.
    pub accepted: bool,
    pub stop_requested: bool,
}

impl Database {
    pub async fn connect(
        connection: &Connection,
        settings: &Settings,
        worker_id: &str,
    ) -> Result<Database, Error> {
        let call_timeout = Duration::from_secs(settings.lease.into()) / 3;
        let (client, mut connection) = timeout(
            call_timeout,
            connection.config.connect(connection.tls.clone()),
        )
        .await??;
        let (notify, notifications) = mpsc::channel(1);
        // A notification carries the id of its workspace. Until the worker knows the id of its own, it accepts all.
        let workspace_id = Arc::new(OnceLock::<String>::new());
        let own_id = workspace_id.clone();
        tokio::spawn(async move {
            // The loop ends with the connection, and drops the sender.
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await
            {
                if let AsyncMessage::Notification(notification) = message
                    && own_id
                        .get()
                        .is_none_or(|own_id| own_id == notification.payload())
                {
                    let _ = notify.try_send(()); // A full channel holds a wake-up already.
                }
            }
        });
        let database = Database {
            client,
            notifications,
            workspace: settings.workspace.clone(),
            worker_id: worker_id.to_owned(),
            lease: settings.lease.into(),
            call_timeout,
        };
        database.query("listen kronos_executions", &[]).await?;
        if let Some(workspace) = &database.workspace {
            let statement = "select workspace_id::text from kronos.get_workspace($1)";
            for row in database.query(statement, &[workspace]).await? {
                let _ = workspace_id.set(row.try_get(0)?);
            }
        }
        Ok(database)
    }

    /// Waits for a notification that an execution may start. Fails if the connection is closed.
    pub async fn notification(&mut self) -> Result<(), Error> {
        let received = self.notifications.recv().await;
        received.ok_or_else(|| "the connection is closed".into())
    }

    /// Claims up to `max` executions that may start now.
    pub async fn claim(&self, max: i32) -> Result<Vec<Execution>, Error> {
        let call = match self.workspace {
            Some(_) => "claim_executions(workspace => $4, ",
            None => "claim_any_executions(",
        };
        let statement = format!(
            "select execution_id::text, attempt, input::text, endpoint_spec::text,
                    extract(epoch from deadline_at - clock_timestamp())::float8
             from kronos.{call} worker_id => $1, max => $2, lease => make_interval(secs => $3), endpoint_types => '{{HTTP}}')"
        );
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&self.worker_id, &max, &self.lease];
        if let Some(workspace) = &self.workspace {
            parameters.push(workspace);
        }
        let rows = self.query(&statement, &parameters).await?;
        rows.iter().map(read_execution).collect()
    }

    /// Returns how long the worker may sleep after a claim has found nothing; None if there is nothing to wait for.
    pub async fn next_wakeup(&self) -> Result<Option<Duration>, Error> {
        let statement = "select extract(epoch from kronos.next_wakeup('{HTTP}', all_workspaces => $1::text is null,
                                                                      workspace => $1) - clock_timestamp())::float8";
        let rows = self.query(statement, &[&self.workspace]).await?;
        rows.first()
            .map_or(Ok(None), |row| Ok(to_duration(row.try_get(0)?)))
    }

    /// Extends the leases of executions.
    pub async fn heartbeat(&self, held: &[Key]) -> Result<Vec<Reply>, Error> {
        let list: Value = held.iter().map(to_json).collect();
        let call = "heartbeat_executions($1, $2::text::jsonb, make_interval(secs => $3))";
        self.call(call, &[&self.worker_id, &list.to_string(), &self.lease])
            .await
    }

    /// Reports the outcome of an attempt. A report that comes too late is not accepted, and changes nothing.
    pub async fn report(&self, key: &Key, outcome: &Outcome) -> Result<Vec<Reply>, Error> {
        let mut execution = to_json(key);
        let call = match outcome {
            Outcome::Completed { output } => {
                execution["output"] = output.clone();
                "complete_executions($1, jsonb_build_array($2::text::jsonb))"
            }
            Outcome::Failed {
                error,
                retryable,
                retry_after,
            } => {
                execution["error"] = json!(error);
                execution["retryable"] = json!(retryable);
                execution["retry_after"] = json!(retry_after);
                "fail_executions($1, jsonb_build_array($2::text::jsonb || jsonb_build_object('retry_at',
                     clock_timestamp() + make_interval(secs => ($2::text::jsonb ->> 'retry_after')::float8))))"
            }
            Outcome::Released => "release_executions($1, jsonb_build_array($2::text::jsonb))",
        };
        self.call(call, &[&self.worker_id, &execution.to_string()])
            .await
    }

    async fn call(
        &self,
        call: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Reply>, Error> {
        let statement = format!(
            "select execution_id::text, attempt, accepted, stop_requested from kronos.{call}"
        );
        let rows = self.query(&statement, parameters).await?;
        rows.iter().map(read_reply).collect()
    }

    async fn query(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        Ok(timeout(self.call_timeout, self.client.query(statement, parameters)).await??)
    }
}

fn to_json((execution_id, attempt): &Key) -> Value {
    json!({ "execution_id": execution_id, "attempt": attempt })
}

fn read_execution(row: &Row) -> Result<Execution, Error> {
    Ok(Execution {
        execution_id: row.try_get(0)?,
        attempt: row.try_get(1)?,
        input: row.try_get(2)?,
        spec: row.try_get(3)?,
        time_left: to_duration(row.try_get(4)?),
    })
}

fn read_reply(row: &Row) -> Result<Reply, Error> {
    Ok(Reply {
        key: (row.try_get(0)?, row.try_get(1)?),
        accepted: row.try_get(2)?,
        stop_requested: row.try_get::<_, Option<bool>>(3)?.unwrap_or(false),
    })
}

/// Converts seconds: zero if they are negative, None if there are too many to represent.
fn to_duration(seconds: Option<f64>) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds?.max(0.0)).ok()
}
