//! How an upstream is.

use crate::trace::TraceContext;
use std::{fmt, sync::Arc, time::Duration};

/// One life of an upstream, numbered from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How an upstream is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Connected; calls pass.
    Ready,
    /// Connected, but idle and silent when it was asked whether it lives; calls still pass.
    Degraded,
    /// Not running, and started by the first call.
    Idle,
    /// Starting, stopping, or waiting for its next life; calls wait a little.
    Recovering,
    /// Its breaker is open; calls fail at once.
    Tripped,
    /// Stopped or disabled by somebody; calls fail at once.
    Stopped,
}

impl Health {
    /// The word as it stands in JSON and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Idle => "idle",
            Self::Recovering => "recovering",
            Self::Tripped => "tripped",
            Self::Stopped => "stopped",
        }
    }
}

/// What an observer is told of an upstream.
#[derive(Clone, Debug)]
pub struct Status {
    /// How it is.
    pub health: Health,
    /// The current life, or the last one.
    pub incarnation: Incarnation,
    /// Deaths in the breaker's window.
    pub deaths: u32,
    /// Times the breaker tripped since the last reset or stable life.
    pub trips: u32,
    /// Why it is not ready, in one plain sentence without a final stop.
    pub reason: Option<Arc<str>>,
    /// Whether its last life ended by itself, and its settings let none follow before somebody asks.
    pub has_left: bool,
    /// When it will be tried again, if it will.
    pub retry_after: Option<Duration>,
    /// The process, while there is one.
    pub pid: Option<u32>,
    /// How long the current life has been ready.
    pub uptime: Option<Duration>,
    /// Calls that were sent and not answered.
    pub in_flight: usize,
    /// How the last life that died ended, in one plain sentence without a final stop.
    pub last_error: Option<Arc<str>>,
    /// The same in parts.
    pub last: Option<Arc<LastDeath>>,
    /// The span of the trip, while it is tripped.
    pub trip: Option<TraceContext>,
    /// The span of the death, while its next life is awaited.
    pub death: Option<TraceContext>,
}

impl Status {
    /// A status that says no more than this.
    #[must_use]
    pub fn new(health: Health, incarnation: Incarnation) -> Self {
        Self {
            health,
            incarnation,
            deaths: 0,
            trips: 0,
            reason: None,
            has_left: false,
            retry_after: None,
            pid: None,
            uptime: None,
            in_flight: 0,
            last_error: None,
            last: None,
            trip: None,
            death: None,
        }
    }
}

/// How the last life of an upstream ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastDeath {
    /// One plain sentence.
    pub exit: String,
    /// What it wrote to its log at last, oldest line first.
    pub stderr_tail: Vec<String>,
}
