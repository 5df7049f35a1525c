//! Documents that say who guards what: protected resources (RFC 9728) and authorization servers
//! (RFC 8414, OpenID Connect Discovery). Pure: where they lie, and what they must say.

use crate::address::{self, UrlFault};
use serde::{Deserialize, Serialize};
use std::fmt;
use url::Url;

/// The end of the path under which a resource describes itself.
const RESOURCE: &str = "oauth-protected-resource";

/// An authorization server, by the name it gives itself.
///
/// Compared as it is written: another spelling is another issuer, as RFC 9207 wants it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Issuer {
    text: String,
    url: Url,
}

impl Issuer {
    /// Takes a URL for an issuer.
    ///
    /// # Errors
    /// When none may be called so.
    pub fn new(text: &str) -> Result<Self, UrlFault> {
        let url = address::read(text)?;
        if url.query().is_some() {
            return Err(UrlFault::Unreadable);
        }
        Ok(Self { text: text.to_owned(), url })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As an address.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether it is the whole host that a resource lies at, and nothing below it.
    pub(crate) fn is_origin_of(&self, resource: &Url) -> bool {
        address::same_origin(&self.url.origin(), resource) && self.url.path() == "/"
    }

    /// Where its metadata may lie, in the order in which it is looked for.
    pub(crate) fn well_known(&self) -> Vec<Url> {
        let path = self.url.path().trim_end_matches('/');
        let mut paths = vec![
            format!("/.well-known/oauth-authorization-server{path}"),
            format!("/.well-known/openid-configuration{path}"),
        ];
        if !path.is_empty() {
            paths.push(format!("{path}/.well-known/openid-configuration"));
        }
        paths.iter().map(|path| with_path(&self.url, path)).collect()
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

/// What an authorization server says of itself, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ServerMetadata {
    /// Its name.
    pub issuer: String,
    /// Where its keys lie.
    pub jwks_uri: Option<String>,
    /// Where it hands out tokens.
    pub token_endpoint: Option<String>,
    /// Where it asks a person.
    pub authorization_endpoint: Option<String>,
    /// Where clients register themselves (RFC 7591).
    pub registration_endpoint: Option<String>,
    /// Where tokens are given back (RFC 7009).
    pub revocation_endpoint: Option<String>,
    /// How clients show who they are where tokens are handed out.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether the name of a client may be the address of a document about it.
    #[serde(default)]
    pub client_id_metadata_document_supported: bool,
    /// What tokens can allow.
    #[serde(default)]
    pub scopes_supported: Vec<String>,
    /// How a code may be bound to who asked for it.
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// Whether it names itself when it sends a person back (RFC 9207).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

impl ServerMetadata {
    /// What holds for a server that says nothing of itself (revision 2025-03-26): where everything
    /// is, and that clients bind their codes.
    pub(crate) fn by_default(issuer: &Issuer) -> Self {
        let at = |path: &str| Some(with_path(issuer.url(), path).to_string());
        Self {
            issuer: issuer.to_string(),
            jwks_uri: None,
            token_endpoint: at("/token"),
            authorization_endpoint: at("/authorize"),
            registration_endpoint: at("/register"),
            revocation_endpoint: None,
            token_endpoint_auth_methods_supported: None,
            client_id_metadata_document_supported: false,
            scopes_supported: Vec::new(),
            code_challenge_methods_supported: Some(vec!["S256".to_owned()]),
            authorization_response_iss_parameter_supported: false,
        }
    }

    /// Whether a code can be bound to who asked for it by a hash; without it none is asked for.
    #[must_use]
    pub fn has_pkce(&self) -> bool {
        let methods = self.code_challenge_methods_supported.as_deref().unwrap_or_default();
        methods.iter().any(|method| method == "S256")
    }
}

/// What a protected resource says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceMetadata {
    /// Its name, which tokens for it carry as audience.
    pub resource: String,
    /// Whose tokens it takes.
    #[serde(default)]
    pub authorization_servers: Vec<String>,
    /// What tokens can allow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    /// Where in a request it looks for a token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bearer_methods_supported: Vec<String>,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
}

/// A URL as people may see it: what stands after a `?` or before an `@` is often a key.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Neither can be set where there is no host, and then there is nothing to hide.
    let _has_none = url.set_username("").is_ok() && url.set_password(None).is_ok();
    url.into()
}

/// Where the metadata of a resource lies: for its path first, then for the whole host.
pub(crate) fn resource_well_known(resource: &Url) -> Vec<Url> {
    let mut paths = resource_paths(resource);
    paths.dedup();
    paths.iter().map(|path| with_path(resource, path)).collect()
}

/// The paths of the same two.
pub(crate) fn resource_paths(resource: &Url) -> Vec<String> {
    let root = format!("/.well-known/{RESOURCE}");
    let path = resource.path().trim_end_matches('/');
    vec![format!("{root}{path}"), root]
}

/// Whether a token for `named` is one for `wanted`: the same URL, however it is spelled.
pub(crate) fn is_same_resource(named: &str, wanted: &Url) -> bool {
    Url::parse(named).is_ok_and(|named| {
        let same_path = named.path().trim_end_matches('/') == wanted.path().trim_end_matches('/');
        named.origin().is_tuple()
            && named.origin() == wanted.origin()
            && same_path
            && named.query() == wanted.query()
            && named.fragment().is_none()
    })
}

/// Whether a resource that calls itself `named` may speak for `wanted`: the same origin, and a
/// path that `wanted` lies under. Servers often describe a whole host at once.
pub(crate) fn covers(named: &Url, wanted: &Url) -> bool {
    let (outer, inner) = (named.path().trim_end_matches('/'), wanted.path());
    let rest = inner.strip_prefix(outer);
    address::same_origin(&named.origin(), wanted)
        && named.query().is_none_or(|query| Some(query) == wanted.query())
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn with_path(url: &Url, path: &str) -> Url {
    let mut other = url.clone();
    other.set_query(None);
    other.set_path(path);
    other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(all: &[Url]) -> Vec<&str> {
        all.iter().map(Url::as_str).collect()
    }

    #[test]
    fn a_url_is_shown_without_what_may_be_a_key() {
        let url = Url::parse("https://me:pw@a.example:8443/mcp?key=s#t").unwrap();
        assert_eq!(shown(&url), "https://a.example:8443/mcp");
    }

    #[test]
    fn metadata_of_an_issuer_is_looked_for_in_order() {
        let check = |issuer: &str, expect: &[&str]| {
            let issuer = Issuer::new(issuer).unwrap();
            assert_eq!(urls(&issuer.well_known()), expect, "{issuer}");
        };
        let root = [
            "https://as.example/.well-known/oauth-authorization-server",
            "https://as.example/.well-known/openid-configuration",
        ];
        check("https://as.example", &root);
        check("https://as.example/", &root);
        check(
            "https://as.example/tenant/1",
            &[
                "https://as.example/.well-known/oauth-authorization-server/tenant/1",
                "https://as.example/.well-known/openid-configuration/tenant/1",
                "https://as.example/tenant/1/.well-known/openid-configuration",
            ],
        );
    }

    #[test]
    fn who_says_nothing_has_everything_where_its_clients_know() {
        let check = |issuer: &str, resource: &str, expect: bool| {
            let issuer = Issuer::new(issuer).unwrap();
            assert_eq!(issuer.is_origin_of(&resource.parse().unwrap()), expect, "{issuer}");
        };
        check("https://m.example", "https://m.example/a/mcp", true);
        check("https://m.example/", "https://m.example/mcp?x=y", true);
        check("https://m.example/a", "https://m.example/a/mcp", false);
        check("https://m.example:8443", "https://m.example/mcp", false);
        check("https://as.example", "https://m.example/mcp", false);
        let all = ServerMetadata::by_default(&Issuer::new("https://m.example/").unwrap());
        assert_eq!(all.token_endpoint.as_deref(), Some("https://m.example/token"));
        assert_eq!(all.authorization_endpoint.as_deref(), Some("https://m.example/authorize"));
        assert_eq!(all.registration_endpoint.as_deref(), Some("https://m.example/register"));
        assert!(all.has_pkce());
    }

    #[test]
    fn an_issuer_is_secure_and_plain() {
        let check =
            |text: &str, expect: bool| assert_eq!(Issuer::new(text).is_ok(), expect, "{text}");
        check("https://as.example", true);
        check("http://localhost:8080", true);
        check("http://as.example", false);
        check("https://as.example?a=b", false);
        check("https://as.example#a", false);
        assert_ne!(
            Issuer::new("https://a.example").unwrap(),
            Issuer::new("https://a.example/").unwrap()
        );
    }

    #[test]
    fn metadata_of_a_resource_lies_under_its_path_and_its_host() {
        let check = |resource: &str, expect: &[&str]| {
            assert_eq!(urls(&resource_well_known(&resource.parse().unwrap())), expect);
        };
        let root = "https://m.example/.well-known/oauth-protected-resource";
        check("https://m.example/mcp", &[&format!("{root}/mcp"), root]);
        check("https://m.example/a/b?c=d", &[&format!("{root}/a/b"), root]);
        check("https://m.example", &[root]);
    }

    #[test]
    fn a_resource_is_the_same_however_it_is_spelled() {
        let check = |named: &str, expect| {
            let wanted = "https://m.example/mcp".parse().unwrap();
            assert_eq!(is_same_resource(named, &wanted), expect, "{named}");
        };
        check("https://m.example/mcp", true);
        check("HTTPS://M.example:443/mcp/", true);
        check("https://m.example/mcp2", false);
        check("https://m.example/", false);
        check("https://m.example/mcp?a", false);
        check("https://m.example/mcp#a", false);
        check("https://m.example:8443/mcp", false);
        check("http://m.example/mcp", false);
        check("mcp", false);
        check("urn:mcp", false);
    }

    #[test]
    fn a_resource_speaks_for_what_lies_under_it() {
        let check = |named: &str, expect| {
            let wanted = "https://m.example/a/mcp".parse().unwrap();
            assert_eq!(covers(&named.parse().unwrap(), &wanted), expect, "{named}");
        };
        check("https://m.example/a/mcp", true);
        check("https://m.example/a/mcp/", true);
        check("https://m.example/a", true);
        check("https://m.example/", true);
        check("https://m.example/a/m", false);
        check("https://m.example/a/mcp/b", false);
        check("https://m.example/?tenant=1", false);
        check("https://evil.example/a/mcp", false);
        check("http://m.example/a/mcp", false);
    }
}
