#[pgrx::pg_schema]
mod tests {
    use crate::calendar::{CronExpr, Timing, Zone};
    use crate::sql;
    use chrono::{DateTime, Datelike, Duration, Timelike, Utc};
    use pgrx::prelude::*;
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    /// A field as text and as the values that the text means, made together: an independent reading of the dialect.
    #[derive(Debug, Clone)]
    struct Field {
        text: String,
        values: Vec<u32>,
        star: bool,
    }

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

    fn expression() -> impl Strategy<Value = [Field; 5]> {
        (
            field(0, 59),
            field(0, 23),
            field(1, 31),
            field(1, 12),
            field(0, 7),
        )
            .prop_map(|(minute, hour, day, month, week_day)| [minute, hour, day, month, week_day])
    }

    fn matches([minute, hour, day, month, week_day]: &[Field; 5], time: DateTime<Utc>) -> bool {
        let sunday_first = time.weekday().num_days_from_sunday();
        let on_day = day.values.contains(&time.day());
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

    fn text_of(fields: &[Field; 5]) -> String {
        fields.each_ref().map(|field| field.text.as_str()).join(" ")
    }

    fn check(cases: u32, test: impl Fn(&[Field; 5], DateTime<Utc>) -> Result<(), TestCaseError>) {
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
    fn next_tick_is_what_a_minute_by_minute_reading_finds() {
        check(400, |fields, start| {
            let expr = CronExpr::parse(&text_of(fields))
                .map_err(|refused| TestCaseError::fail(refused.to_string()))?;
            let found = expr.next_after(start);
            // A day that matches no sooner than in a year is left to the other tests.
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
    fn what_kronos_accepts_pg_cron_accepts() {
        check(300, |fields, _| {
            let text = text_of(fields);
            let accepted = CronExpr::parse(&text).unwrap();
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
    fn what_is_no_expression_is_refused() {
        for text in [
            "",
            " ",
            "*",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
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
            .run(&"[-0-9*,/ @$a-zA-Zé]{0,30}|\\PC{0,20}", |text| {
                if let Ok(expr) = CronExpr::parse(&text) {
                    expr.next_after(DateTime::<Utc>::MIN_UTC);
                    expr.next_after(DateTime::<Utc>::MAX_UTC);
                }
                Ok(())
            })
            .unwrap();
    }

    /// pg_cron's own rule, minute by minute, with PostgreSQL's own arithmetic: convert, and match the wall clock.
    #[pg_test]
    fn ticks_in_a_zone_are_the_minutes_that_postgresql_converts_to_matching_ones() {
        for (zone, from) in [
            ("Europe/Berlin", "2026-03-28 12:00+00"),
            ("Europe/Berlin", "2026-10-24 12:00+00"),
            ("Australia/Lord_Howe", "2026-04-04 00:00+00"),
            ("Asia/Kathmandu", "2026-01-01 00:00+00"),
            ("America/Santiago", "2026-09-05 12:00+00"),
        ] {
            let timing = Timing {
                expr: CronExpr::parse("*/20 0-3 * * *").unwrap(),
                zone: Zone::named(zone).unwrap(),
            };
            let from = sql::from_pg(
                Spi::get_one::<pgrx::datum::TimestampWithTimeZone>(&format!(
                    "select '{from}'::timestamptz"
                ))
                .unwrap()
                .unwrap(),
            );
            let until = from + Duration::days(2);
            let expected = sql::rows(
                "select m as tick
                 from generate_series($1::timestamptz + interval '1 minute', $2, interval '1 minute') m,
                      lateral (select m at time zone $3 as local) l
                 where extract(minute from local) in (0, 20, 40) and extract(hour from local) between 0 and 3
                 order by m",
                &[sql::to_pg(from).into(), sql::to_pg(until).into(), zone.into()],
                |row| Ok(sql::from_pg(sql::get(row, "tick")?)),
            )
            .unwrap();
            assert!(expected.len() > 10);
            assert_eq!(timing.ticks(from, until), expected, "{zone}");
        }
    }
}
