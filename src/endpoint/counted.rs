//! JSON input that charges each access to a budget of steps.
//!
//! Crate `jsonschema` offers no way to stop an evaluation, neither after a number of steps nor when PostgreSQL cancels
//! the statement. But it reads the input through a trait, [`Json`]. [`Counted`] implements the trait for `serde_json`
//! with a meter: each access takes steps off the budget, in proportion to the work that the crate is about to do with
//! the value. When the budget is used up or the statement is interrupted, the evaluation unwinds to [`meter::run`]. The
//! crate cannot work for long without reading the input, whatever the schema is, so the bound does not depend on the
//! crate's algorithms.

use super::meter::{self, count_number_steps, take};
use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object, cmp};
use serde_json::{Map, Number, Value, map};
use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};

/// `serde_json` with a meter.
pub struct Counted;

/// A value of the input.
#[derive(Clone, Copy)]
pub struct Counter<'a>(pub &'a Value);

impl Json for Counted {
    type Node<'a> = Counter<'a>;
    type PreparedKey = String;
    type StringBuffer = Value;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(
        buffer: &mut Value,
        string: &str,
        f: impl FnOnce(Counter<'_>) -> T,
    ) -> T {
        take(1 + string.len() as u64 / 16);
        *buffer = Value::String(string.to_owned());
        f(Counter(buffer))
    }
}

impl<'a> Node<'a, Counted> for Counter<'a> {
    type Object = Members<'a>;
    type Array = Items<'a>;
    type Number = &'a Number;

    fn as_object(&self) -> Option<Members<'a>> {
        take(1);
        self.0.as_object().map(Members)
    }

    fn as_array(&self) -> Option<Items<'a>> {
        take(1);
        self.0.as_array().map(|items| Items(items))
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        take(1);
        let string = self.0.as_str()?;
        meter::take_text(string);
        Some(Cow::Borrowed(string))
    }

    fn as_number(&self) -> Option<&'a Number> {
        take(1);
        let number = self.0.as_number()?;
        meter::take_number(number);
        Some(number)
    }

    fn as_boolean(&self) -> Option<bool> {
        take(1);
        self.0.as_bool()
    }

    fn is_null(&self) -> bool {
        take(1);
        self.0.is_null()
    }

    fn is_number(&self) -> bool {
        take(1);
        self.0.is_number()
    }

    fn json_type(&self) -> JsonType {
        take(1);
        match self.0 {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Boolean,
            Value::Number(_) => JsonType::Number,
            Value::String(_) => JsonType::String,
            Value::Array(_) => JsonType::Array,
            Value::Object(_) => JsonType::Object,
        }
    }

    fn string_length(&self) -> Option<u64> {
        take(1);
        let string = self.0.as_str()?;
        take(string.len() as u64 / 16);
        Some(string.chars().count() as u64)
    }

    fn equals_value(&self, expected: &Value) -> bool {
        are_equal(self.0, expected)
    }

    /// The crate calls this once for each violation, and never otherwise.
    fn to_value(&self) -> Cow<'a, Value> {
        meter::take_error(self.0);
        Cow::Borrowed(self.0)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref(self.0) as usize))
    }
}

/// The members of an object.
pub struct Members<'a>(&'a Map<String, Value>);

impl<'a> Object<'a, Counted> for Members<'a> {
    type Node = Counter<'a>;
    type MemberName = &'a str;
    type MembersIter = MembersIter<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &String) -> Option<Counter<'a>> {
        take(2 + key.len() as u64 / 16);
        self.0.get(key).map(Counter)
    }

    fn members(&self) -> MembersIter<'a> {
        MembersIter(self.0.iter())
    }
}

/// Iterates over the members of an object.
pub struct MembersIter<'a>(map::Iter<'a>);

impl<'a> Iterator for MembersIter<'a> {
    type Item = (&'a str, Counter<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.0.next()?;
        meter::take_name(name);
        Some((name, Counter(value)))
    }
}

/// The elements of an array.
pub struct Items<'a>(&'a [Value]);

impl<'a> Array<'a, Counted> for Items<'a> {
    type Node = Counter<'a>;
    type ElementsIter = ItemsIter<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn elements(&self) -> ItemsIter<'a> {
        ItemsIter(self.0.iter())
    }

    /// Hashes numbers by their f64, as the crate's own check does: numbers that differ only beyond its precision share
    /// a bucket, and are compared with one another. Here each comparison takes steps.
    fn is_unique(&self) -> bool {
        let mut seen = HashSet::new();
        self.0.iter().all(|item| seen.insert(ByValue(item)))
    }
}

/// Iterates over the elements of an array.
pub struct ItemsIter<'a>(std::slice::Iter<'a, Value>);

impl<'a> Iterator for ItemsIter<'a> {
    type Item = Counter<'a>;

    fn next(&mut self) -> Option<Counter<'a>> {
        take(1);
        self.0.next().map(Counter)
    }
}

/// A value as the key of a set, compared by JSON Schema's equality.
struct ByValue<'a>(&'a Value);

impl PartialEq for ByValue<'_> {
    fn eq(&self, other: &Self) -> bool {
        are_equal(self.0, other.0)
    }
}

impl Eq for ByValue<'_> {}

impl Hash for ByValue<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        take(2);
        std::mem::discriminant(self.0).hash(state);
        match self.0 {
            Value::Null => {}
            Value::Bool(value) => value.hash(state),
            Value::Number(number) => {
                take(number.as_str().len() as u64);
                // 0 and -0 are equal.
                let value = number.as_f64().unwrap_or(f64::MAX) + 0.0;
                value.to_bits().hash(state);
            }
            Value::String(string) => {
                take(string.len() as u64 / 16);
                string.hash(state);
            }
            Value::Array(items) => items.iter().for_each(|item| ByValue(item).hash(state)),
            // serde_json sorts the members, so equal objects have equal hashes.
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                take(name.len() as u64 / 16);
                name.hash(state);
                ByValue(value).hash(state);
            }),
        }
    }
}

/// JSON Schema's equality: numbers compare by value.
fn are_equal(left: &Value, right: &Value) -> bool {
    take(1);
    match (left, right) {
        (Value::String(left), Value::String(right)) => {
            left.len() == right.len() && {
                take(left.len() as u64 / 16);
                left == right
            }
        }
        (Value::Number(a), Value::Number(b)) => {
            take(count_number_steps(a) + count_number_steps(b));
            cmp::equal(left, right)
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| are_equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|((left_name, left), (right_name, right))| {
                        take(left_name.len() as u64 / 16);
                        left_name == right_name && are_equal(left, right)
                    })
        }
        (left, right) => left == right,
    }
}
