//! What an operator sets: flags, each with an environment variable.

use crate::Error;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// An HTTP service over Kronos: each request calls one SQL function as the database role of its bearer token.
///
/// The environment says how to connect to the database: DATABASE_URL ("host=... user=... dbname=..." or postgresql://...)
/// or libpq's variables (PGHOST, PGUSER, PGPASSWORD, PGSSLMODE, ...).
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub settings: Settings,
}

#[derive(Subcommand)]
pub enum Command {
    /// Reads a token from standard input, and prints the line of the tokens file that accepts it.
    HashToken {
        /// The database role that the token stands for.
        role: String,
    },
}

#[derive(Args, Clone)]
pub struct Settings {
    /// The address to listen on. Port 0 takes a free port, which the log names.
    #[arg(long, env = "KRONOS_API_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The file of the tokens: lines of "<sha256 in hex> <role>". KRONOS_API_TOKENS can hold the lines instead.
    #[arg(long, env = "KRONOS_API_TOKENS_FILE", value_name = "FILE")]
    pub tokens_file: Option<PathBuf>,
    /// The role as which /ready calls doctor(): a viewer of all workspaces. Without it, the login role.
    #[arg(long, env = "KRONOS_API_MONITOR_ROLE", value_name = "ROLE")]
    pub monitor_role: Option<String>,
    /// How many connections to the database the service opens.
    #[arg(long, env = "KRONOS_API_POOL_SIZE", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub pool_size: u16,
    /// How many milliseconds a request waits for a connection before it gets 503.
    #[arg(long, env = "KRONOS_API_POOL_WAIT_MS", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub pool_wait_ms: u64,
    /// How many milliseconds a statement of a request may take before it gets 504.
    #[arg(long, env = "KRONOS_API_STATEMENT_TIMEOUT_MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub statement_timeout_ms: u64,
    /// How many requests run at once; further requests get 503.
    #[arg(long, env = "KRONOS_API_CONCURRENCY", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub concurrency: u32,
    /// How many bytes the body of a request may have.
    #[arg(long, env = "KRONOS_API_MAX_BODY", default_value_t = 2 * 1024 * 1024)]
    pub max_body: usize,
    /// How many seconds a client may take to send its headers, and again to send its body.
    #[arg(long, env = "KRONOS_API_READ_TIMEOUT", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub read_timeout: u64,
    /// How many seconds running requests may still take after SIGTERM or SIGINT.
    #[arg(long, env = "KRONOS_API_GRACE", default_value_t = 20)]
    pub grace: u64,
    /// The form of the log on standard error. RUST_LOG filters it.
    #[arg(long, env = "KRONOS_API_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum LogFormat {
    Json,
    Text,
}

impl Settings {
    pub fn read_timeout(&self) -> Duration {
        Duration::from_secs(self.read_timeout)
    }

    /// The lines of the tokens, from the file or the environment.
    pub fn tokens(&self) -> Result<String, Error> {
        match &self.tokens_file {
            Some(file) => {
                let text = std::fs::read_to_string(file);
                Ok(text.map_err(|error| format!("{}: {error}", file.display()))?)
            }
            // Not a flag: a command line would show the hashes to every user of the machine.
            None => std::env::var("KRONOS_API_TOKENS")
                .map_err(|_| "set --tokens-file or KRONOS_API_TOKENS".into()),
        }
    }
}
