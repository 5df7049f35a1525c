//! Windows: a job object holds a server's processes together.
//!
//! Everything that a process of the job starts is in it as well, and it is ended by the system
//! with our last handle to it, so also when we are killed. There is no polite request between the
//! end of input and the end. Written with care, and never run by its authors.

use crate::{
    child::Pipes,
    command::Command,
    resolve::{not_executable, nul, resolve},
    words::Words,
};
use async_trait::async_trait;
use mcplex_proto::transport::{
    CloseStep, Closed, ConnectError, Ending, Grace, LastWords, Lifeline, Word,
};
use process_wrap::tokio::{ChildWrapper, CommandWrap, JobObject, KillOnDrop};
use std::{io, process::Stdio, time::Duration};
use tokio::time;

/// Starts the program of `command` in a job of its own, which is set up before it runs.
pub(crate) fn spawn(command: &Command) -> Result<(Box<dyn ChildWrapper>, Pipes), ConnectError> {
    let own = command.env.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case("PATH"));
    let path = own.map(|(_, value)| value.into()).or_else(|| std::env::var_os("PATH"));
    let program = resolve(&command.program, path.as_deref(), command.cwd.as_deref())?;
    #[expect(clippy::disallowed_methods, reason = "this is the one place of this platform")]
    let mut child = tokio::process::Command::new(&program);
    child
        .args(&command.args)
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(cwd) = &command.cwd {
        child.current_dir(cwd);
    }
    let mut job = CommandWrap::from(child);
    job.wrap(KillOnDrop).wrap(JobObject);
    let mut child = job.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => nul(Some(error)),
        io::ErrorKind::PermissionDenied => not_executable(&program, Some(error)),
        io::ErrorKind::OutOfMemory => ConnectError::Resource(error),
        _ => ConnectError::Other(error),
    })?;
    let pipes = (child.stdin().take(), child.stdout().take(), child.stderr().take());
    let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(ConnectError::Other(io::Error::other("a pipe of the child is missing")));
    };
    Ok((child, Pipes { stdin, stdout, stderr }))
}

/// A child and all that is in its job; dropping it ends them.
#[derive(Debug)]
pub(crate) struct Life {
    job: Box<dyn ChildWrapper>,
    pid: Option<u32>,
    ending: Option<Ending>,
    words: Words,
}

impl Life {
    pub(crate) fn new(job: Box<dyn ChildWrapper>, words: Words) -> Self {
        let pid = job.id();
        Self { job, pid, ending: None, words }
    }

    /// Waits for the end of the child itself; cancel safe.
    async fn leader_ended(&mut self) -> Ending {
        if let Some(ending) = &self.ending {
            return ending.clone();
        }
        // The job's own wait is for all that is in it.
        let status = self.job.inner_mut().wait().await;
        let code = status.ok().and_then(|status| status.code());
        let ending = code.map_or(Ending::Unknown, Ending::Exited);
        self.ending = Some(ending.clone());
        ending
    }

    async fn ended_within(&mut self, limit: Duration) -> bool {
        time::timeout(limit, self.leader_ended()).await.is_ok()
    }
}

#[async_trait]
impl Lifeline for Life {
    async fn ended(&mut self) -> Ending {
        let ending = self.leader_ended().await;
        self.words.hear_out().await;
        ending
    }

    async fn close(&mut self, grace: Grace) -> Closed {
        let step = if self.ending.is_some() {
            CloseStep::Ended
        } else if self.ended_within(grace.eof).await {
            CloseStep::Eof
        } else {
            CloseStep::Kill
        };
        // Also what the child has left in the job; an error means that nothing is.
        let _ended = self.job.start_kill();
        let is_gone = self.ended_within(grace.kill).await
            && time::timeout(grace.kill, self.job.wait()).await.is_ok();
        self.words.hear_out().await;
        Closed { ending: self.ending.clone().unwrap_or(Ending::Unknown), step, is_gone }
    }

    fn last_words(&self) -> Vec<Word> {
        self.words.last()
    }

    fn listener(&self) -> Option<LastWords> {
        Some(self.words.listener())
    }

    fn pid(&self) -> Option<u32> {
        self.pid
    }
}
