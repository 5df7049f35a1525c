//! Boundary: who knows the upstreams and can tell them what to do. Implemented by the command line
//! tool, called by the control socket.

use crate::status::{Instance, UpstreamStatus};
use async_trait::async_trait;
use mcplex_proto::trace::TraceContext;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};
use tokio::sync::watch;

/// What an operator asks of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Start it, if it is stopped.
    Start,
    /// End it; it stays stopped.
    Stop,
    /// End it if it runs, and start it at once. Its deaths are remembered.
    Restart,
    /// Forget its deaths, close its breaker, and start it at once if it does not run.
    Reset,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Start, Self::Stop, Self::Restart, Self::Reset];

    /// The word that people type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reset => "reset",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One setting with its value and where it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Setting {
    /// The setting, such as `gateway.listen` or `servers.files.command`.
    pub key: String,
    /// Its value as TOML, without secrets.
    pub value: String,
    /// `default`, `file:line`, a variable or a flag.
    pub origin: String,
}

/// What a reload of the configuration did; names of upstreams, and of settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reloaded {
    /// All of it in one line.
    pub text: String,
    /// Upstreams that are new.
    pub added: Vec<String>,
    /// Upstreams that are gone.
    pub removed: Vec<String>,
    /// Upstreams that get another process.
    pub changed: Vec<String>,
    /// Upstreams with new limits, whose processes stay.
    pub limits: Vec<String>,
    /// Upstreams that are the same.
    pub untouched: Vec<String>,
    /// Other settings that were applied.
    pub settings: Vec<String>,
    /// Settings that only the next start can apply.
    pub needs_restart: Vec<String>,
}

/// Why a reload changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong, and where.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Knows the upstreams of this process.
#[async_trait]
pub trait Operator: fmt::Debug + Send + Sync + 'static {
    /// This process.
    fn instance(&self) -> Instance;

    /// All upstreams, in the order of the configuration; several rows of one name are members.
    fn upstreams(&self) -> Vec<UpstreamStatus>;

    /// Wakes whenever something in [`upstreams`](Self::upstreams) may have changed.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Passes a verb on to an upstream, without waiting for its effect; an upstream that is not
    /// there hears nothing. `request` is the span of what asked for it.
    async fn tell(&self, upstream: &str, verb: Verb, request: Option<TraceContext>);

    /// Reads the configuration again and applies what differs.
    ///
    /// # Errors
    /// When it cannot be used; then nothing has changed.
    async fn reload(&self) -> Result<Reloaded, Refused>;

    /// Every setting that is in force, without secrets.
    fn configuration(&self) -> Vec<Setting>;

    /// How long a verb may take at this upstream before nobody should wait any longer.
    fn patience(&self, upstream: &str) -> Duration;
}
