//! Real servers with pg_cron. Each is a copy of one template.
//!
//! `KRONOS_PG_CONFIG` names the pg_config of the PostgreSQL to test (`pg_config` if unset). If the tests run as root,
//! the servers run as user `postgres`, through sudo. They listen only on a socket in their own directory.

use postgres::{Client, NoTls};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The longest time to wait for a condition.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// A running server. Dropping it stops it and deletes its files.
pub struct Server {
    dir: PathBuf,
    /// Environment variables of the server process, as `NAME=value`.
    environment: Vec<String>,
}

impl Server {
    /// Starts a server with the extension in database `postgres` and pg_cron in its default (libpq) mode.
    pub fn start() -> Server {
        Server::start_with(&[])
    }

    /// Like [`Server::start`], with further lines in the configuration.
    pub fn start_with(settings: &[&str]) -> Server {
        Server::start_in(vec![], settings)
    }

    /// Like [`Server::start_with`], with environment variables (`NAME=value`) for the server process.
    pub fn start_in(environment: Vec<String>, settings: &[&str]) -> Server {
        let server = Server {
            dir: new_dir(),
            environment,
        };
        as_postgres(
            "cp",
            [
                "-a",
                &text(template().join("data")),
                &text(server.dir.join("data")),
            ],
        );
        server.configure(settings);
        server.pg_ctl_start();
        server
    }

    fn configure(&self, settings: &[&str]) {
        let mut lines = vec![
            "shared_preload_libraries = 'pg_cron'".to_owned(),
            "cron.database_name = 'postgres'".to_owned(),
            format!("cron.host = '{}'", self.dir.display()),
            format!("unix_socket_directories = '{}'", self.dir.display()),
            "listen_addresses = ''".to_owned(),
            "fsync = off".to_owned(),
            "max_connections = 200".to_owned(),
            "deadlock_timeout = '200ms'".to_owned(),
            // Ends sessions that still wait for a lock when their test fails.
            "statement_timeout = '160s'".to_owned(),
        ];
        lines.extend(settings.iter().map(|line| line.to_string()));
        let conf = self.dir.join("data/kronos.conf");
        std::fs::write(self.dir.join("kronos.conf"), lines.join("\n")).unwrap();
        as_postgres("cp", [&text(self.dir.join("kronos.conf")), &text(&conf)]);
    }

    fn pg_ctl_start(&self) {
        let log = text(self.dir.join("log"));
        self.pg_ctl(&["-l", &log, "-w", "-t", "60", "start"]);
    }

    fn pg_ctl(&self, args: &[&str]) {
        let (program, data) = (text(bin("pg_ctl")), text(self.dir.join("data")));
        let environment = self.environment.iter().map(String::as_str);
        let command = [program.as_str(), "-D", &data, "-s"];
        let args = environment.chain(command).chain(args.iter().copied());
        as_postgres("env", args);
    }

    /// Stops the server. [`Server::start_again`] starts it.
    pub fn stop(&self) {
        self.pg_ctl(&["-m", "fast", "-w", "stop"]);
    }

    pub fn start_again(&self) {
        self.pg_ctl_start();
    }

    /// Restarts the server with other settings.
    pub fn restart_with(&self, settings: &[&str]) {
        self.stop();
        self.configure(settings);
        self.pg_ctl_start();
    }

    /// Restarts the server with the programs of another installation of PostgreSQL.
    pub fn restart_with_programs(&self, dir: &Path) {
        self.stop();
        let (data, log) = (text(self.dir.join("data")), text(self.dir.join("log")));
        let args = ["-D", &data, "-s", "-l", &log, "-w", "-t", "60", "start"];
        as_postgres(&text(dir.join("pg_ctl")), args);
    }

    /// Starts a streaming standby of this server.
    pub fn start_standby(&self, settings: &[&str]) -> Server {
        let standby = Server {
            dir: new_dir(),
            environment: vec![],
        };
        let data = text(standby.dir.join("data"));
        let copy = ["--no-sync", "-c", "fast", "-R", "-D", &data];
        let program = text(bin("pg_basebackup"));
        let from = ["-h", &text(&self.dir), "-U", "postgres"];
        as_postgres(&program, [from.as_slice(), &copy].concat());
        standby.configure(settings);
        standby.pg_ctl_start();
        standby
    }

    /// Kills the postmaster, and returns its process id. The other processes of the server exit once they notice it.
    pub fn kill(&self) -> i32 {
        let pid_file = std::fs::read_to_string(self.dir.join("data/postmaster.pid")).unwrap();
        let postmaster = pid_file.lines().next().unwrap().parse().unwrap();
        assert!(kill(postmaster));
        postmaster
    }

    /// Opens a session as superuser.
    pub fn session(&self) -> Client {
        self.session_as("postgres")
    }

