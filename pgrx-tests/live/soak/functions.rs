//! The functions of schema kronos, as the catalog has them, and calls of them.

use postgres::Client;

/// A function or procedure of schema kronos.
#[derive(Clone)]
pub struct Function {
    pub name: String,
    is_procedure: bool,
    pub arguments: Vec<Argument>,
}

#[derive(Clone)]
pub struct Argument {
    pub name: String,
    pub type_name: String,
    pub is_optional: bool,
}

/// All functions and procedures of schema kronos.
pub fn functions(session: &mut Client) -> Vec<Function> {
    let rows = session
        .query(
            "select p.proname::text as function, p.prokind = 'p' as is_procedure, p.proargnames[a.place] as argument,
                    case a.type when 'timestamptz'::regtype then 'timestamptz' else a.type::regtype::text end as type,
                    a.place > p.pronargs - p.pronargdefaults as is_optional
             from pg_proc p left join unnest(p.proargtypes::oid[]) with ordinality a (type, place) on true
             where p.pronamespace = 'kronos'::regnamespace
             order by p.proname, a.place",
            &[],
        )
        .unwrap();
    let mut functions: Vec<Function> = vec![];
    for row in &rows {
        let name: String = row.get("function");
        if functions.last().is_none_or(|last| last.name != name) {
            functions.push(Function {
                name,
                is_procedure: row.get("is_procedure"),
                arguments: vec![],
            });
        }
        if let Some(name) = row.get("argument") {
            functions.last_mut().unwrap().arguments.push(Argument {
                name,
                type_name: row.get("type"),
                is_optional: row.get("is_optional"),
            });
        }
    }
    functions
}

/// A call: the function and the statement.
pub struct Call {
    pub function: String,
    pub statement: String,
}

impl Call {
    /// A call in named notation.
    pub fn new(function: &Function, arguments: &[(String, String)]) -> Call {
        let arguments: Vec<String> = arguments
            .iter()
            .map(|(name, value)| format!("{name} => {value}"))
            .collect();
        let call = format!("kronos.{}({})", function.name, arguments.join(", "));
        Call {
            function: function.name.clone(),
            statement: if function.is_procedure {
                format!("call {call}")
            } else {
                format!("select r from {call} r")
            },
        }
    }
}

/// The column of the views that has the values of an argument.
pub fn column<'a>(function: &'a Function, argument: &'a Argument) -> &'a str {
    let nouns = ["workspace", "endpoint", "payload_spec"];
    match (argument.name.as_str(), argument.type_name.as_str()) {
        ("name", _) => nouns
            .into_iter()
            .find(|noun| function.name.ends_with(noun))
            .unwrap_or("job_name"),
        ("after", "uuid") if function.name.ends_with("executions") => "execution_id",
        ("after", "uuid") => "job_id",
        ("after", "timestamptz") => "tick_at",
        ("after", _) => "version",
        ("expected_version", _) => "version",
        (name, _) => name,
    }
}

pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
