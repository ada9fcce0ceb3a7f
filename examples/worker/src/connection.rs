//! Reads from the environment how to connect to the database: `DATABASE_URL`, and the variables of libpq (`PGHOST`,
//! `PGPASSWORD`, …) for what it leaves out. A command line would show the password to every user of the machine.
//!
//! No error repeats a part of the connection string, because a password with a misplaced quote ends up in any part.

use crate::Error;
use crate::tls::{self, Verify};
use percent_encoding::percent_decode_str;
use std::env;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Where the database is, who connects, and how TLS protects the connection.
pub struct Connection {
    pub config: Config,
    pub tls: MakeRustlsConnect,
}

impl Connection {
    pub fn from_environment() -> Result<Connection, Error> {
        let string = env::var("DATABASE_URL").unwrap_or_default();
        let (mut config, options) =
            parse(&string).ok_or("DATABASE_URL is not a valid connection string")?;
        fill_in(&mut config)?;
        let mode = options.sslmode.or_else(|| variable("PGSSLMODE"));
        let roots = options.sslrootcert.or_else(|| variable("PGSSLROOTCERT"));
        let (mode, verify) = match (mode.as_deref().unwrap_or("prefer"), &roots) {
            ("disable", _) => (SslMode::Disable, Verify::Nothing),
            ("prefer", _) => (SslMode::Prefer, Verify::Nothing),
            ("require", None) => (SslMode::Require, Verify::Nothing),
            ("require", Some(_)) | ("verify-ca", _) => (SslMode::Require, Verify::Issuer),
            ("verify-full", _) => (SslMode::Require, Verify::IssuerAndName),
            _ => {
                return Err(
                    "sslmode must be disable, prefer, require, verify-ca or verify-full".into(),
                );
            }
        };
        // PostgreSQL has no TLS on sockets, so sslmode does not apply to them.
        let is_socket = |host: &Host| matches!(host, Host::Unix(_));
        config.ssl_mode(match config.get_hosts().iter().all(is_socket) {
            true => SslMode::Disable,
            false => mode,
        });
        let tls = MakeRustlsConnect::new(tls::client_config(verify, roots.as_deref())?);
        Ok(Connection { config, tls })
    }
}

/// The options of a connection string that tokio-postgres does not know, or not with all values.
#[derive(Default)]
struct TlsOptions {
    sslmode: Option<String>,
    sslrootcert: Option<String>,
}

impl TlsOptions {
    /// Returns false if the option has another name.
    fn set(&mut self, name: &str, value: &str) -> bool {
        match name {
            "sslmode" => self.sslmode = Some(value.to_owned()),
            "sslrootcert" => self.sslrootcert = Some(value.to_owned()),
            _ => return false,
        }
        true
    }
}

fn parse(string: &str) -> Option<(Config, TlsOptions)> {
    let mut options = TlsOptions::default();
    let rest = if string.starts_with("postgres://") || string.starts_with("postgresql://") {
        let (base, query) = string.split_once('?').unwrap_or((string, ""));
        let is_other = |pair: &&str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            !options.set(name, &percent_decode_str(value).decode_utf8_lossy())
        };
        let others: Vec<&str> = query.split('&').filter(is_other).collect();
        match others.join("&") {
            query if query.is_empty() => base.to_owned(),
            query => format!("{base}?{query}"),
        }
    } else {
        let quote = |value: &str| value.replace('\\', r"\\").replace('\'', r"\'");
        parse_pairs(string)?
            .iter()
            .filter(|(name, value)| !options.set(name, value))
            .map(|(name, value)| format!("{name}='{}' ", quote(value)))
            .collect()
    };
    Some((rest.parse().ok()?, options))
}

/// Parses `name = value name = 'quoted \' value'`.
fn parse_pairs(mut text: &str) -> Option<Vec<(&str, String)>> {
    let mut pairs = vec![];
    loop {
        text = text.trim_start();
        if text.is_empty() {
            return Some(pairs);
        }
        let (name, rest) = text.split_once('=')?;
        let rest = rest.trim_start();
        let unquoted = rest.strip_prefix('\'');
        let mut chars = unquoted.unwrap_or(rest).chars();
        let mut value = String::new();
        loop {
            match chars.next() {
                Some('\\') => value.extend(chars.next()),
                Some('\'') if unquoted.is_some() => break,
                Some(c) if unquoted.is_none() && c.is_whitespace() => break,
                Some(c) => value.push(c),
                None if unquoted.is_some() => return None,
                None => break,
            }
        }
        pairs.push((name.trim_end(), value));
        text = chars.as_str();
    }
}

/// Sets what the connection string leaves out.
fn fill_in(config: &mut Config) -> Result<(), Error> {
    if config.get_hosts().is_empty() {
        // An address alone is also the name that a certificate must have.
        let mut hosts: Vec<_> = config
            .get_hostaddrs()
            .iter()
            .map(ToString::to_string)
            .collect();
        if hosts.is_empty() {
            let given = variable("PGHOST").unwrap_or("/var/run/postgresql".into());
            hosts.extend(given.split(',').map(str::to_owned));
        }
        hosts.iter().for_each(|host| {
            config.host(host);
        });
    }
    if config.get_ports().is_empty()
        && let Some(ports) = variable("PGPORT")
    {
        for port in ports.split(',') {
            config.port(port.parse().map_err(|_| "PGPORT is not a port")?);
        }
    }
    if config.get_user().is_none()
        && let Some(user) = variable("PGUSER")
    {
        config.user(user);
    }
    if config.get_password().is_none()
        && let Some(password) = variable("PGPASSWORD")
    {
        config.password(password);
    }
    if config.get_dbname().is_none()
        && let Some(dbname) = variable("PGDATABASE")
    {
        config.dbname(dbname);
    }
    if config.get_options().is_none()
        && let Some(options) = variable("PGOPTIONS")
    {
        config.options(options);
    }
    if config.get_application_name().is_none() {
        config.application_name(variable("PGAPPNAME").unwrap_or(env!("CARGO_PKG_NAME").into()));
    }
    Ok(())
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
