//! Payload specs: a session can be stopped whatever a check costs, and a deleted payload spec gets no endpoints.

use crate::domain::{assert_code, backend_pid, create_acme, is_waiting};
use crate::server::{Server, wait_for};
use postgres::Client;
use serde_json::{Value, json};
use std::thread;

/// Creates workspace `acme` with endpoint `costly`, whose payload spec takes many steps for each item of [`input`].
fn create_costly_endpoint(session: &mut Client) {
    create_acme(session);
    let constants: Vec<Value> = (0..900).map(|n| json!({ "const": n })).collect();
    let schema = json!({"items": {"anyOf": constants}});
    session
        .execute(
            "select kronos.create_payload_spec('costly', $1, workspace => 'acme')",
            &[&schema],
        )
        .unwrap();
    session
        .batch_execute("select kronos.create_endpoint('costly', 'HTTP', payload_spec => 'costly', workspace => 'acme')")
        .unwrap();
}

fn input() -> Value {
    (0..8000).map(|_| json!(899)).collect()
}

/// Enqueues inputs in an endless loop.
const ENQUEUE_FOR_EVER: &str = "
do $$
declare input jsonb := current_setting('test.input');
begin
    loop perform kronos.enqueue('costly', input, workspace => 'acme'); end loop;
end $$";

/// Sets the input of [`ENQUEUE_FOR_EVER`].
fn set_input(session: &mut Client) {
    session
        .execute(
            "select set_config('test.input', $1, false)",
            &[&input().to_string()],
        )
        .unwrap();
}

#[test]
fn check_of_an_input_ends_at_statement_timeout() {
    let server = Server::start();
    let mut session = server.session();
    create_costly_endpoint(&mut session);
    set_input(&mut session);
    // Much shorter than one check, which takes some 30 million steps.
    session
        .batch_execute("set statement_timeout = '30ms'")
        .unwrap();
    let error = session.batch_execute(ENQUEUE_FOR_EVER).unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014", "{error}");
    session.batch_execute("reset statement_timeout").unwrap();
    session
        .execute(
            "select kronos.enqueue('costly', $1, workspace => 'acme')",
            &[&json!([899])],
        )
        .unwrap();
}

#[test]
fn check_of_an_input_ends_when_it_is_cancelled_or_terminated() {
    let server = Server::start();
    let mut session = server.session();
    create_costly_endpoint(&mut session);
    for (stop, sqlstate) in [
        ("pg_cancel_backend", Some("57014")),
        ("pg_terminate_backend", None),
    ] {
        let mut busy = server.session();
        set_input(&mut busy);
        let pid = backend_pid(&mut busy);
        let stopped = thread::spawn(move || busy.batch_execute(ENQUEUE_FOR_EVER).unwrap_err());
        wait_for("the session to be busy", || {
            session
                .query_one(
                    "select state = 'active' from pg_stat_activity where pid = $1",
                    &[&pid],
                )
                .unwrap()
                .get(0)
        });
        session
            .execute(&format!("select {stop}($1)"), &[&pid])
            .unwrap();
        let error = stopped.join().unwrap();
        if let Some(sqlstate) = sqlstate {
            assert_eq!(error.code().unwrap().code(), sqlstate, "{error}");
        }
        wait_for("the session to be idle or gone", || {
            let statement =
                "select count(*) from pg_stat_activity where pid = $1 and state = 'active'";
            session
                .query_one(statement, &[&pid])
                .unwrap()
                .get::<_, i64>(0)
                == 0
        });
    }
}

/// Without bounds on schemas, creating these crashed or hung the server.
#[test]
fn schemas_that_crashed_the_server_are_refused() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    for (length, link) in [
        (
            700,
            json!({"allOf": [{"$ref": "next"}], "unevaluatedProperties": false}),
        ),
        (
            60,
            json!({"allOf": [{"$ref": "next"}, {"anyOf": [{"$ref": "next"}]}]}),
        ),
        (
            18,
            json!({"allOf": [{"$ref": "next"}, {"anyOf": [{"$ref": "next"}]}], "unevaluatedProperties": false}),
        ),
        (
            16,
            json!({"oneOf": [{"$ref": "next"}, {"$ref": "next"}, {"$ref": "next"}]}),
        ),
    ] {
        let definitions: serde_json::Map<String, Value> = (0..length)
            .map(|n| {
                let next = format!("#/$defs/a{}", n + 1);
                let link = link.to_string().replace("next", &next);
                (format!("a{n}"), serde_json::from_str(&link).unwrap())
            })
            .chain([(format!("a{length}"), json!({"type": "string"}))])
            .collect();
        let schema = json!({"$ref": "#/$defs/a0", "$defs": definitions});
        let error = session
            .execute(
                "select kronos.create_payload_spec('p', $1, workspace => 'acme')",
                &[&schema],
            )
            .unwrap_err();
        let detail = error
            .as_db_error()
            .expect("an error of the server")
            .detail();
        assert!(detail.unwrap().contains("INVALID_PAYLOAD_SPEC"), "{error}");
    }
    session.batch_execute("select 1").unwrap();
}

#[test]
fn endpoint_of_a_payload_spec_that_is_being_deleted_is_refused() {
    let server = Server::start();
    let mut session = server.session();
    create_acme(&mut session);
    let create = "select kronos.create_payload_spec('spec', 'true', workspace => 'acme')";
    for call in [
        "select kronos.create_endpoint('new', 'HTTP', payload_spec => 'spec', workspace => 'acme')",
        "select kronos.update_endpoint('hook', payload_spec => 'spec', workspace => 'acme')",
    ] {
        session.batch_execute(create).unwrap();
        let mut writing = server.session();
        let pid = backend_pid(&mut writing);
        let mut deleting = server.session();
        deleting
            .batch_execute("begin; select kronos.delete_payload_spec('spec', workspace => 'acme')")
            .unwrap();
        let written = thread::spawn(move || writing.batch_execute(call));
        wait_for("the call to wait for the delete", || {
            is_waiting(&mut session, pid)
        });
        deleting.batch_execute("commit").unwrap();
        assert_code(written.join().unwrap(), "PAYLOAD_SPEC_NOT_FOUND");
    }
}
