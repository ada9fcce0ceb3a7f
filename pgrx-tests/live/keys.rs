//! Keys of one-shots: a key names an execution of its workspace while the execution is unfinished.

use crate::domain::*;
use crate::server::{Server, wait_for};
use postgres::{Client, Error, GenericClient};
use std::thread;
use uuid::Uuid;

fn server_with_acme() -> (Server, Client) {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    (server, session)
}

/// Enqueues on `hook` with key `k` and more arguments, and returns the id and `created`.
fn try_put(session: &mut impl GenericClient, arguments: &str) -> Result<(Uuid, bool), Error> {
    let statement = format!(
        "select execution_id, created from kronos.enqueue('hook', key => 'k', workspace => 'acme'{arguments})"
    );
    let row = session.query_one(&statement, &[])?;
    Ok((row.get(0), row.get(1)))
}

fn put(session: &mut impl GenericClient, arguments: &str) -> (Uuid, bool) {
    try_put(session, arguments).unwrap()
}

/// What a user sees of the only unfinished execution with key `k`.
fn shown(session: &mut impl GenericClient) -> String {
    let statement = "select concat_ws(' ', endpoint, status, priority, input, metadata, failed_attempts, run_at > now())
                     from kronos.execution_details where key = 'k' and finished_at is null";
    session.query_one(statement, &[]).unwrap().get(0)
}

const REPLACE: &str = ", on_conflict => 'replace'";
const ERROR: &str = ", on_conflict => 'error'";

#[test]
fn keep_returns_the_unfinished_execution_and_changes_nothing() {
    let (_server, mut session) = server_with_acme();
    let (first, created) = put(&mut session, ", input => '1', metadata => '{\"a\": 1}'");
    assert!(created);
    let before = shown(&mut session);
    let again = put(
        &mut session,
        ", input => '2', priority => 0, run_at => now() + interval '1 day'",
    );
    assert_eq!(again, (first, false));
    assert_eq!(shown(&mut session), before);
    let held = claim(&mut session, "w", 1)[0];
    assert_eq!(put(&mut session, ""), (first, false), "while it runs");
    complete(&mut session, "w", held).unwrap();
}

#[test]
fn replace_changes_a_waiting_execution_in_place() {
    let (_server, mut session) = server_with_acme();
    session
        .batch_execute("select kronos.create_endpoint('bus', 'KAFKA', workspace => 'acme')")
        .unwrap();
    let (first, _) = put(&mut session, "");
    let later = put(
        &mut session,
        ", input => '2', priority => 0, run_at => now() + interval '1 day', metadata => '{\"a\": 1}', on_conflict => 'replace'",
    );
    assert_eq!(later, (first, false));
    assert_eq!(shown(&mut session), "hook PENDING 0 2 {\"a\": 1} 0 t");
    let moved = "select execution_id from kronos.enqueue('bus', '3', key => 'k', on_conflict => 'replace', workspace => 'acme')";
    assert_eq!(
        session.query_one(moved, &[]).unwrap().get::<_, Uuid>(0),
        first
    );
    assert_eq!(shown(&mut session), "bus QUEUED 5 3 {} 0 f");
    let claimed = "select count(*) from kronos.claim_executions('w', endpoint_types => '{KAFKA}', workspace => 'acme')
                   where input = '3'";
    assert_eq!(count(&mut session, claimed), 1);
    assert_sound(&mut session);
}

#[test]
fn replaced_execution_that_was_retrying_has_all_its_attempts_again() {
    let (_server, mut session) = server_with_acme();
    session
        .batch_execute(
            "select kronos.update_endpoint('hook', retry_policy => '{\"max_attempts\": 2, \"initial_delay_ms\": 2592000000}',
                                           workspace => 'acme')",
        )
        .unwrap();
    let (first, _) = put(&mut session, "");
    let held = claim(&mut session, "w", 1)[0];
    assert_eq!(fail(&mut session, "w", held).unwrap(), "RETRYING");
    assert_eq!(put(&mut session, REPLACE), (first, false));
    assert_eq!(shown(&mut session), "hook QUEUED 5 {} {} 0 f");
    // Attempts keep counting, so that the previous holder stays fenced off.
    let held = claim(&mut session, "w", 1)[0];
    assert_eq!(held, (first, 2));
    assert_eq!(fail(&mut session, "w", held).unwrap(), "RETRYING");
    assert_sound(&mut session);
}

