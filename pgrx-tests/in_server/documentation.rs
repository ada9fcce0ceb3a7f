#[pgrx::pg_schema]
mod tests {
    use crate::error;
    use crate::in_server::{count, text};
    use crate::sql;
    use pgrx::prelude::*;

    const README: &str = include_str!("../../README.md");

    #[pg_test]
    fn readme_has_every_error_as_the_code_has_it() {
        let in_readme: Vec<&str> = README
            .lines()
            .filter(|line| line.starts_with("| `") && line.matches('|').count() == 5)
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

    #[pg_test]
    fn every_function_of_kronos_is_described_in_sql_and_in_the_readme() {
        let undescribed = text(
            "select string_agg(proname, ', ') from pg_proc
             where pronamespace = 'kronos'::regnamespace and obj_description(oid, 'pg_proc') is null",
        );
        assert_eq!(undescribed, "null");
        let names = text(
            "select string_agg(proname, ' ') from pg_proc where pronamespace = 'kronos'::regnamespace",
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
