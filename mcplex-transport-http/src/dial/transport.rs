//! Opens connections to one server.

use super::{
    connector::Dialer,
    halves::{Messages, Outbox},
    lifeline::Life,
    pump,
    talk::Talk,
    target::{Remote, Target},
    tools::Tools,
    trouble,
    wire::Wire,
};
use async_trait::async_trait;
use mcplex_proto::{
    peer::Place,
    redact::Secrets,
    transport::{ConnectError, Connection, Transport},
};
use std::sync::Arc;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use url::Url;

/// Messages of a server that wait to be read; beyond them its streams are not read on.
const UNREAD: usize = 64;

/// Reaches one server over HTTP.
#[derive(Debug)]
pub struct HttpTransport {
    remote: Remote,
    tools: Arc<Tools>,
}

impl HttpTransport {
    /// A way to this server.
    #[must_use]
    pub fn new(remote: Remote) -> Self {
        Self { remote, tools: Arc::default() }
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        let target = Target::read(&self.remote, Arc::clone(&self.tools))?;
        let dialer = Dialer::new(&target.url)?;
        // The first connection is opened here, so that one that cannot be had is told at once.
        let first = dialer.dial().await.map_err(|error| trouble::unreachable(&target, error))?;
        let (ends, ended) = watch::channel(None);
        let wire = Arc::new(Wire::new(target, dialer, first));
        let (out, incoming) = mpsc::channel(UNREAD);
        let (outbox, outgoing, written) = Outbox::new();
        let talk = Talk::new(Arc::clone(&wire), out, ends);
        let mut tasks = JoinSet::new();
        tasks.spawn(pump::run(talk, outgoing, written));
        Ok(Connection {
            outgoing: Box::pin(outbox),
            incoming: Box::pin(Messages::new(incoming)),
            lifeline: Box::new(Life::new(wire, ended, tasks)),
        })
    }

    fn network(&self) -> &'static str {
        "tcp"
    }

    fn place(&self) -> Place {
        let url = Url::parse(&self.remote.url).ok();
        let host = url.as_ref().and_then(|url| url.host_str().map(Into::into));
        let port = url.as_ref().and_then(Url::port_or_known_default);
        Place { host, port, program: None }
    }

    fn secrets(&self) -> Secrets {
        let named = self.remote.headers.iter();
        Secrets::of(named.map(|(name, value)| (name.as_str(), value.as_str())), &[])
    }
}
