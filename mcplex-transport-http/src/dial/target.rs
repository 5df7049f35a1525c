//! Where a server is, and what it is sent with every request.

use super::{authorize::Authorize, tools::Tools};
use hyper::{
    HeaderMap, Uri,
    header::{HeaderName, HeaderValue},
};
use mcplex_proto::{
    frame::MAX_LINE, redact::redact, transport::ConnectError, upstream::UpstreamName,
};
use std::{collections::BTreeMap, fmt, sync::Arc};
use url::Url;

/// A server that is reached over HTTP, in the words of a configuration.
#[derive(Clone)]
pub struct Remote {
    /// The upstream, for log lines.
    pub name: UpstreamName,
    /// `http://` or `https://`.
    pub url: String,
    /// What goes with every request; the protocol's own headers are not among them.
    pub headers: BTreeMap<String, String>,
    /// Which of the two transports over HTTP it has.
    pub style: Style,
    /// The longest answer or event, in bytes.
    pub max_message: usize,
    /// Who proves who asks, besides the headers.
    pub authorize: Option<Arc<dyn Authorize>>,
}

impl Remote {
    /// A server with no headers, of either transport.
    #[must_use]
    pub fn new(name: UpstreamName, url: impl Into<String>) -> Self {
        Self {
            name,
            url: url.into(),
            headers: BTreeMap::new(),
            style: Style::Auto,
            max_message: MAX_LINE,
            authorize: None,
        }
    }
}

impl fmt::Debug for Remote {
    /// Leaves out the values of headers and of the query, which are where secrets are passed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("name", &self.name)
            .field("url", &self.url.split('?').next().map(redact))
            .field("headers", &self.headers.keys())
            .field("style", &self.style)
            .field("max_message", &self.max_message)
            .field("authorize", &self.authorize)
            .finish()
    }
}

/// Which of the two transports over HTTP a server has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Streamable HTTP; HTTP+SSE where that is refused.
    #[default]
    Auto,
    /// Streamable HTTP alone.
    Streamable,
    /// HTTP+SSE alone, of revision 2024-11-05.
    Sse,
}

/// The same, understood.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: UpstreamName,
    pub(crate) url: Url,
    /// The address as people may see it.
    pub(crate) shown: String,
    pub(crate) headers: HeaderMap,
    pub(crate) style: Style,
    pub(crate) max_message: usize,
    pub(crate) authorize: Option<Arc<dyn Authorize>>,
    /// What was learned of the server's tools; outlives its lives.
    pub(crate) tools: Arc<Tools>,
}

impl Target {
    /// Understands what a configuration says.
    pub(crate) fn read(remote: &Remote, tools: Arc<Tools>) -> Result<Self, ConnectError> {
        let Remote { name, url, headers, style, max_message, authorize } = remote;
        let mut url = Url::parse(url)
            .map_err(|error| wrong(format!("`url` is no address: {error}"), "correct it"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            let what = "`url` is no address of HTTP".to_owned();
            return Err(wrong(what, "it begins with http:// or https://"));
        }
        url.set_fragment(None);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let bad = || wrong(format!("`headers.{name}` cannot be sent"), "correct it");
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
            value.set_sensitive(true);
            map.insert(key, value);
        }
        Ok(Self {
            name: name.clone(),
            shown: shown(&url),
            url,
            headers: map,
            style: *style,
            max_message: *max_message,
            authorize: authorize.clone(),
            tools,
        })
    }

    /// Whether an address is at the same place: what may get our headers.
    pub(crate) fn is_same_origin(&self, other: &Url) -> bool {
        self.url.origin() == other.origin()
    }
}

/// The address without what may be a secret.
pub(crate) fn shown(url: &Url) -> String {
    let mut plain = url.clone();
    plain.set_query(None);
    plain.set_fragment(None);
    // An address that has a host takes both.
    let _is_set = plain.set_password(None).and_then(|()| plain.set_username("")).is_ok();
    redact(plain.as_str()).into_owned()
}

/// The address in hyper's form.
pub(crate) fn uri(url: &Url) -> Option<Uri> {
    url.as_str().parse().ok()
}

fn wrong(what: String, hint: &str) -> ConnectError {
    ConnectError::Permanent { what, hint: hint.to_owned(), source: None, kind: "bad_url" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(url: &str) -> Remote {
        Remote::new(UpstreamName::new("a").unwrap(), url)
    }

    #[test]
    fn an_address_is_shown_without_secrets() {
        let check = |url: &str, expect: &str| {
            let target = Target::read(&remote(url), Arc::default()).unwrap();
            assert_eq!(target.shown, expect);
        };
        check("https://a.example/mcp", "https://a.example/mcp");
        check("https://u:p@a.example:8443/mcp?key=s3cret#x", "https://a.example:8443/mcp");
        check("https://a.example/sk-live0123456789/mcp", "https://a.example/[redacted]");
    }

    #[test]
    fn what_cannot_be_sent_is_told_before_anything_is() {
        let check = |remote: &Remote, expect: &str| {
            let error = Target::read(remote, Arc::default()).unwrap_err();
            assert_eq!(error.to_string(), expect);
        };
        check(
            &remote("ftp://a"),
            "`url` is no address of HTTP; it begins with http:// or https://",
        );
        check(&remote("/mcp"), "`url` is no address: relative URL without a base; correct it");
        let headers = BTreeMap::from([("X".to_owned(), "a\nb".to_owned())]);
        let bad = Remote { headers, ..remote("http://a") };
        check(&bad, "`headers.X` cannot be sent; correct it");
    }

    #[test]
    fn nothing_secret_is_in_its_debug_form() {
        let headers = BTreeMap::from([("Authorization".to_owned(), "s3cret".to_owned())]);
        let remote = Remote { headers, ..remote("http://a/?k=s3cret") };
        let target = Target::read(&remote, Arc::default()).unwrap();
        let text = format!("{remote:?}");
        assert!(!text.contains("s3cret") && text.contains("Authorization"), "{text}");
        assert!(!format!("{:?}", target.headers).contains("s3cret"));
    }
}