    /// Opens a session as a role.
    pub fn session_as(&self, role: &str) -> Client {
        self.try_session(role)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// Opens a session as superuser once the server has ended an older one in a crash and has recovered.
    pub fn session_after_crash(&self, mut older: Client) -> Client {
        // Until the postmaster notices the crash, it accepts sessions only to end them.
        wait_for("the server to notice the crash", || {
            older.simple_query("select 1").is_err()
        });
        let mut session = None;
        wait_for("the server to recover", || {
            session = self.try_session("postgres").ok();
            session.is_some()
        });
        session.unwrap()
    }

    /// Kills the postmaster, and starts the server again when all its processes have ended.
    pub fn kill_postmaster_and_start_again(&self) {
        let postmaster = self.kill();
        // PostgreSQL does not start while the process exists, not even as a zombie.
        let exists = || Path::new(&format!("/proc/{postmaster}")).exists();
        wait_for("the server's processes to end", || {
            !exists() && !self.has_processes()
        });
        self.pg_ctl_start();
    }

    /// Whether a process has the data directory as its working directory, as all processes of the server have.
    fn has_processes(&self) -> bool {
        let data = self.dir.join("data");
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .flat_map(|process| std::fs::read_link(process.path().join("cwd")))
            .any(|dir| dir == data)
    }

    /// Opens a session as a role, unless the server is down.
    pub fn try_session(&self, role: &str) -> Result<Client, postgres::Error> {
        postgres::Config::new()
            .host_path(&self.dir)
            .user(role)
            .dbname("postgres")
            .connect(NoTls)
    }

    /// The server's log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Runs one of PostgreSQL's client programs against the server.
    pub fn run_client(&self, program: &Path, args: &[&str]) -> Output {
        as_postgres_unchecked(
            &text(program),
            [&["-h", &text(&self.dir), "-U", "postgres"], args].concat(),
        )
    }

    /// The directory of the server's socket.
    pub fn socket_dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = text(self.dir.join("data"));
        as_postgres_unchecked(
            &text(bin("pg_ctl")),
            ["-D", &data, "-s", "-m", "immediate", "stop"],
        );
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Ends a process with SIGKILL. Returns false if there is none.
pub fn kill(pid: i32) -> bool {
    let mut command = Command::new("kill");
    command.args(["-9", &pid.to_string()]);
    command.output().unwrap().status.success()
}

/// The path of one of the server's programs.
pub fn bin(program: &str) -> PathBuf {
    PathBuf::from(pg_config("--bindir")).join(program)
}

/// The output of pg_config for an option.
pub fn pg_config(option: &str) -> String {
    let pg_config = std::env::var("KRONOS_PG_CONFIG").unwrap_or("pg_config".into());
    let output = Command::new(pg_config)
        .arg(option)
        .output()
        .expect("pg_config runs");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The directory of a stopped server with the extension.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let server = Server {
            dir: new_dir(),
            environment: vec![],
        };
        let data = text(server.dir.join("data"));
        as_postgres(
            &text(bin("initdb")),
            ["-D", &data, "-A", "trust", "--no-sync", "--locale=C.UTF-8"],
        );
        let include = format!("echo \"include 'kronos.conf'\" >> '{data}/postgresql.conf'");
        as_postgres("sh", ["-c", &include]);
        server.configure(&[]);
        server.pg_ctl_start();
        server
            .session()
            .batch_execute("create extension kronos cascade")
            .unwrap();
        server.stop();
        let dir = server.dir.clone();
        std::mem::forget(server);
        dir
    })
}

fn new_dir() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("kronos-live-{}-{number}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    if is_root() {
        run(Command::new("chown").arg("postgres").arg(&dir));
    }
    dir
}

fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| Command::new("id").arg("-u").output().unwrap().stdout == b"0\n")
}

fn command_as_postgres<S: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = if is_root() {
        let mut sudo = Command::new("sudo");
        sudo.args(["-u", "postgres", "--", program]);
        sudo
    } else {
        Command::new(program)
    };
    // With RUST_BACKTRACE, pgrx would add a backtrace to the DETAIL of errors.
    command
        .args(args)
        .env_remove("RUST_BACKTRACE")
        .current_dir("/");
    command
}

/// Runs a program as the user of the servers.
pub fn as_postgres<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) {
    run(&mut command_as_postgres(program, args));
}

/// Runs a program as the user of the servers, and returns its output even if it fails.
fn as_postgres_unchecked<S: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = S>,
) -> Output {
    command_as_postgres(program, args).output().unwrap()
}

fn run(command: &mut Command) {
    // output() would wait for the pipes, and the server that pg_ctl starts keeps them open.
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?} failed: {status}");
}

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

/// Polls a condition until it holds.
pub fn wait_for(condition: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < PATIENCE,
            "timed out waiting for {condition}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
