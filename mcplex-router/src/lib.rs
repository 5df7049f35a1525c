//! Makes many MCP servers look like one.
//!
//! It starts no process, opens no socket, reads no clock and knows no async runtime: upstreams
//! come in as [`Upstream`](mcplex_proto::upstream::Upstream)s, clients as
//! [`Client`](mcplex_proto::downstream::Client)s, and whoever holds the [`Router`] polls
//! [`Router::run`].
//!
//! Read it in this order: `router` (what is shared), `catalog` with `naming`, `template`,
//! `lists` and `memory` (what clients see), `session` (one client) with `calls` and `target` (requests toward upstreams),
//! `link` (one upstream) with `isolation`, `crew` and `member` (its children), `relay` (what they
//! say by themselves) and `attribution` (whom they mean).
//!
//! See `examples/two_upstreams.rs` for a router without processes or sockets.

mod arrival;
mod asker;
mod asks;
mod attribution;
mod calls;
mod catalog;
mod crew;
mod here;
mod hop;
mod isolation;
mod level;
mod link;
mod listen;
mod lists;
mod member;
mod memory;
mod naming;
mod offer;
mod options;
mod params;
mod refresh;
mod relay;
mod router;
mod session;
mod signal;
mod spans;
mod subscribers;
mod target;
mod template;
mod words;

pub use crate::{
    isolation::{Isolation, MemberKey, Members},
    memory::Memory,
    naming::Naming,
    options::{DownReply, Options},
    router::{Clock, Router, UpstreamKey},
};
