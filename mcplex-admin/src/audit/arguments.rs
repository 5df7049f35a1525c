//! What of the arguments of calls may be seen.

use mcplex_proto::{
    audit::{Argument, Arguments, outline},
    redact::redact,
};
use serde_json::{Map, Value, json};

/// How much of a value is written, in bytes of JSON.
const SHOWN: usize = 1024;

/// What may be seen; at first the names of arguments alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether names, kinds and sizes are written.
    pub names: bool,
    /// Whose values are.
    pub allow: Vec<Allowed>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { names: true, allow: Vec::new() }
    }
}

/// An argument whose value may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Whose tool or prompt.
    pub upstream: String,
    /// Its name there; `*` is all.
    pub name: String,
    /// A JSON pointer into the arguments.
    pub pointer: String,
}

impl Policy {
    /// Names, kinds and sizes, by name.
    pub(super) fn outline(&self, arguments: &Arguments) -> Option<Value> {
        if !self.names {
            return None;
        }
        let all = match arguments {
            Arguments::Text(text) => &outline(text),
            Arguments::Outline(all) => all,
        };
        let one = |Argument { name, kind, size }: &Argument| {
            (redact(name).into_owned(), json!({ "kind": kind, "size": size }))
        };
        Some(Value::Object(all.iter().map(one).collect()))
    }

    /// The values that may be seen, by their pointers.
    pub(super) fn values(
        &self,
        upstream: &str,
        name: &str,
        arguments: &Arguments,
    ) -> Option<Value> {
        let is_meant = |allowed: &&Allowed| {
            allowed.upstream == upstream && (allowed.name == "*" || allowed.name == name)
        };
        let mut pointers =
            self.allow.iter().filter(is_meant).map(|allowed| &*allowed.pointer).peekable();
        pointers.peek()?;
        let Arguments::Text(text) = arguments else { return None };
        let all: Value = serde_json::from_str(text).ok()?;
        let found = pointers.filter_map(|pointer| {
            let value = all.pointer(pointer)?;
            Some((pointer.to_owned(), shown(pointer, value)))
        });
        let found: Map<_, _> = found.collect();
        (!found.is_empty()).then_some(Value::Object(found))
    }
}

/// A value without what looks like a secret, by its own name as well.
fn shown(pointer: &str, value: &Value) -> Value {
    let name = pointer.rsplit('/').next().unwrap_or_default();
    let hidden = || Value::from("[redacted]");
    let whole = json!({ name: value }).to_string();
    // Where a secret was no text, what is left is no JSON.
    let Ok(Value::Object(mut clean)) = serde_json::from_str(&redact(&whole)) else {
        return hidden();
    };
    let Some(value) = clean.remove(name) else { return hidden() };
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.len() <= SHOWN {
        return value;
    }
    let end = (0..=SHOWN).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    Value::from(format!("{}… ({} bytes)", &text[..end], text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow: &[&str]) -> Policy {
        let allowed = |text: &&str| {
            let (tool, pointer) = text.split_once(' ').unwrap();
            let (upstream, name) = tool.split_once('/').unwrap();
            let [upstream, name, pointer] = [upstream, name, pointer].map(str::to_owned);
            Allowed { upstream, name, pointer }
        };
        Policy { names: true, allow: allow.iter().map(allowed).collect() }
    }

    fn values(allow: &[&str], arguments: &Value) -> Value {
        let arguments = Arguments::of(&arguments.to_string());
        policy(allow).values("files", "read", &arguments).unwrap_or_default()
    }

    #[test]
    fn only_what_is_allowed_is_seen() {
        let arguments = json!({ "path": "/a", "options": { "depth": [1, 2] }, "body": "mine" });
        let check = |allow: &[&str], expect: Value| {
            assert_eq!(values(allow, &arguments), expect, "{allow:?}");
        };
        check(&[], Value::Null);
        check(&["files/read /path"], json!({ "/path": "/a" }));
        check(&["files/* /options/depth/1"], json!({ "/options/depth/1": 2 }));
        check(&["files/write /path", "other/read /path"], Value::Null);
        check(&["files/read /missing"], Value::Null);
        check(&["files/read /options"], json!({ "/options": { "depth": [1, 2] } }));
    }

    #[test]
    fn what_looks_like_a_secret_is_not_seen_although_it_is_allowed() {
        let arguments = json!({
            "password": "hunter2",
            "api_key": { "value": 7 },
            "token": 12,
            "query": "use ghp_0123456789abcdef0123 for it",
            "deep": { "secret": "x", "plain": "y" },
        });
        let all = ["/password", "/api_key", "/token", "/query", "/deep"];
        let all: Vec<_> = all.iter().map(|pointer| format!("files/read {pointer}")).collect();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        let found = values(&all, &arguments);
        for (pointer, expect) in [
            ("/password", json!("[redacted]")),
            ("/api_key", json!("[redacted]")),
            ("/token", json!("[redacted]")),
            ("/query", json!("use [redacted] for it")),
            ("/deep", json!({ "secret": "[redacted]", "plain": "y" })),
        ] {
            assert_eq!(found[pointer], expect, "{found}");
        }
    }

    #[test]
    fn a_long_value_is_cut_and_long_arguments_have_none() {
        let found = values(&["files/read /a"], &json!({ "a": "ä".repeat(1_000) }));
        let text = found["/a"].as_str().unwrap();
        assert!(text.len() < SHOWN + 32 && text.ends_with("… (2000 bytes)"), "{text}");
        let long = json!({ "a": 1, "b": "x".repeat(100_000) });
        assert_eq!(values(&["files/read /a"], &long), Value::Null);
        let outline = Policy::default().outline(&Arguments::of(&long.to_string())).unwrap();
        assert_eq!(outline["b"], json!({ "kind": "string", "size": 100_002 }));
    }
}
