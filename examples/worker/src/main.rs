//! A worker for Kronos that delivers the executions of `HTTP` endpoints. It follows the protocol in docs/workers.md.
//!
//! [`worker`] decides when to claim, extend, abort and report executions. [`database`] calls Kronos in SQL. [`deliver`]
//! sends one HTTP request, and [`receiver`] decides where to. [`connection`] and [`tls`] read how to connect to the
//! database. This file reads the settings, handles signals, and keeps the worker connected.

mod connection;
mod database;
mod deliver;
mod receiver;
mod tls;
mod worker;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use connection::Connection;
use database::Database;
use receiver::AllowedHost;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use worker::Worker;

/// Any error of the database or at startup. No caller needs to distinguish them.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Delivers Kronos's executions of HTTP endpoints.
///
/// The environment says how to connect to the database: DATABASE_URL ("host=... user=... dbname=..." or postgresql://...)
/// or libpq's variables (PGHOST, PGUSER, PGPASSWORD, PGSSLMODE, ...).
#[derive(Parser, Clone)]
pub struct Settings {
    /// The workspace to serve; without it, the worker serves all workspaces in turn.
    #[arg(long)]
    workspace: Option<String>,
    /// How many executions run at once.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    concurrency: u16,
    /// How many seconds a lease lasts without a heartbeat.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    lease: u32,
    /// How many seconds running requests may still take after the worker is told to stop.
    #[arg(long, default_value_t = 10)]
    grace: u32,
    /// How many seconds a request may take, if its endpoint has no attempt_timeout.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    timeout: u32,
    /// A host ("name", "address", or either with ":port") that may have an address that is not public; can be repeated.
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<AllowedHost>,
}

/// The time by which the worker must end; None until it is told to stop.
pub type Stop = watch::Receiver<Option<Instant>>;

/// The shortest and the longest pause before the worker reconnects.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::try_parse().unwrap_or_else(|error| match error.kind() {
        // The message would repeat the argument, which may be a connection string.
        ErrorKind::UnknownArgument => Settings::command()
            .error(error.kind(), "unknown arguments")
            .exit(),
        _ => error.exit(),
    });
    match run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

/// The text of an error and of what caused it.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// Runs the worker until it is told to stop. If the connection breaks, reconnects after growing pauses. Requests
/// continue meanwhile, and are reported if their leases have not expired by then.
async fn run(settings: Settings) -> Result<(), Error> {
    let connection = Connection::from_environment()?;
    let mut stop = stop_on_signal(Duration::from_secs(settings.grace.into()))?;
    let mut worker = Worker::new(settings.clone())?;
    let mut pause = SHORTEST_PAUSE;
    loop {
        let started = Instant::now();
        let result = tokio::select! {
            connected = Database::connect(&connection, &settings, &worker.id) => match connected {
                Ok(mut database) => worker.serve(&mut database, &mut stop).await,
                Err(error) => Err(error),
            },
            () = wait_for_end(stop.clone()) => Err("not connected before the grace period ended".into()),
        };
        let Err(error) = result else { return Ok(()) };
        eprintln!("database: {}", with_causes(&*error));
        worker.drop_expired();
        let end_at = *stop.borrow();
        if end_at.is_some_and(|end| worker.is_idle() || end <= Instant::now()) {
            return Ok(()); // The leases that it still holds will expire.
        }
        if started.elapsed() > LONGEST_PAUSE {
            pause = SHORTEST_PAUSE;
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = wait_for_end(stop.clone()) => {}
        }
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Turns the first SIGTERM or SIGINT into the time by which the worker must end.
fn stop_on_signal(grace: Duration) -> Result<Stop, Error> {
    let (sender, stop) = watch::channel(None);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        sender.send_replace(Some(Instant::now() + grace));
        sender.closed().await; // A dropped sender would look like a change.
    });
    Ok(stop)
}

/// Waits until the worker must end.
async fn wait_for_end(mut stop: Stop) {
    let end = match stop.wait_for(Option::is_some).await {
        Ok(end) => *end,
        Err(_) => None,
    };
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}
