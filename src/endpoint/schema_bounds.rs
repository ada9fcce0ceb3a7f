//! The size that a JSON Schema unfolds to, measured before crate `jsonschema` reads it.
//!
//! The crate compiles and evaluates the schema that `$ref` unfolds to, by recursion. A schema of 2 kB can unfold to
//! 2^60 subschemas (each definition refers to the next one twice), to a chain that overflows the stack, or, if it
//! refers to itself, to one subschema for every path through the input. So [`measure`] walks the schema, follows each
//! reference, and computes the size by dynamic programming: each subschema is measured once, and its size is 1 plus the
//! sizes of the subschemas that it applies or refers to. A schema is refused if it is too large, or if it has a
//! construct that Kronos cannot measure.

use super::meter::count_number_steps;
use super::schema_places::{Anchors, Refusal, join, refusal, resolve};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// The deepest nesting of objects and arrays in a schema.
pub const MAX_NESTING: usize = 64;
/// The most subschemas that a schema may unfold to.
pub const MAX_SIZE: u32 = 1000;
/// The same for a schema with `unevaluatedProperties` or `unevaluatedItems`. The crate compiles and evaluates the
/// siblings of these keywords once more for each level of them.
pub const MAX_UNEVALUATED_SIZE: u32 = 100;
/// The deepest nesting of subschemas, with references unfolded.
pub const MAX_DEPTH: u32 = 128;
/// The longest chain of references.
pub const MAX_REFERENCES: u32 = 32;
/// The longest number, in characters (jsonb writes 1e308 as 309 digits).
pub const MAX_NUMBER: usize = 400;

/// The measures of an accepted schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How many subschemas it unfolds to.
    pub size: u32,
    /// The cost of comparing a number with the schema's costliest one, in steps.
    pub steps_per_number: u64,
    /// How many distinct patterns it has.
    pub patterns: usize,
    /// The most patterns that one keyword matches a property name with.
    pub name_patterns: usize,
}

/// Measures a schema.
///
/// # Errors
/// The first limit that the schema exceeds, or the first construct that Kronos does not support.
pub fn measure(schema: &Value) -> Result<Bounds, Refusal> {
    let mut walk = Walk {
        root: schema,
        dialect: schema.get("$schema"),
        anchors: Anchors::new(),
        measured: HashMap::new(),
        in_progress: HashSet::new(),
        definitions: vec![],
        steps_per_number: 1,
        patterns: HashSet::new(),
        name_patterns: 0,
        has_unevaluated: false,
    };
    walk.scan(schema, 1)?;
    let root = walk.measure_subschema(schema, "", Position::default())?;
    // The same limits hold for definitions that nothing refers to yet.
    while let Some((path, definition)) = walk.definitions.pop() {
        walk.measure_subschema(definition, &path, Position::default())?;
    }
    if walk.has_unevaluated && root.size > MAX_UNEVALUATED_SIZE {
        return Err(refusal(
            "",
            format!(
                "unfolds to {} subschemas; with unevaluatedProperties or unevaluatedItems at most {MAX_UNEVALUATED_SIZE} are allowed",
                root.size
            ),
        ));
    }
    Ok(Bounds {
        size: root.size,
        steps_per_number: walk.steps_per_number,
        patterns: walk.patterns.len(),
        name_patterns: walk.name_patterns,
    })
}

