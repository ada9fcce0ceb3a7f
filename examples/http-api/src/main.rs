//! An HTTP service over Kronos: each request calls one SQL function as the database role of its bearer token, and is
//! answered once the transaction has committed.
//!
//! [`api`] has the routes. [`request`], [`headers`] and [`fields`] read requests; [`answer`] forms successes and [`problem`] failures. [`database`]
//! runs the transactions. [`layers`] and [`server`] are what every request passes. [`rows`] and [`openapi`] describe it.
//! How to connect to the database is the same as in the example worker, whose files these are.

mod answer;
mod api;
#[path = "../../worker/src/connection.rs"]
mod connection;
mod console;
mod database;
mod fields;
mod headers;
mod layers;
mod openapi;
mod problem;
mod prometheus;
mod request;
mod rows;
mod server;
mod settings;
#[path = "../../worker/src/tls.rs"]
mod tls;
mod tokens;

use api::Verdict;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use clap::Parser;
use connection::Connection;
use database::Database;
use settings::{Cli, Command, LogFormat, Settings};
use std::io::{Read, stdin};
use std::process::ExitCode;
use std::sync::Arc;
use tokens::Tokens;
use tokio::sync::{Mutex, Semaphore};
use tower_http::catch_panic::CatchPanicLayer;
use tracing_subscriber::EnvFilter;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

/// Any error at startup. No caller needs to distinguish them.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What the handlers share.
pub struct App {
    settings: Settings,
    tokens: Tokens,
    database: Arc<Database>,
    /// One for each request that may run at once.
    slots: Semaphore,
    /// The last verdict of /ready. The lock lets one request at a time ask the database.
    verdict: Mutex<Option<Verdict>>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::HashToken { role }) => hash_token(&role),
        None => run(cli.settings),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", problem::with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Prints the line of a token. The token comes from standard input, because a command line is no secret.
fn hash_token(role: &str) -> Result<(), Error> {
    let mut token = String::new();
    stdin().read_to_string(&mut token)?;
    let token = token.trim();
    if token.is_empty() {
        return Err("there is no token on standard input".into());
    }
    let line = tokens::line(token, role);
    Tokens::parse(&line)?;
    println!("{line}");
    Ok(())
}

#[tokio::main]
async fn run(settings: Settings) -> Result<(), Error> {
    start_log(settings.log_format);
    let app = Arc::new(App {
        tokens: Tokens::parse(&settings.tokens()?)?,
        database: Arc::new(Database::new(Connection::from_environment()?, &settings)?),
        slots: Semaphore::new(settings.concurrency as usize),
        verdict: Mutex::default(),
        settings,
    });
    // The first transaction reads the codes of errors. Should the database be down, the first request does.
    let (database, role) = (app.database.clone(), app.settings.monitor_role.clone());
    tokio::spawn(async move {
        if let Err(problem) = database.run(role.as_deref(), vec![]).await {
            tracing::warn!(
                code = problem.code,
                cause = problem.internal,
                "the database is not ready"
            );
        }
    });
    server::serve(router(app.clone()), &app.settings).await
}

fn router(app: Arc<App>) -> Router {
    let callers = api::callers().layer(from_fn_with_state(app.clone(), layers::limit));
    let (router, mut openapi) = OpenApiRouter::with_openapi(openapi::base())
        .merge(callers)
        .merge(api::probes())
        .split_for_parts();
    openapi::add_problems(&mut openapi);
    router
        .merge(console::routes())
        .merge(SwaggerUi::new("/docs").url("/openapi.json", openapi))
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed)
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(from_fn(layers::identify))
        .with_state(app)
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.with_ansi(false).init(),
    }
}
