#[pgrx::pg_schema]
mod tests {
    use crate::in_server::{assert_code, run, text};
    use pgrx::prelude::*;

    #[pg_test]
    fn create_of_an_existing_workspace_fails_or_returns_it_unchanged() {
        assert_eq!(
            text(
                "select workspace || ' ' || execution_retention from kronos.create_workspace('acme')"
            ),
            "acme 30 days"
        );
        assert_code("select kronos.create_workspace('acme')", "WORKSPACE_EXISTS");
        run("select kronos.set_retention('2 days', workspace => 'acme')");
        assert_eq!(
            text(
                "select execution_retention::text from kronos.create_workspace('acme', if_not_exists => true)"
            ),
            "2 days"
        );
        assert_eq!(
            text("select workspace from kronos.get_workspace('acme')"),
            "acme"
        );
        assert_code("select kronos.get_workspace('none')", "WORKSPACE_NOT_FOUND");
        assert_code("select kronos.create_workspace('')", "INVALID_ARGUMENT");
        assert_code("select kronos.create_workspace(null)", "NULL_ARGUMENT");
    }

    #[pg_test]
    fn workspaces_are_listed_in_pages() {
        for name in ["a", "b", "c"] {
            run(&format!("select kronos.create_workspace('{name}')"));
        }
        let names = "string_agg(workspace, ' ' order by workspace_id desc)";
        assert_eq!(
            text(&format!("select {names} from kronos.list_workspaces(2)")),
            "c b"
        );
        assert_eq!(
            text(&format!(
                "select {names} from kronos.list_workspaces(2, (select workspace_id from kronos.get_workspace('b')))"
            )),
            "a"
        );
        assert_code("select kronos.list_workspaces(0)", "INVALID_ARGUMENT");
    }

    #[pg_test]
    fn default_workspace_is_created_by_the_first_call_that_needs_it() {
        assert_code("select kronos.get_endpoint('hook')", "WORKSPACE_NOT_FOUND");
        assert_eq!(
            text("select workspace from kronos.create_endpoint('hook', 'HTTP')"),
            "default"
        );
        run("set local kronos.workspace = 'none'");
        assert_code(
            "select kronos.create_endpoint('hook', 'HTTP')",
            "WORKSPACE_NOT_FOUND",
        );
    }

    /// If stored as given, a very long retention or one with mixed signs would make prune() fail for all workspaces.
    #[pg_test]
    fn retention_is_a_bounded_duration() {
        run("select kronos.create_workspace('acme')");
        run("set local kronos.workspace = 'acme'");
        assert_eq!(
            text(
                "select execution_retention || ' ' || job_retention from kronos.set_retention(job_retention => '1 month 1 hour')"
            ),
            "30 days 30 days 01:00:00"
        );
        run("select kronos.set_retention('10000 years', '170000000 years')");
        assert_eq!(
            text(
                "select (now() - execution_retention < now() and now() - job_retention < now())::text from kronos.get_workspace('acme')"
            ),
            "true"
        );
        for retention in [
            "23 hours",
            "0",
            "-1 day",
            "-70000000 months 2100000360 days",
        ] {
            for argument in ["execution_retention", "job_retention"] {
                assert_code(
                    &format!("select kronos.set_retention({argument} => '{retention}')"),
                    "INVALID_ARGUMENT",
                );
            }
        }
    }
}
