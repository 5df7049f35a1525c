//! A server as a child, spoken to over stdio.

use super::{
    client::{Answer, Caller, PATIENCE},
    process,
};
use anyhow::{Context as _, bail};
use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, mpsc},
    thread,
};

/// How much one read may bring.
const READ_MAX: usize = 256 << 10;

/// Who waits for which answer; as many as there are workers.
type Waiting = Mutex<BTreeMap<u64, mpsc::SyncSender<Vec<u8>>>>;

/// One child, shared by all workers.
#[derive(Debug)]
pub(crate) struct Pipe {
    child: Child,
    worker: Worker,
}

impl Pipe {
    pub(crate) fn open(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("failed to start a server")?;
        let input = child.stdin.take().expect("stdin is a pipe");
        let output = child.stdout.take().expect("stdout is a pipe");
        let waiting = Arc::<Waiting>::default();
        // The thread ends with the child, whose output then ends.
        thread::spawn({
            let waiting = waiting.clone();
            move || read(output, &waiting)
        });
        let worker = Worker { input: Arc::new(Mutex::new(Some(input))), waiting };
        Ok(Self { child, worker })
    }

    pub(crate) fn workers(&self, count: usize) -> Vec<Worker> {
        vec![self.worker.clone(); count]
    }

    /// Closes the input and awaits the end of the child.
    pub(crate) fn close(mut self) -> anyhow::Result<()> {
        locked(&self.worker.input).take();
        if !process::ended(&mut self.child, PATIENCE)? {
            bail!("a server did not end when its stdin was closed");
        }
        Ok(())
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        process::kill(&mut self.child);
    }
}

/// Hands every answer to the worker that waits for it.
fn read(mut output: ChildStdout, waiting: &Waiting) {
    let mut fresh = vec![0; READ_MAX];
    let (mut buffer, mut searched) = (Vec::new(), 0);
    while let Ok(read) = output.read(&mut fresh)
        && read > 0
    {
        buffer.extend_from_slice(&fresh[..read]);
        let mut start = 0;
        while let Some(end) = memchr::memchr(b'\n', &buffer[searched..]) {
            let line = &buffer[start..searched + end];
            let id = serde_json::from_slice(line).ok().and_then(|answer: Answer<'_>| answer.id());
            if let Some(waits) = id.and_then(|id| locked(waiting).remove(&id)) {
                // A worker that was given up does not wait any more.
                drop(waits.send(line.to_vec()));
            }
            start = searched + end + 1;
            searched = start;
        }
        buffer.drain(..start);
        searched = buffer.len();
    }
    locked(waiting).clear();
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while holding it")
}

/// One worker's share of the child.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    input: Arc<Mutex<Option<ChildStdin>>>,
    waiting: Arc<Waiting>,
}

impl Caller for Worker {
    fn call(&mut self, id: u64, request: &[u8]) -> anyhow::Result<Vec<u8>> {
        let (sender, answer) = mpsc::sync_channel(1);
        locked(&self.waiting).insert(id, sender);
        self.notify(request)?;
        answer.recv_timeout(PATIENCE).context("an answer is missing")
    }

    fn notify(&mut self, notification: &[u8]) -> anyhow::Result<()> {
        let mut line = Vec::with_capacity(notification.len() + 1);
        line.extend_from_slice(notification);
        line.push(b'\n');
        let mut input = locked(&self.input);
        Ok(input.as_mut().context("the input is closed")?.write_all(&line)?)
    }
}
