//! ALTER EXTENSION UPDATE: a step of the test tree, from 0.1.0 to a version 0.1.1 that does not exist.
//!
//! The servers run from a copy of PostgreSQL, into which the test installs the next version. Its library is this one with
//! another version, and its install script is this one with the changes of the step.

use crate::domain::*;
use crate::server::{Server, as_postgres, bin, pg_config};
use postgres::Client;
use std::path::{Path, PathBuf};

/// What the step changes, in the words of the install script.
const CHANGES: [(&str, &str); 5] = [
    ("\"version 0.1.0\"", "\"version 0.1.1\""),
    (
        "    error text,\n    constraint upkeep_steps_one_per_run_and_step primary key (started_at, step)\n);",
        "    error text,\n    batches integer,\n    constraint upkeep_steps_one_per_run_and_step primary key (started_at, step)\n);",
    ),
    (
        "select u.started_at, u.step, u.count, u.duration, u.error\n",
        "select u.started_at, u.step, u.count, u.duration, u.error, u.batches\n",
    ),
    (
        "comment on column kronos.upkeep_runs.error is",
        "comment on column kronos.upkeep_runs.batches is 'In how many transactions the step ran.';\ncomment on column kronos.upkeep_runs.error is",
    ),
    (
        "create view kronos.workspaces with",
        "create table kronos_internal.notes (
    workspace_id uuid not null,
    note text not null
);
alter table kronos_internal.notes enable row level security;
create policy readers on kronos_internal.notes for select
    using (workspace_id = any (array(select kronos.my_workspaces('viewer'))));
select pg_catalog.pg_extension_config_dump('kronos_internal.notes', '');
create view kronos.workspaces with",
    ),
];

/// A copy of PostgreSQL with its extensions. PostgreSQL finds its files relative to its programs.
struct Installation {
    root: PathBuf,
}

impl Installation {
    fn copy(server: &Server) -> Installation {
        let root = server.socket_dir().join("postgresql");
        for option in ["--bindir", "--pkglibdir", "--sharedir"] {
            let from = pg_config(option);
            let to = root.join(from.trim_start_matches('/'));
            as_postgres("mkdir", ["-p", to.parent().unwrap().to_str().unwrap()]);
            if !to.exists() {
                as_postgres("cp", ["-aL", &from, to.to_str().unwrap()]);
            }
        }
        Installation { root }
    }

    fn path(&self, option: &str, file: &str) -> PathBuf {
        let dir = pg_config(option);
        self.root.join(dir.trim_start_matches('/')).join(file)
    }

    fn programs(&self) -> PathBuf {
        self.path("--bindir", "")
    }

    /// Replaces a file. Sessions that have loaded the old file keep it.
    fn write(&self, path: &Path, content: &[u8]) {
        let temporary = std::env::temp_dir().join(format!("kronos-upgrade-{}", std::process::id()));
        std::fs::write(&temporary, content).unwrap();
        as_postgres(
            "cp",
            [
                "--remove-destination",
                temporary.to_str().unwrap(),
                path.to_str().unwrap(),
            ],
        );
        std::fs::remove_file(temporary).unwrap();
    }

    fn library(&self) -> (PathBuf, Vec<u8>) {
        let path = self.path("--pkglibdir", "kronos.so");
        let content = std::fs::read(&path).unwrap();
        (path, content)
    }

    /// Installs version 0.1.1: its scripts, and its library.
    fn install_next(&self) {
        let extension = |file: &str| self.path("--sharedir", &format!("extension/{file}"));
        let mut install = std::fs::read_to_string(extension("kronos--0.1.0.sql")).unwrap();
        for (old, new) in CHANGES {
            assert_eq!(install.matches(old).count(), 1, "{old}");
            install = install.replace(old, new);
        }
        self.write(&extension("kronos--0.1.1.sql"), install.as_bytes());
        let step = include_bytes!("../upgrade/kronos--0.1.0--0.1.1.sql");
        self.write(&extension("kronos--0.1.0--0.1.1.sql"), step);
        let control = std::fs::read_to_string(extension("kronos.control")).unwrap();
        let control = control.replace("'0.1.0'", "'0.1.1'");
        self.write(&extension("kronos.control"), control.as_bytes());
        let (path, library) = self.library();
        self.write(&path, &with_version(&library, "0.1.1"));
    }
}

