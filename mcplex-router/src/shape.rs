//! What the members of a request's parameters have to be, where nobody reads them but the upstream.
//!
//! No upstream gets a message that its revision does not know, also when a client writes one. So
//! the kind of what is passed on is looked at before anything is sent, as the schemas of all
//! revisions have it. A member that may be left out and is `null` counts as left out, because some
//! clients write it so; it is taken out, as no schema knows that.

use crate::params::Params;
use mcplex_proto::{
    edit,
    error::ErrorObject,
    id::Id,
    method,
    raw::Raw,
    version::{Era, Version},
};
use mcplex_translate::question;
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// The member of `_meta` under which progress is told.
const TOKEN: &str = "progressToken";

/// Why parameters cannot be used as they are.
pub(crate) enum Flaw {
    /// The request is refused.
    Wrong(ErrorObject),
    /// These are the same without members that are `null`.
    Nulls(Raw),
}

/// The members that are objects if they are there, besides `_meta`.
fn objects(method: &str, version: Option<Version>) -> &'static [&'static str] {
    let is_modern = version.is_some_and(|version| version.era() == Era::Modern);
    match method {
        method::TOOLS_CALL if is_modern => &["arguments", "inputResponses"],
        // Before that revision, and after it, a `task` is whatever somebody makes of it.
        method::TOOLS_CALL if version == Some(Version::V2025_11_25) => &["arguments", "task"],
        method::TOOLS_CALL => &["arguments"],
        method::TASKS_UPDATE if is_modern => &["inputResponses"],
        method::PROMPTS_GET if is_modern => &["arguments", "inputResponses"],
        method::PROMPTS_GET => &["arguments"],
        method::COMPLETE => &["context"],
        method::INITIALIZE => &["capabilities"],
        other if is_modern && question::may_need_input(other) => &["inputResponses"],
        _ => &[],
    }
}

impl Params<'_> {
    /// What is wrong with the parameters of a request; `version` is that of who asks.
    pub(crate) fn flaw(&self, method: &str, version: Option<Version>) -> Option<Flaw> {
        let wrong = |why: String| Some(Flaw::Wrong(ErrorObject::invalid_params(why)));
        let meta = self.get("_meta").and_then(|meta| edit::members(meta.get()));
        let meta = meta.unwrap_or_default();
        // We read the first one and change it; whoever gets the request may read the second one, and
        // so call what nobody looked at, or tell of its progress under the token of another call.
        if let Some(name) = repeated(self.members()).or_else(|| repeated(&meta)) {
            return wrong(format!("`{name}` stands twice"));
        }
        let objects = objects(method, version);
        let mut has_nulls = false;
        for name in objects.iter().chain(&["_meta"]) {
            match self.get(name).map(RawValue::get) {
                Some("null") => has_nulls = true,
                Some(value) if !value.starts_with('{') => {
                    return wrong(format!("`{name}` must be an object"));
                }
                Some(_) | None => {}
            }
        }
        match meta.iter().find(|(name, _)| name == TOKEN) {
            Some((_, token)) if token.get() == "null" => has_nulls = true,
            Some((_, token)) if Id::read(token).is_none() => {
                return wrong(format!("`{TOKEN}` must be a string or an integer"));
            }
            Some(_) | None => {}
        }
        if method == method::PROMPTS_GET && !self.get("arguments").is_none_or(holds_strings) {
            return wrong("each of `arguments` must be a string".to_owned());
        }
        has_nulls.then(|| Flaw::Nulls(self.without_nulls(objects, &meta)))
    }

    fn without_nulls(&self, objects: &[&str], meta: &[edit::Member<'_>]) -> Raw {
        let is_null = |value: &RawValue| value.get() == "null";
        let kept = meta.iter().filter(|(name, value)| name != TOKEN || !is_null(value));
        let meta = edit::object(kept.map(|(name, value)| (&**name, value.get())));
        let is_kept = |(name, value): &&edit::Member<'_>| {
            !is_null(value) || name != "_meta" && !objects.contains(&&**name)
        };
        let kept = self.members().iter().filter(is_kept);
        edit::object(kept.map(|(name, value)| match &**name {
            "_meta" => ("_meta", meta.as_str()),
            name => (name, value.get()),
        }))
    }
}

/// Whether all members of an object are strings; what is no object has none.
fn holds_strings(object: &RawValue) -> bool {
    let members = edit::members(object.get()).unwrap_or_default();
    members.iter().all(|(_, value)| value.get().starts_with('"'))
}