/// Keywords whose value is a subschema or an array of subschemas.
const APPLICATORS: [&str; 17] = [
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "contentSchema",
    "else",
    "extends",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is an object of subschemas.
const APPLICATOR_MAPS: [&str; 4] = [
    "dependencies",
    "dependentSchemas",
    "patternProperties",
    "properties",
];
/// Keywords whose value is an object of subschemas that apply only where a reference names them.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];

/// The size that a subschema unfolds to.
#[derive(Clone, Copy)]
struct Measure {
    size: u32,
    depth: u32,
    references: u32,
}

/// How many subschemas and references lead to a subschema.
#[derive(Clone, Copy, Default)]
struct Position {
    depth: u32,
    references: u32,
}

struct Walk<'a> {
    root: &'a Value,
    dialect: Option<&'a Value>,
    /// The objects with an `$anchor` or `$dynamicAnchor`, by its name.
    anchors: Anchors<'a>,
    measured: HashMap<*const Value, Measure>,
    in_progress: HashSet<*const Value>,
    definitions: Vec<(String, &'a Value)>,
    steps_per_number: u64,
    patterns: HashSet<&'a str>,
    name_patterns: usize,
    has_unevaluated: bool,
}

impl<'a> Walk<'a> {
    /// Checks the nesting and the numbers of all JSON in the schema, and collects the anchors.
    fn scan(&mut self, value: &'a Value, nesting: usize) -> Result<(), Refusal> {
        if nesting > MAX_NESTING {
            return Err(refusal(
                "",
                format!("is nested deeper than {MAX_NESTING} levels"),
            ));
        }
        match value {
            Value::Object(members) => {
                for keyword in ["$anchor", "$dynamicAnchor"] {
                    if let Some(name) = members.get(keyword).and_then(Value::as_str) {
                        self.anchors.entry(name).or_default().push(value);
                    }
                }
                members
                    .values()
                    .try_for_each(|member| self.scan(member, nesting + 1))
            }
            Value::Array(items) => items
                .iter()
                .try_for_each(|item| self.scan(item, nesting + 1)),
            Value::Number(number) if number.as_str().len() > MAX_NUMBER => Err(refusal(
                "",
                format!("has a number of more than {MAX_NUMBER} digits"),
            )),
            Value::Number(number) => {
                self.steps_per_number = self.steps_per_number.max(count_number_steps(number));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Measures a subschema. Refuses it if it is too large, by itself or at its position.
    fn measure_subschema(
        &mut self,
        schema: &'a Value,
        path: &str,
        position: Position,
    ) -> Result<Measure, Refusal> {
        let key = std::ptr::from_ref(schema);
        if self.in_progress.contains(&key) {
            return Err(refusal(
                path,
                "refers to itself; recursive schemas are not supported",
            ));
        }
        let measure = match self.measured.get(&key) {
            Some(known) => *known,
            None => {
                check_position(path, position, 1)?;
                self.in_progress.insert(key);
                let measure = self.unfold(schema, path, position)?;
                self.in_progress.remove(&key);
                self.measured.insert(key, measure);
                measure
            }
        };
        check_position(path, position, measure.depth)?;
        let references = position.references + measure.references;
        if references > MAX_REFERENCES {
            return Err(refusal(
                path,
                format!("is part of a chain of more than {MAX_REFERENCES} references"),
            ));
        }
        if measure.size > MAX_SIZE {
            return Err(refusal(
                path,
                format!("unfolds to more than {MAX_SIZE} subschemas"),
            ));
        }
        Ok(measure)
    }

    fn unfold(
        &mut self,
        schema: &'a Value,
        path: &str,
        position: Position,
    ) -> Result<Measure, Refusal> {
        let mut sum = Measure {
            size: 1,
            depth: 1,
            references: 0,
        };
        let Value::Object(keywords) = schema else {
            return Ok(sum);
        };
        if !std::ptr::eq(schema, self.root) {
            self.check_identity(keywords, path)?;
        }
        let inside = Position {
            depth: position.depth + 1,
            ..position
        };
        for (keyword, value) in keywords {
            let path = join(path, keyword);
            match keyword.as_str() {
                "$ref" | "$dynamicRef" => {
                    let Some(reference) = value.as_str() else {
                        continue;
                    };
                    let target = resolve(self.root, &self.anchors, reference, &path)?;
                    let path = match reference.strip_prefix('#') {
                        Some(pointer) if pointer.starts_with('/') => pointer.to_owned(),
                        _ => path,
                    };
                    let referred = Position {
                        references: inside.references + 1,
                        ..inside
                    };
                    let mut target = self.measure_subschema(target, &path, referred)?;
                    target.references += 1;
                    sum.add(target);
                }
                "$recursiveRef" => {
                    return Err(refusal(
                        &path,
                        "is not supported; recursive schemas cannot be bounded",
                    ));
                }
                keyword if APPLICATORS.contains(&keyword) => {
                    if keyword.starts_with("unevaluated") {
                        self.has_unevaluated = true;
                    }
                    let subschemas = value.as_array().map_or(std::slice::from_ref(value), |v| v);
                    for (index, subschema) in subschemas.iter().enumerate() {
                        let path = if value.is_array() {
                            join(&path, &index.to_string())
                        } else {
                            path.clone()
                        };
                        sum.add(self.measure_subschema(subschema, &path, inside)?);
                    }
                }
                keyword if APPLICATOR_MAPS.contains(&keyword) => {
                    let Some(subschemas) = value.as_object() else {
                        continue;
                    };
                    if keyword == "patternProperties" {
                        self.name_patterns = self.name_patterns.max(subschemas.len());
                        self.patterns.extend(subschemas.keys().map(String::as_str));
                    }
                    for (name, subschema) in subschemas {
                        // An array in "dependencies" lists property names.
                        if !subschema.is_array() {
                            sum.add(self.measure_subschema(
                                subschema,
                                &join(&path, name),
                                inside,
                            )?);
                        }
                    }
                }
                keyword if DEFINITIONS.contains(&keyword) => {
                    if let Some(definitions) = value.as_object() {
                        for (name, definition) in definitions {
                            self.definitions.push((join(&path, name), definition));
                        }
                    }
                }
                "pattern" => self.patterns.extend(value.as_str()),
                _ => {}
            }
        }
        Ok(sum)
    }

    /// Refuses keywords that change the meaning of references or other keywords below the root.
    fn check_identity(&self, keywords: &Map<String, Value>, path: &str) -> Result<(), Refusal> {
        let is_draft4 = self
            .dialect
            .and_then(Value::as_str)
            .is_some_and(|dialect| dialect.contains("draft-04"));
        let id = if is_draft4 { "id" } else { "$id" };
        if keywords.get(id).is_some_and(Value::is_string) {
            return Err(refusal(
                &join(path, id),
                "is supported at the root only; refer to subschemas by JSON pointer (#/$defs/name) or $anchor",
            ));
        }
        match keywords.get("$schema") {
            Some(dialect) if Some(dialect) != self.dialect => Err(refusal(
                &join(path, "$schema"),
                "is supported at the root only",
            )),
            _ => Ok(()),
        }
    }
}

impl Measure {
    /// Adds a subschema that applies inside this one.
    fn add(&mut self, part: Measure) {
        self.size = self.size.saturating_add(part.size);
        self.depth = self.depth.max(part.depth + 1);
        self.references = self.references.max(part.references);
    }
}

fn check_position(path: &str, position: Position, depth: u32) -> Result<(), Refusal> {
    if position.references > MAX_REFERENCES {
        return Err(refusal(
            path,
            format!("is part of a chain of more than {MAX_REFERENCES} references"),
        ));
    }
    if position.depth + depth > MAX_DEPTH {
        return Err(refusal(
            path,
            format!("unfolds to subschemas nested deeper than {MAX_DEPTH} levels"),
        ));
    }
    Ok(())
}
