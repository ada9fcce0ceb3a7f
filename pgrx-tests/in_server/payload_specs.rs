//! Payload specs: which schemas and inputs are refused, and how the cost of a check is bounded.

#[pgrx::pg_schema]
mod tests {
    use crate::authority::{Capability, authorise};
    use crate::endpoint;
    use crate::endpoint::counted::Counter;
    use crate::endpoint::meter::{self, Stop};
    use crate::endpoint::validator::MAX_STEPS;
    use crate::endpoint::{schema_bounds, validator};
    use crate::in_server::{RaisedError, assert_code, count, create, create_acme, run, text};
    use crate::sql::{self, Jsonb};
    use pgrx::prelude::*;
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    use serde_json::{Map, Value, json};
    use std::cell::Cell;

    /// The call that creates payload spec `p`.
    fn creation_call(schema: &Value) -> String {
        let schema = schema.to_string().replace('\'', "''");
        format!("select kronos.create_payload_spec('p', '{schema}')")
    }

    /// Creates workspace `acme` with endpoint `e`, whose payload spec `p` has the schema.
    fn create_endpoint_with_schema(schema: &Value) {
        create_acme();
        run(&creation_call(schema));
        run("select kronos.create_endpoint('e', 'HTTP', payload_spec => 'p')");
    }

    /// Checks an input for an endpoint, as the calls that store an input do.
    fn check_text(endpoint: &str, input: &str) -> Result<(), RaisedError> {
        let checked = sql::in_subtransaction(|| {
            authorise(None, Capability::Producer, |workspace| {
                let input = sql::row("select $1::jsonb as input", &[input.into()], |row| {
                    // The datum must outlive the statement.
                    let input: Jsonb = sql::get(row, "input")?;
                    endpoint::find(workspace, endpoint)?.check_input(input)
                });
                input.map(|_| ())
            })
        });
        checked.map_err(|failure| RaisedError {
            sqlstate: failure.sqlstate(),
            message: failure.report.message().to_owned(),
            detail: failure
                .report
                .detail()
                .map(|detail| serde_json::from_str(detail).expect("DETAIL is JSON"))
                .unwrap_or_default(),
        })
    }

    /// Checks an input for endpoint `e`.
    fn check(input: &Value) -> Result<(), RaisedError> {
        check_text("e", &input.to_string())
    }

    /// Asserts that endpoint `e` refuses the input, and returns the error.
    fn assert_invalid_input(input: &Value) -> RaisedError {
        let error = check(input).expect_err("the input is refused");
        assert_eq!(error.detail["code"], "INVALID_INPUT", "{}", error.message);
        error
    }

    /// The paths of the violations, sorted.
    fn paths(error: &RaisedError) -> Vec<&str> {
        let violations = error.detail["violations"].as_array().unwrap();
        let mut paths: Vec<&str> = violations
            .iter()
            .map(|violation| violation["path"].as_str().unwrap())
            .collect();
        paths.sort_unstable();
        paths
    }

    /// A schema whose root refers to definition a0. Each definition up to a{length} is built by `link` from a reference
    /// to the next one; the last is `leaf`.
    fn chain(length: usize, link: impl Fn(Value) -> Value, leaf: Value) -> Value {
        let mut definitions = Map::new();
        for index in 0..length {
            let next = json!({ "$ref": format!("#/$defs/a{}", index + 1) });
            definitions.insert(format!("a{index}"), link(next));
        }
        definitions.insert(format!("a{length}"), leaf);
        json!({ "$ref": "#/$defs/a0", "$defs": definitions })
    }

    /// Asserts that neither a create nor an update accepts the schema.
    fn assert_refused(schema: &Value, reason: &str) {
        for call in [
            creation_call(schema),
            creation_call(schema).replace("create_payload_spec", "update_payload_spec"),
        ] {
            let error = assert_code(&call, "INVALID_PAYLOAD_SPEC");
            assert!(error.message.contains(reason), "{}", error.message);
            assert!(error.detail["violations"][0]["message"].is_string());
        }
    }

