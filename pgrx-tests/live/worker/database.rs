//! How workers connect to the database, and what they do when the connection breaks.

use super::certificates::Authority;
use super::*;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

/// A server that listens on a loopback address of its own: all test servers have the same port.
struct TlsServer {
    scene: Scene,
    address: String,
    trusted: PathBuf,
    other: PathBuf,
    cases: usize,
}

impl TlsServer {
    fn start(program: Program, ssl: &str) -> TlsServer {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let pid = std::process::id();
        let address = format!(
            "127.{}.{}.{}",
            1 + pid / 250 % 250,
            pid % 250,
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let mut scene = Scene::new(program, &[Answer::Status(200)]);
        let dir = scene.server.socket_dir();
        let (trusted, other) = (Authority::new(dir, "trusted"), Authority::new(dir, "other"));
        let (certificate, key) = trusted.issue(&format!("DNS:db.test,IP:{address}"));
        let hba = dir.join("hba.conf");
        let rules =
            "local all all trust\nhost all postgres all trust\nhost all app all scram-sha-256\n";
        std::fs::write(&hba, rules).unwrap();
        scene.server.restart_with(&[
            &format!("listen_addresses = '{address}'"),
            &format!("ssl = {ssl}"),
            &format!("ssl_cert_file = '{}'", certificate.display()),
            &format!("ssl_key_file = '{}'", key.display()),
            &format!("hba_file = '{}'", hba.display()),
        ]);
        scene.session = scene.server.session();
        TlsServer {
            address,
            trusted: trusted.root(),
            other: other.root(),
            scene,
            cases: 0,
        }
    }

    /// Starts a worker with options for the connection. Returns whether its connection uses TLS, or what the worker
    /// prints if it cannot connect.
    fn connect(&mut self, options: &str) -> Result<bool, String> {
        self.cases += 1;
        let name = format!("case {}", self.cases);
        let dir = self.scene.server.socket_dir().join(&name);
        std::fs::create_dir(&dir).unwrap();
        let options = options
            .replace("TRUSTED", &self.trusted.display().to_string())
            .replace("ADDRESS", &self.address)
            .replace("OTHER", &self.other.display().to_string());
        let string = format!(
            "hostaddr={} user=postgres dbname=postgres application_name='{name}' {options}",
            self.address
        );
        let worker = Worker::start(self.scene.program.command(&string), &dir);
        let session = &mut self.scene.session;
        let uses_tls = "select s.ssl from pg_stat_ssl s join pg_stat_activity a using (pid) where a.application_name = $1";
        let mut result = None;
        wait_for("the worker to connect or to fail", || {
            let row = session.query_opt(uses_tls, &[&name]).unwrap();
            let log = worker.log();
            result = row
                .map(|row| Ok(row.get(0)))
                .or((!log.is_empty()).then_some(Err(log)));
            result.is_some()
        });
        result.unwrap()
    }
}

#[test]
fn worker_protects_its_connection_as_sslmode_asks() {
    for program in PROGRAMS {
        let mut server = TlsServer::start(program, "on");
        for (options, uses_tls) in [
            ("sslmode=disable", false),
            ("host=db.test", true),
            ("host=wrong.test sslmode=prefer", true),
            ("host=wrong.test sslmode=require", true),
            ("host=wrong.test sslmode=require sslrootcert=TRUSTED", true),
            (
                "host=wrong.test sslmode=verify-ca sslrootcert=TRUSTED",
                true,
            ),
            (
                "host=db.test sslmode=verify-full sslrootcert='TRUSTED'",
                true,
            ),
            (
                "host = ADDRESS sslmode = verify-full sslrootcert = TRUSTED",
                true,
            ),
        ] {
            let connected = server.connect(options);
            assert_eq!(connected, Ok(uses_tls), "{program:?}, {options}");
        }
        for options in [
            "host=wrong.test sslmode=verify-full sslrootcert=TRUSTED",
            "host=db.test sslmode=verify-full sslrootcert=OTHER",
            "host=db.test sslmode=verify-ca sslrootcert=OTHER",
            "host=db.test sslmode=require sslrootcert=OTHER",
        ] {
            let error = server.connect(options).unwrap_err();
            assert!(
                error.contains("certificate"),
                "{program:?}, {options}: {error}"
            );
        }
    }
}

#[test]
fn worker_falls_back_to_plain_text_only_if_sslmode_allows_it() {
    for program in PROGRAMS {
        let mut server = TlsServer::start(program, "off");
        for options in ["", "sslmode=prefer", "sslmode=disable"] {
            let connected = server.connect(options);
            assert_eq!(connected, Ok(false), "{program:?}, {options}");
        }
        for mode in ["require", "verify-ca", "verify-full"] {
            let options = format!("host=db.test sslmode={mode} sslrootcert=TRUSTED");
            let error = server.connect(&options).unwrap_err();
            assert!(
                error.contains("not support"),
                "{program:?}, {options}: {error}"
            );
        }
    }
}

#[test]
fn sslmode_does_not_apply_to_sockets() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Status(200)]);
        let mut command = scene.command();
        command
            .env("DATABASE_URL", scene.database() + " sslmode=require")
            .args(["--allow-host", "127.0.0.1"]);
        let _worker = scene.start(command);
        scene.assert_ended("SUCCEEDED", 0, "SUCCEEDED");
    }
}

