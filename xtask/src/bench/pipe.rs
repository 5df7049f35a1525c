//! A server as a child, spoken to over stdio.

use super::client::{Answer, Caller};
use anyhow::{Context as _, bail};
use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{Mutex as Turn, oneshot},
    task::JoinSet,
    time::timeout,
};

/// Who waits for which answer; as many as there are workers.
type Waiting = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Vec<u8>>>>>;

/// One child, shared by all workers.
#[derive(Debug)]
pub(crate) struct Pipe {
    child: Child,
    worker: Worker,
    reader: JoinSet<()>,
}

impl Pipe {
    pub(crate) fn open(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.kill_on_drop(true).spawn().context("failed to start a server")?;
        let input = child.stdin.take().context("no stdin")?;
        let output = child.stdout.take().context("no stdout")?;
        let waiting = Waiting::default();
        let mut reader = JoinSet::new();
        reader.spawn(read(output, waiting.clone()));
        let worker = Worker { input: Arc::new(Turn::new(Some(input))), waiting };
        Ok(Self { child, worker, reader })
    }

    pub(crate) fn workers(&self, count: usize) -> Vec<Worker> {
        vec![self.worker.clone(); count]
    }

    /// Closes the input and awaits the end of the child.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        self.worker.input.lock().await.take();
        let ended = timeout(super::client::PATIENCE, self.child.wait()).await;
        self.reader.shutdown().await;
        if ended.is_err() {
            self.child.kill().await?;
            bail!("a server did not end when its stdin was closed");
        }
        Ok(())
    }
}

/// Hands every answer to the worker that waits for it.
async fn read(mut output: ChildStdout, waiting: Waiting) {
    let mut buffer = Vec::with_capacity(256 << 10);
    let mut searched = 0;
    while output.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        let mut start = 0;
        while let Some(end) = memchr::memchr(b'\n', &buffer[searched..]) {
            let line = &buffer[start..searched + end];
            let id = serde_json::from_slice(line).ok().and_then(|answer: Answer<'_>| answer.id());
            let waits =
                id.and_then(|id| waiting.lock().expect("no worker panics with it").remove(&id));
            if let Some(waits) = waits {
                // A worker that was given up does not wait any more.
                drop(waits.send(line.to_vec()));
            }
            start = searched + end + 1;
            searched = start;
        }
        buffer.drain(..start);
        searched = buffer.len();
    }
    waiting.lock().expect("no worker panics with it").clear();
}

/// One worker's share of the child.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    input: Arc<Turn<Option<ChildStdin>>>,
    waiting: Waiting,
}

impl Caller for Worker {
    async fn call(&mut self, id: u64, request: &[u8]) -> anyhow::Result<Vec<u8>> {
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().expect("no worker panics with it").insert(id, sender);
        self.notify(request).await?;
        answer.await.context("the server is gone")
    }

    async fn notify(&mut self, notification: &[u8]) -> anyhow::Result<()> {
        let mut line = Vec::with_capacity(notification.len() + 1);
        line.extend_from_slice(notification);
        line.push(b'\n');
        let mut input = self.input.lock().await;
        Ok(input.as_mut().context("the input is closed")?.write_all(&line).await?)
    }
}
