//! A transport whose connections are in memory, and which keeps count of them.

use crate::server::{FakeLifeline, FromServer, Server, ToServer};
use async_trait::async_trait;
use mcplex_proto::transport::{ConnectError, Connection, Transport, Usage};
use mcplex_supervisor::HostFacts;
use std::{
    collections::VecDeque,
    fmt, io,
    sync::{Arc, Mutex},
    time::Duration,
};

/// What happens at a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// It fails, and trying again may help.
    Fails,
    /// It fails, and only a person can help.
    FailsForGood,
    /// The host has run out of something.
    LacksResources,
    /// It never ends.
    Hangs,
    /// It opens after so many milliseconds, and the server answers `initialize`.
    Slow(u64),
    /// It opens, and the server answers `initialize`.
    Works,
    /// It opens, and the server answers `initialize` with this version.
    Speaks(&'static str),
    /// It opens, and the server says nothing.
    Mute,
    /// It opens, and the server writes lines that are no messages, faster than they are read; a
    /// second passes with each.
    Floods,
    /// It opens, and the server exits instead of an answer.
    DiesInHandshake,
    /// It answers `initialize` and exits in the same moment.
    DiesWhenReady,
    /// It opens, and the server answers `server/discover` and refuses `initialize`.
    Modern,
    /// It opens, and the server exits when it is asked `server/discover`.
    EndsWhenProbed,
    /// It opens, and the server says nothing to `server/discover`.
    MuteWhenProbed,
    /// It opens, and the server exits whatever it is asked.
    EndsWhenAsked,
}

/// Every connection there ever was.
#[derive(Clone, Default)]
pub(crate) struct FakeTransport {
    state: Arc<Mutex<Connects>>,
}

#[derive(Default)]
struct Connects {
    scripts: VecDeque<Script>,
    servers: Vec<Server>,
    connects: usize,
    /// Whether a network lies between, so that a failure may be the network's.
    is_remote: bool,
}

impl fmt::Debug for FakeTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeTransport")
    }
}

impl FakeTransport {
    /// Connects go by these scripts in order, and by the last one for ever.
    pub(crate) fn new(scripts: &[Script]) -> Self {
        let transport = Self::default();
        transport.state.lock().unwrap().scripts = scripts.iter().copied().collect();
        transport
    }

    /// All later connects go by this script.
    pub(crate) fn set(&self, script: Script) {
        self.state.lock().unwrap().scripts = [script].into();
    }

    /// A network lies between from now on.
    pub(crate) fn be_remote(&self) {
        self.state.lock().unwrap().is_remote = true;
    }

    /// How often a connect was tried.
    pub(crate) fn connects(&self) -> usize {
        self.state.lock().unwrap().connects
    }

    /// The newest server.
    pub(crate) fn server(&self) -> Server {
        self.newest().expect("a connect opened")
    }

    /// What all servers were told and nobody has taken, oldest server first.
    pub(crate) fn take_all(&self) -> Vec<String> {
        let servers = self.state.lock().unwrap().servers.clone();
        servers.iter().flat_map(Server::take).collect()
    }

    /// The newest server, if there ever was one.
    pub(crate) fn newest(&self) -> Option<Server> {
        self.state.lock().unwrap().servers.last().cloned()
    }

    /// How many servers run now.
    pub(crate) fn running(&self) -> usize {
        let state = self.state.lock().unwrap();
        state.servers.iter().filter(|server| server.is_running()).count()
    }
}

/// A host that says of itself what the test wants.
#[derive(Debug, Default)]
pub(crate) struct FakeHost {
    pub(crate) free: Mutex<Option<usize>>,
    pub(crate) asleep: Mutex<Duration>,
    /// What every process that still runs has used.
    pub(crate) used: Mutex<Option<Usage>>,
}

impl HostFacts for FakeHost {
    fn free_descriptors(&self) -> Option<usize> {
        *self.free.lock().unwrap()
    }

    fn usage_of(&self, pid: u32) -> Option<Usage> {
        assert_ne!(pid, 0);
        *self.used.lock().unwrap()
    }

    fn time_asleep(&self) -> Duration {
        *self.asleep.lock().unwrap()
    }
}

#[async_trait]
impl Transport for FakeTransport {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        let script = {
            let mut state = self.state.lock().unwrap();
            state.connects += 1;
            let is_last = state.scripts.len() == 1;
            let script = *state.scripts.front().unwrap();
            if !is_last {
                state.scripts.pop_front();
            }
            script
        };
        let error = io::Error::other("no luck");
        match script {
            Script::Fails => return Err(ConnectError::Other(error)),
            Script::LacksResources => return Err(ConnectError::Resource(error)),
            Script::FailsForGood => {
                return Err(ConnectError::Permanent {
                    what: "there is no such program".to_owned(),
                    hint: "install it".to_owned(),
                    source: None,
                    kind: "not_found",
                });
            }
            Script::Hangs => std::future::pending().await,
            Script::Slow(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Script::Works
            | Script::Speaks(_)
            | Script::Mute
            | Script::Floods
            | Script::DiesInHandshake
            | Script::DiesWhenReady
            | Script::Modern
            | Script::EndsWhenProbed
            | Script::MuteWhenProbed
            | Script::EndsWhenAsked => {}
        }
        assert_eq!(self.running(), 0, "never two at a time");
        let mut state = self.state.lock().unwrap();
        let server = Server::new(script, state.connects);
        state.servers.push(server.clone());
        Ok(Connection {
            outgoing: Box::pin(ToServer(server.clone())),
            incoming: Box::pin(FromServer(server.clone())),
            lifeline: Box::new(FakeLifeline(server)),
        })
    }

    fn network(&self) -> &'static str {
        "pipe"
    }

    fn failure_tells_era(&self) -> bool {
        !self.state.lock().unwrap().is_remote
    }
}
