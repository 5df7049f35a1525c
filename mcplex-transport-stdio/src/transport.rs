//! Opens connections to a child process.

use crate::{
    command::Command, incoming::Messages, lifeline::Life, outgoing::Lines, spawn::spawn,
    words::Words,
};
use async_trait::async_trait;
use mcplex_proto::transport::{ConnectError, Connection, Transport};
use std::io;

/// Reaches an upstream by starting it as a child process, anew at each connect.
#[derive(Debug)]
pub struct StdioTransport {
    command: Command,
}

impl StdioTransport {
    /// A transport that starts `command`.
    #[must_use]
    pub fn new(command: Command) -> Self {
        Self { command }
    }
}

#[async_trait]
impl Transport for StdioTransport {
    /// Never waits between the start of the child and the return, so a dropped future cannot
    /// leave one behind; a connection that is dropped kills it.
    async fn connect(&self) -> Result<Connection, ConnectError> {
        let Command { name, max_line, stderr_lines, .. } = &self.command;
        let mut child = spawn(&self.command)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(ConnectError::Other(io::Error::other("a pipe of the child is missing")));
        };
        let words = Words::of(name.clone(), stderr, *stderr_lines);
        Ok(Connection {
            outgoing: Box::pin(Lines::new(stdin)),
            incoming: Box::pin(Messages::new(stdout, *max_line)),
            lifeline: Box::new(Life::new(child, words)),
        })
    }

    fn network(&self) -> &'static str {
        "pipe"
    }
}
