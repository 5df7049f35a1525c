//! The few members of a request's parameters that a gateway reads and rewrites.

use mcplex_proto::{
    edit::{self, Edit},
    error::ErrorObject,
    message::Notification,
    raw::{self, Raw},
};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Parameters with their top level laid open.
pub(crate) struct Params<'a> {
    text: &'a str,
    members: Vec<edit::Member<'a>>,
}

/// How a call's parameters differ at the upstream.
#[derive(Default)]
pub(crate) struct Rewrite<'a> {
    /// The upstream's own name as JSON, and the member it replaces.
    pub(crate) name: Option<(&'a RawValue, &'a str)>,
    /// The progress token there, if the client gave one here.
    pub(crate) token: Option<u64>,
    /// The trace context there.
    pub(crate) traceparent: Option<String>,
}

impl<'a> Params<'a> {
    pub(crate) fn read(params: Option<&'a Raw>) -> Self {
        let text = params.map_or("{}", Raw::as_str);
        Self { text, members: edit::members(text).unwrap_or_default() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.members.iter().find(|(key, _)| key == name).map(|&(_, value)| value)
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
        edit::member(self.get("_meta")?.get(), name)
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
        if let (Some(token), Some(old)) = (rewrite.token, self.token()) {
            edit.replace(old, token.to_string());
        }
        if let Some(traceparent) = &rewrite.traceparent {
            let value = format!("\"{traceparent}\"");
            match self.get("_meta") {
                Some(meta) if meta.get().starts_with('{') => {
                    edit.set(meta.get(), "traceparent", &value);
                }
                Some(_) => {}
                None => edit.insert(self.text, "_meta", &format!("{{\"traceparent\":{value}}}")),
            }
        }
        (!edit.is_empty()).then(|| edit.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            traceparent: Some("00-x".to_owned()),
        };
        assert_eq!(
            params.rewrite(&rewrite).unwrap().as_str(),
            r#"{ "_meta":{"traceparent":"00-x","progressToken":7,"v/x":1.0}, "name":"e","arguments":{"n":1.50}}"#
        );
        assert_eq!(params.rewrite(&Rewrite::default()), None);
    }

    #[test]
    fn a_trace_is_added_where_there_is_no_meta() {
        let rewrite = Rewrite { traceparent: Some("00-x".to_owned()), ..Rewrite::default() };
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
}