/// The library with the version of another release.
fn with_version(library: &[u8], version: &str) -> Vec<u8> {
    let (old, new) = (b"version 0.1.0\0", format!("version {version}\0"));
    let places: Vec<usize> = (0..library.len() - old.len())
        .filter(|&start| library[start..].starts_with(old))
        .collect();
    assert_eq!(places.len(), 1);
    let mut next = library.to_vec();
    next[places[0]..places[0] + old.len()].copy_from_slice(new.as_bytes());
    next
}

/// Calls of every kind: as superuser and by row-level security, functions and procedures.
const CALLS: [&str; 6] = [
    "select kronos.enqueue('hook', workspace => 'acme')",
    "select kronos.claim_executions('w', workspace => 'acme')",
    "select kronos.check()",
    "call kronos.tick()",
    "call kronos.upkeep()",
    "set role app; select * from kronos.jobs",
];

/// Asserts that every call fails with the one error that says what to do, and that the server lives on.
fn assert_mismatch(session: &mut Client) {
    for call in CALLS {
        let error = session.batch_execute(call).unwrap_err();
        assert_eq!(
            assert_code(Err::<(), _>(error), "LIBRARY_MISMATCH"),
            "55000"
        );
        session.batch_execute("reset role").unwrap();
    }
}

/// Every object of the extension, as pg_dump writes it. Detaches the objects from the extension.
fn schema(server: &Server, session: &mut Client) -> String {
    session
        .batch_execute(include_str!("../../scripts/generate.d/detach.sql"))
        .unwrap();
    let dump = server.run_client(
        &bin("pg_dump"),
        &[
            "--schema-only",
            "--schema=kronos",
            "--schema=kronos_internal",
            "postgres",
        ],
    );
    assert!(dump.status.success());
    let dump = String::from_utf8(dump.stdout).unwrap();
    // pg_dump of the latest releases writes a random key.
    dump.lines()
        .filter(|line| !line.contains("restrict"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn upgrade_of_a_populated_database_equals_a_fresh_installation() {
    let (server, mut session, _) = server_with_job();
    enqueue(&mut session, 3);
    claim(&mut session, "w", 1);
    session
        .batch_execute(
            "create role app; grant usage on schema kronos to app;
             select kronos.grant_workspace('app', 'viewer', workspace => 'acme')",
        )
        .unwrap();
    upkeep(&mut session);
    drop(session);
    let installation = Installation::copy(&server);
    let (path, library) = installation.library();
    server.restart_with_programs(&installation.programs());
    let mut old = server.session();
    assert_sound(&mut old);
    let before = state(&mut old);

    // The new library, with the old objects.
    installation.install_next();
    assert_mismatch(&mut server.session());
    // A session that has loaded the old library works on.
    enqueue(&mut old, 1);
    let found =
        "select count(*) from kronos.doctor() where advice = 'ALTER EXTENSION kronos UPDATE'";
    assert_eq!(count(&mut old, found), 1);

    let mut new = server.session();
    new.batch_execute("alter extension kronos update").unwrap();
    assert_mismatch(&mut old);
    let mut new = server.session();
    assert_sound(&mut new);
    assert_eq!(state(&mut new), before);
    assert_eq!(executions(&mut new), 4);
    upkeep(&mut new);
    assert_eq!(count(&mut new, found), 0);

    // The old library, with the new objects.
    installation.write(&path, &library);
    assert_mismatch(&mut server.session());
    installation.write(&path, &with_version(&library, "0.1.1"));

    let fresh_server = Server::start();
    let mut fresh = fresh_server.session();
    fresh.batch_execute("drop extension kronos").unwrap();
    drop(fresh);
    fresh_server.restart_with_programs(&installation.programs());
    let mut fresh = fresh_server.session();
    fresh.batch_execute("create extension kronos").unwrap();
    assert_sound(&mut fresh);
    new.batch_execute("revoke usage on schema kronos from app")
        .unwrap();
    let (upgraded, fresh) = (schema(&server, &mut new), schema(&fresh_server, &mut fresh));
    assert!(fresh.contains("batches"));
    assert_equal(&upgraded, &fresh);
}

/// Asserts that two schemas are equal, and shows the first difference.
fn assert_equal(upgraded: &str, fresh: &str) {
    for (upgraded, fresh) in upgraded.lines().zip(fresh.lines()) {
        assert_eq!(upgraded, fresh);
    }
    assert_eq!(upgraded.lines().count(), fresh.lines().count());
}