#[test]
fn running_execution_is_not_replaced_and_error_refuses_every_unfinished_one() {
    let (_server, mut session) = server_with_acme();
    let (first, _) = put(&mut session, "");
    let error = try_put(&mut session, ERROR).unwrap_err();
    let detail = db_error(&error).detail().unwrap().to_owned();
    assert!(
        detail.contains(&first.to_string()) && detail.contains("QUEUED"),
        "{detail}"
    );
    assert_code::<()>(Err(error), "KEY_IN_USE");
    let held = claim(&mut session, "w", 1)[0];
    let before = shown(&mut session);
    for rule in [REPLACE, ERROR] {
        assert_eq!(
            assert_code(try_put(&mut session, rule), "KEY_IN_USE"),
            "23505"
        );
    }
    assert_eq!(shown(&mut session), before);
    complete(&mut session, "w", held).unwrap();
    assert!(put(&mut session, ERROR).1, "the key is free");
}

#[test]
fn key_is_free_once_its_execution_has_completed_failed_or_been_cancelled() {
    let (_server, mut session) = server_with_acme();
    type End = fn(&mut Client, Uuid);
    let ends: [(&str, End); 4] = [
        ("SUCCEEDED", |session, _| {
            let held = claim(session, "w", 1)[0];
            complete(session, "w", held).unwrap();
        }),
        ("SUCCEEDED", |session, _| {
            let list = list_of(&claim(session, "w", 1));
            let complete = "select kronos.complete_executions('w', $1)";
            session.query_one(complete, &[&list]).unwrap();
        }),
        ("FAILED", |session, _| {
            let (execution_id, attempt) = claim(session, "w", 1)[0];
            let fail = "select kronos.fail_execution($1, $2, 'w', 'no', retryable => false)";
            session.query_one(fail, &[&execution_id, &attempt]).unwrap();
        }),
        ("CANCELLED", |session, execution_id| {
            let cancel = "select kronos.cancel_execution($1, workspace => 'acme')";
            session.query_one(cancel, &[&execution_id]).unwrap();
        }),
    ];
    for (status, end) in ends {
        let (execution_id, created) = put(&mut session, "");
        assert!(created, "before {status}");
        end(&mut session, execution_id);
        let kept =
            "select status || ' ' || key from kronos.execution_details where execution_id = $1";
        let kept: String = session.query_one(kept, &[&execution_id]).unwrap().get(0);
        assert_eq!(kept, format!("{status} k"), "history keeps the key");
    }
}

#[test]
fn same_key_in_another_workspace_is_another_key() {
    let (server, mut session) = server_with_acme();
    create_workspace(&mut session, "other");
    let mut open = session.transaction().unwrap();
    put(&mut open, "");
    assert_does_not_wait(
        &server,
        "select kronos.enqueue('hook', key => 'k', on_conflict => 'error', workspace => 'other')",
    );
    open.commit().unwrap();
    assert_eq!(executions(&mut session), 2);
}

#[test]
fn request_waits_for_the_key_of_an_open_transaction_and_then_follows_its_rule() {
    let (server, mut session) = server_with_acme();
    for rule in ["", REPLACE, ERROR] {
        for first_commits in [true, false] {
            let mut first = session.transaction().unwrap();
            let (first_id, _) = put(&mut first, "");
            let mut other = server.session();
            let pid = backend_pid(&mut other);
            let later = thread::spawn(move || try_put(&mut other, rule));
            wait_for("the other session to wait for the key", || {
                is_waiting(&mut server.session(), pid)
            });
            if first_commits {
                first.commit().unwrap();
            } else {
                first.rollback().unwrap();
            }
            let later = later.join().unwrap();
            match (first_commits, rule) {
                (true, ERROR) => drop(assert_code(later, "KEY_IN_USE")),
                (true, _) => assert_eq!(later.unwrap(), (first_id, false)),
                (false, _) => assert!(later.unwrap().1),
            }
            assert_eq!(executions(&mut session), 1);
            delete_unfinished(&mut session);
        }
    }
}

