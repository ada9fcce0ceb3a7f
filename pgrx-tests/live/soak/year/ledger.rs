//! The comparison of the ledger with what is owed.

use super::model::{Dropped, Run};
use super::reader::Fields;
use super::{DAY, Year, instant};
use crate::domain::*;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

impl Year {
    /// Compares the whole ledger and all executions with what is owed, and the entries of pg_cron with the ticks of
    /// their schedules.
    pub fn compare(&mut self) {
        let statement = "select job_id, extract(epoch from tick_at)::bigint / 60, extract(epoch from from_tick_at)::bigint / 60,
                                outcome, version, extract(epoch from recorded_at)::bigint
                         from kronos.ticks";
        let (mut runs, mut dropped) = (BTreeMap::new(), BTreeMap::new());
        for row in self.session.query(statement, &[]).unwrap() {
            let (job_id, tick, first): (Uuid, i64, i64) = (row.get(0), row.get(1), row.get(2));
            let (version, recorded_at) = (row.get(4), row.get(5));
            let run = Run {
                version,
                recorded_at,
            };
            let last = tick;
            match row.get(3) {
                "RUN" => drop(runs.insert((job_id, tick), run)),
                "DROPPED" => drop(dropped.insert((job_id, first), Dropped { last, version })),
                outcome => panic!("{job_id} {tick} {outcome}"),
            }
        }
        self.assert_same("runs", &self.model.runs, &runs);
        self.assert_same("dropped ticks", &self.model.dropped, &dropped);
        assert_ledger_matches_executions(&mut self.session);
        let wrong = "select count(*) from kronos.execution_details
                     where origin <> 'TICK' or status <> 'QUEUED' or run_at <> tick_at";
        assert_eq!(count(&mut self.session, wrong), 0);
        self.assert_entries_fire_at_ticks();
    }

    fn assert_same<T: PartialEq + std::fmt::Debug>(
        &self,
        what: &str,
        owed: &BTreeMap<(Uuid, i64), T>,
        found: &BTreeMap<(Uuid, i64), T>,
    ) {
        let keys = owed.keys().chain(found.keys());
        let differing: BTreeSet<_> = keys.filter(|key| owed.get(key) != found.get(key)).collect();
        let Some(key) = differing.iter().min_by_key(|(_, tick)| tick) else {
            return;
        };
        panic!(
            "{} of the {what} differ; the first is {} of job {}: owed {:?}, found {:?}; the job: {:#?}",
            differing.len(),
            instant(key.1 * 60),
            key.0,
            owed.get(key),
            found.get(key),
            self.events[&key.0]
        );
    }

    /// Upkeep has given every schedule an entry that fires at its ticks.
    fn assert_entries_fire_at_ticks(&mut self) {
        upkeep(&mut self.session);
        self.model.upkeep(self.now);
        let statement = "select s.cron, s.timezone, e.schedule
                         from kronos_internal.schedules s join cron.job e on e.jobname = 'kronos schedule ' || s.schedule_id";
        let rows = self.session.query(statement, &[]).unwrap();
        assert!(!rows.is_empty());
        for row in rows {
            let (cron, zone, entry): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
            let mut timings = self.model.timings.iter();
            let timing = timings
                .find(|it| it.cron.to_lowercase() == cron && it.zone == zone)
                .unwrap();
            let fields = Fields::read(entry);
            for tick in timing.due(self.now, self.now + 60 * DAY) {
                assert!(
                    fields.fires_at(&self.cron_timezone, *tick),
                    "{cron} {zone} {entry}: {}",
                    instant(tick * 60)
                );
            }
        }
    }
}
