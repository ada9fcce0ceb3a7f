//! A year of ticks under a clock that the test sets: wake-ups on time and late, outages, clock steps forward and back,
//! changes of jobs and of time zones. The whole ledger must be what an independent reading of docs/time.md says. See
//! invariants 4 to 7.

mod changes;
mod ledger;
mod model;
mod reader;

use super::{generator, seed, size};
use crate::dialect::random_expression;
use crate::domain::*;
use crate::faked_clock::Clock;
use crate::server::Server;
use chrono::{DateTime, Utc};
use model::{Model, Timing};
use postgres::Client;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use reader::{Fields, Zone};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;
use uuid::Uuid;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// Zones with and without daylight saving, in both hemispheres, with offsets and gaps of half and quarter hours, with
/// changes at midnight, and with two changes around Ramadan.
const ZONES: [&str; 16] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "America/Caracas",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Asia/Gaza",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Africa/Casablanca",
];

/// Expressions that meet many clock changes, or that random ones do not have.
const EXPRESSIONS: [&str; 8] = [
    "30 2 * * *",
    "*/20 * * * *",
    "15 0,1,2,3 * * *",
    "0 0 1,15 * mon",
    "45 23 $ * *",
    "@daily",
    "@monthly",
    "* * * * *",
];

/// What happened, for the figures that the test prints.
#[derive(Debug, Default)]
struct Figures {
    wake_ups: usize,
    outages: usize,
    clock_steps: usize,
    changes: usize,
    refused_changes: usize,
    restarts: usize,
}

struct Year {
    server: Server,
    clock: Clock,
    session: Client,
    model: Model,
    /// What the clock shows.
    now: i64,
    /// How far the clock is ahead.
    error: i64,
    cron_timezone: Zone,
    range: Range<i64>,
    rng: StdRng,
    figures: Figures,
    /// What happened to each job, for a failure.
    events: BTreeMap<Uuid, Vec<String>>,
}

#[test]
fn year_of_ticks_outages_and_clock_steps_leaves_the_ledger_that_is_owed() {
    let seed = seed();
    for nth in 0..size(1, 6) {
        let began = Instant::now();
        let mut rng = generator(seed, nth);
        // From 2008 to 2034: under rules of the past and of the future.
        let start = 1_200_000_000 + rng.random_range(0..26 * YEAR);
        let mut year = Year::start(start, rng);
        let mut time = start;
        let mut compared_at = start;
        while time < start + YEAR {
            time += year.pass_time(time);
            year.change_some_jobs();
            year.wake_up();
            if time > compared_at + 30 * DAY {
                compared_at = time;
                year.compare();
            }
        }
        year.compare();
        let dropped = year.model.dropped.len();
        println!(
            "{}: {} ticks ran, {dropped} rows of dropped ticks, {} jobs, {:?}, {:?}",
            instant(start).date_naive(),
            year.model.runs.len(),
            year.model.jobs.len(),
            year.figures,
            began.elapsed(),
        );
    }
}

