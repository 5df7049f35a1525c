//! The numbers of a life: deaths, respawns, trips, how long things took, how it is.
//!
//! Members of one upstream share its series: what a client makes is never a label.

use mcplex_proto::{
    attr,
    metric::{self, Held, Metric},
    peer::{Place, network_labels},
    upstream::{Health, UpstreamName},
    version::{Era, Version},
};
use std::{sync::Arc, time::Duration};

/// What is remembered between two numbers.
#[derive(Debug)]
pub(crate) struct Measure {
    upstream: UpstreamName,
    network: &'static str,
    place: Arc<Place>,
    connecting: Option<Duration>,
    /// The question of the handshake that is open.
    asked: Option<(Duration, &'static str)>,
    connected: Option<Connected>,
    health: Option<(Health, Held)>,
    child: Option<Held>,
}

/// A life that calls can use.
#[derive(Clone, Debug)]
struct Connected {
    since: Duration,
    version: Version,
    /// Where it was: a reload may name another place for the next life.
    place: Arc<Place>,
}

impl Measure {
    pub(crate) fn new(upstream: UpstreamName, network: &'static str, place: Arc<Place>) -> Self {
        let (connecting, asked, connected) = (None, None, None);
        Self { upstream, network, place, connecting, asked, connected, health: None, child: None }
    }

    /// It is reached there from the next connect on.
    pub(crate) fn is_at(&mut self, place: Arc<Place>) {
        self.place = place;
    }

    /// A connect begins.
    pub(crate) fn connecting(&mut self) {
        self.connecting = metric::now();
    }

    /// A question of the handshake is sent.
    pub(crate) fn asks(&mut self, method: &'static str) {
        self.asked = metric::now().map(|since| (since, method));
    }

    /// It was answered in this revision, or with an error of this code, or failed like this.
    pub(crate) fn answered(
        &mut self,
        version: Option<Version>,
        (code, error): (Option<i64>, Option<&str>),
    ) {
        let Some((since, method)) = self.asked.take() else { return };
        let [network, protocol, protocol_version] = network_labels(Some(self.network));
        let port = self.place.port.map(|port| port.to_string());
        let code = code.map(metric::code_label);
        let labels = [
            (attr::MCP_METHOD_NAME, Some(method)),
            (attr::MCP_PROTOCOL_VERSION, version.map(Version::as_str)),
            network,
            protocol,
            protocol_version,
            (attr::SERVER_ADDRESS, self.place.host.as_deref()),
            (attr::SERVER_PORT, port.as_deref()),
            (attr::RPC_RESPONSE_STATUS_CODE, code.as_deref()),
            (attr::ERROR_TYPE, code.as_deref().or(error)),
            (attr::UPSTREAM_NAME, Some(self.upstream.as_str())),
        ];
        metric::since(Metric::ClientDuration, since, &labels);
    }

    /// A process runs.
    pub(crate) fn has_child(&mut self) {
        let labels = [(attr::UPSTREAM_NAME, Some(self.upstream.as_str()))];
        self.child = Some(Held::new(Metric::ChildCount, &labels));
    }

    /// Nothing of the process is left.
    pub(crate) fn has_no_child(&mut self) {
        self.child = None;
    }

    /// The session is open.
    pub(crate) fn connected(&mut self, version: Version) {
        self.connect_ended(None);
        let place = &self.place;
        self.connected =
            metric::now().map(|since| Connected { since, version, place: Arc::clone(place) });
    }

    /// A life ended, or a connect came to nothing; without an error it was asked for.
    pub(crate) fn ended(&mut self, error: Option<&'static str>) {
        self.connect_ended(error);
        let Some(Connected { since, version, place }) = self.connected.take() else { return };
        let name = (attr::UPSTREAM_NAME, Some(self.upstream.as_str()));
        let error = (attr::ERROR_TYPE, error);
        metric::since(Metric::UpstreamLifetime, since, &[name, error]);
        if version.era() == Era::Legacy {
            let version = (attr::MCP_PROTOCOL_VERSION, Some(version.as_str()));
            let [network, protocol, protocol_version] = network_labels(Some(self.network));
            let port = place.port.map(|port| port.to_string());
            let address = (attr::SERVER_ADDRESS, place.host.as_deref());
            let port = (attr::SERVER_PORT, port.as_deref());
            metric::since(
                Metric::ClientSession,
                since,
                &[version, network, protocol, protocol_version, address, port, error, name],
            );
        }
    }

    fn connect_ended(&mut self, error: Option<&'static str>) {
        let Some(begun) = self.connecting.take() else { return };
        let name = (attr::UPSTREAM_NAME, Some(self.upstream.as_str()));
        metric::since(Metric::ConnectDuration, begun, &[name, (attr::ERROR_TYPE, error)]);
    }

    /// A death counts.
    pub(crate) fn died(&self, reason: &'static str) {
        let name = (attr::UPSTREAM_NAME, Some(self.upstream.as_str()));
        metric::add(Metric::UpstreamDeaths, 1, &[name, (attr::DEATH_REASON, Some(reason))]);
    }

    /// A start after a death went well, or with this error did not.
    pub(crate) fn respawned(&self, error: Option<&'static str>) {
        let name = (attr::UPSTREAM_NAME, Some(self.upstream.as_str()));
        metric::add(Metric::UpstreamRespawns, 1, &[name, (attr::ERROR_TYPE, error)]);
    }

    /// The breaker opened.
    pub(crate) fn tripped(&self) {
        let name = (attr::UPSTREAM_NAME, Some(self.upstream.as_str()));
        metric::add(Metric::BreakerTrips, 1, &[name]);
    }

    /// It is like this now.
    pub(crate) fn is(&mut self, health: Health) {
        if self.health.as_ref().is_some_and(|(now, _)| *now == health) {
            return;
        }
        let labels = [
            (attr::UPSTREAM_NAME, Some(self.upstream.as_str())),
            (attr::UPSTREAM_STATE, Some(health.as_str())),
        ];
        self.health = Some((health, Held::new(Metric::UpstreamStatus, &labels)));
    }
}
