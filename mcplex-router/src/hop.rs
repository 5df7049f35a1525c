//! What a request says of its sender on the way to an upstream.
//!
//! A stateless upstream reads in each request who asks; a legacy one was told so once and gets none
//! of it. Whatever else stands in `_meta` passes on both.

use crate::{asker::Asker, level::Level, options::Options};
use mcplex_proto::{
    edit,
    modern::{self, PER_HOP},
    raw::Raw,
    version::Version,
};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What requests of our own say: everything that some client may be asked, so that no list hides
/// what needs it.
const OWN_CAPABILITIES: &str = r#"{"elicitation":{"form":{},"url":{}},"roots":{},"sampling":{"context":{},"tools":{}},"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}}"#;

/// How `_meta` of a request differs at the upstream.
#[derive(Clone, Debug, Default)]
pub(crate) enum Hop {
    /// Both are legacy: nobody says who asks.
    #[default]
    Silent,
    /// The asker said who it is, and a legacy upstream is not to be told.
    Strip,
    /// The upstream wants to know who asks.
    Introduce(Introduction),
}

/// Our envelope.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    /// Name and version of mcplex.
    pub(crate) client_info: Raw,
    pub(crate) capabilities: Raw,
    pub(crate) level: Option<Level>,
}

impl Introduction {
    /// In the name of a client.
    pub(crate) fn of(asker: &Asker, level: Option<Level>, identity: &Raw) -> Self {
        let capabilities = asker.relayed().clone();
        Self { client_info: identity.clone(), capabilities, level }
    }

    /// In our own name.
    pub(crate) fn own(options: &Options) -> Self {
        let capabilities = Raw::parse(OWN_CAPABILITIES).expect("this constant is JSON");
        Self { client_info: options.identity(), capabilities, level: None }
    }

    fn member(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            modern::PROTOCOL_VERSION => Some(format!("\"{}\"", Version::LATEST_MODERN).into()),
            modern::CLIENT_INFO => Some(self.client_info.as_str().into()),
            modern::CLIENT_CAPABILITIES => Some(self.capabilities.as_str().into()),
            modern::LOG_LEVEL => self.level.map(|level| format!("\"{}\"", level.as_str()).into()),
            _ => None,
        }
    }

    /// Parameters of a request of our own.
    pub(crate) fn params(&self, member: Option<(&str, &str)>) -> Raw {
        let meta = Meta { hop: &Hop::Introduce(self.clone()), token: None, traceparent: None };
        let meta = meta.over(None);
        edit::object([("_meta", meta.as_str())].into_iter().chain(member))
    }
}

/// The members of `_meta` that are others at the upstream.
pub(crate) struct Meta<'a> {
    pub(crate) hop: &'a Hop,
    pub(crate) token: Option<&'a str>,
    pub(crate) traceparent: Option<&'a str>,
}

impl Meta<'_> {
    /// The new `_meta` in the place of an old one; what stays stands where it stood.
    pub(crate) fn over(&self, old: Option<&RawValue>) -> Raw {
        let old = old.and_then(|old| edit::members(old.get())).unwrap_or_default();
        let mut members: Vec<(&str, Cow<'_, str>)> = Vec::with_capacity(old.len() + PER_HOP.len());
        for (name, value) in &old {
            let value = match &**name {
                "progressToken" => self.token.unwrap_or_else(|| value.get()).into(),
                "traceparent" => self.traceparent.unwrap_or_else(|| value.get()).into(),
                name if PER_HOP.contains(&name) => match self.introduced(name) {
                    Some(mine) => mine,
                    None => continue,
                },
                _ => value.get().into(),
            };
            members.push((name, value));
        }
        let is_there = |name: &str| old.iter().any(|(known, _)| known == name);
        for name in PER_HOP.into_iter().filter(|name| !is_there(name)) {
            members.extend(self.introduced(name).map(|mine| (name, mine)));
        }
        if let Some(traceparent) = self.traceparent.filter(|_| !is_there("traceparent")) {
            members.push(("traceparent", traceparent.into()));
        }
        edit::object(members.iter().map(|(name, value)| (*name, &**value)))
    }

    fn introduced(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.hop {
            Hop::Introduce(introduction) => introduction.member(name),
            Hop::Silent | Hop::Strip => None,
        }
    }
}
