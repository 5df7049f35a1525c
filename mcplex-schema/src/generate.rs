//! Makes values that fit a definition, out of numbers that somebody draws.
//!
//! No draw, or zero, is the simplest choice: no optional member, an empty array, the first of
//! several. A test that shrinks its numbers thereby shrinks the value. What is made is text, because
//! much of what must survive a gateway is lost in a parsed value: how a number is written, the order
//! of members, `null` beside nothing at all, members that no schema knows.

use crate::revision::Revision;
use mcplex_proto::version::Version;
use serde_json::Value;
use std::collections::BTreeSet;

/// Values inside each other beyond which nothing optional is made; the longest chain of required
/// members is shorter.
const MAX_DEPTH: usize = 10;

/// Members that no revision knows, and that mean something only to people.
const UNKNOWN: [&str; 6] = ["x", "x-odd", "\u{fc}", "com.example/thing", "", "a \"b\""];

/// What the values of such members may be.
const ODD: [&str; 12] = [
    "null",
    "1.50",
    "1e400",
    "-0.0",
    "12345678901234567890123",
    r#""\u00fc\/\ud83d\ude00""#,
    r#"{"b":1.0,"a":null}"#,
    "[1e2, -0.0,[]]",
    r#"{ "z" : { "y":[ ] } }"#,
    "true",
    "{}",
    "\"\"",
];

/// Makes values of one revision until the draws are used up, and simple ones after that.
#[derive(Debug)]
pub struct Generator<'a> {
    revision: &'static Revision,
    draws: std::slice::Iter<'a, u16>,
}

impl<'a> Generator<'a> {
    /// One for values of this version.
    #[must_use]
    pub fn new(version: Version, draws: &'a [u16]) -> Self {
        Self { revision: Revision::of(version), draws: draws.iter() }
    }

    /// A value that fits the definition, as JSON text.
    ///
    /// # Panics
    /// When there is no such definition.
    #[must_use]
    pub fn value(&mut self, definition: &str) -> String {
        let schema = self.revision.definition(definition).expect("there is such a definition");
        self.make(schema, 0)
    }

