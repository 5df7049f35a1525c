//! A server elsewhere: name, connection, encryption, permission and path, told apart in words.

use super::{finding::Finding, watched::Refusal};
use mcplex_proto::{redact::redact, report::CrashReport};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use url::Url;

/// How long a name or a connection may take; a working one needs a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(5);

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
    let connected = match timeout(PATIENCE, TcpStream::connect(&found[..])).await {
        Ok(connected) => connected,
        Err(_) => {
            let why = format!("nothing within {} s", PATIENCE.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        }
    };
    let Err(error) = connected else { return Ok(format!("port {port} is open")) };
    let hint = if error.kind() == io::ErrorKind::ConnectionRefused {
        "start the server, or correct the port in `url`"
    } else if error.kind() == io::ErrorKind::TimedOut {
        "look for a firewall, a VPN that is off, or a machine that is"
    } else {
        "look whether this machine reaches that network"
    };
    Err(Finding::broken("tcp", format!("{host}:{port} takes no connection: {error}"), hint))
}

/// A session was not had, though connections are.
pub(crate) fn refused(refusal: &Refusal, report: &CrashReport) -> Finding {
    let text = &*redact(&refusal.text);
    let has = |status: &str| text.contains(&format!("HTTP status {status}"));
    let is_tls = ["certificate", "tls", "handshake", "corrupt message"]
        .iter()
        .any(|word| text.to_ascii_lowercase().contains(word))
        || matches!(refusal.io, Some(io::ErrorKind::InvalidData));
    let (cause, hint) = match refusal.kind {
        _ if has("401") => ("unauthorized", report.advice.clone()),
        _ if has("403") => (
            "forbidden",
            "it knows who asks and does not allow it: another token in `headers`, or permission \
             from who runs it"
                .to_owned(),
        ),
        _ if has("404") || has("405") => (
            "no-such-path",
            "a server answers there, but nothing of MCP at this path: correct the path in `url`, \
             often /mcp or /sse"
                .to_owned(),
        ),
        _ if has("5") => (
            "http",
            "it is there and cannot serve; look into its log, or wait".to_owned(),
        ),
        Some(_) => ("configuration", report.advice.clone()),
        None if is_tls => (
            "tls",
            "its certificate is not trusted, or no TLS is spoken there: install the authority that \
             signed it on this machine, or correct https:// in `url`"
                .to_owned(),
        ),
        None => ("http", report.advice.clone()),
    };
    Finding::broken(cause, text.to_owned(), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Option<&'static str>, io: Option<io::ErrorKind>, text: &str) -> &'static str {
        let refusal = Refusal { kind, io, text: text.to_owned() };
        refused(&refusal, &CrashReport::default()).cause.unwrap()
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
    }

    #[test]
    fn a_place_is_a_host_and_a_port() {
        assert_eq!(place("https://a.example/mcp").unwrap(), ("a.example".to_owned(), 443));
        assert_eq!(place("http://[::1]:9/x").unwrap(), ("::1".to_owned(), 9));
        assert!(place("mail").is_err());
    }
}
