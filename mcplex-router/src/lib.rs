//! Makes many MCP servers look like one.
//!
//! It starts no process, opens no socket, reads no clock and knows no async runtime: upstreams
//! come in as [`Upstream`](mcplex_proto::upstream::Upstream)s, clients as
//! [`Client`](mcplex_proto::downstream::Client)s, and whoever holds the [`Router`] polls
//! [`Router::run`].
//!
//! Read it in this order: `router` (what is shared), `catalog` with `offer`, `naming`, `template`,
//! `lists` and `memory` (what clients see), `session` (one client) with `asker` (who asks), `here`
//! (what needs no upstream), `audit` (who hears of calls), `calls` with `target`, `hop` and `words` (requests toward upstreams, in
//! the words of both sides) with `asks`, `talk`, `suspend` and `seal` (what upstreams ask), `link` (one upstream) with `isolation`, `crew` and `member` (its
//! children), `relay` (what they say by themselves) and `attribution` with `ghosts` (whom they mean), and at last
//! `listen`, `subscribers` and `watch` (who wants to hear of what).
//!
//! See `examples/two_upstreams.rs` for a router without processes or sockets.

mod arrival;
mod asker;
mod asks;
mod attribution;
mod audit;
mod calls;
mod catalog;
mod crew;
mod fit;
mod ghosts;
mod here;
mod hop;
mod isolation;
mod level;
mod link;
mod listen;
mod lists;
mod measure;
mod member;
mod memory;
mod naming;
mod offer;
mod options;
mod params;
mod places;
mod refresh;
mod relay;
mod router;
mod seal;
mod session;
mod shape;
mod signal;
mod spans;
mod subscribers;
mod suspend;
mod talk;
mod target;
mod tasks;
mod template;
mod watch;
mod words;

#[cfg(feature = "bench")]
pub mod cost;

pub use crate::{
    isolation::{Isolation, MemberKey, Members},
    memory::Memory,
    naming::Naming,
    options::{DownReply, IncomingContext, Options, Propagate},
    router::{Clock, Router, UpstreamKey},
};
