//! The few members of a request's parameters that a gateway reads and rewrites.

use crate::hop::{Carry, Hop, Meta};
use mcplex_proto::{
    edit::{self, Edit},
    error::ErrorObject,
    message::Notification,
    raw::{self, Raw},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, cell::OnceCell};

/// Parameters with their top level laid open.
pub(crate) struct Params<'a> {
    text: &'a str,
    members: Vec<edit::Member<'a>>,
    /// Those of `_meta`, once somebody wants to know one.
    meta: OnceCell<Vec<edit::Member<'a>>>,
}

/// How a call's parameters differ at the upstream.
#[derive(Default)]
pub(crate) struct Rewrite<'a> {
    /// The upstream's own name as JSON, and the member it replaces.
    pub(crate) name: Option<(&'a RawValue, &'a str)>,
    /// The progress token there, if the client gave one here.
    pub(crate) token: Option<u64>,
    /// What it says of traces there.
    pub(crate) carry: Carry,
    /// What it says of its sender there.
    pub(crate) hop: Hop,
}

impl<'a> Params<'a> {
    pub(crate) fn read(params: Option<&'a Raw>) -> Self {
        let text = params.map_or("{}", Raw::as_str);
        Self { text, members: edit::members(text).unwrap_or_default(), meta: OnceCell::new() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        find(&self.members, name)
    }

    /// All of the top level.
    pub(crate) fn members(&self) -> &[edit::Member<'a>] {
        &self.members
    }

    /// A member that must be there and must be a string.
    pub(crate) fn string(&self, name: &str) -> Result<(&'a RawValue, Cow<'a, str>), ErrorObject> {
        let value = self.get(name);
        value.and_then(|value| Some((value, raw::string(value)?))).ok_or_else(|| {
            ErrorObject::invalid_params(format_args!("`{name}` must be there and be a string"))
        })
    }

    /// A member of `_meta`.
    pub(crate) fn meta(&self, name: &str) -> Option<&'a RawValue> {
        let read = || self.get("_meta").and_then(|meta| edit::members(meta.get()));
        find(self.meta.get_or_init(|| read().unwrap_or_default()), name)
    }

    /// The progress token, if there is one.
    pub(crate) fn token(&self) -> Option<&'a RawValue> {
        self.meta("progressToken").filter(|token| token.get() != "null")
    }

    /// The parameters with another progress token, or `None` when they have none.
    pub(crate) fn with_token(&self, token: u64) -> Option<Raw> {
        self.rewrite(&Rewrite { token: Some(token), ..Rewrite::default() })
    }

    /// The progress notification these parameters are of, under another token.
    pub(crate) fn progress_under(
        &self,
        notification: &Notification,
        token: &Raw,
    ) -> Option<Notification> {
        let mut edit = Edit::new(self.text);
        edit.replace(self.get("progressToken")?, token.as_str());
        Some(Notification {
            method: notification.method.clone(),
            params: Some(edit.finish()),
            extra: notification.extra.clone(),
        })
    }

    /// The parameters for the upstream, or `None` when they are the same.
    pub(crate) fn rewrite(&self, rewrite: &Rewrite<'_>) -> Option<Raw> {
        let mut edit = Edit::new(self.text);
        if let Some((member, name)) = rewrite.name {
            edit.replace(member, name);
        }
        let meta = self.get("_meta");
        if !matches!(rewrite.hop, Hop::Silent) || meta.is_some_and(|it| rewrite.carry.strips(it)) {
            self.rewrite_meta(&mut edit, rewrite);
            return (!edit.is_empty()).then(|| edit.finish());
        }
        if let (Some(token), Some(old)) = (rewrite.token, self.token()) {
            edit.replace(old, token.to_string());
        }
        let own = rewrite.carry.own();
        match meta {
            Some(meta) if meta.get().starts_with('{') => {
                for (name, value) in &own {
                    match self.meta(name) {
                        Some(old) => edit.replace(old, &**value),
                        None => edit.insert(meta.get(), name, value),
                    }
                }
            }
            None if !own.is_empty() => {
                let new = edit::object(own.iter().map(|(name, value)| (*name, &**value)));
                edit.insert(self.text, "_meta", new.as_str());
            }
            Some(_) | None => {}
        }
        (!edit.is_empty()).then(|| edit.finish())
    }

    /// Writes `_meta` anew, because who asks stands in it on one side and not on the other.
    fn rewrite_meta(&self, edit: &mut Edit<'a>, rewrite: &Rewrite<'_>) {
        let token = rewrite.token.map(|token| token.to_string());
        let old = self.get("_meta");
        let meta = Meta {
            hop: &rewrite.hop,
            token: token.as_deref().filter(|_| self.token().is_some()),
            carry: &rewrite.carry,
        };
        let meta = meta.over(old);
        match old {
            Some(old) => edit.replace(old, meta.as_str()),
            None if meta == Raw::empty_object() => {}
            None => edit.insert(self.text, "_meta", meta.as_str()),
        }
    }
}

