//! Unix elsewhere: the runtime watches the child; what it used is not known.

use super::Pipes;
use mcplex_proto::transport::Usage;
use std::{io, os::unix::process::ExitStatusExt as _, process::ExitStatus};

/// A child of ours.
#[derive(Debug)]
pub(crate) struct Child {
    child: tokio::process::Child,
    pid: u32,
}

impl Child {
    /// Starts a command that has three pipes; to be called inside a runtime.
    pub(crate) fn start(command: std::process::Command) -> io::Result<(Self, Pipes)> {
        let mut child = tokio::process::Command::from(command).spawn()?;
        let pid = child.id().unwrap_or_default();
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(io::Error::other("a pipe of the child is missing"));
        };
        Ok((Self { child, pid }, Pipes { stdin, stdout, stderr }))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end; cancel safe.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        // Somebody else in this process waits for all children: neither an exit nor a signal.
        self.child.wait().await.unwrap_or_else(|_| ExitStatus::from_raw(0xffff))
    }

    /// How it has ended, if it has.
    pub(crate) fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// What it has used: nobody says.
    pub(crate) fn usage(&self) -> Option<Usage> {
        None
    }
}
