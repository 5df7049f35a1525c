//! A server elsewhere: name, connection, encryption, permission and path, told apart in words.

use super::{finding::Finding, watched::Refusal};
use futures_util::future::select_ok;
use mcplex_proto::{redact::redact, report::CrashReport};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use url::Url;

/// How long a name or a connection may take; a working one needs a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many addresses of one name are tried; names with more lead to the same place.
const ADDRESSES: usize = 16;

/// Host and port of an address.
fn place(url: &str) -> Result<(String, u16), Finding> {
    let wrong = || Finding::broken("configuration", "`url` is no address of HTTP", "correct it");
    let url = Url::parse(url).map_err(|_| wrong())?;
    let host = url.host_str().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
    Ok((host, url.port_or_known_default().ok_or_else(wrong)?))
}

async fn addresses(url: &str) -> Result<Vec<SocketAddr>, Finding> {
    let (host, port) = place(url)?;
    let no_name = |why: String| {
        Finding::broken(
            "dns",
            format!("the name {host} cannot be resolved: {why}"),
            "correct the name in `url`, or look whether this machine is online and its DNS works",
        )
    };
    let found = timeout(PATIENCE, lookup_host((host.as_str(), port))).await;
    let found = found.map_err(|_| no_name(format!("no answer within {} s", PATIENCE.as_secs())))?;
    let found: Vec<_> = found.map_err(|error| no_name(error.to_string()))?.collect();
    if found.is_empty() { Err(no_name("it has no address".to_owned())) } else { Ok(found) }
}

/// Finds where a name leads.
pub(crate) async fn resolve(url: &str) -> Result<String, Finding> {
    let found = addresses(url).await?;
    let shown: Vec<_> = found.iter().map(|address| address.ip().to_string()).collect();
    Ok(shown.join(", "))
}

/// Tries whether anybody takes connections there.
pub(crate) async fn reach(url: &str) -> Result<String, Finding> {
    let found = addresses(url).await?;
    let (host, port) = place(url)?;
    let Err(error) = connect(&found).await else { return Ok(format!("port {port} is open")) };
    let hint = if error.kind() == io::ErrorKind::ConnectionRefused {
        "start the server, or correct the port in `url`"
    } else if error.kind() == io::ErrorKind::TimedOut {
        "look for a firewall, a VPN that is off, or a machine that is"
    } else {
        "look whether this machine reaches that network"
    };
    Err(Finding::broken("tcp", format!("{host}:{port} takes no connection: {error}"), hint))
}