/// The first member of that name, which is the one that counts everywhere.
fn find<'a>(members: &[edit::Member<'a>], name: &str) -> Option<&'a RawValue> {
    members.iter().find(|(key, _)| key == name).map(|&(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hop::Introduction, level::Level};
    use mcplex_proto::modern;

    fn traced() -> Carry {
        Carry { traceparent: Some("00-x".to_owned()), ..Carry::default() }
    }

    #[test]
    fn what_an_upstream_is_not_to_know_stays_here() {
        let check = |carry: Carry, meta: &str, expect: &str| {
            let raw = Raw::parse(format!(r#"{{"a":1.0,"_meta":{meta}}}"#)).unwrap();
            let params = Params::read(Some(&raw));
            let told = params.rewrite(&Rewrite { carry, ..Rewrite::default() });
            let told = told.unwrap_or_else(|| raw.clone());
            assert_eq!(told.as_str(), format!(r#"{{"a":1.0,"_meta":{expect}}}"#));
        };
        let no_baggage = || Carry { drops_baggage: true, ..Carry::default() };
        let nothing = || Carry { drops_trace: true, ..no_baggage() };
        let old = r#"{"traceparent":"00-o","tracestate":"a=b","baggage":"k=v","x/y":1}"#;
        check(Carry::default(), old, old);
        check(no_baggage(), old, r#"{"traceparent":"00-o","tracestate":"a=b","x/y":1}"#);
        check(nothing(), old, r#"{"x/y":1}"#);
        check(no_baggage(), r#"{ "x/y":1}"#, r#"{ "x/y":1}"#);
        // The state of another trace is none of ours.
        check(traced(), old, r#"{"traceparent":"00-x","baggage":"k=v","x/y":1}"#);
        let no_text = r#"{"traceparent":"00-o","tracestate":5}"#;
        check(traced(), no_text, r#"{"traceparent":"00-x"}"#);
        let with_state = Carry { tracestate: Some("a=b".to_owned()), ..traced() };
        check(
            with_state,
            old,
            r#"{"traceparent":"00-x","tracestate":"a=b","baggage":"k=v","x/y":1}"#,
        );
        let envelope = format!(r#"{{"{}":"2025-01-01","baggage":""}}"#, modern::PROTOCOL_VERSION);
        let kept = format!(r#"{{"{}":"2025-01-01"}}"#, modern::PROTOCOL_VERSION);
        check(no_baggage(), &envelope, &kept);
    }

    #[test]
    fn name_token_and_trace_change_and_nothing_else_does() {
        let raw = Raw::parse(
            r#"{ "_meta":{"progressToken":"t","v/x":1.0}, "name":"a__e","arguments":{"n":1.50}}"#
                .to_owned(),
        )
        .unwrap();
        let params = Params::read(Some(&raw));
        let (name, text) = params.string("name").unwrap();
        assert_eq!(text, "a__e");
        let rewrite = Rewrite {
            name: Some((name, "\"e\"")),
            token: Some(7),
            carry: traced(),
            hop: Hop::Silent,
        };
        assert_eq!(
            params.rewrite(&rewrite).unwrap().as_str(),
            r#"{ "_meta":{"traceparent":"00-x","progressToken":7,"v/x":1.0}, "name":"e","arguments":{"n":1.50}}"#
        );
        assert_eq!(params.rewrite(&Rewrite::default()), None);
    }

    #[test]
    fn a_trace_is_added_where_there_is_no_meta() {
        let rewrite = Rewrite { carry: traced(), ..Rewrite::default() };
        let check = |text: &str, expect: &str| {
            let raw = Raw::parse(text.to_owned()).unwrap();
            let params = Params::read(Some(&raw));
            assert_eq!(params.rewrite(&rewrite).unwrap().as_str(), expect);
        };
        check("{}", r#"{"_meta":{"traceparent":"00-x"}}"#);
        check(r#"{"a":1}"#, r#"{"_meta":{"traceparent":"00-x"},"a":1}"#);
        let old = r#"{"_meta":{"traceparent":"00-old"}}"#;
        check(old, r#"{"_meta":{"traceparent":"00-x"}}"#);
    }

    #[test]
    fn who_asks_is_told_anew_on_each_hop() {
        let text = format!(
            r#"{{"b":1.0,"_meta":{{"v/x":1e3,"{}":"2026-07-28","progressToken":"t","{}":{{"roots":{{}}}}}},"a":null}}"#,
            modern::PROTOCOL_VERSION,
            modern::CLIENT_CAPABILITIES
        );
        let raw = Raw::parse(text).unwrap();
        let params = Params::read(Some(&raw));
        let rewrite = |hop| Rewrite { token: Some(7), hop, ..Rewrite::default() };
        assert_eq!(
            params.rewrite(&rewrite(Hop::Strip)).unwrap().as_str(),
            r#"{"b":1.0,"_meta":{"v/x":1e3,"progressToken":7},"a":null}"#
        );
        let introduction = Introduction {
            client_info: Raw::of("me"),
            capabilities: Raw::empty_object(),
            level: Some(Level::Info),
        };
        assert_eq!(
            params.rewrite(&rewrite(Hop::Introduce(introduction.clone()))).unwrap().as_str(),
            r#"{"b":1.0,"_meta":{"v/x":1e3,"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":7,"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":"me","io.modelcontextprotocol/logLevel":"info"},"a":null}"#
        );
        let none = Params::read(None);
        assert_eq!(none.rewrite(&rewrite(Hop::Strip)), None);
        let told = none.rewrite(&rewrite(Hop::Introduce(introduction))).unwrap();
        assert!(
            told.as_str().starts_with(r#"{"_meta":{"io.modelcontextprotocol/protocolVersion""#)
        );
    }
}