    /// Any JSON.
    #[must_use]
    pub fn odd(&mut self) -> &'static str {
        self.one_of(&ODD)
    }

    /// A number below `end`, which is not zero; zero when the draws are used up.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.draws.next().copied().unwrap_or(0)) % end
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn make(&mut self, schema: &Value, depth: usize) -> String {
        if let Some(target) = schema["$ref"].as_str() {
            let name = target.rsplit('/').next().unwrap_or_default();
            let schema = self.revision.definition(name).expect("a reference leads somewhere");
            return self.make(schema, depth + 1);
        }
        if let Some(only) = schema.get("const") {
            return only.to_string();
        }
        if let Some(all) = schema["enum"].as_array() {
            return all[self.below(all.len())].to_string();
        }
        if let Some(all) = schema["anyOf"].as_array() {
            let chosen = if depth > MAX_DEPTH { 0 } else { self.below(all.len()) };
            return self.make(&all[chosen], depth + 1);
        }
        if schema.get("allOf").is_some() {
            return self.object(schema, depth);
        }
        let kind = match schema["type"].as_array() {
            Some(all) => all[self.below(all.len())].as_str(),
            None => schema["type"].as_str(),
        };
        match kind {
            Some("object") => self.object(schema, depth),
            Some("array") => self.array(schema, depth),
            Some("string") => self.string(schema),
            Some("integer") => self.one_of(&["7", "0", "100", "4294967296"]).to_owned(),
            Some("number") => self.number(schema).to_owned(),
            Some("boolean") => self.one_of(&["false", "true"]).to_owned(),
            Some("null") => "null".to_owned(),
            Some(_) | None => self.odd().to_owned(),
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> String {
        let mut members = Vec::new();
        let mut names = BTreeSet::new();
        for part in self.parts(schema) {
            let required = part["required"].as_array();
            let is_required =
                |name: &str| required.into_iter().flatten().any(|required| required == name);
            for (name, schema) in part["properties"].as_object().into_iter().flatten() {
                let is_wanted = is_required(name) || (depth <= MAX_DEPTH && self.below(3) == 1);
                if is_wanted && names.insert(name.clone()) {
                    let value = match &**name {
                        // Any string fits; only this one says what the definition is.
                        "resultType" if schema.get("const").is_none() => "\"complete\"".to_owned(),
                        _ => self.make(schema, depth + 1),
                    };
                    members.push((name.clone(), value));
                }
            }
        }
        let more = if depth > MAX_DEPTH { 0 } else { [0, 0, 1, 2][self.below(4)] };
        for _ in 0..more {
            let name = self.one_of(&UNKNOWN);
            if names.insert(name.to_owned()) {
                let value = match schema.get("additionalProperties").filter(|it| it.is_object()) {
                    Some(schema) => self.make(schema, depth + 1),
                    None => self.odd().to_owned(),
                };
                members.push((name.to_owned(), value));
            }
        }
        if !members.is_empty() {
            let first = self.below(members.len());
            members.rotate_left(first);
        }
        let members: Vec<_> = members
            .iter()
            .map(|(name, value)| format!("{}:{value}", Value::from(&**name)))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    /// What an object has to be at once.
    fn parts(&self, schema: &Value) -> Vec<Value> {
        let Some(all) = schema["allOf"].as_array() else { return vec![schema.clone()] };
        let named = |part: &Value| {
            let name = part["$ref"].as_str().and_then(|target| target.rsplit('/').next());
            name.and_then(|name| self.revision.definition(name)).unwrap_or(part).clone()
        };
        all.iter().map(named).chain([schema.clone()]).collect()
    }

    fn array(&mut self, schema: &Value, depth: usize) -> String {
        let count = if depth > MAX_DEPTH { 0 } else { [0, 1, 2, 3][self.below(4)] };
        let elements: Vec<_> = (0..count).map(|_| self.make(&schema["items"], depth + 1)).collect();
        format!("[{}]", elements.join(","))
    }

    fn string(&mut self, schema: &Value) -> String {
        let all = match schema["format"].as_str() {
            Some("uri") => ["\"file:///a\"", "\"x://1?q=%20\"", "\"https:\\/\\/a.example/b\""],
            Some("uri-template") => ["\"x://{a}\"", "\"x://{+a}/{b}\"", "\"y://z\""],
            Some("byte") => ["\"\"", "\"QQ==\"", "\"AAAA\""],
            _ => ["\"a\"", "\"\"", "\"\\u00fc\\/ \\n\u{1f600}\""],
        };
        self.one_of(&all).to_owned()
    }

    fn number(&mut self, schema: &Value) -> &'static str {
        if schema.get("maximum").is_some() || schema.get("minimum").is_some() {
            return self.one_of(&["0", "0.50", "1e0", "1.0"]);
        }
        self.one_of(&["7", "1.50", "-0.0", "1e2", "12345678901234567890123"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that nobody chose, the same in each run.
    fn draws(seed: u64, count: usize) -> Vec<u16> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            u16::try_from(state >> 48).unwrap()
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn everything_that_is_made_fits_its_definition() {
        for version in Version::ALL {
            let revision = Revision::of(version);
            for name in revision.definitions().filter(|name| {
                ["Result", "Request", "Notification", "Tool", "Content"]
                    .iter()
                    .any(|end| name.ends_with(end))
            }) {
                for seed in 0..40 {
                    let text = Generator::new(version, &draws(seed, 300)).value(name);
                    let text = text.replace("1e400", "1e300");
                    let value: Value = serde_json::from_str(&text).unwrap();
                    let complaints = revision.complaints(name, &value);
                    assert_eq!(complaints, Vec::<String>::new(), "{text}");
                }
            }
        }
    }

    #[test]
    fn without_draws_it_is_as_simple_as_can_be() {
        let mut simple = Generator::new(Version::V2026_07_28, &[]);
        assert_eq!(simple.value("CallToolResult"), r#"{"content":[],"resultType":"complete"}"#);
        assert_eq!(simple.value("ContentBlock"), r#"{"text":"a","type":"text"}"#);
    }

    #[test]
    fn with_draws_odd_things_come_soon() {
        let made: String = (0..200)
            .map(|seed| {
                Generator::new(Version::V2025_11_25, &draws(seed, 200)).value("CallToolResult")
            })
            .collect();
        let wanted =
            ["1e400", "1.50", ":null", "resource_link", "audio", "structuredContent", "x-odd"];
        for one in wanted {
            assert!(made.contains(one), "{one}");
        }
    }
}
