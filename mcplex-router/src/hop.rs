//! What a request says of its sender on the way to an upstream.
//!
//! A stateless upstream reads in each request who asks; a legacy one was told so once and gets none
//! of it. Whatever else stands in `_meta` passes on both.

use crate::{asker::Asker, level::Level, options::Options};
use mcplex_proto::{
    edit,
    modern::{self, PER_HOP},
    raw::{self, Raw},
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

    /// With the word that tasks are known, which every request about one needs.
    pub(crate) fn with_tasks(mut self) -> Self {
        let all = edit::member(self.capabilities.as_str(), "extensions").map(|all| all.get());
        let all = all.and_then(|all| Raw::parse(all.to_owned()).ok());
        let all = all.unwrap_or_else(Raw::empty_object);
        let all = edit::with_members(&all, &[(modern::TASKS_EXTENSION, "{}")]);
        self.capabilities = edit::with_members(&self.capabilities, &[("extensions", all.as_str())]);
        self
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
    pub(crate) fn params(&self, members: &[(&str, &str)]) -> Raw {
        let carry = Carry::default();
        let meta = Meta { hop: &Hop::Introduce(self.clone()), token: None, carry: &carry };
        let meta = meta.over(None);
        edit::object([("_meta", meta.as_str())].into_iter().chain(members.iter().copied()))
    }
}

/// Parameters of a request that introduces its sender, with the word that tasks are known.
pub(crate) fn knowing_tasks(params: &Raw) -> Raw {
    const PATH: [&str; 4] =
        ["_meta", modern::CLIENT_CAPABILITIES, "extensions", modern::TASKS_EXTENSION];
    fn set(object: &Raw, path: &[&str]) -> Raw {
        let Some((name, rest)) = path.split_first() else { return object.clone() };
        let inner = edit::member(object.as_str(), name).map(|inner| Raw::part(object, inner));
        let inner = set(&inner.unwrap_or_else(Raw::empty_object), rest);
        edit::with_members(object, &[(name, inner.as_str())])
    }
    set(params, &PATH)
}

/// What `_meta` says of traces at the upstream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Carry {
    /// Where the request there belongs, in place of what the caller said.
    pub(crate) traceparent: Option<String>,
    /// What belongs to it.
    pub(crate) tracestate: Option<String>,
    /// What the caller said of its trace is not for the upstream.
    pub(crate) drops_trace: bool,
    /// What the caller said of itself is not for it.
    pub(crate) drops_baggage: bool,
}

/// The members of `_meta` that say something of traces.
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const BAGGAGE: &str = "baggage";

impl Carry {
    /// What stands there of our own, as JSON.
    pub(crate) fn own(&self) -> Vec<(&'static str, String)> {
        let Some(parent) = &self.traceparent else { return Vec::new() };
        let state = self.tracestate.as_ref().map(|text| (TRACESTATE, Raw::of(text)));
        let state = state.map(|(name, text)| (name, text.as_str().to_owned()));
        [(TRACEPARENT, format!("\"{parent}\""))].into_iter().chain(state).collect()
    }

    /// Whether something that a caller wrote must not stand there.
    pub(crate) fn strips(&self, meta: &RawValue) -> bool {
        let text = meta.get();
        // Nearly nobody writes any of it; a name can be written with escapes too.
        if !text.contains(BAGGAGE) && !text.contains("trace") && !text.contains('\\') {
            return false;
        }
        let members = edit::members(text).unwrap_or_default();
        members.iter().any(|(name, value)| match &**name {
            BAGGAGE => self.drops_baggage,
            TRACEPARENT => self.drops_trace && self.traceparent.is_none(),
            TRACESTATE if self.traceparent.is_some() => {
                self.tracestate.is_none() || raw::string(value) != self.state()
            }
            TRACESTATE => self.drops_trace,
            _ => false,
        })
    }

    fn state(&self) -> Option<Cow<'_, str>> {
        self.tracestate.as_deref().map(Cow::Borrowed)
    }

    /// What becomes of a member that a caller wrote.
    fn member<'a>(&self, name: &str, value: &'a RawValue) -> Option<Cow<'a, str>> {
        match name {
            BAGGAGE => (!self.drops_baggage).then(|| value.get().into()),
            _ => match &self.traceparent {
                Some(_) => {
                    let own = self.own().into_iter().find(|(own, _)| *own == name);
                    own.map(|(_, value)| value.into())
                }
                None => (!self.drops_trace).then(|| value.get().into()),
            },
        }
    }
}

/// The members of `_meta` that are others at the upstream.
pub(crate) struct Meta<'a> {
    pub(crate) hop: &'a Hop,
    pub(crate) token: Option<&'a str>,
    pub(crate) carry: &'a Carry,
}

impl Meta<'_> {
    /// The new `_meta` in the place of an old one; what stays stands where it stood.
    pub(crate) fn over(&self, old: Option<&RawValue>) -> Raw {
        let old = old.and_then(|old| edit::members(old.get())).unwrap_or_default();
        let mut members: Vec<(&str, Cow<'_, str>)> = Vec::with_capacity(old.len() + PER_HOP.len());
        let is_silent = matches!(self.hop, Hop::Silent);
        for (name, value) in &old {
            let value = match &**name {
                "progressToken" => Some(self.token.unwrap_or_else(|| value.get()).into()),
                TRACEPARENT | TRACESTATE | BAGGAGE => self.carry.member(name, value),
                name if PER_HOP.contains(&name) && !is_silent => self.introduced(name),
                _ => Some(value.get().into()),
            };
            members.extend(value.map(|value| (&**name, value)));
        }
        let is_there = |name: &str| old.iter().any(|(known, _)| known == name);
        for name in PER_HOP.into_iter().filter(|name| !is_there(name)) {
            members.extend(self.introduced(name).map(|mine| (name, mine)));
        }
        for (name, value) in self.carry.own() {
            if !is_there(name) {
                members.push((name, value.into()));
            }
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
