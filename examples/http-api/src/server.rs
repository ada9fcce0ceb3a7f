//! Accepts connections, with limits on how slow a client may be, until the process is told to stop.

use crate::Error;
use crate::settings::Settings;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

/// Serves until SIGTERM or SIGINT, and then lets running requests end within the grace period.
///
/// axum::serve would do the same, but has no limit on the time that a client takes to send its headers.
pub async fn serve(router: Router, settings: &Settings) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(settings.listen).await;
    let listener = listener.map_err(|error| format!("{}: {error}", settings.listen))?;
    tracing::info!(address = %listener.local_addr()?, "listening");

    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(settings.read_timeout());
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // No file descriptor is free, or the client is gone.
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = protocol.serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
    drop(listener);
    tracing::info!("stopping");
    let grace = Duration::from_secs(settings.grace);
    if timeout(grace, connections.shutdown()).await.is_err() {
        tracing::warn!("requests were still running at the end of the grace period");
    }
    Ok(())
}
