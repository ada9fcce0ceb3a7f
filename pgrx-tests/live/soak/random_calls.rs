//! Random calls of Kronos's functions.

use super::functions::{Argument, Call, Function, column, quote};
use super::values::{extreme, ordinary};
use super::verdict::detail;
use postgres::{Client, Error};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Which arguments a call has, and what values.
#[derive(Clone, Copy)]
pub struct Choice<'a> {
    /// The probability that an optional argument is given.
    pub given: f64,
    /// The probability that an argument has an extreme value.
    pub extremes: f64,
    /// An argument that has this value.
    pub fixed: Option<(&'a str, &'a str)>,
}

/// A row of a view.
type Row = Map<String, Value>;

/// Generates calls, mostly with values that exist in the database.
pub struct Generator {
    pub random: StdRng,
    functions: Vec<Function>,
    /// Rows of the views, from which arguments take the values of columns with their names.
    known: Vec<Row>,
    /// The words that an argument of a function accepts, as errors have told.
    words: HashMap<(String, String), Vec<String>>,
}

impl Generator {
    pub fn new(functions: &[Function], random: StdRng) -> Generator {
        Generator {
            random,
            functions: functions.to_vec(),
            known: vec![],
            words: HashMap::new(),
        }
    }

    /// Reads what the session's role sees in the views.
    pub fn look(&mut self, session: &mut Client) {
        let views = "select relname::text from pg_class where relnamespace = 'kronos'::regnamespace and relkind = 'v' order by 1";
        self.known.clear();
        let seed = self.random.random_range(-1.0..1.0);
        session.execute("select setseed($1)", &[&seed]).unwrap();
        for view in session.query(views, &[]).unwrap() {
            let view: &str = view.get(0);
            let rows = format!(
                "select to_jsonb(v) - '{{input,output,metadata,spec,schema,data}}'::text[]
                 from kronos.{view} v
                 where random() < 20.0 / (select greatest(count(*), 1) from kronos.{view})
                 limit 20"
            );
            let rows = session.query(&rows, &[]).unwrap();
            self.known.extend(rows.iter().map(|row| match row.get(0) {
                Value::Object(row) => row,
                other => panic!("{other} is not a row"),
            }));
        }
    }

    /// A call of any function.
    pub fn any_call(&mut self, extremes: f64) -> Call {
        let place = self.random.random_range(0..self.functions.len());
        let function = self.functions[place].clone();
        let given = *[0.1, 0.3, 0.6].choose(&mut self.random).unwrap();
        let choice = Choice {
            given,
            extremes,
            fixed: None,
        };
        self.call(&function, choice)
    }

    /// A call of a function.
    pub fn call(&mut self, function: &Function, choice: Choice) -> Call {
        Call::new(function, &self.arguments(function, choice))
    }

    /// The names and values of the arguments of a call.
    fn arguments(&mut self, function: &Function, choice: Choice) -> Vec<(String, String)> {
        // A call names a job by its id or by its name.
        let other_key = *["job_id", "job_name"].choose(&mut self.random).unwrap();
        let subject = self.subject(function);
        let mut arguments = vec![];
        for argument in &function.arguments {
            let name = argument.name.as_str();
            let fixed = choice.fixed.filter(|(fixed, _)| *fixed == name);
            let is_given = match name {
                _ if fixed.is_some() => true,
                "job_id" | "job_name" if self.random.random_bool(0.8) => name != other_key,
                _ => !argument.is_optional || self.random.random_bool(choice.given),
            };
            if is_given {
                let value = match fixed {
                    Some((_, value)) => value.to_owned(),
                    None => self.value(function, argument, &subject, choice),
                };
                let value = format!("({value})::{}", argument.type_name);
                arguments.push((name.to_owned(), value));
            }
        }
        arguments
    }

    /// A row whose values the arguments of one call share: of some rows the one with the most arguments.
    fn subject(&mut self, function: &Function) -> Row {
        let matches = |row: &&Row| {
            let arguments = function.arguments.iter();
            arguments
                .filter(|argument| {
                    row.get(column(function, argument))
                        .is_some_and(|it| !it.is_null())
                })
                .count()
        };
        let among = self.random.random_range(1..=8);
        let rows = self.known.choose_multiple(&mut self.random, among);
        rows.max_by_key(matches).cloned().unwrap_or_default()
    }

    fn value(
        &mut self,
        function: &Function,
        argument: &Argument,
        subject: &Row,
        choice: Choice,
    ) -> String {
        if self.random.random_bool(choice.extremes) {
            let extremes = extreme(&argument.type_name);
            return (*extremes.choose(&mut self.random).unwrap()).to_owned();
        }
        let Some(element) = self.element_of(function, argument) else {
            return self.plausible(function, argument, subject);
        };
        let elements: Vec<String> = (0..self.random.random_range(0..4))
            .map(|_| self.element(&element, choice))
            .collect();
        format!("jsonb_build_array({})", elements.join(", "))
    }

    fn plausible(&mut self, function: &Function, argument: &Argument, subject: &Row) -> String {
        let key = (function.name.clone(), argument.name.clone());
        if let Some(words) = self.words.get(&key) {
            return quote(words.choose(&mut self.random).unwrap());
        }
        let is_new = function.name.starts_with("create_") && argument.name == "name";
        if self.random.random_bool(if is_new { 0.1 } else { 0.8 })
            && let Some(known) = self.known_value(column(function, argument), subject)
        {
            return quote(&known);
        }
        let values = ordinary(&argument.name, &argument.type_name);
        (*values.choose(&mut self.random).unwrap()).to_owned()
    }

    /// The value of a column in the subject, or else in another row.
    fn known_value(&mut self, column: &str, subject: &Row) -> Option<String> {
        let mut found = subject.get(column).filter(|value| !value.is_null());
        for _ in 0..30 {
            if found.is_some() {
                break;
            }
            let row = self.known.choose(&mut self.random)?;
            found = row.get(column).filter(|value| !value.is_null());
        }
        Some(match found? {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }

    /// The function whose arguments are the fields of the elements of a list: `complete_execution` for the argument
    /// `executions` of `complete_executions`.
    pub fn element_of(&self, function: &Function, argument: &Argument) -> Option<Function> {
        let name = match argument.name.as_str() {
            "jobs" => "create_cron_job",
            "executions" => match function.name.as_str() {
                "enqueue_many" => "enqueue",
                "heartbeat_executions" => "release_execution",
                plural => plural.strip_suffix('s')?,
            },
            _ => return None,
        };
        self.functions
            .iter()
            .find(|other| other.name == name)
            .cloned()
    }

    /// An element of a list.
    pub fn element(&mut self, element: &Function, choice: Choice) -> String {
        let mut fields = self.arguments(element, choice);
        fields.retain(|(name, _)| name != "workspace" && name != "worker_id");
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("'{name}', {value}"))
            .collect();
        format!("jsonb_build_object({})", fields.join(", "))
    }

    /// Learns from an error which words an argument accepts.
    pub fn learn(&mut self, call: &Call, error: &Error) {
        let detail = error.as_db_error().map(detail).unwrap_or_default();
        if let (Some(argument), Some(allowed)) =
            (detail["argument"].as_str(), detail["allowed"].as_array())
        {
            let allowed = allowed.iter().filter_map(Value::as_str).map(str::to_owned);
            self.teach(&call.function, argument, allowed.collect());
        }
    }

    /// Sets the words that an argument accepts.
    pub fn teach(&mut self, function: &str, argument: &str, words: Vec<String>) {
        let key = (function.to_owned(), argument.to_owned());
        self.words.insert(key, words);
    }
}