    #[pg_test]
    fn payload_spec_can_be_created_updated_listed_and_deleted() {
        create_acme();
        run("select kronos.create_payload_spec('p', '{\"type\": \"object\"}')");
        assert_code(
            "select kronos.create_payload_spec('p', 'true')",
            "PAYLOAD_SPEC_EXISTS",
        );
        assert_eq!(
            text(
                "select schema::text from kronos.create_payload_spec('p', 'true', if_not_exists => true)"
            ),
            "{\"type\": \"object\"}"
        );
        assert_eq!(
            text("select schema::text from kronos.update_payload_spec('p', 'true')"),
            "true"
        );
        run("select kronos.create_payload_spec('q', 'true')");
        assert_eq!(
            text("select string_agg(payload_spec, ' ') from kronos.list_payload_specs()"),
            "q p"
        );
        run("select kronos.create_endpoint('e', 'HTTP', payload_spec => 'p')");
        assert_code(
            "select kronos.delete_payload_spec('p')",
            "PAYLOAD_SPEC_IN_USE",
        );
        run("select kronos.delete_endpoint('e')");
        run("select kronos.delete_payload_spec('p')");
        for call in [
            "get_payload_spec('p')",
            "delete_payload_spec('p')",
            "update_payload_spec('p', 'true')",
        ] {
            assert_code(&format!("select kronos.{call}"), "PAYLOAD_SPEC_NOT_FOUND");
        }
        assert_eq!(count("select count(*) from kronos.list_payload_specs()"), 1);
    }

    #[pg_test]
    fn error_of_an_invalid_schema_names_the_path() {
        create_acme();
        for (schema, path) in [
            (json!({"type": "objekt"}), "/type"),
            (
                json!({"properties": {"a": {"minimum": "0"}}}),
                "/properties/a/minimum",
            ),
            (json!("no"), ""),
            (json!({"$ref": "https://example.com/schema.json"}), "/$ref"),
            (json!({"$ref": "file:///etc/passwd"}), "/$ref"),
            (json!({"$ref": "#/$defs/none"}), "/$ref"),
            (json!({"$ref": "#none"}), "/$ref"),
            (
                json!({"$ref": "#/enum/0", "enum": [{"$ref": "#"}]}),
                "/$ref",
            ),
            (
                json!({"items": {"$id": "other", "$ref": "#"}}),
                "/items/$id",
            ),
            (json!({"$recursiveRef": "#"}), "/$recursiveRef"),
        ] {
            let error = assert_code(&creation_call(&schema), "INVALID_PAYLOAD_SPEC");
            assert_eq!(error.detail["violations"][0]["path"], path, "{schema}");
        }
        for schema in [
            json!({"pattern": "(?=look)around"}),
            json!({"pattern": "(back)\\1"}),
            json!({"pattern": "(unclosed"}),
        ] {
            assert_code(&creation_call(&schema), "INVALID_PAYLOAD_SPEC");
        }
        let error = assert_code(
            &creation_call(&json!({"title": "x".repeat(70_000)})),
            "VALUE_TOO_LARGE",
        );
        assert_eq!(error.detail["argument"], "schema");
    }

    /// Without the bound, 800 links took 6 s, and 1,600 overflowed the stack and ended every session of the server.
    #[pg_test]
    fn long_chain_of_references_is_refused() {
        create_acme();
        let link = |next| json!({"allOf": [next], "unevaluatedProperties": false});
        for length in [33, 400, 700] {
            assert_refused(
                &chain(length, link, json!({})),
                "chain of more than 32 references",
            );
        }
        let plain = chain(1600, |next| next, json!({}));
        assert_refused(&plain, "chain of more than 32 references");
        let unused = plain["$defs"].clone();
        assert_refused(
            &json!({ "$defs": unused }),
            "chain of more than 32 references",
        );
        run(&creation_call(&chain(30, link, json!({}))));
    }

