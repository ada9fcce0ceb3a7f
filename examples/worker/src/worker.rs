//! Decides when to claim executions, extend their leases, and abort or report them.

use crate::database::{Database, Key};
use crate::deliver::{Outcome, deliver};
use crate::receiver::Clients;
use crate::{Error, Settings, Stop};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// An attempt that the worker holds.
struct Held {
    key: Key,
    request: AbortHandle,
    /// The lease lasts at least until this time, which counts from before the call that extended it.
    lease_ends: Instant,
}

pub struct Worker {
    /// The worker_id, which is unique to this process.
    pub id: String,
    settings: Settings,
    http: Arc<Clients>,
    /// One task for each request. If a task is no longer in `running`, it was aborted, and its outcome is ignored.
    requests: JoinSet<Outcome>,
    running: HashMap<Id, Held>,
    /// Attempts that have ended and are not yet reported.
    ended: Vec<(Held, Outcome)>,
}

/// The shortest pause after a claim that found nothing: executions that other sessions are just claiming still count as
/// waiting.
const SHORTEST_SLEEP: Duration = Duration::from_millis(100);
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

impl Worker {
    pub fn new(settings: Settings) -> Result<Worker, Error> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let http = Arc::new(Clients::new(settings.allow_host.clone())?);
        Ok(Worker {
            id: format!(
                "{}/{}/{}",
                host.trim(),
                std::process::id(),
                uuid::Uuid::new_v4()
            ),
            settings,
            http,
            requests: JoinSet::new(),
            running: HashMap::new(),
            ended: vec![],
        })
    }

    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.ended.is_empty()
    }

    /// Runs on one connection until the worker has stopped. Fails if the connection fails.
    pub async fn serve(&mut self, database: &mut Database, stop: &mut Stop) -> Result<(), Error> {
        let mut heartbeat = interval(self.lease() / 3);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut claim_at = Instant::now();
        loop {
            self.report(database).await?;
            let end_at = *stop.borrow_and_update();
            match end_at {
                Some(_) if self.is_idle() => return Ok(()),
                Some(end) if end <= Instant::now() => {
                    self.abort(|_| true, true);
                    return self.report(database).await;
                }
                None if claim_at <= Instant::now() => claim_at = self.claim(database).await?,
                _ => {}
            }
            tokio::select! {
                Some(ended) = self.requests.join_next_with_id() => {
                    self.record_outcome(ended);
                    claim_at = Instant::now();
                }
                _ = heartbeat.tick() => self.send_heartbeats(database).await?,
                notified = database.notification() => {
                    notified?;
                    claim_at = Instant::now();
                }
                () = sleep_until(end_at.unwrap_or(claim_at)) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Claims until no execution comes back or no slot is free. Returns when to claim again.
    async fn claim(&mut self, database: &Database) -> Result<Instant, Error> {
        loop {
            let free = usize::from(self.settings.concurrency) - self.running.len();
            let now = Instant::now();
            if free == 0 {
                return Ok(now + LONGEST_SLEEP); // The end of a request triggers the next claim.
            }
            let claimed = database.claim(i32::try_from(free)?).await?;
            if claimed.is_empty() {
                let sleep = database.next_wakeup().await?.unwrap_or(LONGEST_SLEEP);
                return Ok(Instant::now() + sleep.clamp(SHORTEST_SLEEP, LONGEST_SLEEP));
            }
            for execution in claimed {
                let key = (execution.execution_id.clone(), execution.attempt);
                let time_limit = Duration::from_secs(self.settings.timeout.into());
                let request =
                    self.requests
                        .spawn(deliver(self.http.clone(), execution, time_limit));
                let held = Held {
                    key,
                    request,
                    lease_ends: now + self.lease(),
                };
                self.running.insert(held.request.id(), held);
            }
        }
    }

    /// Extends all leases in one call. Aborts the requests whose lease is lost or that should stop.
    async fn send_heartbeats(&mut self, database: &Database) -> Result<(), Error> {
        let keys: Vec<Key> = self.running.values().map(|held| held.key.clone()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let lease_ends = Instant::now() + self.lease();
        for reply in database.heartbeat(&keys).await? {
            if !reply.accepted || reply.stop_requested {
                self.abort(|held| held.key == reply.key, reply.accepted);
            } else if let Some(held) = self.running.values_mut().find(|held| held.key == reply.key)
            {
                held.lease_ends = lease_ends;
            }
        }
        self.report(database).await
    }

    /// Reports the attempts that have ended. If a report fails, the next connection sends it again.
    async fn report(&mut self, database: &Database) -> Result<(), Error> {
        while let Some((held, outcome)) = self.ended.last() {
            for reply in database.report(&held.key, outcome).await? {
                if !reply.accepted {
                    eprintln!(
                        "execution {}: the lease was lost before attempt {} was reported",
                        held.key.0, held.key.1
                    );
                }
            }
            self.ended.pop();
        }
        Ok(())
    }

    fn record_outcome(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) =
            ended.unwrap_or_else(|error| (error.id(), Outcome::failed("the worker failed", true)));
        if let Some(held) = self.running.remove(&id) {
            self.ended.push((held, outcome));
        }
    }

    /// Aborts the selected requests. With `release`, their executions are released.
    fn abort(&mut self, is_selected: impl Fn(&Held) -> bool, release: bool) {
        for (_, held) in self.running.extract_if(|_, held| is_selected(held)) {
            held.request.abort();
            eprintln!(
                "execution {}: attempt {} was aborted",
                held.key.0, held.key.1
            );
            if release {
                self.ended.push((held, Outcome::Released));
            }
        }
    }

    /// Aborts the requests and drops the outcomes whose lease has expired: another worker may hold the execution now.
    pub fn drop_expired(&mut self) {
        let now = Instant::now();
        self.abort(|held| held.lease_ends <= now, false);
        self.ended.retain(|(held, _)| held.lease_ends > now);
    }

    fn lease(&self) -> Duration {
        Duration::from_secs(self.settings.lease.into())
    }
}
