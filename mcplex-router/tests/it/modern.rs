//! Stateless requests, as tests write them.

use crate::world::{Going, Peer, World};

pub(crate) const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub(crate) const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub(crate) const CLIENT: &str = "io.modelcontextprotocol/clientInfo";
pub(crate) const LEVEL: &str = "io.modelcontextprotocol/logLevel";
pub(crate) const SERVER: &str = "io.modelcontextprotocol/serverInfo";
pub(crate) const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// What mcplex says it is.
pub(crate) fn me() -> String {
    format!(r#"{{"name":"mcplex","version":"{}"}}"#, env!("CARGO_PKG_VERSION"))
}

/// An envelope with these capabilities, and whatever else stands in `_meta`.
pub(crate) fn meta(capabilities: &str, more: &str) -> String {
    format!(r#""_meta":{{"{VERSION}":"2026-07-28","{CAPABILITIES}":{capabilities}{more}}}"#)
}

/// A request with a plain envelope; `members` begin with a comma if there are any.
pub(crate) fn request(id: &str, method: &str, members: &str) -> String {
    let meta = meta("{}", "");
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{meta}{members}}}}}"#)
}

/// Asks something, and gives the answer, which must come at once.
pub(crate) fn asks(
    world: &mut World,
    peer: &Peer,
    method: &str,
    members: &str,
) -> serde_json::Value {
    let answer = world.ask(peer, &request("1", method, members)).text();
    serde_json::from_str(&answer).unwrap()
}

/// Calls a tool.
pub(crate) fn calls(world: &mut World, peer: &Peer, id: &str, tool: &str) -> Going {
    world.ask(peer, &request(id, "tools/call", &format!(r#","name":"{tool}""#)))
}
