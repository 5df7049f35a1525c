//! What browsers want to be told before a web page may use the endpoint: CORS.
//!
//! Only pages of origins that were named are told anything. Those of loopback addresses are let in
//! where nothing else stands against it, because programs on this machine send such an `Origin` too;
//! what a browser shows to any page that runs here is another matter, and has to be asked for by name.

use crate::{guard::Guard, reply, reply::Reply};
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{self, HeaderName, HeaderValue},
};

/// For how long a browser need not ask again: 2 h, as long as Chromium keeps it.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
/// What a page has to read of an answer: its session, where tokens are to be had, when to try again.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After, Allow",
);

/// The page that may read an answer.
#[derive(Debug)]
pub(crate) struct Page(HeaderValue);

impl Page {
    /// The one that asks, if its origin was named.
    pub(crate) fn of(guard: &Guard, headers: &HeaderMap) -> Option<Self> {
        let origin = headers.get(header::ORIGIN)?;
        guard.names_origin(origin.to_str().ok()?).then(|| Self(origin.clone()))
    }

    /// Lets the page read an answer.
    pub(crate) fn share(self, reply: &mut Reply) {
        let headers = reply.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.0);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        headers.append(header::VARY, HeaderValue::from_name(header::ORIGIN));
    }

    /// The answer to a browser that asks what the page may send; `None` when it asks something else.
    ///
    /// It may send what it wants to: headers of arguments have any name, and each is checked when it
    /// comes.
    pub(crate) fn preflight(method: &Method, headers: &HeaderMap) -> Option<Reply> {
        if *method != Method::OPTIONS
            || !headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        {
            return None;
        }
        let mut reply = reply::empty(StatusCode::NO_CONTENT);
        let told = reply.headers_mut();
        told.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        told.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        if let Some(wanted) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).filter(are_names)
        {
            told.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        Some(reply)
    }
}

/// Whether these are names of headers.
fn are_names(wanted: &&HeaderValue) -> bool {
    let Ok(text) = wanted.to_str() else { return false };
    text.split(',').all(|name| HeaderName::from_bytes(name.trim().as_bytes()).is_ok())
}