    /// Without the bound, 29 definitions took 10 s, and 60 ran until the backend was killed.
    #[pg_test]
    fn definitions_that_expand_to_too_many_subschemas_are_refused() {
        create_acme();
        let twice = |next: Value| json!({"allOf": [next.clone(), {"anyOf": [next]}]});
        for length in [8, 29, 31] {
            assert_refused(
                &chain(length, twice, json!({"type": "string"})),
                "more than 1000 subschemas",
            );
        }
        assert_refused(
            &chain(60, twice, json!({"type": "string"})),
            "chain of more than 32 references",
        );
        let unevaluated = |next: Value| json!({"allOf": [next.clone(), {"anyOf": [next]}], "unevaluatedProperties": false});
        assert_refused(&chain(5, unevaluated, json!({})), "at most 100 are allowed");
        let flat: Vec<Value> = (0..1000).map(|_| json!({})).collect();
        assert_refused(&json!({ "anyOf": flat }), "more than 1000 subschemas");
    }

    /// Without the check, the work doubled with each level of the input; 30 levels took 23.5 GB.
    #[pg_test]
    fn recursive_schema_is_refused() {
        create_acme();
        let branch =
            json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["b"]});
        for schema in [
            json!({"anyOf": [branch, branch]}),
            json!({"$ref": "#"}),
            json!({"items": {"$ref": "#"}}),
            json!({"$dynamicAnchor": "node", "items": {"$dynamicRef": "#node"}}),
            json!({"$anchor": "node", "items": {"$ref": "#node"}}),
            json!({"items": {"$ref": "#/$defs/%61"}, "$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
            json!({"properties": {"a": {"items": {"$ref": "#/properties/a"}}}}),
            json!({"$ref": "#/x", "x": {"items": {"$ref": "#/x"}}}),
            json!({"$defs": {"unused": {"$ref": "#/$defs/unused"}}}),
        ] {
            assert_refused(&schema, "refers to itself");
        }
    }

    #[pg_test]
    fn deep_and_large_schemas_are_refused() {
        create_acme();
        let mut deep = json!({"type": "string"});
        for _ in 0..40 {
            deep = json!({"properties": {"a": deep}});
        }
        assert_refused(&deep, "nested deeper than 64 levels");
        let nested = |next: Value| (0..25).fold(next, |inner, _| json!({ "not": inner }));
        assert_refused(
            &chain(6, nested, json!({})),
            "nested deeper than 128 levels",
        );
        let number: Value = serde_json::from_str(&"9".repeat(500)).unwrap();
        assert_refused(&json!({ "minimum": number }), "more than 400 digits");
        let odd = json!({"const": {"$serde_json::private::Number": "1"}});
        assert_refused(&odd, "$serde_json::private::Number");
        // serde_json cannot read 200 levels.
        let deeper = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        assert_code(
            &format!("select kronos.create_payload_spec('p', '{{\"const\": {deeper}}}')"),
            "INVALID_PAYLOAD_SPEC",
        );
    }

    #[pg_test]
    fn every_violation_of_an_input_is_listed_by_path() {
        create_endpoint_with_schema(
            &json!({"type": "object", "required": ["id"], "additionalProperties": false,
            "properties": {"id": {"type": "integer"}, "lines": {"type": "array", "items": {"type": "string", "maxLength": 3}}}}),
        );
        let error =
            assert_invalid_input(&json!({"id": "x", "lines": ["ok", "too long", 5], "more": 1}));
        assert_eq!(paths(&error), ["", "/id", "/lines/1", "/lines/2"]);
        assert_eq!(error.detail["payload_spec"], "p");
        assert!(check(&json!({"id": 1})).is_ok());
        assert!(check_text("e", "{\"id\": 12345678901234567890}").is_ok());
        assert!(check_text("hook", "{\"anything\": 1}").is_ok());
    }

    #[pg_test]
    fn every_call_that_stores_an_input_checks_it() {
        create_endpoint_with_schema(&json!({"type": "object", "required": ["id"]}));
        for call in [
            "enqueue('e')",
            "enqueue('e', '{}', now() + interval '1 hour', idempotency_key => 'k')",
            "enqueue_many('[{\"endpoint\": \"e\", \"input\": {\"id\": 1}}, {\"endpoint\": \"e\", \"input\": {}}]')",
            "create_cron_job('e', '@daily')",
            "create_cron_jobs('[{\"endpoint\": \"e\", \"cron\": \"0 9 * * *\", \"input\": {}}]')",
            "apply_crontab('[{\"name\": \"j\", \"endpoint\": \"e\", \"cron\": \"0 9 * * *\", \"input\": {}}]')",
        ] {
            let error = assert_code(&format!("select kronos.{call}"), "INVALID_INPUT");
            assert_eq!(error.detail["payload_spec"], "p", "{call}");
        }
        let rows = "select (select count(*) from kronos.execution_details) + (select count(*) from kronos.jobs)";
        assert_eq!(count(rows), 0);
        run("select kronos.enqueue('e', '{\"id\": 1}')");
    }

    #[pg_test]
    fn update_that_leaves_a_job_with_an_invalid_input_is_refused() {
        create_endpoint_with_schema(&json!({"type": "object", "required": ["id"]}));
        let job_id = text(
            "select job_id::text from kronos.create_cron_job('e', '@daily', input => '{\"id\": 1}')",
        );
        let update = |job_id: &str, arguments: &str| {
            format!("select kronos.update_cron_job('{job_id}', {arguments})")
        };
        assert_code(&update(&job_id, "input => '{}'"), "INVALID_INPUT");
        run(
            "select kronos.update_payload_spec('p', '{\"properties\": {\"id\": {\"minimum\": 5}}}')",
        );
        assert_code(&update(&job_id, "cron => '@hourly'"), "INVALID_INPUT");
        run(&update(
            &job_id,
            "cron => '@hourly', input => '{\"id\": 5}'",
        ));
        run(&update(&job_id, "cron => '@daily'"));
        let free = create("'@daily', input => '{\"id\": 1}'");
        assert_code(&update(&free, "endpoint => 'e'"), "INVALID_INPUT");
        run(&update(&free, "endpoint => 'e', input => '{\"id\": 6}'"));
        let versions = "select string_agg(version::text, ' ' order by job_id) from kronos.jobs";
        assert_eq!(text(versions), "3 2");
    }

    #[pg_test]
    fn payload_spec_can_be_deleted_once_no_endpoint_uses_it() {
        create_endpoint_with_schema(&json!(false));
        run("select kronos.update_endpoint('e', payload_spec => '')");
        run("select kronos.enqueue('e', '[1]')");
        run("select kronos.delete_payload_spec('p')");
    }

    #[pg_test]
    fn changed_schema_applies_at_once_and_a_rolled_back_change_never() {
        create_endpoint_with_schema(&json!({"type": "integer"}));
        assert!(check(&json!(1)).is_ok());
        let _ = sql::dry_run(|| {
            run("select kronos.update_payload_spec('p', '{\"type\": \"string\"}')");
            assert_invalid_input(&json!(1));
            Ok(())
        });
        assert!(check(&json!(1)).is_ok());
        run("select kronos.update_payload_spec('p', '{\"type\": \"string\"}')");
        assert_invalid_input(&json!(1));
    }

    /// Without the bounds, 180 kB of input gave 11 MB of DETAIL, and ten failing subschemas took 1.3 GB of memory.
    #[pg_test]
    fn violations_are_bounded_in_number_and_length() {
        let failing: Vec<Value> = (0..10).map(|n| json!({"enum": [format!("{n}")]})).collect();
        create_endpoint_with_schema(&json!({"items": {"allOf": failing}}));
        let input: Value = (0..60_000).map(|n| json!(n % 10)).collect();
        let error = assert_invalid_input(&input);
        assert!(error.detail.to_string().len() < 8192);
        let listed = error.detail["violations"].as_array().unwrap().len();
        assert!((1..=20).contains(&listed));
        assert_eq!(error.detail["truncated"], true);

        let error = assert_invalid_input(&(0..30).map(|n| json!(n)).collect());
        assert_eq!(error.detail["violations"].as_array().unwrap().len(), 20);

        let long = "é".repeat(60_000);
        let error = assert_invalid_input(&json!([long]));
        assert!(
            error.detail.to_string().len() < 8192,
            "{}",
            error.message.len()
        );
    }

    /// Without the bound, 16 such definitions gave 3^16 violations, all kept in memory.
    #[pg_test]
    fn alternatives_do_not_multiply_violations() {
        let three = |next: Value| json!({"oneOf": [next.clone(), next.clone(), next]});
        create_acme();
        assert_refused(
            &chain(16, three, json!({"type": "string"})),
            "more than 1000 subschemas",
        );
        run(&creation_call(&chain(4, three, json!({"type": "string"}))));
        run("select kronos.create_endpoint('e', 'HTTP', payload_spec => 'p')");
        assert_eq!(paths(&assert_invalid_input(&json!(1))), [""]);
    }

    #[pg_test]
    fn input_that_is_too_costly_to_check_is_refused() {
        // Such numbers are compared as fractions of big integers.
        let number = |n: usize| format!("1.{n:030}1");
        let constants: Vec<Value> = (0..100)
            .map(|n| json!({ "const": serde_json::from_str::<Value>(&number(n)).unwrap() }))
            .collect();
        create_endpoint_with_schema(&json!({"items": {"anyOf": constants}}));
        let error = check_text("e", &format!("[{}]", vec![number(99); 1000].join(",")))
            .expect_err("too many comparisons");
        assert_eq!(error.detail["max_steps"], MAX_STEPS);
        assert!(check_text("e", &format!("[{}]", vec![number(99); 100].join(","))).is_ok());

        // Numbers that differ only beyond a float's precision share a hash, so n of them need n^2 comparisons.
        run("select kronos.update_payload_spec('p', '{\"uniqueItems\": true}')");
        let alike = |count: usize| {
            let items: Vec<String> = (0..count).map(number).collect();
            format!("[{}]", items.join(","))
        };
        assert!(check_text("e", &alike(100)).is_ok());
        let error = check_text("e", &alike(7000)).expect_err("too many comparisons");
        assert_eq!(error.detail["max_steps"], MAX_STEPS);
        assert!(check(&(0..30_000).map(|n| json!(n)).collect()).is_ok());

        // A large pattern is matched against a long string.
        run("select kronos.update_payload_spec('p', '{\"pattern\": \"[ab]*a[ab]{10000}c\"}')");
        let error = assert_invalid_input(&json!("ab".repeat(50_000)));
        assert_eq!(error.detail["max_steps"], MAX_STEPS);
        run(
            "select kronos.update_payload_spec('p', '{\"pattern\": \"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$\"}')",
        );
        assert!(check(&json!("some-host")).is_ok());
        run(
            "select kronos.update_payload_spec('p', '{\"patternProperties\": {\"[ab]*a[ab]{1000}c\": false}}')",
        );
        let mut members = Map::new();
        members.insert("ab".repeat(50_000), json!(1));
        assert_eq!(
            assert_invalid_input(&Value::Object(members)).detail["max_steps"],
            MAX_STEPS
        );
    }

    #[pg_test]
    fn total_size_of_the_patterns_of_a_schema_is_bounded() {
        create_acme();
        let many: Vec<Value> = (0..100)
            .map(|n| json!({"pattern": format!("^.{{{}}}$", 900 + n)}))
            .collect();
        assert_code(
            &creation_call(&json!({ "allOf": many })),
            "INVALID_PAYLOAD_SPEC",
        );
        assert_code(
            &creation_call(&json!({"pattern": "(.{1000}){1000}"})),
            "INVALID_PAYLOAD_SPEC",
        );
        let few: Vec<Value> = (0..10)
            .map(|n| json!({"pattern": format!("^.{{1,{}}}$", 200 + n)}))
            .collect();
        run(&creation_call(&json!({ "allOf": few })));
    }

    #[pg_test]
    fn large_input_is_refused_with_and_without_a_payload_spec() {
        create_endpoint_with_schema(&json!(true));
        let huge = json!("x".repeat(262_200));
        for endpoint in ["e", "hook"] {
            let error =
                check_text(endpoint, &huge.to_string()).expect_err("the input is too large");
            assert_eq!(error.detail["code"], "VALUE_TOO_LARGE");
            assert_eq!(error.detail["argument"], "input");
        }
    }

    /// Without a payload spec, such inputs are stored without being parsed.
    #[pg_test]
    fn unreadable_input_is_refused_only_where_a_payload_spec_applies() {
        create_endpoint_with_schema(&json!(true));
        let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
        let odd = r#"{"a": [{"$serde_json::private::Number": "12"}]}"#;
        let raw = r#"{"$serde_json::private::RawValue": "{\"a\": 1}"}"#;
        for (input, reason) in [
            (deep.as_str(), "recursion limit"),
            (odd, "$serde_json::private::Number"),
            (raw, "$serde_json::private::RawValue"),
        ] {
            assert!(check_text("hook", input).is_ok());
            let error = check_text("e", input).expect_err("the input is unreadable");
            assert_eq!(error.detail["code"], "INVALID_INPUT");
            assert!(error.message.contains(reason), "{}", error.message);
        }
        let quoted = json!({"a": "{\"$serde_json::private::Number\": 1}", "b": "$serde_json::private::Number"});
        assert!(check(&quoted).is_ok());
    }

    #[pg_test]
    fn evaluation_ends_when_it_is_interrupted() {
        thread_local! {
            static CALLS: Cell<u32> = const { Cell::new(0) };
        }
        let constants: Vec<Value> = (0..900).map(|n| json!({ "const": n })).collect();
        let schema = json!({"items": {"anyOf": constants}});
        let bounds = schema_bounds::measure(&schema).unwrap();
        let Ok(compiled) = validator::compile(&schema, &bounds) else {
            panic!("the schema does not compile");
        };
        let input: Value = (0..10_000).map(|_| json!(899)).collect();
        let is_third_call = || {
            CALLS.set(CALLS.get() + 1);
            CALLS.get() == 3
        };
        let result = meter::run(&compiled.budget(&input, is_third_call), || {
            compiled.validator.is_valid(Counter(&input))
        });
        assert_eq!(result, Err(Stop::Interrupted));
        assert_eq!(CALLS.get(), 3);
    }

    /// The flag alone does not end the statement.
    #[pg_test]
    fn pending_interrupt_is_detected() {
        assert!(!sql::is_interrupted());
        // SAFETY: PostgreSQL's signal handlers set the flag in the same way.
        unsafe { pg_sys::InterruptPending = 1 };
        assert!(sql::is_interrupted());
        sql::check_for_interrupts();
        assert!(!sql::is_interrupted());
    }

    #[pg_test]
    fn panic_of_the_validator_crate_is_caught() {
        let panicked = meter::catch_panic(|| -> bool { panic!("a defect") });
        assert_eq!(panicked, Err(Stop::Panicked));
    }

    #[pg_test]
    fn ordinary_schemas_are_evaluated_as_json_schema_defines() {
        create_endpoint_with_schema(&json!(true));
        let address = json!({"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": "string", "pattern": "^\\d{5}$"}}, "required": ["city"]});
        let order = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "https://example.com/order.schema.json",
            "type": "object",
            "$defs": {"address": address, "named": {"$anchor": "named", "minLength": 1}},
            "properties": {"bill_to": {"$ref": "#/$defs/address"}, "ship_to": {"$ref": "#/$defs/address"}, "name": {"$ref": "#named"}},
            "if": {"properties": {"express": {"const": true}}, "required": ["express"]},
            "then": {"required": ["ship_to"]},
            "unevaluatedProperties": {"type": "boolean"},
            "dependentRequired": {"gift": ["name"]}
        });
        let shape = json!({"oneOf": [
            {"properties": {"kind": {"const": "circle"}, "r": {"type": "number", "exclusiveMinimum": 0}}, "required": ["kind", "r"]},
            {"properties": {"kind": {"const": "square"}, "a": {"type": "number", "multipleOf": 0.5}}, "required": ["kind", "a"]}]});
        let draft7 = json!({"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"day": {"type": "string", "format": "date"}},
            "items": [{"$ref": "#/definitions/day"}, {"format": "email"}], "additionalItems": false});
        let misc = json!({"prefixItems": [{"type": "integer"}], "items": {"type": "string"}, "contains": {"const": "x"}, "maxContains": 1, "uniqueItems": true});
        let names = json!({"propertyNames": {"pattern": "^[a-z]+$"}, "patternProperties": {"^n": {"type": "number"}}, "additionalProperties": {"enum": ["a", null, 1.0]}, "minProperties": 1});
        for (schema, input, is_valid) in [
            (
                &order,
                json!({"bill_to": {"city": "x", "zip": "12345"}}),
                true,
            ),
            (
                &order,
                json!({"bill_to": {"city": "x", "zip": "1234"}}),
                false,
            ),
            (&order, json!({"ship_to": {}}), false),
            (&order, json!({"express": true}), false),
            (
                &order,
                json!({"express": true, "ship_to": {"city": "x"}}),
                true,
            ),
            (&order, json!({"other": 1}), false),
            (&order, json!({"name": ""}), false),
            (&order, json!({"gift": true}), false),
            (&shape, json!({"kind": "circle", "r": 1}), true),
            (&shape, json!({"kind": "circle", "r": 0}), false),
            (&shape, json!({"kind": "square", "a": 1.5}), true),
            (&shape, json!({"kind": "square", "a": 1.2}), false),
            (&draft7, json!(["2020-02-29", "a@b.c"]), true),
            (&draft7, json!(["2021-02-29"]), false),
            (&draft7, json!(["2020-02-29", "no"]), false),
            (&draft7, json!(["2020-02-29", "a@b.c", 1]), false),
            (&misc, json!([1, "x", "y"]), true),
            (&misc, json!([1, "x", "y", "y"]), false),
            (&misc, json!(["x"]), false),
            (&misc, json!([1, "y"]), false),
            (&names, json!({"n": 1, "x": null}), true),
            (&names, json!({"x": 1}), true),
            (&names, json!({"n": "1"}), false),
            (&names, json!({"X": 1}), false),
            (&names, json!({"x": 2}), false),
            (&names, json!({}), false),
        ] {
            let schema_text = schema.to_string();
            run(&format!(
                "select kronos.update_payload_spec('p', '{schema_text}')"
            ));
            assert_eq!(check(&input).is_ok(), is_valid, "{schema} {input}");
        }
    }

    fn any_scalar() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(|value| json!(value)),
            (-3i64..4).prop_map(|value| json!(value)),
            prop::sample::select(vec![
                "0.5",
                "1.0",
                "-0",
                "1e400",
                "18446744073709551616",
                "0.1000000000000000000001"
            ])
            .prop_map(|text| serde_json::from_str(text).unwrap()),
            "[abé]{0,3}".prop_map(|value| json!(value)),
        ]
    }

    fn any_input() -> impl Strategy<Value = Value> {
        any_scalar().prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    fn any_schema() -> impl Strategy<Value = Value> {
        let keyword = prop_oneof![
            prop::sample::select(vec![
                "null", "boolean", "integer", "number", "string", "array", "object"
            ])
            .prop_map(|value| ("type", json!(value))),
            any_input().prop_map(|value| ("const", value)),
            prop::collection::vec(any_input(), 1..4).prop_map(|value| ("enum", json!(value))),
            (-2i64..3).prop_map(|value| ("minimum", json!(value))),
            (-2i64..3).prop_map(|value| ("exclusiveMaximum", json!(value))),
            prop::sample::select(vec!["1", "0.5", "0.1"])
                .prop_map(|value| ("multipleOf", serde_json::from_str(value).unwrap())),
            (0u8..4).prop_map(|value| ("maxLength", json!(value))),
            (0u8..3).prop_map(|value| ("minItems", json!(value))),
            (0u8..3).prop_map(|value| ("minProperties", json!(value))),
            prop::sample::select(vec!["^a", "b$", "a|é", "^[ab]{1,2}$"])
                .prop_map(|value| ("pattern", json!(value))),
            any::<bool>().prop_map(|value| ("uniqueItems", json!(value))),
            prop::collection::btree_set("[abc]", 0..3).prop_map(|value| ("required", json!(value))),
            prop::sample::select(vec![
                "#",
                "#/$defs/a",
                "#/$defs/b",
                "#here",
                "#/properties/a",
                "#/none"
            ])
            .prop_map(|value| ("$ref", json!(value))),
            Just(("$anchor", json!("here"))),
        ];
        let leaf = prop_oneof![
            1 => any::<bool>().prop_map(|value| json!(value)),
            6 => prop::collection::vec(keyword, 0..3).prop_map(|keywords| keywords.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ];
        leaf.prop_recursive(4, 30, 3, |inner| {
            let list = prop::collection::vec(inner.clone(), 1..4);
            let map = prop::collection::btree_map("[abc]", inner.clone(), 1..3);
            let one = prop::sample::select(vec![
                "not",
                "if",
                "then",
                "else",
                "items",
                "contains",
                "additionalProperties",
                "propertyNames",
                "unevaluatedProperties",
                "unevaluatedItems",
            ]);
            let part = prop_oneof![
                (one, inner.clone()).prop_map(|(name, value)| (name, value)),
                (
                    prop::sample::select(vec!["allOf", "anyOf", "oneOf", "prefixItems"]),
                    list
                )
                    .prop_map(|(name, value)| (name, json!(value))),
                (
                    prop::sample::select(vec![
                        "properties",
                        "patternProperties",
                        "dependentSchemas",
                        "$defs"
                    ]),
                    map
                )
                    .prop_map(|(name, value)| (name, json!(value))),
            ];
            (inner, prop::collection::vec(part, 1..3)).prop_map(|(schema, parts)| {
                let mut keywords = schema.as_object().cloned().unwrap_or_default();
                keywords.extend(
                    parts
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value)),
                );
                Value::Object(keywords)
            })
        })
    }

    /// For every schema within bounds, the metered evaluation gives the same result as the crate's own. Its steps are
    /// bounded by the size of the schema times the number of values in the input.
    #[pg_test]
    fn random_schemas_are_evaluated_as_by_the_unmetered_crate() {
        fn values(input: &Value) -> u64 {
            1 + match input {
                Value::Array(items) => items.iter().map(values).sum::<u64>(),
                Value::Object(members) => members.values().map(values).sum::<u64>(),
                _ => 0,
            }
        }
        let mut runner = TestRunner::new(Config {
            failure_persistence: None,
            cases: 3000,
            ..Config::default()
        });
        let compared = Cell::new(0);
        runner
            .run(&(any_schema(), any_input()), |(schema, input)| {
                let Ok(bounds) = schema_bounds::measure(&schema) else {
                    return Ok(());
                };
                let Ok(compiled) = validator::compile(&schema, &bounds) else {
                    return Ok(());
                };
                let plain = jsonschema::options()
                    .offline()
                    .with_pattern_options(jsonschema::PatternOptions::regex())
                    .build(&schema)
                    .expect("the crate compiles the schema");
                let budget = compiled.budget(&input, || false);
                let (is_valid, steps) =
                    meter::run(&budget, || compiled.validator.is_valid(Counter(&input)))
                        .expect("the evaluation ends");
                prop_assert_eq!(is_valid, plain.is_valid(&input));
                let most = 2000 * u64::from(bounds.size) * values(&input);
                prop_assert!(steps <= most, "{} steps, {} expected at most", steps, most);
                let (found, _) = meter::run(&budget, || {
                    compiled.validator.iter_errors(Counter(&input)).count()
                })
                .expect("the evaluation ends");
                prop_assert_eq!(found == 0, is_valid);
                compared.set(compared.get() + 1);
                Ok(())
            })
            .unwrap();
        assert!(compared.get() > 1000, "{} schemas compared", compared.get());
    }
}
