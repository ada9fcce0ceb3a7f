//! A server under a clock that the test sets: libfaketime reads each time from a file.

use crate::server::Server;
use chrono::DateTime;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A clock that stands still until it is set.
pub struct Clock {
    dir: PathBuf,
}

impl Clock {
    /// Starts a server under a clock.
    pub fn start_server(now: i64, settings: &[&str]) -> (Clock, Server) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("kronos-clock-{}-{number}", std::process::id());
        let clock = Clock {
            dir: std::env::temp_dir().join(name),
        };
        std::fs::create_dir(&clock.dir).unwrap();
        clock.set(now);
        let environment = vec![
            format!("LD_PRELOAD={}", library().display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", clock.file().display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
            // libfaketime reads the file in the system's zone.
            "TZ=UTC".to_owned(),
        ];
        let server = Server::start_in(environment, settings);
        (clock, server)
    }

    /// Sets the clock to an instant, in seconds since 1970.
    pub fn set(&self, now: i64) {
        let time = DateTime::from_timestamp(now, 0).unwrap();
        let new = self.dir.join("new");
        std::fs::write(&new, time.format("%Y-%m-%d %H:%M:%S\n").to_string()).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.dir.join("time")
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The library of Debian's package `libfaketime`.
fn library() -> PathBuf {
    let of_machine = std::fs::read_dir("/usr/lib").unwrap();
    of_machine
        .map(|dir| dir.unwrap().path().join("faketime/libfaketime.so.1"))
        .find(|library| Path::exists(library))
        .expect("the package faketime is installed")
}
