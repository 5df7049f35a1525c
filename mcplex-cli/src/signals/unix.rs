//! The signals of Unix.

use super::Asked;
use crate::exit::{Code, Failure};
use std::fs::{self, File};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals mcplex listens to.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    // The default would leave the servers alone when a terminal closes.
    hangup: Signal,
    reset: Signal,
    /// Whether it was started from a terminal and is to end with it.
    ends_with_terminal: bool,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::from_error(Code::Failed, "signals cannot be listened to", &error)
            })
        };
        // Asked before the signal is listened to, which ends the ignoring.
        let ends_with_terminal = has_terminal() && !ignores_hangup();
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            reset: listen(SignalKind::user_defined1())?,
            ends_with_terminal,
        })
    }

    /// Waits for the next signal; cancel safe.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop("SIGTERM", Code::Terminated),
            _ = self.interrupt.recv() => Asked::Stop("SIGINT", Code::Interrupted),
            _ = self.hangup.recv() => {
                if self.ends_with_terminal && !has_terminal() {
                    Asked::Stop("SIGHUP", Code::Hangup)
                } else {
                    Asked::Reload
                }
            }
            _ = self.reset.recv() => Asked::Reset,
        }
    }
}

/// Whether this process has a controlling terminal: the kernel takes it away before it sends the
/// SIGHUP of a terminal that closes.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether it was started by `nohup`, to outlive its terminal. Only Linux tells.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // SIGHUP is signal 1, which is bit 0.
    ignored.is_some_and(|mask| mask & 1 != 0)
}
