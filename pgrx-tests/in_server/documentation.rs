#[pgrx::pg_schema]
mod tests {
    use crate::error;
    use crate::in_server::{count, text};
    use crate::sql;
    use pgrx::prelude::*;

    const README: &str = include_str!("../../README.md");

    #[pg_test]
    fn readme_has_every_error_as_the_code_has_it() {
        let section = README.split("\n## Errors\n").nth(1).unwrap();
        let in_readme: Vec<&str> = section
            .split("\n## ")
            .next()
            .unwrap()
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        let in_code: Vec<String> = error::ALL
            .iter()
            .map(|kind| {
                let sqlstate = sql::sqlstate_text(kind.sqlstate);
                format!(
                    "| `{}` | {sqlstate} | {} | {} |",
                    kind.code, kind.http_status, kind.meaning
                )
            })
            .collect();
        assert_eq!(in_readme, in_code);
    }

    /// The tables of examples: rule, cron, (timezone,) after, ticks.
    #[pg_test]
    fn examples_in_the_readme_are_what_kronos_does() {
        let examples = README.lines().filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            match cells[..] {
                [_, cron, after, ticks] if after.starts_with("20") => {
                    Some((cron, "UTC", after, ticks))
                }
                [_, cron, zone, after, ticks] if after.starts_with("20") => {
                    Some((cron, zone, after, ticks))
                }
                _ => None,
            }
        });
        let mut count = 0;
        for (cron, zone, after, ticks) in examples {
            let cron = cron.trim_matches('`');
            let expected: Vec<&str> = ticks.split(", ").collect();
            let seconds = if cron.ends_with("seconds") { ":SS" } else { "" };
            let found = text(&format!(
                "select string_agg(to_char(t at time zone 'UTC', 'YYYY-MM-DD HH24:MI{seconds}'), ', ' order by t)
                 from kronos.next_ticks('{cron}', '{zone}', '{after} UTC', {}) t",
                expected.len()
            ));
            assert_eq!(found, ticks, "{cron} in {zone}");
            count += 1;
        }
        assert_eq!(count, 15);
    }

    #[pg_test]
    fn every_function_of_kronos_is_described_in_sql_and_in_the_readme() {
        let undescribed = text(
            "select string_agg(proname, ', ') from pg_proc
             where pronamespace = 'kronos'::regnamespace and obj_description(oid, 'pg_proc') is null",
        );
        assert_eq!(undescribed, "null");
        let names = text(
            "select string_agg(proname, ' ') from pg_proc
             where pronamespace = 'kronos'::regnamespace and prorettype <> 'trigger'::regtype",
        );
        for name in names.split(' ').filter(|name| *name != "uuid_v7") {
            assert!(README.contains(&format!("`{name}(")), "{name}");
        }
    }

    #[pg_test]
    fn nothing_of_kronos_is_open_to_everybody() {
        let functions = "select count(*) from pg_proc where pronamespace = 'kronos'::regnamespace
                         and has_function_privilege('public', oid, 'execute')";
        assert_eq!(count(functions), 0);
        let tables = "select count(*) from pg_class where relnamespace = 'kronos'::regnamespace and relkind = 'r'
                      and has_table_privilege('public', oid, 'select, insert, update, delete')";
        assert_eq!(count(tables), 0);
    }
}
