//! The worker: what is claimed, kept alive, given up and reported when.

use crate::database::{Database, Key};
use crate::deliver::{Outcome, deliver};
use crate::{Error, Settings, Stop};
use reqwest::{Client, redirect};
use std::collections::HashMap;
use std::time::Duration;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// An attempt that the worker holds.
struct Held {
    key: Key,
    request: AbortHandle,
    /// Until when it is surely ours, as far as we know: reckoned from before the call that said so.
    lease_ends: Instant,
}

pub struct Worker {
    /// A name that no other process has.
    pub id: String,
    settings: Settings,
    http: Client,
    /// One task a request. What is not in `running` (any more) has been given up; its outcome is of no interest.
    requests: JoinSet<Outcome>,
    running: HashMap<Id, Held>,
    /// What has ended, and Kronos does not know of yet.
    ended: Vec<(Held, Outcome)>,
}

/// The shortest pause after a claim that found nothing. Executions that other sessions have locked still count as
/// claimable.
const SHORTEST_SLEEP: Duration = Duration::from_millis(100);
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

impl Worker {
    pub fn new(settings: Settings) -> Result<Worker, Error> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        // A redirect is an answer like others: following one may turn a POST into a GET.
        let http = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10));
        Ok(Worker {
            id: format!(
                "{}/{}/{}",
                host.trim(),
                std::process::id(),
                uuid::Uuid::new_v4()
            ),
            settings,
            http: http.build()?,
            requests: JoinSet::new(),
            running: HashMap::new(),
            ended: vec![],
        })
    }

    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.ended.is_empty()
    }

    /// Works on one connection, until the worker has stopped; fails when the connection does.
    pub async fn serve(&mut self, database: &mut Database, stop: &mut Stop) -> Result<(), Error> {
        let mut beat = interval(self.lease() / 3);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut claim_at = Instant::now();
        loop {
            self.report(database).await?;
            let must_end_at = *stop.borrow_and_update();
            match must_end_at {
                Some(_) if self.is_idle() => return Ok(()),
                Some(end) if end <= Instant::now() => {
                    self.give_up(|_| true, true);
                    return self.report(database).await;
                }
                None if claim_at <= Instant::now() => claim_at = self.claim(database).await?,
                _ => {}
            }
            tokio::select! {
                Some(ended) = self.requests.join_next_with_id() => {
                    self.note_end(ended);
                    claim_at = Instant::now();
                }
                _ = beat.tick() => self.beat(database).await?,
                word = database.notification() => {
                    word?;
                    claim_at = Instant::now();
                }
                () = sleep_until(must_end_at.unwrap_or(claim_at)) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Claims until nothing comes back or all slots are taken; says when to try again.
    async fn claim(&mut self, database: &Database) -> Result<Instant, Error> {
        loop {
            let free = usize::from(self.settings.concurrency) - self.running.len();
            let now = Instant::now();
            if free == 0 {
                return Ok(now + LONGEST_SLEEP); // The end of a request comes first.
            }
            let claimed = database.claim(i32::try_from(free)?).await?;
            if claimed.is_empty() {
                let sleep = database.next_wakeup().await?.unwrap_or(LONGEST_SLEEP);
                return Ok(Instant::now() + sleep.clamp(SHORTEST_SLEEP, LONGEST_SLEEP));
            }
            for execution in claimed {
                let key = (execution.execution_id.clone(), execution.attempt);
                let request = self.requests.spawn(deliver(self.http.clone(), execution));
                let held = Held {
                    key,
                    request,
                    lease_ends: now + self.lease(),
                };
                self.running.insert(held.request.id(), held);
            }
        }
    }

    /// Extends all leases in one call; what is lost is dropped, what shall stop is released.
    async fn beat(&mut self, database: &Database) -> Result<(), Error> {
        let keys: Vec<Key> = self.running.values().map(|held| held.key.clone()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let lease_ends = Instant::now() + self.lease();
        for report in database.heartbeat(&keys).await? {
            if !report.accepted || report.stop_requested {
                self.give_up(|held| held.key == report.key, report.accepted);
            } else if let Some(held) = self
                .running
                .values_mut()
                .find(|held| held.key == report.key)
            {
                held.lease_ends = lease_ends;
            }
        }
        self.report(database).await
    }

    /// Tells Kronos of what has ended. What it could not be told stays, for the next connection.
    async fn report(&mut self, database: &Database) -> Result<(), Error> {
        while let Some((held, outcome)) = self.ended.last() {
            for report in database.report(&held.key, outcome).await? {
                if !report.accepted {
                    eprintln!(
                        "execution {}: lost before attempt {} was reported",
                        held.key.0, held.key.1
                    );
                }
            }
            self.ended.pop();
        }
        Ok(())
    }

    fn note_end(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = ended.unwrap_or_else(|error| {
            (
                error.id(),
                Outcome::failed(format!("the worker is at fault: {error}"), true),
            )
        });
        if let Some(held) = self.running.remove(&id) {
            self.ended.push((held, outcome));
        }
    }

    /// Ends requests in their midst; `release` gives the executions back, else nothing is said of them.
    fn give_up(&mut self, which: impl Fn(&Held) -> bool, release: bool) {
        for (_, held) in self.running.extract_if(|_, held| which(held)) {
            held.request.abort();
            eprintln!(
                "execution {}: attempt {} is given up",
                held.key.0, held.key.1
            );
            if release {
                self.ended.push((held, Outcome::Released));
            }
        }
    }

    /// Gives up what the database could not be told of in time: somebody else may have it by then.
    pub fn drop_expired(&mut self) {
        let now = Instant::now();
        self.give_up(|held| held.lease_ends <= now, false);
        self.ended.retain(|(held, _)| held.lease_ends > now);
    }

    fn lease(&self) -> Duration {
        Duration::from_secs(self.settings.lease.into())
    }
}