fn instant(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

/// The settings of the server. pg_cron cannot connect, so that only the test wakes Kronos. The clock stands still, so
/// no timeout works.
fn settings(cron_timezone: &str) -> [String; 7] {
    [
        "cron.host = '/nonexistent'".to_owned(),
        "cron.log_run = off".to_owned(),
        format!("cron.timezone = '{cron_timezone}'"),
        "autovacuum = off".to_owned(),
        "checkpoint_timeout = '1d'".to_owned(),
        "full_page_writes = off".to_owned(),
        "statement_timeout = 0".to_owned(),
    ]
}

fn open_session(server: &Server) -> Client {
    let mut session = server.session();
    session
        .batch_execute("set timezone = 'UTC'; set kronos.workspace = 'acme'")
        .unwrap();
    session
}

impl Year {
    fn start(now: i64, mut rng: StdRng) -> Year {
        let lines = settings("GMT");
        let (clock, server) = Clock::start_server(now, &lines.each_ref().map(String::as_str));
        let mut session = open_session(&server);
        create_acme(&mut session);
        let keep_all = "select kronos.set_retention(execution_retention => '100 years', job_retention => '100 years')";
        session.batch_execute(keep_all).unwrap();
        let range = now / 60 - 10 * 24 * 60..now / 60 + 800 * 24 * 60;
        let zones = ZONES.map(|name| Zone::read(&mut session, name, &range));
        let timings = random_timings(&mut rng, &zones, &range);
        Year {
            server,
            clock,
            cron_timezone: Zone::read(&mut session, "GMT", &range),
            session,
            model: Model::new(timings),
            now,
            error: 0,
            range,
            rng,
            figures: Figures::default(),
            events: BTreeMap::new(),
        }
    }

    /// Lets time pass, with a step of the clock now and then, and returns how much of it.
    fn pass_time(&mut self, time: i64) -> i64 {
        let passed = match self.rng.random_range(0..100) {
            // The next tick, as pg_cron would wake Kronos.
            0..35 => {
                let tick = self.model.next_tick(self.now).unwrap_or(self.now / 60 + 1);
                let late = self.rng.random_range(0..400).max(100) - 100;
                (tick * 60 - self.now + late).min(DAY)
            }
            35..60 => self.rng.random_range(1..600),
            60..85 => self.rng.random_range(10 * MINUTE..3 * HOUR),
            85..97 => self.rng.random_range(3 * HOUR..DAY),
            _ => self.rng.random_range(DAY..9 * DAY),
        };
        self.figures.outages += usize::from(passed > HOUR);
        let right_again = self.error != 0 && self.rng.random_range(0..4) == 0;
        if right_again || self.rng.random_range(0..40) == 0 {
            self.figures.clock_steps += 1;
            self.error = match self.rng.random_range(0..10) {
                _ if right_again => 0,
                0 => YEAR,
                1..4 => HOUR,
                4..6 => self.rng.random_range(MINUTE..5 * DAY),
                6..8 => -HOUR,
                _ => -self.rng.random_range(MINUTE..5 * DAY),
            };
        }
        self.now = time + passed + self.error;
        self.clock.set(self.now);
        passed
    }

    fn wake_up(&mut self) {
        match self.rng.random_range(0..10) {
            0 => return,
            1..4 => {
                upkeep(&mut self.session);
                self.model.upkeep(self.now);
                assert_sound(&mut self.session);
            }
            _ => {
                tick(&mut self.session);
                self.model.tick(self.now);
            }
        }
        self.figures.wake_ups += 1;
        if self.rng.random_range(0..size(400, 200)) == 0 {
            self.restart();
        }
    }

    /// Restarts the server with another cron.timezone. The entries fire at every tick after the next upkeep.
    fn restart(&mut self) {
        let names = [
            "GMT",
            "America/New_York",
            "Asia/Kolkata",
            "Australia/Lord_Howe",
        ];
        let name = *names.choose(&mut self.rng).unwrap();
        let lines = settings(name);
        self.server
            .restart_with(&lines.each_ref().map(String::as_str));
        self.session = open_session(&self.server);
        let known = "select count(*) from pg_settings where name = 'cron.timezone' and short_desc is not null";
        if count(&mut self.session, known) > 0 {
            self.cron_timezone = Zone::read(&mut self.session, name, &self.range);
        }
        self.figures.restarts += 1;
    }
}

/// Some expressions in some zones, most of them with few ticks.
fn random_timings(rng: &mut StdRng, zones: &[Zone], range: &Range<i64>) -> Vec<Timing> {
    let month = range.start..range.start + 30 * 24 * 60;
    let mut timings: Vec<Timing> = vec![];
    for cron in EXPRESSIONS {
        timings.push(Timing::read(
            cron.to_owned(),
            zones.choose(rng).unwrap(),
            range.clone(),
        ));
    }
    while timings.len() < size(24, 48) {
        let (cron, zone) = (random_expression(rng), zones.choose(rng).unwrap());
        let is_rare = Fields::read(&cron).ticks(zone, month.clone()).len() < 1000;
        let is_new = timings
            .iter()
            .all(|it| (&it.cron, it.zone) != (&cron, zone.name));
        let timing = Timing::read(cron, zone, range.clone());
        if is_rare && is_new && timing.next(range.start * 60 + YEAR).is_some() {
            timings.push(timing);
        }
    }
    timings
}
