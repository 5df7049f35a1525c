//! The ways out of one signal, together.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use super::send::{Patience, Sender};
use super::{Accepted, Batch, SendError};
use crate::plan::Way;

/// Sends batches of one signal where they belong.
///
/// Clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    otlp: Option<Arc<Sender>>,
    console: bool,
    /// How long one batch may take; the sender may have a limit below it.
    timeout: Duration,
}

impl Outlet {
    /// Reads the files about trust; connects to nobody as yet.
    pub(crate) fn new(way: &Way, timeout: Duration) -> io::Result<Self> {
        let otlp = way.otlp.as_ref().map(Sender::new).transpose()?.map(Arc::new);
        Ok(Self { otlp, console: way.console, timeout })
    }

    /// Where OTLP goes.
    pub(crate) fn endpoint(&self) -> &str {
        self.otlp.as_ref().map_or("stderr", |sender| sender.endpoint())
    }

    /// The end is near: nothing waits for another attempt any more.
    pub(crate) fn hurry(&self) {
        self.otlp.iter().for_each(|sender| sender.hurry());
    }

    /// Sends a batch; at the end of the process there is no time for a second attempt.
    pub(crate) async fn send(&self, batch: &Batch, is_last: bool) -> Result<Accepted, SendError> {
        if self.console {
            print(batch)?;
        }
        let Some(sender) = &self.otlp else { return Ok(Accepted::default()) };
        let patience = if is_last { Patience::Once } else { Patience::Retry };
        sender.send(batch, patience, self.timeout).await
    }
}

/// Writes a batch as one line, in the JSON of OTLP.
///
/// Stderr and never stdout, which belongs to the client of `mcplex stdio`.
fn print(batch: &Batch) -> Result<(), SendError> {
    let mut line = batch.to_json().map_err(|error| SendError::Form(error.to_string()))?;
    line.push(b'\n');
    io::stderr().lock().write_all(&line).map_err(|error| SendError::Form(error.to_string()))
}
