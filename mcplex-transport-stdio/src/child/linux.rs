//! Linux: a descriptor that tells the end, and the status together with what was used.

use super::Pipes;
use crate::{
    guard::number,
    linux::{
        sys::{self, Reaped},
        trees::{Trees, Turn},
        usage::{OutOfMemory, usage},
    },
};
use mcplex_proto::transport::Usage;
use rustix::{
    fd::OwnedFd,
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal},
};
use std::{
    io,
    os::unix::process::ExitStatusExt as _,
    process::{Command, ExitStatus},
    time::Duration,
};
use tokio::{io::unix::AsyncFd, runtime::Handle, time};

/// How often a child is looked at by a kernel that has no descriptors for processes, before 5.3.
const LOOK: Duration = Duration::from_millis(20);

/// A child of ours that nobody else waits for.
///
/// Dropped before its end it is not killed, and is waited for behind our back, so that it does not
/// stay in the list of processes.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    /// Readable once it has ended.
    end: Option<AsyncFd<OwnedFd>>,
    reaped: Option<Reaped>,
    before: OutOfMemory,
    usage: Option<Usage>,
    /// Whether it says itself what its server has used.
    is_guard: bool,
}

impl Child {
    /// Starts a command that has three pipes, as one of the tree; to be called inside a runtime.
    ///
    /// # Errors
    /// What the start itself failed with, or what a descriptor for the child failed with; then it
    /// was killed.
    pub(crate) fn start(
        command: &mut Command,
        _turn: &Turn,
        tree: u64,
    ) -> io::Result<(Self, Pipes)> {
        let before = OutOfMemory::so_far();
        let mut started = command.spawn()?;
        let pid = i32::try_from(started.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the child has no number"))?;
        Trees::lock().add(pid, tree);
        let mut child = Self { pid, end: None, reaped: None, before, usage: None, is_guard: false };
        let watched = Self::watch(pid).and_then(|end| Ok((end, Pipes::of(&mut started)?)));
        match watched {
            Ok((end, pipes)) => {
                child.end = end;
                Ok((child, pipes))
            }
            Err(error) => {
                child.signal(Signal::KILL);
                let _status = started.wait();
                Trees::lock().remove(pid);
                child.reaped = Some(Reaped { status: 0, peak_memory: 0, cpu: Duration::ZERO });
                Err(error)
            }
        }
    }

    /// The same, known to be a guard.
    pub(crate) fn into_guard(mut self) -> Self {
        self.is_guard = true;
        self
    }

    fn watch(pid: Pid) -> io::Result<Option<AsyncFd<OwnedFd>>> {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(end) => sys::watch(end).map(Some),
            Err(Errno::NOSYS | Errno::INVAL | Errno::PERM) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        number(self.pid)
    }

    /// Waits for its end; cancel safe.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.try_wait() {
                return status;
            }
            wait_for(&mut self.end).await;
        }
    }

    /// How it has ended, if it has.
    pub(crate) fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.reaped.is_none() {
            self.reaped = reap(self.pid);
            let reaped = self.reaped.as_ref()?;
            self.usage = usage(self.pid(), self.is_guard, reaped, self.before);
            self.end = None;
        }
        self.reaped.map(|reaped| ExitStatus::from_raw(reaped.status))
    }

    /// Sends it a signal, unless it was waited for: then its number may be somebody else's.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.reaped.is_some() {
            return;
        }
        // Refused means that it is dead.
        let _is_there = match &self.end {
            Some(end) => pidfd_send_signal(end.get_ref(), signal),
            None => kill_process(self.pid, signal),
        };
    }

    /// What it has used, once it was waited for.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.usage
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.try_wait().is_some() {
            return;
        }
        let (pid, end) = (self.pid, self.end.take());
        // Outside of a runtime this process is about to end, and its parent waits instead. The
        // task ends with the child, whose killer is whoever drops this.
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn(wait_unowned(pid, end)));
        }
    }
}

async fn wait_unowned(pid: Pid, mut end: Option<AsyncFd<OwnedFd>>) {
    while reap(pid).is_none() {
        wait_for(&mut end).await;
    }
}

/// Waits until it is worth to look again.
async fn wait_for(end: &mut Option<AsyncFd<OwnedFd>>) {
    match end {
        Some(fd) => {
            // An error is that of the runtime at its end; then looking must do.
            if fd.readable().await.is_err() {
                *end = None;
            }
        }
        None => time::sleep(LOOK).await,
    }
}

fn reap(pid: Pid) -> Option<Reaped> {
    // Held over both, or a new child with the same number could be the one that is removed.
    let mut trees = Trees::lock();
    let reaped = match sys::reap(pid) {
        Ok(reaped) => reaped?,
        // Somebody else in this process waits for all children, so nobody can say how it ended.
        Err(_) => Reaped { status: UNKNOWN, peak_memory: 0, cpu: Duration::ZERO },
    };
    trees.remove(pid);
    Some(reaped)
}

/// No status the system gives for an end: neither an exit nor a signal.
const UNKNOWN: i32 = 0xffff;
