//! A standby refuses calls that write with PostgreSQL's own error, and ticks once it is promoted.

use crate::domain::*;
use postgres::error::SqlState;

#[test]
fn standby_refuses_calls_that_write_and_ticks_after_its_promotion() {
    let (server, mut session, job_id) = server_with_job();
    make_yearly_due(&mut session);
    drop(session);
    server.restart_as_standby();
    let mut session = server.session();
    for call in [
        "call kronos.tick()",
        "call kronos.upkeep()",
        "select kronos.run_due()",
        "select kronos.enqueue('hook', workspace => 'acme')",
    ] {
        let error = session.batch_execute(call).unwrap_err();
        let code = SqlState::READ_ONLY_SQL_TRANSACTION;
        assert_eq!(*db_error(&error).code(), code, "{call}: {error}");
    }
    assert_eq!(ticks(&mut session, "RUN"), 0);

    session.batch_execute("select pg_promote()").unwrap();
    tick(&mut session);
    assert_eq!(outcomes(&mut session, job_id), ["RUN"]);
    assert_sound(&mut session);
}
