//! What a console of Windows says. Nothing asks for a reload or a reset there but the commands.

use super::Asked;
use crate::exit::{Code, Failure};
use tokio::signal::windows::{CtrlBreak, CtrlC, CtrlClose, CtrlShutdown};
use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};

/// The events mcplex listens to.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: CtrlC,
    pause: CtrlBreak,
    close: CtrlClose,
    shutdown: CtrlShutdown,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let refused =
            |error| Failure::from_error(Code::Failed, "signals cannot be listened to", &error);
        Ok(Self {
            interrupt: ctrl_c().map_err(refused)?,
            pause: ctrl_break().map_err(refused)?,
            close: ctrl_close().map_err(refused)?,
            shutdown: ctrl_shutdown().map_err(refused)?,
        })
    }

    /// Waits for the next event; cancel safe.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop("Ctrl-C", Code::Interrupted),
            _ = self.pause.recv() => Asked::Stop("Ctrl-Break", Code::Terminated),
            _ = self.close.recv() => Asked::Stop("the end of its console", Code::Hangup),
            _ = self.shutdown.recv() => Asked::Stop("the end of the system", Code::Terminated),
        }
    }
}
