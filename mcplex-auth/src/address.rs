//! Which addresses may be fetched: pure rules on URLs and on what their names resolve to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Origin, Url};

/// What is wrong with a URL before anybody is asked where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlFault {
    /// It cannot be read.
    #[error("this is no absolute URL")]
    Unreadable,
    /// Others could read along.
    #[error("only https is used, and http on loopback addresses")]
    Insecure,
    /// It carries a name and password.
    #[error("a URL with a user name or password is not used")]
    UserInfo,
    /// It has a part that no server sees.
    #[error("a URL with a fragment is not used")]
    Fragment,
}

/// Reads a URL that may be used in OAuth: https, or http on this machine.
///
/// # Errors
/// When it is another one.
pub fn read(text: &str) -> Result<Url, UrlFault> {
    let url = Url::parse(text).map_err(|_| UrlFault::Unreadable)?;
    check(&url)?;
    Ok(url)
}

/// Whether a URL may be used in OAuth at all.
pub(crate) fn check(url: &Url) -> Result<(), UrlFault> {
    match url.scheme() {
        "https" => {}
        "http" if names_loopback(url) => {}
        _ => return Err(UrlFault::Insecure),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlFault::UserInfo);
    }
    if url.fragment().is_some() {
        return Err(UrlFault::Fragment);
    }
    Ok(())
}

/// Whether a URL names this machine.
pub(crate) fn names_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// How a URL came to us, which decides what it may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// An operator wrote it down, and may mean a machine of the own network.
    Configured,
    /// A document said so; the document was found from this URL, which an operator wrote down.
    Learned {
        /// What the operator wrote.
        from: Url,
    },
}

impl Trust {
    /// Whether a URL may lead to this address.
    ///
    /// Others must not be able to send us to machines that only we can reach. A learned URL of
    /// the same origin as the configured one leads nowhere new, and whoever speaks to us from
    /// this machine reaches it without us.
    pub(crate) fn allows(&self, ip: IpAddr, url: &Url, private_addresses: bool) -> bool {
        let ip = ip.to_canonical();
        if url.scheme() != "https" && !ip.is_loopback() {
            return false;
        }
        match self {
            Self::Configured => true,
            Self::Learned { .. } if private_addresses || is_public(ip) => true,
            Self::Learned { from } => {
                same_origin(&from.origin(), url) || (ip.is_loopback() && names_loopback(from))
            }
        }
    }
}

pub(crate) fn same_origin(origin: &Origin, url: &Url) -> bool {
    origin.is_tuple() && *origin == url.origin()
}

/// Whether an address is one of the open internet.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

/// The registry of special addresses (RFC 6890 and what followed it) says which are not.
fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !is_special
}

/// Of the sixth version only 2000::/3 is given out, and what carries an address of the fourth in
/// it counts as that one.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b) {
        // Translation to the fourth version.
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => v4(g, h),
        (0x2002, _) => v4(b, c),
        // Teredo and other protocols; documentation.
        (0x2001, 0..=0x1ff | 0xdb8) => false,
        (0x3fff, 0..=0xfff) => false,
        (0x2000..=0x3fff, _) => true,
        (_, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_secure_urls_are_read() {
        let check = |text: &str, expect| assert_eq!(read(text).err(), expect, "{text}");
        check("https://as.example/tenant", None);
        check("http://127.0.0.1:9000", None);
        check("http://[::1]:9000/a", None);
        check("http://localhost:9000", None);
        check("http://as.example", Some(UrlFault::Insecure));
        check("http://localhost.evil.example", Some(UrlFault::Insecure));
        check("http://10.0.0.1", Some(UrlFault::Insecure));
        check("file:///etc/passwd", Some(UrlFault::Insecure));
        check("https://me:pw@as.example", Some(UrlFault::UserInfo));
        check("https://as.example/#a", Some(UrlFault::Fragment));
        check("as.example", Some(UrlFault::Unreadable));
        // Written in ways that browsers understand and simple filters do not.
        check("http://0x7f.1:80", None);
        check("http://0xa.1:80", Some(UrlFault::Insecure));
    }

    #[test]
    fn addresses_of_the_own_network_are_known() {
        let check = |ip: &str, expect| assert_eq!(is_public(ip.parse().unwrap()), expect, "{ip}");
        for ip in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "::127.0.0.1",
        ] {
            check(ip, false);
        }
        for ip in
            ["1.1.1.1", "172.32.0.1", "192.167.255.255", "2606:4700::1111", "64:ff9b::101:101"]
        {
            check(ip, true);
        }
    }

    #[test]
    fn who_named_a_url_decides_what_it_reaches() {
        let url = |text: &str| Url::parse(text).unwrap();
        let learned = |from: &str| Trust::Learned { from: url(from) };
        let check = |trust: Trust, to: &str, ip: &str, expect| {
            let ip = ip.parse().unwrap();
            assert_eq!(trust.allows(ip, &url(to), false), expect, "{trust:?} {to} {ip}");
            assert!(trust.allows(ip, &url(to), true) || to.starts_with("http:"));
        };
        check(Trust::Configured, "https://sso.corp", "10.0.0.5", true);
        // The name says this machine, and the resolver another one.
        check(Trust::Configured, "http://localhost", "10.0.0.5", false);
        check(learned("https://mcp.example"), "https://as.example", "10.0.0.5", false);
        check(learned("https://mcp.example"), "https://as.example", "::ffff:127.0.0.1", false);
        check(learned("https://mcp.example"), "https://as.example", "93.184.215.14", true);
        check(learned("https://mcp.example"), "http://127.0.0.1:80", "127.0.0.1", false);
        check(learned("https://sso.corp/a"), "https://sso.corp/keys", "10.0.0.5", true);
        check(learned("https://sso.corp/a"), "https://sso.corp:8443/", "10.0.0.5", false);
        check(learned("http://127.0.0.1:1/a"), "http://127.0.0.1:2/b", "127.0.0.1", true);
        check(learned("http://127.0.0.1:1/a"), "https://as.example", "10.0.0.5", false);
    }
}