/// Creates role `app`, which may work for workspace `acme` and has the password `hunter2`.
fn create_app(session: &mut Client) {
    session
        .batch_execute(
            "create role app login password 'hunter2';
             grant usage on schema kronos to app;
             select kronos.grant_workspace('app', 'worker', workspace => 'acme')",
        )
        .unwrap();
}

#[test]
fn worker_reads_the_connection_from_a_url_and_from_the_variables_of_libpq() {
    for program in PROGRAMS {
        let mut server = TlsServer::start(program, "on");
        create_app(&mut server.scene.session);
        let root = server.trusted.display().to_string();
        let encoded = root.replace('/', "%2F");
        let address = &server.address;
        let url = format!(
            "postgresql://app:hunter2@{address}/postgres?sslmode=verify-full&sslrootcert={encoded}&connect_timeout=10"
        );
        let variables = [
            ("PGHOST", &**address),
            ("PGPORT", "5432"),
            ("PGUSER", "app"),
            ("PGPASSWORD", "hunter2"),
            ("PGDATABASE", "postgres"),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", &root),
        ];
        let mut with_variables = server.scene.command();
        with_variables.env_remove("DATABASE_URL").envs(variables);
        // The string takes precedence over the variables.
        let mut with_both = server.scene.command();
        with_both
            .env("DATABASE_URL", format!("host={address} user=app"))
            .envs(variables)
            .env("PGUSER", "nobody")
            .env("PGHOST", "127.0.0.1");
        let mut with_url = server.scene.command();
        with_url.env("DATABASE_URL", url);
        for (number, mut command) in [with_url, with_variables, with_both]
            .into_iter()
            .enumerate()
        {
            command.args(["--allow-host", "127.0.0.1"]);
            let worker = server.scene.start(command);
            enqueue(&mut server.scene.session, 1);
            let succeeded = "select count(*) from kronos.executions where status = 'SUCCEEDED'";
            wait_for("the execution", || {
                count(&mut server.scene.session, succeeded) == number as i64 + 2
            });
            let file = format!("/proc/{}/cmdline", worker.process.id());
            let arguments = String::from_utf8(std::fs::read(file).unwrap()).unwrap();
            assert!(arguments.contains("--workspace"), "{arguments}");
            assert!(!arguments.contains("hunter2"), "{arguments}");
        }
    }
}

#[test]
fn worker_does_not_print_a_password_that_the_server_rejects() {
    for program in PROGRAMS {
        let mut server = TlsServer::start(program, "on");
        create_app(&mut server.scene.session);
        let error = server.connect("user=app password=hunter3").unwrap_err();
        assert!(error.contains("password authentication failed"), "{error}");
        assert!(!error.contains("hunter"), "{program:?}: {error}");
    }
}

#[test]
fn worker_reports_after_a_restart_of_the_server() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Wait, Answer::Status(200)]);
        let worker = scene.start_worker_with(&["--lease", "60"]);
        scene.target.wait_for_requests(1);
        let stopped = Instant::now();
        scene.server.stop();
        scene.target.open();
        wait_for("four attempts to reconnect", || {
            worker.log().matches("database: ").count() >= 5
        });
        // Pauses of 0.2, 0.4, 0.8 and 1.6 seconds.
        assert!(stopped.elapsed().as_secs() >= 3, "{:?}", stopped.elapsed());
        scene.server.start_again();
        scene.session = scene.server.session();
        scene.assert_ended("SUCCEEDED", 0, "SUCCEEDED");
        assert_eq!(scene.target.requests().len(), 1, "{program:?}");

        enqueue(&mut scene.session, 1);
        scene.target.wait_for_requests(2);
    }
}

#[test]
fn worker_ends_a_request_whose_lease_expires_while_the_server_is_down() {
    for program in PROGRAMS {
        let mut scene = Scene::new(program, &[Answer::Hang, Answer::Status(200)]);
        let _worker = scene.start_worker();
        scene.target.wait_for_requests(1);
        scene.server.stop();
        scene.target.wait_until_given_up(0);
        scene.server.start_again();
        scene.session = scene.server.session();
        scene.assert_ended("SUCCEEDED", 1, "LOST SUCCEEDED");
    }
}
