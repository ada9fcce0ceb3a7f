//! A worker of Kronos: delivers executions of `HTTP` endpoints, by the protocol of docs/workers.md.
//!
//! Data flows one way: [`worker`] decides what is done when, [`database`] says it to Kronos in SQL, [`deliver`] makes one
//! HTTP request. This file reads the settings, listens for signals, and keeps the worker connected.

mod database;
mod deliver;
mod worker;

use clap::Parser;
use database::Database;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use worker::Worker;

/// Whatever went wrong with the database or at the start; nobody tells one from another.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Delivers Kronos's executions of HTTP endpoints.
#[derive(Parser, Clone)]
pub struct Settings {
    /// Where the database is: "host=... user=... dbname=..." or postgresql://... (without TLS).
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database: tokio_postgres::Config,
    /// The workspace that is served; all of them, in turn, if left out.
    #[arg(long)]
    workspace: Option<String>,
    /// How many executions run at once.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    concurrency: u16,
    /// For how many seconds an execution is held without a heartbeat.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    lease: u32,
    /// How many seconds running requests have to end, once the worker is told to stop.
    #[arg(long, default_value_t = 10)]
    grace: u32,
}

/// When the worker must have ended, once it was told to stop.
pub type Stop = watch::Receiver<Option<Instant>>;

const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> ExitCode {
    match run(Settings::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Works until it is told to stop. Reconnects a broken connection after growing pauses. Requests continue meanwhile,
/// and are reported if their leases have not expired by then.
async fn run(settings: Settings) -> Result<(), Error> {
    let mut stop = stop_on_signal(Duration::from_secs(settings.grace.into()))?;
    let mut worker = Worker::new(settings.clone())?;
    let mut pause = SHORTEST_PAUSE;
    loop {
        let started = Instant::now();
        let ended = tokio::select! {
            connected = Database::connect(&settings, &worker.id) => match connected {
                Ok(mut database) => worker.serve(&mut database, &mut stop).await,
                Err(error) => Err(error),
            },
            () = must_end(stop.clone()) => Err("no time is left to wait for it".into()),
        };
        let Err(error) = ended else { return Ok(()) };
        eprintln!("database: {error}");
        worker.drop_expired();
        let must_end_at = *stop.borrow();
        if must_end_at.is_some_and(|end| worker.is_idle() || end <= Instant::now()) {
            return Ok(()); // What it still holds is left to its lease.
        }
        if started.elapsed() > LONGEST_PAUSE {
            pause = SHORTEST_PAUSE;
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = must_end(stop.clone()) => {}
        }
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Turns the first SIGTERM or SIGINT into the time by which the worker must have ended.
fn stop_on_signal(grace: Duration) -> Result<Stop, Error> {
    let (told, stop) = watch::channel(None);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.send_replace(Some(Instant::now() + grace));
        told.closed().await; // A dropped sender would look like a change.
    });
    Ok(stop)
}

/// Comes back when the grace time is over.
async fn must_end(mut stop: Stop) {
    let end = match stop.wait_for(Option::is_some).await {
        Ok(end) => *end,
        Err(_) => None,
    };
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}
