#[pgrx::pg_schema]
mod tests {
    use crate::calendar::{CronExpr, Timing, Zone, entry_for};
    use crate::in_server::{count, text};
    use crate::sql;
    use chrono::{DateTime, Datelike, Duration, Timelike, Utc};
    use pgrx::prelude::*;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, TestRunner};
    use std::cell::Cell;

    /// A field as text, with the values that the text stands for. Both are generated together, so that the values do
    /// not depend on the parser under test.
    #[derive(Debug, Clone)]
    struct Field {
        text: String,
        values: Vec<u32>,
        star: bool,
    }

    /// Random fields with values from `low` to `high`.
    fn field(low: u32, high: u32) -> impl Strategy<Value = Field> {
        let star = (1..=high).prop_map(move |step| Field {
            text: if step == 1 {
                "*".into()
            } else {
                format!("*/{step}")
            },
            values: (low..=high).step_by(step as usize).collect(),
            star: true,
        });
        let every = Just(Field {
            text: "*".into(),
            values: (low..=high).collect(),
            star: true,
        });
        let items = prop::collection::vec((low..=high, low..=high, 1..=high, any::<bool>()), 1..4)
            .prop_map(|items| {
                let (mut texts, mut values) = (vec![], vec![]);
                for (a, b, step, single) in items {
                    let (first, last) = (a.min(b), a.max(b));
                    if single {
                        texts.push(a.to_string());
                        values.push(a);
                    } else {
                        texts.push(if step == 1 {
                            format!("{first}-{last}")
                        } else {
                            format!("{first}-{last}/{step}")
                        });
                        values.extend((first..=last).step_by(step as usize));
                    }
                }
                Field {
                    text: texts.join(","),
                    values,
                    star: false,
                }
            });
        prop_oneof![every, star, items]
    }

    /// Day fields that other schedulers have got wrong, such as the ends of the month.
    fn nasty_day() -> impl Strategy<Value = Field> {
        let items = [
            ("$", vec![LAST_DAY]),
            ("29", vec![29]),
            ("31", vec![31]),
            ("30,31", vec![30, 31]),
            ("1-31", (1..=31).collect()),
            ("1,15", vec![1, 15]),
        ];
        prop::sample::select(items.to_vec()).prop_map(|(text, values)| Field {
            text: text.into(),
            values,
            star: false,
        })
    }

    /// Week-day fields that other schedulers have got wrong, such as Sunday as 0 and as 7.
    fn nasty_week_day() -> impl Strategy<Value = Field> {
        let items = [
            ("0", vec![0]),
            ("7", vec![0]),
            ("0-7", (0..=6).collect()),
            ("5-7", vec![5, 6, 0]),
            ("SUN,wed", vec![0, 3]),
            ("Mon-fri", vec![1, 2, 3, 4, 5]),
        ];
        prop::sample::select(items.to_vec()).prop_map(|(text, values)| Field {
            text: text.into(),
            values,
            star: false,
        })
    }

    fn expression() -> impl Strategy<Value = [Field; 5]> {
        let february = Field {
            text: "FEB".into(),
            values: vec![2],
            star: false,
        };
        (
            field(0, 59),
            field(0, 23),
            prop_oneof![field(1, 31), nasty_day()],
            prop_oneof![4 => field(1, 12), 1 => Just(february)],
            prop_oneof![field(0, 7), nasty_week_day()],
        )
            .prop_map(|(minute, hour, day, month, week_day)| [minute, hour, day, month, week_day])
    }

    /// The value that stands for `$` in a day field.
    const LAST_DAY: u32 = 99;

    /// Whether an expression matches a time.
    fn matches([minute, hour, day, month, week_day]: &[Field; 5], time: DateTime<Utc>) -> bool {
        let sunday_first = time.weekday().num_days_from_sunday();
        let is_last = (time + Duration::days(1)).day() == 1;
        let on_day = day.values.contains(&time.day()) || is_last && day.values.contains(&LAST_DAY);
        let on_week_day = week_day
            .values
            .iter()
            .any(|value| value % 7 == sunday_first);
        minute.values.contains(&time.minute())
            && hour.values.contains(&time.hour())
            && month.values.contains(&time.month())
            && if day.star || week_day.star {
                on_day && on_week_day
            } else {
                on_day || on_week_day
            }
    }

    /// The timing of an expression in UTC.
    fn in_utc(text: &str) -> Timing {
        Timing {
            expr: CronExpr::parse(text).unwrap(),
            zone: Zone::named("UTC").unwrap(),
        }
    }

    fn text_of(fields: &[Field; 5]) -> String {
        fields.each_ref().map(|field| field.text.as_str()).join(" ")
    }

    /// Calls `test` with random expressions, each with a random instant from 2024 to 2044.
    fn for_random_expressions(
        cases: u32,
        test: impl Fn(&[Field; 5], DateTime<Utc>) -> Result<(), TestCaseError>,
    ) {
        let start = (0..20 * 366 * 86_400i64)
            .prop_map(|seconds| DateTime::from_timestamp(1_704_067_200 + seconds, 0).unwrap());
        let mut runner = TestRunner::new(Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        });
        runner
            .run(&(expression(), start), |(fields, start)| {
                test(&fields, start)
            })
            .unwrap();
    }

    #[pg_test]
    fn next_tick_matches_a_minute_by_minute_reading() {
        for_random_expressions(400, |fields, start| {
            let found = in_utc(&text_of(fields)).next_after(start);
            // The search ends after 60 days. Other tests cover expressions that match later.
            let first_minute =
                start - Duration::seconds(start.second() as i64) + Duration::minutes(1);
            let mut minute = first_minute;
            while minute < first_minute + Duration::days(60) {
                if matches(fields, minute) {
                    prop_assert_eq!(found, Some(minute));
                    return Ok(());
                }
                minute += if minute.minute() == 0 && !fields[1].values.contains(&minute.hour()) {
                    Duration::hours(1)
                } else {
                    Duration::minutes(1)
                };
            }
            prop_assert!(found.is_none_or(|found| found >= minute && matches(fields, found)));
            Ok(())
        });
    }

    #[pg_test]
    fn pg_cron_accepts_every_expression_that_kronos_accepts() {
        for_random_expressions(300, |fields, _| {
            let text = text_of(fields);
            let accepted = CronExpr::parse(&text).unwrap();
            if text.contains('$') {
                // pg_cron accepts it from 1.6 on, and Kronos never passes it to an older version.
                return Ok(());
            }
            let result = sql::in_subtransaction(|| {
                sql::run(
                    "select cron.schedule('x', $1, 'select 1')",
                    &[accepted.text().into()],
                )
            });
            prop_assert!(result.is_ok(), "{}", text);
            Ok(())
        });
        for text in [
            "@hourly",
            "@daily",
            "@midnight",
            "@weekly",
            "@monthly",
            "@yearly",
            "@annually",
            "0 0 * JAN-Mar SUN,wed",
        ] {
            let accepted = CronExpr::parse(text).unwrap();
            sql::run(
                "select cron.schedule('x', $1, 'select 1')",
                &[accepted.text().into()],
            )
            .unwrap();
        }
    }

    #[pg_test]
    fn malformed_expressions_are_refused() {
        for text in [
            "",
            " ",
            "*",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 1,$ * *",
            "* * $,$ * *",
            "* * $/2 * *",
            "* * $-3 * *",
            "* * * * $",
            "* * 32 * *",
            "* * * 0 *",
            "* * * 13 *",
            "* * * * 8",
            "5;x,9 * * * *",
            "* * * * mon#2",
            "0 0 12 * * ?",
            "22-5 * * * *",
            "* * * * 7-1",
            "*/0 * * * *",
            "*/60 * * * *",
            "5/10 * * * *",
            "1,,2 * * * *",
            "1, * * * *",
            "-1 * * * *",
            "+1 * * * *",
            "1- * * * *",
            "4294967301 * * * *",
            "# * * * *",
            "#\n* * * * *",
            "@daily x",
            "@DAILY",
            "@nightly",
            "* * * foo *",
            "jan * * * *",
            "* * * * monday",
            "1.5 * * * *",
            "** * * * *",
            "* * * * *\u{a0}",
            "٣ * * * *",
            "30seconds",
            "+30 seconds",
            "0 seconds",
            "60 seconds",
            "30 minutes",
            "30 seconds x",
        ] {
            assert!(CronExpr::parse(text).is_err(), "{text:?}");
        }
        let long = format!("{} * * * *", vec!["1"; 300].join(","));
        assert!(CronExpr::parse(&long).is_err());
    }

    #[pg_test]
    fn parsing_never_panics() {
        let mut runner = TestRunner::new(Config {
            cases: 3000,
            failure_persistence: None,
            ..Config::default()
        });
        runner
            .run(&"(\\*|[0-9]{1,2})( (\\*|[0-9])){4}|[0-9]{1,2} seconds|[-0-9*,/ @$a-zA-Zé]{0,30}|\\PC{0,20}", |text| {
                for zone in ["UTC", "America/Havana", "Pacific/Kiritimati"] {
                    let zone = Zone::named(zone).unwrap();
                    if let Ok(expr) = CronExpr::parse(&text) {
                        let timing = Timing { expr, zone };
                        timing.next_after(DateTime::<Utc>::MIN_UTC);
                        timing.next_after(DateTime::<Utc>::MAX_UTC);
                    }
                }
                Ok(())
            })
            .unwrap();
    }

    /// Zones with half-hour and 45-minute offsets, half-hour DST, negative DST, a skipped day, gaps at midnight and
    /// double changes around Ramadan, and zones without any of these.
    const ZONES: [&str; 34] = [
        "UTC",
        "Europe/Berlin",
        "Europe/London",
        "Europe/Dublin",
        "Europe/Lisbon",
        "Europe/Moscow",
        "Europe/Istanbul",
        "Europe/Kyiv",
        "Africa/Casablanca",
        "Africa/Cairo",
        "Africa/Lagos",
        "Africa/Johannesburg",
        "Asia/Tehran",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Asia/Tokyo",
        "Asia/Shanghai",
        "Asia/Jerusalem",
        "Asia/Beirut",
        "Australia/Sydney",
        "Australia/Lord_Howe",
        "Australia/Adelaide",
        "Pacific/Auckland",
        "Pacific/Chatham",
        "Pacific/Apia",
        "Pacific/Kiritimati",
        "Pacific/Honolulu",
        "America/New_York",
        "America/St_Johns",
        "America/Santiago",
        "America/Havana",
        "America/Sao_Paulo",
        "America/Nuuk",
        "Antarctica/Troll",
    ];

    /// The beginnings of windows of four days around changes of a zone's clock: the first three after 2010 and the
    /// first five after 2024.
    fn windows_around_changes(zone: &Zone) -> Vec<DateTime<Utc>> {
        let mut windows = vec![];
        for (from, changes) in [(1_293_840_000, 3), (1_735_689_600, 5)] {
            let mut at = from;
            for _ in 0..changes {
                at = zone.next_change(at).unwrap_or(at + 30 * 86_400);
                windows.push(DateTime::from_timestamp(at, 0).unwrap() - Duration::days(2));
            }
        }
        windows
    }

    /// Each minute of a window of four days, with the local time in the zone according to PostgreSQL.
    fn clock_by_postgresql(zone: &str, from: DateTime<Utc>) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        sql::rows(
            "select m as minute, (m at time zone $2) at time zone 'UTC' as local
             from generate_series($1::timestamptz, $1 + interval '4 days', interval '1 minute') m order by m",
            &[sql::to_pg(from).into(), zone.into()],
            |row| Ok((sql::from_pg(sql::get(row, "minute")?), sql::from_pg(sql::get(row, "local")?))),
        )
        .unwrap()
    }

    /// The ticks of an expression, found minute by minute. If the minute or the hour begins with `*`, the expression
    /// ticks whenever the clock shows a matching time. Otherwise it ticks when the clock shows or skips a matching time
    /// that it has not shown before.
    fn ticks_minute_by_minute(
        fields: &[Field; 5],
        minutes: &[(DateTime<Utc>, DateTime<Utc>)],
    ) -> Vec<DateTime<Utc>> {
        let recurs = fields[0].star || fields[1].star;
        let mut shown_up_to = minutes[0].1;
        let mut ticks = vec![];
        for (minute, local) in &minutes[1..] {
            let mut passed = shown_up_to + Duration::minutes(1);
            let mut is_tick = recurs && matches(fields, *local);
            while !recurs && passed <= *local {
                is_tick |= matches(fields, passed);
                passed += Duration::minutes(1);
            }
            shown_up_to = shown_up_to.max(*local);
            if is_tick {
                ticks.push(*minute);
            }
        }
        ticks
    }

    /// Calls `test` with random expressions in each window of each zone.
    fn for_each_window(
        per_window: usize,
        test: impl Fn(&[Field; 5], &str, &Timing, &[(DateTime<Utc>, DateTime<Utc>)]),
    ) {
        let mut runner = TestRunner::new(Config {
            failure_persistence: None,
            ..Config::default()
        });
        for name in ZONES {
            let zone = Zone::named(name).unwrap_or_else(|| panic!("{name}"));
            for from in windows_around_changes(&zone) {
                let minutes = clock_by_postgresql(name, from);
                for _ in 0..per_window {
                    let fields = expression().new_tree(&mut runner).unwrap().current();
                    let timing = Timing {
                        expr: CronExpr::parse(&text_of(&fields)).unwrap(),
                        zone,
                    };
                    test(&fields, name, &timing, &minutes);
                }
            }
        }
    }

    #[pg_test]
    fn ticks_around_clock_changes_match_a_minute_by_minute_reading() {
        let count = Cell::new(0);
        for_each_window(37, |fields, name, timing, minutes| {
            count.set(count.get() + 1);
            // Start anywhere in the first half of the window, not only at whole minutes.
            let nth = (count.get() * 7919) % (minutes.len() / 2);
            let from = minutes[nth].0 + Duration::milliseconds(nth as i64 % 60_000);
            let until = minutes[minutes.len() - 1].0;
            let mut expected = ticks_minute_by_minute(fields, minutes);
            expected.retain(|tick| *tick > from);
            assert_eq!(
                timing.ticks(from, until).collect::<Vec<_>>(),
                expected,
                "{} in {name} from {from}",
                text_of(fields)
            );
        });
        assert!(count.get() >= 10_000, "{}", count.get());
    }

    #[pg_test]
    fn entry_fires_at_every_tick_and_pg_cron_accepts_it() {
        let pg_cron_zones = ["GMT", "America/New_York", "Asia/Kolkata"];
        for_each_window(6, |fields, name, timing, minutes| {
            let (from, until) = (minutes[0].0, minutes[minutes.len() - 1].0);
            for pg_cron_zone in pg_cron_zones {
                let zone = Zone::named(pg_cron_zone).unwrap();
                let text = entry_for(timing, &zone, from, from + Duration::days(732));
                let entry = in_utc(&text);
                sql::run(
                    "select cron.schedule('x', $1, 'select 1')",
                    &[text.as_str().into()],
                )
                .unwrap();
                for tick in timing.ticks(from, until) {
                    let local = tick + Duration::seconds(zone.offset_at(tick.timestamp()));
                    let next = entry.next_after(local - Duration::seconds(1));
                    assert_eq!(
                        next,
                        Some(local),
                        "{} in {name}: {text} in {pg_cron_zone}, tick {tick}",
                        text_of(fields)
                    );
                }
            }
        });
    }

    #[pg_test]
    fn entry_fires_at_few_other_times() {
        let from = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
        for (cron, zone, expected) in [
            ("0 9 * * *", "UTC", "0 9 * * *"),
            ("0 9 * * mon", "Europe/Berlin", "0 7,8 * * 1"),
            ("30 2 * * *", "Europe/Berlin", "0,30 0,1 * * *"),
            ("*/15 * * * *", "Asia/Kathmandu", "0,15,30,45 * * * *"),
            ("0 0 1 * *", "Asia/Tokyo", "0 15 1,28-31 * *"),
            ("0 20 $ 6 *", "America/New_York", "0 0,1 1,28-31 6,7 *"),
            ("0 0 13 * fri", "Asia/Kolkata", "30 18 12,13 * 4,5"),
            ("* * * * *", "Asia/Tokyo", "* * * * *"),
        ] {
            let timing = Timing {
                expr: CronExpr::parse(cron).unwrap(),
                zone: Zone::named(zone).unwrap(),
            };
            let entry = entry_for(
                &timing,
                &Zone::named("GMT").unwrap(),
                from,
                from + Duration::days(732),
            );
            assert_eq!(entry, expected, "{cron} in {zone}");
        }
    }

    fn ticks(cron: &str, zone: &str, after: &str, count: i32) -> String {
        text(&format!(
            "select string_agg((t at time zone 'UTC')::text, ', ' order by t)
             from kronos.next_ticks('{cron}', '{zone}', '{after}', {count}) t"
        ))
    }

    #[pg_test]
    fn ticks_around_clock_changes_follow_vixie_cron() {
        // Spring in Berlin: the clock skips 02:00 to 03:00. A job in the gap runs once, right after it, and as usual on
        // the next day.
        assert_eq!(
            ticks("30 2 * * *", "Europe/Berlin", "2026-03-28 12:00+00", 2),
            "2026-03-29 01:00:00, 2026-03-30 00:30:00"
        );
        assert_eq!(
            ticks("15,45 2 * * *", "Europe/Berlin", "2026-03-28 12:00+00", 2),
            "2026-03-29 01:00:00, 2026-03-30 00:15:00"
        );
        // Autumn: 02:00 to 03:00 comes twice. A job runs once, the first time.
        assert_eq!(
            ticks("30 2 * * *", "Europe/Berlin", "2026-10-24 12:00+00", 2),
            "2026-10-25 00:30:00, 2026-10-26 01:30:00"
        );
        // A job of every hour or half hour follows elapsed time.
        assert_eq!(
            ticks("30 * * * *", "Europe/Berlin", "2026-10-24 23:45+00", 4),
            "2026-10-25 00:30:00, 2026-10-25 01:30:00, 2026-10-25 02:30:00, 2026-10-25 03:30:00"
        );
        assert_eq!(
            ticks("*/30 2 * * *", "Europe/Berlin", "2026-10-24 23:45+00", 4),
            "2026-10-25 00:00:00, 2026-10-25 00:30:00, 2026-10-25 01:00:00, 2026-10-25 01:30:00"
        );
        assert_eq!(
            ticks("*/30 2 * * *", "Europe/Berlin", "2026-03-28 12:00+00", 1),
            "2026-03-30 00:00:00"
        );
        // Samoa skipped 30 December 2011.
        assert_eq!(
            ticks("0 9 30 12 *", "Pacific/Apia", "2011-12-01 00:00+00", 2),
            "2011-12-30 10:00:00, 2012-12-29 19:00:00"
        );
    }

    #[pg_test]
    fn no_tick_follows_infinity() {
        for cron in ["* * * * *", "30 2 * * *", "20 seconds"] {
            assert_eq!(ticks(cron, "UTC", "infinity", 1), "null", "{cron}");
        }
        assert_eq!(
            ticks("0 0 1 1 *", "UTC", "2099-06-01", 2),
            "2100-01-01 00:00:00"
        );
    }

    #[pg_test]
    fn schedule_of_seconds_ticks_on_a_fixed_grid() {
        assert_eq!(
            ticks("20 seconds", "UTC", "2026-01-01 00:00:07.5", 4),
            "2026-01-01 00:00:20, 2026-01-01 00:00:40, 2026-01-01 00:01:00, 2026-01-01 00:01:20"
        );
        assert_eq!(
            ticks(" 20 Second", "UTC", "2026-01-01 00:00:20", 1),
            "2026-01-01 00:00:40"
        );
        // The grid starts at 1970-01-01 UTC in every zone, and extends to times before it.
        assert_eq!(
            ticks("7 seconds", "Asia/Kathmandu", "1970-01-01 00:00:00", 2),
            "1970-01-01 00:00:07, 1970-01-01 00:00:14"
        );
        assert_eq!(
            ticks("7 seconds", "UTC", "1969-12-31 23:59:52.5", 2),
            "1969-12-31 23:59:53, 1970-01-01 00:00:00"
        );
    }

    #[pg_test]
    fn description_says_when_a_schedule_ticks() {
        for (cron, timezone, expected) in [
            ("* * * * *", "UTC", "Every minute (time zone UTC)."),
            (
                "@daily",
                "europe/berlin",
                "At 00:00 (time zone Europe/Berlin).",
            ),
            (
                "30 2 1,15 * FRI",
                "GMT",
                "At 02:30, on day 1 and 15 or Friday (time zone UTC).",
            ),
            (
                "30 2 */15 * fri",
                "UTC",
                "At 02:30, on day 1, 16, and 31 (if it is also Friday) (time zone UTC).",
            ),
            (
                "0 12 $ * *",
                "UTC",
                "At 12:00, on the last day of the month (time zone UTC).",
            ),
            ("30 seconds", "UTC", "Every 30 seconds."),
            (
                "0 0 30 2 *",
                "UTC",
                "At 00:00, on day 30, in February (time zone UTC). It never fires.",
            ),
        ] {
            assert_eq!(
                text(&format!(
                    "select kronos.describe_schedule('{cron}', '{timezone}')"
                )),
                expected
            );
        }
        for_random_expressions(500, |fields, _| {
            let cron = text_of(fields);
            let described = text(&format!("select kronos.describe_schedule('{cron}')"));
            prop_assert!(described.contains("(time zone UTC)"));
            Ok(())
        });
    }

    #[pg_test]
    fn dollar_is_the_last_day_of_the_month() {
        assert_eq!(
            ticks("0 12 $ * *", "UTC", "2028-01-15", 3),
            "2028-01-31 12:00:00, 2028-02-29 12:00:00, 2028-03-31 12:00:00"
        );
        assert_eq!(
            ticks("0 12 $ 2 mon", "UTC", "2026-02-20", 2),
            "2026-02-23 12:00:00, 2026-02-28 12:00:00"
        );
    }

    /// Instants at the limits of timestamptz must not fail.
    #[pg_test]
    fn next_ticks_after_extreme_instants_are_later_or_none() {
        for cron in ["1 seconds", "0 9 * * *", "*/5 * * * 1"] {
            for zone in ["UTC", "Europe/Berlin"] {
                for after in [
                    "-infinity",
                    "4714-11-24 00:00+00 BC",
                    "294276-12-31",
                    "infinity",
                ] {
                    let earlier = format!(
                        "select count(*) from kronos.next_ticks('{cron}', '{zone}', '{after}') t where t <= '{after}'"
                    );
                    assert_eq!(count(&earlier), 0, "{cron} {zone} {after}");
                }
            }
        }
    }

    #[pg_test]
    fn one_long_search_finds_the_ticks_of_two_short_ones() {
        for_random_expressions(60, |fields, start| {
            let timing = Timing {
                expr: CronExpr::parse(&text_of(fields)).unwrap(),
                zone: Zone::named("America/Havana").unwrap(),
            };
            let until = start + Duration::days(400);
            let long: Vec<_> = timing.ticks(start, until).take(60).collect();
            let mut short: Vec<_> = timing.ticks(start, until).take(long.len() / 2).collect();
            let last = short.last().copied().unwrap_or(start);
            short.extend(timing.ticks(last, until).take(long.len() - short.len()));
            prop_assert_eq!(long, short);
            let mut tick = start;
            for _ in 0..50 {
                let Some(next) = timing.next_after(tick) else {
                    break;
                };
                prop_assert!(next > tick);
                prop_assert!(timing.is_tick(next));
                tick = next;
            }
            Ok(())
        });
    }

    #[pg_test]
    fn zones_are_found_by_iana_names_only() {
        for (given, name) in [
            ("europe/berlin", "Europe/Berlin"),
            ("EST5EDT", "EST5EDT"),
            ("etc/gmt+5", "Etc/GMT+5"),
        ] {
            assert_eq!(
                Zone::named(given)
                    .map(|zone| zone.name().to_owned())
                    .as_deref(),
                Some(name)
            );
        }
        for given in [
            "EST5EDT4",
            "<+03>-3",
            "UTC+3",
            "+03",
            "03:00",
            "Mars/Olympus",
            "",
            "posixrules",
            "EST5EDT,M3.2.0,M11.1.0",
            "a\0b",
        ] {
            assert!(Zone::named(given).is_none(), "{given}");
        }
    }
}
