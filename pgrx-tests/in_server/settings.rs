#[pgrx::pg_schema]
mod tests {
    use crate::in_server::{error_of, run, text};
    use pgrx::prelude::*;

    #[pg_test]
    fn settings_are_validated_when_they_are_set() {
        for (statement, sqlstate) in [
            ("set kronos.workspace = ''", "22023"),
            (
                "select set_config('kronos.workspace', repeat('x', 201), true)",
                "22023",
            ),
            ("set kronos.enabled = 'maybe'", "22023"),
            ("set kronos.notify_workers = 2", "22023"),
            ("set kronos.workspaces = 'acme'", "42602"),
        ] {
            assert_eq!(error_of(statement).sqlstate, sqlstate, "{statement}");
        }
        run("select set_config('kronos.workspace', repeat('ä', 200), true)");
        assert_eq!(text("show kronos.max_entries"), "32");
    }
}
