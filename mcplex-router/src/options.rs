//! What can be set, with its reasons.

use crate::naming::{Naming, Rule};
use mcplex_proto::{edit, raw::Raw};
use std::time::Duration;

/// How a [`Router`](crate::Router) behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `name` in the `serverInfo` that clients see.
    pub name: String,
    /// The `version` beside it.
    pub version: String,
    /// When names get a prefix.
    pub naming: Naming,
    /// Stands between an upstream's name and its own; `__`, because model APIs refuse dots and
    /// slashes.
    pub separator: String,
    /// Clients hear at most one `list_changed` of a kind in this time; 1 s, so that a crash loop
    /// cannot make clients read their lists again and again.
    pub list_changed_interval: Duration,
    /// How long one page of an upstream's list may take; 30 s.
    pub list_timeout: Duration,
    /// How a `tools/call` to an upstream that is down is answered.
    pub down_reply: DownReply,
    /// How long a call by an unknown name waits for upstreams that are still starting; 5 s, as
    /// long as a call waits for the next life of an upstream.
    pub arrival_wait: Duration,
    /// How long a list waits for upstreams that are still starting; zero, because one slow
    /// upstream should delay no list. More helps clients that ignore `list_changed`.
    pub first_list_wait: Duration,
    /// Whether all clients that prove nothing are of one person. No: where several can reach the
    /// endpoint, what an upstream asks one of them must not be shown to another. Sessions and requests
    /// keep what holds when they come.
    pub single_user: bool,
    /// How long an upstream's question to a stateless client may stay unanswered; 10 min, within
    /// which a person has seen it. For so long at least, a call that was given up counts when it has
    /// to be told whom an upstream means.
    pub input_wait: Duration,
    /// Calls of all stateless clients that may be suspended at the same time, because their upstreams
    /// have asked something; 1024, each of which is a call that an upstream keeps open.
    pub suspended: usize,
    /// The same of one client; 64, as many calls as may wait for the next life of an upstream.
    pub suspended_per_client: usize,
    /// What becomes of the trace that a caller names; its requests go on in it, as the conventions
    /// for MCP want it.
    pub incoming_context: IncomingContext,
}

/// What becomes of the trace that a caller says its request belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncomingContext {
    /// The request goes on in it.
    #[default]
    Parent,
    /// The request begins a trace of its own, with a link to it.
    Link,
    /// The request begins a trace of its own.
    Ignore,
}

/// What of a caller's context an upstream gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Propagate {
    /// Where its work belongs in the trace.
    pub trace: bool,
    /// What the caller says of itself and others.
    pub baggage: bool,
}

impl Default for Propagate {
    /// The trace, and nothing of what a caller says to others than itself.
    fn default() -> Self {
        Self { trace: true, baggage: false }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "mcplex".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            naming: Naming::default(),
            separator: "__".to_owned(),
            list_changed_interval: Duration::from_secs(1),
            list_timeout: Duration::from_secs(30),
            down_reply: DownReply::default(),
            arrival_wait: Duration::from_secs(5),
            first_list_wait: Duration::ZERO,
            single_user: false,
            input_wait: Duration::from_secs(600),
            suspended: 1024,
            suspended_per_client: 64,
            incoming_context: IncomingContext::default(),
        }
    }
}

impl Options {
    /// Who mcplex says it is, to clients and to upstreams.
    pub(crate) fn identity(&self) -> Raw {
        edit::object([
            ("name", Raw::of(&self.name).as_str()),
            ("version", Raw::of(&self.version).as_str()),
        ])
    }

    /// How names are formed.
    pub(crate) fn rule(&self) -> Rule {
        Rule { naming: self.naming, separator: self.separator.clone() }
    }
}

/// How a `tools/call` to an upstream that is down is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DownReply {
    /// A result with `isError`, which clients show to the model.
    #[default]
    Result,
    /// A JSON-RPC error.
    Error,
}
