//! Boundary: who is told of every call when it has ended. Implemented by whoever keeps an audit log,
//! called by the gateway.

use crate::{
    downstream::Principal,
    edit, raw,
    upstream::{Incarnation, UpstreamName},
};
use std::{borrow::Cow, time::Duration};

/// Arguments up to this length are copied, so that they are read off the way of calls; of longer ones
/// only the outline is taken, in the moment the call is made. Nearly all are shorter.
pub const COPIED: usize = 16 * 1024;

/// How many names of arguments are kept of one call; more than any schema seen has.
const NAMES: usize = 64;

/// How much of a name is kept; clients may make up any.
const NAME: usize = 128;

/// Hears of calls.
pub trait Auditor: Send + Sync + 'static {
    /// A clock that never goes back.
    fn now(&self) -> Duration;

    /// A call has ended. Never waits.
    fn ended(&self, call: Audited);
}

/// A call that has ended.
#[derive(Clone, Debug)]
pub struct Audited {
    /// On whose behalf it was made.
    pub principal: Principal,
    /// Which session it belongs to, if it does.
    pub session: Option<u64>,
    /// What the client says it is called.
    pub client: Option<String>,
    /// And which version of that.
    pub client_version: Option<String>,
    /// The method.
    pub method: Cow<'static, str>,
    /// The tool, prompt or task, as the client knows it.
    pub name: Option<String>,
    /// The resource.
    pub uri: Option<String>,
    /// The arguments, where the method has some.
    pub arguments: Option<Arguments>,
    /// Whom it was for.
    pub upstream: Option<UpstreamName>,
    /// The tool or prompt, as the upstream knows it.
    pub own_name: Option<String>,
    /// `ok`, `error`, `rejected` (it was not sent) or `cancelled`.
    pub outcome: &'static str,
    /// What kind of error: a word of [`attr`](crate::attr) or a code of JSON-RPC.
    pub error: Option<Cow<'static, str>>,
    /// The code of JSON-RPC it was answered with.
    pub code: Option<i64>,
    /// From the request to its answer.
    pub duration: Duration,
    /// How long its parameters are as JSON.
    pub bytes_in: usize,
    /// How long its result or error is as JSON.
    pub bytes_out: usize,
    /// The trace it belongs to, as hexadecimal digits.
    pub trace_id: Option<String>,
    /// The life of the upstream that answered.
    pub incarnation: Option<Incarnation>,
    /// How often it was made for the upstream; more than once when that came back in another era.
    pub attempts: u32,
}

/// The arguments of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// As JSON.
    Text(Box<str>),
    /// Of long ones.
    Outline(Vec<Argument>),
}

/// One argument without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// `string`, `number`, `boolean`, `null`, `array` or `object`.
    pub kind: &'static str,
    /// How long it is as JSON.
    pub size: usize,
}

impl Arguments {
    /// What is kept of arguments until they are written.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if text.len() <= COPIED { Self::Text(text.into()) } else { Self::Outline(outline(text)) }
    }

    /// How much memory it takes, more or less.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Outline(names) => names.len() * (NAME + size_of::<Argument>()),
        }
    }
}

/// The names of arguments with what they are; nothing when they are no object.
#[must_use]
pub fn outline(arguments: &str) -> Vec<Argument> {
    let members = edit::members(arguments).unwrap_or_default();
    let named = |(name, value): &edit::Member<'_>| Argument {
        name: short(name),
        kind: kind(value.get()),
        size: value.get().len(),
    };
    members.iter().take(NAMES).map(named).collect()
}

/// As much of a name as is kept.
#[must_use]
pub fn short(name: &str) -> String {
    name.chars().take(NAME).collect()
}

/// A JSON string that is a name, as much of it as is kept.
#[must_use]
pub fn short_name(value: &serde_json::value::RawValue) -> Option<String> {
    raw::string(value).map(|name| short(&name))
}

fn kind(value: &str) -> &'static str {
    match value.as_bytes().first() {
        Some(b'"') => "string",
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_has_names_kinds_and_sizes_and_no_value() {
        let text =
            r#"{"path":"/etc/passwd","deep":{"a":[1]},"n":-1.5,"yes":true,"no":null,"l":[]}"#;
        let found = outline(text);
        let found: Vec<_> =
            found.iter().map(|one| (one.name.as_str(), one.kind, one.size)).collect();
        let expect = [
            ("path", "string", 13),
            ("deep", "object", 9),
            ("n", "number", 4),
            ("yes", "boolean", 4),
            ("no", "null", 4),
            ("l", "array", 2),
        ];
        assert_eq!(found, expect);
        assert_eq!(outline("[1]"), []);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(COPIED));
        let kept = Arguments::of(&long);
        assert!(matches!(&kept, Arguments::Outline(names) if names.len() == 1), "{kept:?}");
        let many: Vec<_> = (0..1_000).map(|n| format!(r#""{n}":0"#)).collect();
        assert_eq!(outline(&format!("{{{}}}", many.join(","))).len(), NAMES);
        assert_eq!(short(&"ä".repeat(1_000)).chars().count(), NAME);
    }
}