#[test]
fn request_with_a_stale_snapshot_fails_with_40001() {
    let (server, mut session) = server_with_acme();
    let mut stale = server.session();
    for level in ["repeatable read", "serializable"] {
        for rule in ["", REPLACE, ERROR] {
            stale
                .batch_execute(&format!(
                    "begin isolation level {level}; select count(*) from kronos.jobs"
                ))
                .unwrap();
            put(&mut session, "");
            let error = try_put(&mut stale, rule).unwrap_err();
            assert_eq!(db_error(&error).code().code(), "40001", "{level}{rule}");
            stale.batch_execute("rollback").unwrap();
            delete_unfinished(&mut session);
        }
    }
}

#[test]
fn idempotency_key_is_looked_up_before_the_key() {
    let (_server, mut session) = server_with_acme();
    let first = put(&mut session, ", input => '1', idempotency_key => 'i'").0;
    put(&mut session, ", input => '2', on_conflict => 'replace'");
    // What another request has replaced is no conflict, and a repeated request replaces nothing.
    let repeated = ", input => '1', idempotency_key => 'i', on_conflict => 'replace'";
    assert_eq!(put(&mut session, repeated), (first, false));
    assert_eq!(shown(&mut session), "hook QUEUED 5 2 {} 0 f");
    let other_key =
        "select kronos.enqueue('hook', key => 'x', idempotency_key => 'i', workspace => 'acme')";
    assert_code(session.query_one(other_key, &[]), "IDEMPOTENCY_CONFLICT");
    // A request that was answered with the execution of another one gets it again when it has finished.
    assert_eq!(
        put(&mut session, ", idempotency_key => 'j'"),
        (first, false)
    );
    let held = claim(&mut session, "w", 1)[0];
    complete(&mut session, "w", held).unwrap();
    assert_eq!(
        put(&mut session, ", idempotency_key => 'j'"),
        (first, false)
    );
    assert!(put(&mut session, ", idempotency_key => 'l'").1);
}

#[test]
fn elements_of_a_list_with_one_key_follow_each_other_by_their_rules() {
    let (_server, mut session) = server_with_acme();
    let list = |session: &mut Client, elements: &str| -> Result<Vec<bool>, Error> {
        let elements = elements
            .replace('<', "{\"endpoint\": \"hook\", \"key\": ")
            .replace('>', "}");
        let call = "select created from kronos.enqueue_many($1::text::jsonb, workspace => 'acme')";
        Ok(session
            .query(call, &[&elements])?
            .iter()
            .map(|row| row.get(0))
            .collect())
    };
    let created = list(
        &mut session,
        r#"[<"k", "input": 1>, <"b", "idempotency_key": "i">, {"endpoint": "hook"}, <"k", "input": 2, "on_conflict": "replace">,
            <"k", "input": 3, "idempotency_key": "j">, <"k", "input": 4, "idempotency_key": "j">]"#,
    );
    assert_eq!(created.unwrap(), [true, true, true, false, false, false]);
    assert_eq!(shown(&mut session), "hook QUEUED 5 2 {} 0 f");
    assert_eq!(executions(&mut session), 3);
    let refused = list(&mut session, r#"[<"c">, <"k", "on_conflict": "error">]"#);
    let error = refused.unwrap_err();
    assert!(db_error(&error).detail().unwrap().contains("\"place\":1"));
    assert_code::<()>(Err(error), "KEY_IN_USE");
    assert_eq!(executions(&mut session), 3, "all or none");
}

#[test]
fn replacement_must_satisfy_the_payload_spec_of_its_endpoint() {
    let (_server, mut session) = server_with_acme();
    session
        .batch_execute(
            "select kronos.create_payload_spec('number', '{\"type\": \"integer\"}', workspace => 'acme');
             select kronos.create_endpoint('numbers', 'HTTP', payload_spec => 'number', workspace => 'acme')",
        )
        .unwrap();
    put(&mut session, ", input => '\"x\"'");
    let replace = |input: &str| {
        format!(
            "select kronos.enqueue('numbers', '{input}', key => 'k', on_conflict => 'replace', workspace => 'acme')"
        )
    };
    assert_code(session.batch_execute(&replace("\"y\"")), "INVALID_INPUT");
    assert_eq!(shown(&mut session), "hook QUEUED 5 \"x\" {} 0 f");
    session.batch_execute(&replace("7")).unwrap();
    assert_eq!(shown(&mut session), "numbers QUEUED 5 7 {} 0 f");
}
