//! The first SIGTERM, SIGINT or SIGHUP drains, a second one ends at once; SIGUSR1 resets.

use crate::exit::{Code, Failure};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals mcplex listens to.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    // The default would leave the servers alone when a terminal closes.
    hangup: Signal,
    reset: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Stop; the code is for whoever does not want to wait.
    Stop(&'static str, Code),
    /// Start every tripped upstream again.
    Reset,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::from_error(Code::Failed, "signals cannot be listened to", &error)
            })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            reset: listen(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the next signal; cancel safe.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop("SIGTERM", Code::Terminated),
            _ = self.interrupt.recv() => Asked::Stop("SIGINT", Code::Interrupted),
            _ = self.hangup.recv() => Asked::Stop("SIGHUP", Code::Hangup),
            _ = self.reset.recv() => Asked::Reset,
        }
    }
}