/// Connects to any of these, all at once: where one family of addresses leads nowhere, which many
/// networks have of IPv6, the other one is used, as by whoever calls the server.
async fn connect(addresses: &[SocketAddr]) -> io::Result<()> {
    let tries =
        addresses.iter().take(ADDRESSES).map(|address| Box::pin(TcpStream::connect(*address)));
    match timeout(PATIENCE, select_ok(tries)).await {
        Ok(connected) => connected.map(drop),
        Err(_) => {
            let why = format!("nothing within {} s", PATIENCE.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        }
    }
}

/// A session was not had, though connections are.
pub(crate) fn refused(refusal: Option<&Refusal>, report: &CrashReport) -> Finding {
    let text = refusal.map_or(&report.what, |refusal| &refusal.text);
    let text = &*redact(text);
    let has = |status: &str| text.contains(&format!("HTTP status {status}"));
    let is_tls = ["certificate", "tls", "corrupt message"]
        .iter()
        .any(|word| text.to_ascii_lowercase().contains(word))
        || refusal.is_some_and(|refusal| refusal.io == Some(io::ErrorKind::InvalidData));
    let advice = &*report.advice;
    let (cause, hint) = if has("401") {
        ("unauthorized", advice)
    } else if has("403") {
        let hint = "it does not allow it to who asks: another token in `headers`, or permission from \
                    who runs it";
        ("forbidden", hint)
    } else if has("404") || has("405") {
        let hint = "a server answers there, but nothing of MCP at this path: correct the path in \
                    `url`, often /mcp or /sse";
        ("no-such-path", hint)
    } else if has("407") {
        let hint = "a proxy answers there, and mcplex uses none: write the address of the server itself \
                    as `url`";
        ("http", hint)
    } else if has("429") {
        ("http", "it is asked more often than it allows; wait, or ask who runs it for more")
    } else if has("5") {
        ("http", "it is there and cannot serve; look into its log, or wait")
    } else if has("") {
        ("http", "what answers there does not speak MCP: correct `url`")
    } else if refusal.is_some_and(|refusal| refusal.kind == Some("unauthorized")) {
        // No token could be had, so it was not even asked.
        ("unauthorized", advice)
    } else if refusal.is_some_and(|refusal| refusal.kind.is_some()) {
        ("configuration", advice)
    } else if is_tls {
        let hint = "its certificate is not trusted, or no TLS is spoken there: install the authority \
                    that signed it on this machine, or correct https:// in `url`";
        ("tls", hint)
    } else if text.contains("speaks protocol version") {
        ("unknown-revision", advice)
    } else if text.contains("the answer cannot be read") {
        ("http", "what answers there does not speak MCP: correct `url`")
    } else if text.contains("cannot be reached") {
        // Somebody took the connection, which was tried before.
        let hint = "somebody is there who does not speak HTTP: correct the port in `url`, or write \
                    https:// if it speaks TLS";
        ("http", hint)
    } else if text.starts_with("it did not answer") {
        ("hung", "it takes the request and does not answer it; look into its log")
    } else {
        ("http", advice)
    };
    Finding::broken(cause, text.to_owned(), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Option<&'static str>, io: Option<io::ErrorKind>, text: &str) -> &'static str {
        let refusal = Refusal { kind, io, text: text.to_owned() };
        refused(Some(&refusal), &CrashReport::default()).cause.unwrap()
    }

    #[tokio::test]
    async fn an_address_that_leads_nowhere_does_not_hide_one_that_works() {
        let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&nowhere, 1).unwrap();
        let address = nowhere.local_addr().unwrap();
        // Past its queue connections wait for ever.
        let wait = Duration::from_millis(200);
        let queue: Vec<_> = (0..8)
            .map_while(|_| std::net::TcpStream::connect_timeout(&address, wait).ok())
            .collect();
        assert!(queue.len() < 8, "its queue is endless");
        let there = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        connect(&[address, there.local_addr().unwrap()]).await.unwrap();
    }

    #[test]
    fn refusals_are_told_apart() {
        let away = |text| of(None, Some(io::ErrorKind::Other), text);
        assert_eq!(
            of(Some("unauthorized"), None, "a answered with HTTP status 401 U"),
            "unauthorized"
        );
        assert_eq!(
            of(Some("unauthorized"), None, "a answered with HTTP status 403 F"),
            "forbidden"
        );
        assert_eq!(away("a cannot be reached: it answered with HTTP status 404 N"), "no-such-path");
        assert_eq!(away("a cannot be reached: it answered with HTTP status 503 S"), "http");
        assert_eq!(away("a cannot be reached: invalid peer certificate: UnknownIssuer"), "tls");
        assert_eq!(of(None, Some(io::ErrorKind::InvalidData), "a cannot be reached: x"), "tls");
        let hint = |text: &str| {
            let refusal = Refusal { kind: None, io: None, text: text.to_owned() };
            refused(Some(&refusal), &CrashReport::default()).hint.unwrap()
        };
        assert!(hint("it answered with HTTP status 429 T").contains("more often than it allows"));
        assert!(hint("it answered with HTTP status 407 P").contains("proxy"));
        assert!(hint("a cannot be reached: Connection reset by peer").contains("https://"));
        assert!(hint("the answer cannot be read: not JSON").contains("correct `url`"));
    }

    #[test]
    fn what_only_the_handshake_says_is_told_apart_as_well() {
        let of = |what: &str| {
            let report = CrashReport { what: what.to_owned(), ..CrashReport::default() };
            refused(None, &report).cause.unwrap()
        };
        let refuses = "the server refused to initialize: the server answered with HTTP status";
        assert_eq!(of(&format!("{refuses} 404 Not Found (code -32603)")), "no-such-path");
        assert_eq!(of(&format!("{refuses} 400 Bad Request (code -32603)")), "http");
        assert_eq!(of("it did not answer initialize within 1 s"), "hung");
        assert_eq!(of("the server speaks protocol version \"1\""), "unknown-revision");
    }

    #[test]
    fn a_place_is_a_host_and_a_port() {
        assert_eq!(place("https://a.example/mcp").unwrap(), ("a.example".to_owned(), 443));
        assert_eq!(place("http://[::1]:9/x").unwrap(), ("::1".to_owned(), 9));
        assert!(place("mail").is_err());
    }
}
