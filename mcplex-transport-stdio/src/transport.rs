//! Opens connections to a child process.

#[cfg(target_os = "linux")]
use crate::linux::{GuardedLife, spawn_guarded};
#[cfg(windows)]
use crate::windows::{Life, spawn};
use crate::{child::Pipes, command::Command, incoming::Messages, outgoing::Lines, words::Words};
#[cfg(unix)]
use crate::{lifeline::Life, spawn::spawn};
use async_trait::async_trait;
use mcplex_proto::{
    peer::Place,
    redact::Secrets,
    transport::{ConnectError, Connection, Lifeline, Transport},
};
use std::{path::Path, sync::Arc};

/// Reaches an upstream by starting it as a child process, anew at each connect.
#[derive(Debug)]
pub struct StdioTransport {
    command: Arc<Command>,
}

impl StdioTransport {
    /// A transport that starts `command`.
    #[must_use]
    pub fn new(command: Command) -> Self {
        Self { command: Arc::new(command) }
    }

    fn connection(
        &self,
        pipes: Pipes,
        lifeline: impl FnOnce(Words) -> Box<dyn Lifeline>,
    ) -> Connection {
        let Command { name, max_line, .. } = &*self.command;
        Connection {
            outgoing: Box::pin(Lines::new(pipes.stdin)),
            incoming: Box::pin(Messages::new(name.clone(), pipes.stdout, *max_line)),
            lifeline: lifeline(Words::of(&self.command, pipes.stderr)),
        }
    }
}

#[async_trait]
impl Transport for StdioTransport {
    /// Without a guard it never waits between the start of the child and the return; with one it
    /// is started on a thread beside, and waits for what the guard says of the start. Dropped
    /// meanwhile it leaves nothing behind, and a connection that is dropped is killed.
    async fn connect(&self) -> Result<Connection, ConnectError> {
        #[cfg(target_os = "linux")]
        if let Some(guard) = &self.command.guard {
            let (tree, pipes) = spawn_guarded(&self.command, guard).await?;
            return Ok(self.connection(pipes, |words| Box::new(GuardedLife::new(tree, words))));
        }
        let (child, pipes) = spawn(&self.command)?;
        Ok(self.connection(pipes, |words| Box::new(Life::new(child, words))))
    }

    fn network(&self) -> &'static str {
        "pipe"
    }

    fn place(&self) -> Place {
        let program = Path::new(&self.command.program).file_name();
        Place {
            program: program.map(|name| name.to_string_lossy().into_owned()),
            ..Place::default()
        }
    }

    fn of_member(&self, label: &str) -> Option<Arc<dyn Transport>> {
        let command = Command { member: Some(label.into()), ..(*self.command).clone() };
        Some(Arc::new(Self::new(command)))
    }

    fn secrets(&self) -> Secrets {
        self.command.secrets()
    }

    fn failure_tells_era(&self) -> bool {
        true
    }
}