/// The first name that stands for a second time.
fn repeated(members: &[edit::Member<'_>]) -> Option<String> {
    /// So many are compared one by one, which costs less than a set.
    const FEW: usize = 16;
    let found = if members.len() <= FEW {
        let mut all = members.iter().enumerate();
        all.find(|(at, (name, _))| members[..*at].iter().any(|(other, _)| other == name))
            .map(|(_, (name, _))| name)
    } else {
        let mut seen = BTreeSet::new();
        members.iter().map(|(name, _)| name).find(|name| !seen.insert(&***name))
    };
    found.map(|name| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: Version = Version::V2025_11_25;
    const E: Version = Version::V2026_07_28;

    /// Why parameters are refused, what is left of them without nulls, or nothing.
    fn told(method: &str, version: Version, text: &str) -> Option<String> {
        let raw = Raw::parse(text.to_owned()).unwrap();
        Params::read(Some(&raw)).flaw(method, Some(version)).map(|flaw| match flaw {
            Flaw::Wrong(error) => error.message.replace("Invalid params: ", ""),
            Flaw::Nulls(clean) => clean.as_str().to_owned(),
        })
    }

    #[test]
    fn a_name_that_stands_twice_is_found_wherever_it_stands() {
        let check = |text: &str, name: Option<&str>| {
            let expect = name.map(|name| format!("`{name}` stands twice"));
            assert_eq!(told("tools/call", D, text), expect, "{text}");
        };
        check("{}", None);
        check(r#"{"name":"a","arguments":{"x":1,"x":2},"_meta":{"a":1,"b":2}}"#, None);
        check(r#"{"name":"a","n\u0061me":"b"}"#, Some("name"));
        check(r#"{"_meta":{"progressToken":1,"progressToken":2}}"#, Some("progressToken"));
        let many: String = (0..40).map(|n| format!("\"k{n}\":0,")).collect();
        check(&format!("{{{many}\"z\":0}}"), None);
        check(&format!("{{{many}\"k39\":0}}"), Some("k39"));
    }

    #[test]
    fn a_member_of_the_wrong_kind_is_named() {
        let wrong = |method: &str, version: Version, text: &str, expect: &str| {
            assert_eq!(told(method, version, text).as_deref(), Some(expect), "{text}");
        };
        let object = |name: &str| format!("`{name}` must be an object");
        for value in ["[]", "\"str\"", "5", "true"] {
            let text = format!(r#"{{"name":"t","arguments":{value}}}"#);
            wrong("tools/call", D, &text, &object("arguments"));
            wrong("tools/call", E, &text, &object("arguments"));
            wrong("prompts/get", D, &text, &object("arguments"));
            wrong("x/y", D, &format!(r#"{{"_meta":{value}}}"#), &object("_meta"));
        }
        wrong("tools/call", D, r#"{"task":1}"#, &object("task"));
        wrong("resources/read", E, r#"{"inputResponses":[]}"#, &object("inputResponses"));
        wrong("initialize", D, r#"{"capabilities":[]}"#, &object("capabilities"));
        let strings = "each of `arguments` must be a string";
        wrong("prompts/get", D, r#"{"name":"p","arguments":{"a":"b","c":5}}"#, strings);
        for token in ["{}", "1.5", "true"] {
            let text = format!(r#"{{"_meta":{{"progressToken":{token}}}}}"#);
            wrong("x/y", D, &text, "`progressToken` must be a string or an integer");
        }
        // Names that mean nothing to this method or revision are the sender's own.
        for (method, version, text) in [
            ("x/y", D, r#"{"arguments":5}"#),
            ("tools/call", E, r#"{"task":1}"#),
            ("tools/call", Version::V2025_06_18, r#"{"task":1}"#),
            ("tools/call", D, r#"{"inputResponses":5,"_meta":{"progressToken":"t"}}"#),
            ("prompts/get", D, r#"{"arguments":{"a":"b"}}"#),
        ] {
            assert_eq!(told(method, version, text), None, "{text}");
        }
    }

    #[test]
    fn null_is_as_good_as_nothing_and_goes_nowhere() {
        let clean = |text: &str, expect: &str| {
            assert_eq!(told("tools/call", D, text).as_deref(), Some(expect));
            assert_eq!(told("tools/call", D, expect), None);
        };
        clean(r#"{"name":"t","arguments":null,"x":null}"#, r#"{"name":"t","x":null}"#);
        clean(
            r#"{"_meta":{"progressToken":null,"v/x":1.0},"name":"t","arguments":{ "a":null}}"#,
            r#"{"_meta":{"v/x":1.0},"name":"t","arguments":{ "a":null}}"#,
        );
        clean(r#"{"name":"t","_meta":null,"task":null}"#, r#"{"name":"t"}"#);
    }
}
