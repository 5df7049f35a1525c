//! Who is at the other end, as spans tell of it.

use crate::{
    attr,
    metric::Label,
    trace::TraceContext,
    upstream::Incarnation,
    version::{Era, Version},
};
use std::{net::SocketAddr, sync::Arc};

/// The OpenTelemetry word for what carries the bytes of HTTP.
const TCP: &str = "tcp";

/// The protocol that is spoken over what carries the bytes, with its version; a pipe has none.
#[must_use]
pub fn protocol_over(network: &str) -> Option<(&'static str, &'static str)> {
    (network == TCP).then_some(("http", "1.1"))
}

/// What numbers say of what carries the bytes.
#[must_use]
pub fn network_labels(network: Option<&'static str>) -> [Label<'static>; 3] {
    let protocol = network.and_then(protocol_over);
    [
        (attr::NETWORK_TRANSPORT, network),
        (attr::NETWORK_PROTOCOL_NAME, protocol.map(|(name, _)| name)),
        (attr::NETWORK_PROTOCOL_VERSION, protocol.map(|(_, version)| version)),
    ]
}

/// Where an upstream is, as far as its configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The host of its address.
    pub host: Option<Arc<str>>,
    /// The port of it.
    pub port: Option<u16>,
    /// The program it is, without its folder.
    pub program: Option<String>,
}

/// The life of an upstream that is open, or was last.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Which life it is.
    pub incarnation: Incarnation,
    /// The revision it speaks.
    pub version: Version,
    /// The OpenTelemetry word for what carries the bytes.
    pub network: &'static str,
    /// Where it is.
    pub place: Arc<Place>,
    /// The name of the session, where the transport has one.
    pub session: Option<Arc<str>>,
    /// The span of the connect that began it.
    pub connect: Option<TraceContext>,
}

impl Peer {
    /// The name of the session; a revision without sessions has none, whatever was sent.
    #[must_use]
    pub fn session(&self) -> Option<&Arc<str>> {
        self.session.as_ref().filter(|_| self.version.era() == Era::Legacy)
    }
}

/// The client's end of a connection; written once for all its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address, as text.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string().into(), port: address.port() }
    }
}

/// Where a request of a client came from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The client's end of the connection, where there is a network.
    pub address: Option<Address>,
    /// The name of the session, where the transport has one.
    pub session: Option<Arc<str>>,
    /// What the headers of HTTP say of the trace.
    pub trace: Option<TraceContext>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_without_sessions_has_none() {
        let peer = |version| Peer {
            incarnation: Incarnation(1),
            version,
            network: TCP,
            place: Arc::default(),
            session: Some("s".into()),
            connect: None,
        };
        assert_eq!(peer(Version::LATEST_LEGACY).session().map(|name| &**name), Some("s"));
        assert_eq!(peer(Version::LATEST_MODERN).session(), None);
    }

    #[test]
    fn only_a_network_has_a_protocol_of_its_own() {
        assert_eq!(protocol_over("tcp"), Some(("http", "1.1")));
        assert_eq!(protocol_over("pipe"), None);
    }
}
