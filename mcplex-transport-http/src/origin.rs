//! Where a request came from, for those who trace it.

use hyper::{HeaderMap, Request, http::Extensions};
use mcplex_proto::{
    peer::Origin,
    trace::{self, TraceContext},
};
use std::net::SocketAddr;

/// The client's end of a connection, on each of its requests.
#[derive(Clone, Copy, Debug)]
struct Remote(SocketAddr);

/// Notes on a request from where it came.
pub(crate) fn mark<B>(request: &mut Request<B>, remote: SocketAddr) {
    if trace::is_on() {
        request.extensions_mut().insert(Remote(remote));
    }
}

/// What is known of that; nothing is looked for where nobody exports spans.
pub(crate) fn of(extensions: &Extensions, headers: &HeaderMap) -> Origin {
    if !trace::is_on() {
        return Origin::default();
    }
    let address = extensions.get::<Remote>().map(|remote| remote.0);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let trace =
        text("traceparent").and_then(|parent| TraceContext::parse(parent, text("tracestate")));
    Origin { address, session: None, trace }
}
