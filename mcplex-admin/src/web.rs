//! The same for operators who come over a network: they show a token, and no web page can come in
//! their name.
//!
//! A page of somebody else can neither read an answer (no `Access-Control` header is ever sent) nor
//! cause anything (the token is in a header that a browser adds to nothing by itself), nor reach us
//! under a name of its own (`Host` must be one of ours).

use crate::{
    control::{
        Control, Problem,
        http::{Body, accept_all, connection, problem_answer},
        patient::Patient,
        routes::Route,
    },
    token::Token,
};
use hyper::{HeaderMap, Request, Response, StatusCode, Uri, body::Incoming, header};
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::net::TcpListener;

/// An address that is bound and not yet served.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    bound: SocketAddr,
}

impl Door {
    /// Binds an address.
    ///
    /// # Errors
    /// When it cannot be bound.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let bound = listener.local_addr()?;
        Ok(Self { listener: TcpListener::from_std(listener)?, bound })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.bound
    }
}

/// Serves operators at an address.
#[derive(Debug)]
pub struct Web {
    control: Arc<Control>,
    token: Token,
    bound: SocketAddr,
    hosts: Vec<String>,
}

impl Web {
    /// Answers what this control answers, to whoever shows the token; `hosts` are names of this
    /// machine besides those of loopback and the address.
    #[must_use]
    pub fn new(control: Arc<Control>, token: Token, hosts: Vec<String>, door: &Door) -> Self {
        Self { control, token, bound: door.bound, hosts }
    }

    /// Serves everybody who connects until `stop` resolves; who is connected then is cut off.
    pub async fn serve(self, door: Door, stop: impl Future<Output = ()>) {
        let web = Arc::new(self);
        let serve = |stream| {
            let web = Arc::clone(&web);
            connection(Patient::new(stream), move |request| {
                let web = Arc::clone(&web);
                async move { web.answer(&request).await }
            })
        };
        accept_all(&door.listener, serve, stop).await;
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let mut response = match self.objection(request.uri(), request.headers()) {
            Some(wrong) => problem_answer(&wrong),
            None => self.control.answer(request, None).await,
        };
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ] {
            headers.insert(name, header::HeaderValue::from_static(value));
        }
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(header::HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'",
        ));
        if response.status() == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }

    /// Why a request is not served.
    fn objection(&self, uri: &Uri, headers: &HeaderMap) -> Option<(StatusCode, Problem)> {
        if let Some(why) = self.stranger(uri, headers) {
            return Some((StatusCode::FORBIDDEN, Problem::new("forbidden", why)));
        }
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        let is_known = match (shown.next(), shown.next()) {
            (Some(shown), None) => self.token.is_shown_by(shown.as_bytes()),
            (_, _) => false,
        };
        if is_known || Route::is_open(uri) {
            return None;
        }
        let hint = "`mcplex status --json` has a link with the token under `instance.dashboard`";
        let problem = Problem::new("unauthorized", "the token of operators is not shown");
        Some((StatusCode::UNAUTHORIZED, Problem { hint: Some(hint.to_owned()), ..problem }))
    }

    /// What is wrong with where a request goes to or comes from.
    fn stranger(&self, uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
        const HOST: &str = "this Host is not served here";
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().ok().filter(|host| self.knows(host)),
            (_, _) => None,
        };
        let Some(host) = host else { return Some(HOST) };
        // An absolute URI overrides `Host`.
        if uri.authority().is_some_and(|authority| !self.knows(authority.as_str())) {
            return Some(HOST);
        }
        // Our own page only; whatever else has a page is somebody else.
        let is_own = |origin: &header::HeaderValue| {
            let origin = origin.to_str().ok()?;
            let from =
                origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))?;
            from.eq_ignore_ascii_case(host).then_some(())
        };
        let mut origins = headers.get_all(header::ORIGIN).iter();
        origins.any(|origin| is_own(origin).is_none()).then_some("this Origin is not allowed")
    }

    fn knows(&self, host: &str) -> bool {
        // Not every colon of an address of IPv6 begins a port.
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => {
                if port.parse::<u16>().is_err() {
                    return false;
                }
                name
            }
            _ => host,
        };
        let literal = name.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')).unwrap_or(name);
        let address = literal.parse::<IpAddr>().ok();
        let is_loopback = name.eq_ignore_ascii_case("localhost")
            || address.is_some_and(|address| address.is_loopback());
        (self.bound.ip().is_loopback() && is_loopback)
            || address == Some(self.bound.ip())
            || self.hosts.iter().any(|listed| {
                listed.eq_ignore_ascii_case(host) || listed.eq_ignore_ascii_case(name)
            })
    }
}

#[cfg(test)]
mod tests;
