//! Where a request came from, for those who trace it.

use hyper::{HeaderMap, Request, http::Extensions};
use mcplex_proto::{
    peer::{Address, Origin},
    trace::{self, TraceContext},
};
use std::net::SocketAddr;

/// The client's end of a connection, where somebody exports spans.
pub(crate) fn address(remote: SocketAddr) -> Option<Address> {
    trace::is_on().then(|| remote.into())
}

/// Notes on a request from where it came.
pub(crate) fn mark<B>(request: &mut Request<B>, address: Option<&Address>) {
    if let Some(address) = address {
        request.extensions_mut().insert(address.clone());
    }
}

/// What is known of that; nothing is looked for where nobody exports spans.
pub(crate) fn of(extensions: &Extensions, headers: &HeaderMap) -> Origin {
    if !trace::is_on() {
        return Origin::default();
    }
    let address = extensions.get::<Address>().cloned();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let trace =
        text("traceparent").and_then(|parent| TraceContext::parse(parent, text("tracestate")));
    Origin { address, session: None, trace }
}
