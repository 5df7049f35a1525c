//! Who may talk to us: `Host` and `Origin` against names that were rebound by a web page.

use crate::options::Options;
use hyper::{HeaderMap, Uri, header};
use std::net::{IpAddr, SocketAddr};

/// Decides on `Host` and `Origin` before anything else is looked at.
#[derive(Debug)]
pub(crate) struct Guard {
    is_loopback: bool,
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Guard {
    pub(crate) fn new(bound: SocketAddr, options: &Options) -> Self {
        Self {
            is_loopback: bound.ip().is_loopback(),
            hosts: options.allowed_hosts.clone(),
            origins: options.allowed_origins.clone(),
        }
    }

    /// What is wrong with where the request comes from or goes to.
    pub(crate) fn objection(&self, uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
        let mut hosts = headers.get_all(header::HOST).iter();
        match (hosts.next(), hosts.next()) {
            (Some(host), None) if host.to_str().is_ok_and(|host| self.knows_host(host)) => {}
            (_, _) => return Some("this Host is not served here"),
        }
        // An absolute URI overrides `Host`.
        if uri.authority().is_some_and(|authority| !self.knows_host(authority.as_str())) {
            return Some("this Host is not served here");
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        origins
            .any(|origin| !origin.to_str().is_ok_and(|origin| self.knows_origin(origin)))
            .then_some("this Origin is not allowed")
    }

    fn knows_host(&self, host: &str) -> bool {
        let Some((name, _)) = split_port(host) else { return false };
        (self.is_loopback && is_loopback_name(name))
            || self.hosts.iter().any(|listed| {
                listed.eq_ignore_ascii_case(host) || listed.eq_ignore_ascii_case(name)
            })
    }

    fn knows_origin(&self, origin: &str) -> bool {
        let is_ours = || {
            let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            host.and_then(split_port).is_some_and(|(name, _)| is_loopback_name(name))
        };
        (self.is_loopback && is_ours()) || self.names_origin(origin)
    }

    /// Whether an origin was named, and is not only let in because everything here is local.
    pub(crate) fn names_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|listed| listed.eq_ignore_ascii_case(origin))
    }
}

/// `name:port` or `[v6]:port` in two, the port being optional; `None` when it is neither.
fn split_port(host: &str) -> Option<(&str, Option<u16>)> {
    let name_ends = if host.starts_with('[') {
        host.find(']')? + 1
    } else {
        host.find(':').unwrap_or(host.len())
    };
    let (name, rest) = host.split_at(name_ends);
    if name.is_empty() {
        return None;
    }
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Some((name, None)),
        None => None,
        Some(port) => Some((name, Some(port.parse().ok()?))),
    }
}

fn is_loopback_name(name: &str) -> bool {
    let literal = name.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || literal.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(bound: &str, hosts: &[&str], origins: &[&str]) -> Guard {
        let own = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        let options = Options {
            allowed_hosts: own(hosts),
            allowed_origins: own(origins),
            ..Options::default()
        };
        Guard::new(bound.parse().unwrap(), &options)
    }

    #[test]
    fn a_loopback_listener_serves_loopback_names_with_any_port() {
        let guard = guard("127.0.0.1:80", &["box.lan", "gw.lan:8443"], &[]);
        let check = |host: &str, expect: bool| assert_eq!(guard.knows_host(host), expect, "{host}");
        check("localhost", true);
        check("LOCALHOST:9999", true);
        check("127.0.0.1:80", true);
        check("[::1]:80", true);
        check("box.lan:1", true);
        check("gw.lan:8443", true);
        check("gw.lan:1", false);
        check("evil.example", false);
        check("localhost.evil.example", false);
        check("localhost:80:80", false);
        check("localhost@evil.example", false);
        check("[::1]evil", false);
        check("", false);
        check("192.168.0.1", false);
    }

    #[test]
    fn any_other_listener_serves_only_what_is_listed() {
        let guard = guard("0.0.0.0:80", &["box.lan"], &["https://app.example"]);
        assert!(guard.knows_host("box.lan:80") && !guard.knows_host("localhost"));
        assert!(guard.knows_origin("https://APP.example"));
        assert!(!guard.knows_origin("http://localhost"));
    }

    #[test]
    fn an_origin_is_a_loopback_page_or_a_listed_one() {
        let guard = guard("[::1]:80", &[], &["vscode-webview://abc"]);
        let check = |origin: &str, expect: bool| {
            assert_eq!(guard.knows_origin(origin), expect, "{origin}");
        };
        check("http://localhost:5173", true);
        check("https://127.0.0.1", true);
        check("http://[::1]:3000", true);
        check("vscode-webview://abc", true);
        check("null", false);
        check("https://evil.example", false);
        check("http://localhost.evil.example", false);
        check("ftp://localhost", false);
    }

    #[test]
    fn two_hosts_or_none_are_refused() {
        let guard = guard("127.0.0.1:80", &[], &[]);
        let uri = Uri::from_static("/mcp");
        let mut headers = HeaderMap::new();
        assert!(guard.objection(&uri, &headers).is_some());
        headers.append(header::HOST, "localhost".parse().unwrap());
        assert!(guard.objection(&uri, &headers).is_none());
        assert!(guard.objection(&Uri::from_static("http://evil.example/mcp"), &headers).is_some());
        headers.append(header::HOST, "localhost".parse().unwrap());
        assert!(guard.objection(&uri, &headers).is_some());
    }
}
