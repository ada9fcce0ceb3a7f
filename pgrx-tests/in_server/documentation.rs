//! Checks that the pages in docs/ and the comments in the database match the code.

#[pgrx::pg_schema]
mod tests {
    use crate::in_server::{count, text};
    use pgrx::prelude::*;
    use std::collections::BTreeSet;

    const REFERENCE: &str = include_str!("../../docs/reference.md");
    const TIME: &str = include_str!("../../docs/time.md");

    /// The table rows in a section of the reference whose first cell is code.
    fn table(heading: &str) -> Vec<&'static str> {
        let (_, section) = REFERENCE.split_once(&format!("\n## {heading}\n")).unwrap();
        let section = section.split("\n## ").next().unwrap();
        section
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect()
    }

    #[pg_test]
    fn reference_lists_the_errors_that_error_codes_returns() {
        let in_code = text(
            "select string_agg(format('| `%s` | %s | %s | %s |', code, sqlstate, http_status, meaning), E'\n')
             from kronos.error_codes()",
        );
        assert_eq!(table("Errors"), in_code.split('\n').collect::<Vec<_>>());
    }

    /// The columns of an example are rule, cron, time zone (optional), after, and ticks.
    #[pg_test]
    fn examples_in_time_md_match_next_ticks() {
        let examples = TIME.lines().filter_map(|line| {
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

    /// The reference has one argument a line, and omits the casts of default values.
    #[pg_test]
    fn reference_has_every_function_with_its_arguments() {
        let signatures = REFERENCE
            .replace("(\n    ", "(")
            .replace(",\n    ", ", ")
            .replace("\n)", ")");
        let in_code = text(
            "select string_agg(format('kronos.%s(%s)', proname, regexp_replace(
                 replace(pg_get_function_arguments(oid), 'timestamp with time zone', 'timestamptz'),
                 '::[a-z]+(\\[\\])?', '', 'g')), E'\n')
             from pg_proc where pronamespace = 'kronos'::regnamespace",
        );
        for signature in in_code.split('\n') {
            assert!(signatures.contains(signature), "{signature}");
        }
    }

    #[pg_test]
    fn reference_has_no_other_functions() {
        let names = "select string_agg(proname, E'\n') from pg_proc where pronamespace = 'kronos'::regnamespace";
        let in_code = text(names);
        let in_code: BTreeSet<&str> = in_code.split('\n').collect();
        let headings = REFERENCE
            .lines()
            .filter_map(|line| line.strip_prefix("### "));
        for heading in headings.filter(|heading| !heading.starts_with("kronos.")) {
            assert!(in_code.contains(heading), "{heading}");
        }
    }

    #[pg_test]
    fn reference_has_every_view() {
        let views = text(
            "select string_agg(relname, ' ') from pg_class where relnamespace = 'kronos'::regnamespace and relkind = 'v'",
        );
        for view in views.split(' ') {
            let heading = format!("\n### kronos.{view}\n");
            assert!(REFERENCE.contains(&heading), "{view}");
        }
    }

    #[pg_test]
    fn every_function_view_and_type_has_a_comment() {
        let without_comment = text(
            "select string_agg(kind || ' ' || name, ', ')
             from (select 'function', oid::regprocedure::text, obj_description(oid, 'pg_proc')
                   from pg_proc where pronamespace = 'kronos'::regnamespace
                   union all
                   select 'view', oid::regclass::text, obj_description(oid, 'pg_class')
                   from pg_class where relnamespace = 'kronos'::regnamespace and relkind = 'v'
                   union all
                   select 'type', t.oid::regtype::text, obj_description(t.oid, 'pg_type')
                   from pg_type t join pg_class c on c.oid = t.typrelid
                   where t.typnamespace = 'kronos'::regnamespace and c.relkind = 'c'
                   union all
                   select 'schema', nspname, obj_description(oid, 'pg_namespace')
                   from pg_namespace where nspname in ('kronos', 'kronos_internal')) o (kind, name, comment)
             where comment is null",
        );
        assert_eq!(without_comment, "null");
    }

    /// Comments end with lists such as `Errors: NULL_ARGUMENT (22004), JOB_RETIRED, JOB_PAUSED (55000)`.
    #[pg_test]
    fn errors_in_comments_have_their_sqlstates() {
        let stated = "select proname, code, found[2] as sqlstate
                      from pg_proc
                      cross join regexp_matches(obj_description(oid, 'pg_proc'),
                                                '([A-Z][A-Z_]+(?:, [A-Z][A-Z_]+)*) \\(([0-9A-Z]{5})[);]', 'g') found
                      cross join unnest(string_to_array(found[1], ', ')) code
                      where pronamespace = 'kronos'::regnamespace";
        assert!(count(&format!("select count(*) from ({stated}) s")) > 100);
        let wrong = text(&format!(
            "select string_agg(format('%s: %s %s', proname, code, sqlstate), ', ') from ({stated}) s
             where (code, sqlstate) not in (select code, sqlstate from kronos.error_codes())"
        ));
        assert_eq!(wrong, "null");
    }

    #[pg_test]
    fn public_can_neither_name_nor_write_anything_of_kronos() {
        let relations = "select count(*) from pg_class
                         where relnamespace in ('kronos'::regnamespace, 'kronos_internal'::regnamespace)
                           and relkind in ('r', 'v')
                           and has_table_privilege('public', oid, 'insert, update, delete, truncate')";
        assert_eq!(count(relations), 0);
        let schemas = "select count(*) from pg_namespace
                       where nspname in ('kronos', 'kronos_internal') and has_schema_privilege('public', oid, 'usage, create')";
        assert_eq!(count(schemas), 0);
        let definers = "select count(*) from pg_proc
                        where pronamespace in ('kronos'::regnamespace, 'kronos_internal'::regnamespace) and prosecdef";
        assert_eq!(count(definers), 0, "functions authorise the effective user");
        // These run no SQL, or only as their own body, which PostgreSQL has parsed at CREATE.
        let without_path = "select string_agg(proname, ' ' order by proname) from pg_proc
                            where pronamespace = 'kronos'::regnamespace and prokind = 'f'
                              and not coalesce('search_path=pg_catalog, pg_temp' = any (proconfig), false)";
        assert_eq!(
            text(without_path),
            "describe_schedule error_codes next_ticks retry_delay uuid_v7 uuid_v7_at"
        );
        let unprotected = "select coalesce(string_agg(relname, ', '), '') from pg_class
                           where relnamespace = 'kronos_internal'::regnamespace and relkind = 'r' and not relrowsecurity";
        assert_eq!(text(unprotected), "");
        let definer_views = "select coalesce(string_agg(relname, ', '), '') from pg_class
                             where relnamespace = 'kronos'::regnamespace and relkind = 'v'
                               and not coalesce('security_invoker=true' = any (reloptions), false)";
        assert_eq!(text(definer_views), "");
    }
}
