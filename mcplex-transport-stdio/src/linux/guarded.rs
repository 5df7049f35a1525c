//! A server under a guard, seen from its gateway: its start and its end.

use super::{
    cookie, limit, orphans,
    trees::{Trees, Turn, inherited},
    usage::Reports,
};
use crate::{
    child::{Child, Pipes},
    command::Command,
    guard::{Guard, Orders, RECORD, Record},
    lifeline::ending_of,
    resolve::nul,
    spawn::{classify, find, prepare},
    words::Words,
};
use async_trait::async_trait;
use mcplex_proto::transport::{
    CloseStep, Closed, ConnectError, Ending, Grace, LastWords, Lifeline, Usage, Word,
};
use rustix::{
    fd::{AsFd as _, AsRawFd as _},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    process::Signal,
};
use std::{
    io,
    os::{fd::BorrowedFd, unix::process::CommandExt as _},
    panic,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{net::unix::pipe, sync::Semaphore, task, time};

/// How long a guard may take to start its server. It takes 1 ms; a program on a slow network disk
/// takes longer, and whoever connects has a limit of their own.
const START: Duration = Duration::from_secs(10);

/// How long a guard may take to end, once told, after a start that failed.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long a start lets the one before it go first.
const AFTER_YOU: Duration = Duration::from_millis(100);

/// Starts take turns before they take a thread: fifty at once need one and not eight, whose stacks
/// would stay. No more than that: what a dead disk holds up is not waited for.
static STARTS: Semaphore = Semaphore::const_new(1);

/// Starts the program of `command` under `guard`.
///
/// Dropping the future ends what was started.
pub(crate) async fn spawn_guarded(
    command: &Arc<Command>,
    guard: &Guard,
) -> Result<(Tree, Pipes), ConnectError> {
    let Started { mut tree, pipes, status, program } = start_aside(command, guard).await?;
    let record = tokio::select! {
        record = read_record(&status) => record,
        _ = tree.guard.wait() => last_record(&status),
        () = time::sleep(START) => None,
    };
    match record {
        Some(Record::Started(server)) => {
            tree.server = server;
            Ok((tree, pipes))
        }
        Some(Record::Refused(errno)) => {
            let _in_time = time::timeout(FAREWELL, tree.guard.wait()).await;
            Err(classify(errno.into(), &program))
        }
        None => {
            let what = match tree.guard.try_wait() {
                Some(status) => {
                    format!("its guard has ended ({status}) before it could be started")
                }
                None => format!("its guard has not started it within {START:?}"),
            };
            Err(ConnectError::Other(io::Error::other(what)))
        }
    }
}

/// A guard that has not said yet whether it could start its server.
struct Started {
    tree: Tree,
    pipes: Pipes,
    /// Where it says that.
    status: pipe::Receiver,
    program: PathBuf,
}

/// Looks for the program and starts the guard on a thread beside: what looks for a file may wait
/// for a disk, and the start of a process stops the thread that it comes from until the new one runs
/// its own program, 0.2 ms to 3 ms in which no call of any upstream would move.
async fn start_aside(command: &Arc<Command>, guard: &Guard) -> Result<Started, ConnectError> {
    // A closed semaphore there is not, and one who waited long enough goes on without it.
    let turn = time::timeout(AFTER_YOU, STARTS.acquire()).await;
    let (command, guard) = (Arc::clone(command), guard.clone());
    let started = task::spawn_blocking(move || {
        let program = find(&command)?;
        start(&command, &guard, program)
    });
    // Whoever gives up meanwhile drops the task's result, which ends what was started.
    let started = started.await;
    drop(turn);
    started.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => panic::resume_unwind(panic),
        // The runtime is about to end.
        Err(error) => Err(ConnectError::Other(error.into())),
    })
}

fn start(command: &Command, guard: &Guard, program: PathBuf) -> Result<Started, ConnectError> {
    let own = |error: Errno| classify_own(error.into());
    let (read, status) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(own)?;
    let read = pipe::Receiver::from_owned_fd(read).map_err(classify_own)?;
    let reports = Reports::of_this_process();
    let usage = reports.map(Reports::write_end);
    let orders = Orders {
        eof: guard.eof,
        term: guard.term,
        nofile: limit::of_children(),
        status: status.as_raw_fd(),
        usage: usage.map_or(-1, |fd| fd.as_raw_fd()),
        parent: rustix::process::getpid().as_raw_nonzero().get(),
    };
    let mut child = prepare(command, guard.program.as_os_str());
    child
        .arg0(format!("mcplex-guard {}", command.name.as_str()))
        .args(orders.to_args())
        .arg(&program)
        .args(&command.args);
    let turn = Turn::wait();
    let (tree, cookie) = Trees::lock().next(command.name.as_str(), true);
    if let Some(cookie) = cookie {
        child.env(cookie::VARIABLE, cookie.to_string());
    }
    let fds: Vec<BorrowedFd<'_>> =
        std::iter::once(&status).chain(usage).map(|fd| fd.as_fd()).collect();
    let (guard, pipes) = inherited(&fds, &turn, |turn| Child::start(&mut child, turn, tree))
        .map_err(classify_own)?;
    drop(turn);
    let guard = guard.into_guard();
    let tree = Tree { tree, guard, server: 0, ending: None, is_swept: false };
    // The guard alone holds the other end of the pipe from here, unless somebody else in this
    // process started a program in the same moment; so its end is not waited for.
    Ok(Started { tree, pipes, status: read, program })
}

/// Sorts an error in starting the guard itself.
fn classify_own(error: io::Error) -> ConnectError {
    match Errno::from_io_error(&error) {
        // The arguments and variables are the server's.
        Some(Errno::TOOBIG | Errno::MFILE | Errno::NFILE | Errno::AGAIN | Errno::NOMEM) => {
            classify(error, Path::new("the guard"))
        }
        None if error.kind() == io::ErrorKind::InvalidInput => nul(Some(error)),
        _ => ConnectError::Other(io::Error::new(
            error.kind(),
            format!("its guard could not be started: {error}"),
        )),
    }
}

async fn read_record(status: &pipe::Receiver) -> Option<Record> {
    loop {
        // An error is that of the runtime at its end.
        status.readable().await.ok()?;
        let mut bytes = [0; RECORD];
        match status.try_read(&mut bytes) {
            Ok(RECORD) => return Record::from_bytes(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The guard has ended without a word.
            Ok(_) | Err(_) => return None,
        }
    }
}

/// What a guard said that has ended, perhaps in the same moment as its server.
fn last_record(status: &pipe::Receiver) -> Option<Record> {
    let mut bytes = [0; RECORD];
    // Asked of the system itself: the runtime may not have noticed yet that something was said.
    let read = rustix::io::read(status, &mut bytes);
    matches!(read, Ok(RECORD)).then(|| Record::from_bytes(bytes))?
}

/// A guard, its server, and all that the server started.
///
/// Dropping it ends all of them at once; the guard does so also when this process ends meanwhile.
#[derive(Debug)]
pub(crate) struct Tree {
    tree: u64,
    guard: Child,
    server: u32,
    ending: Option<Ending>,
    is_swept: bool,
}

impl Tree {
    /// Waits until the guard has ended, and with it all that it could reach; cancel safe.
    async fn ended(&mut self) -> Ending {
        if let Some(ending) = &self.ending {
            return ending.clone();
        }
        let ending = ending_of(self.guard.wait().await);
        self.ending = Some(ending.clone());
        ending
    }

    async fn ended_within(&mut self, limit: Duration) -> bool {
        time::timeout(limit, self.ended()).await.is_ok()
    }

    /// Orders the guard, which may have been stopped by somebody.
    fn order(&self, signal: Signal) {
        self.guard.signal(signal);
        self.guard.signal(Signal::CONT);
    }

    /// Ends what a guard that was killed could not end; whether nothing is left.
    ///
    /// A guard that ended by a code has left nothing that can be killed. One that ended by a
    /// signal may have followed its server, or been killed itself: both look the same.
    async fn sweep(&mut self, limit: Duration) -> bool {
        if !self.is_swept {
            let needs_it = !matches!(self.ending, Some(Ending::Exited(_)));
            self.is_swept = !needs_it || orphans::sweep(self.tree, limit).await;
        }
        self.is_swept
    }

    async fn descend(&mut self, grace: Grace) -> (CloseStep, bool) {
        if self.ending.is_none() {
            self.ending = self.guard.try_wait().map(ending_of);
        }
        let step = if self.ending.is_some() {
            CloseStep::Ended
        } else if self.ended_within(grace.eof).await {
            CloseStep::Eof
        } else {
            self.order(Signal::TERM);
            if self.ended_within(grace.term).await {
                CloseStep::Term
            } else {
                self.order(Signal::INT);
                if !self.ended_within(grace.kill / 2).await {
                    // With it dies the server; what else there is comes to us.
                    self.order(Signal::KILL);
                    if !self.ended_within(grace.kill / 2).await {
                        return (CloseStep::Kill, false);
                    }
                }
                CloseStep::Kill
            }
        };
        (step, self.sweep(grace.kill).await)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if self.guard.try_wait().is_none() {
            self.order(Signal::INT);
        } else if !self.is_swept && !matches!(self.ending, Some(Ending::Exited(_))) {
            orphans::sweep_once(self.tree);
        }
    }
}

/// The lifeline of a server under a guard.
#[derive(Debug)]
pub(crate) struct GuardedLife {
    tree: Tree,
    words: Words,
}

impl GuardedLife {
    pub(crate) fn new(tree: Tree, words: Words) -> Self {
        Self { tree, words }
    }
}

#[async_trait]
impl Lifeline for GuardedLife {
    async fn ended(&mut self) -> Ending {
        let ending = self.tree.ended().await;
        self.words.hear_out().await;
        ending
    }

    async fn close(&mut self, grace: Grace) -> Closed {
        let (step, is_gone) = self.tree.descend(grace).await;
        self.words.hear_out().await;
        let ending = self.tree.ending.clone().unwrap_or(Ending::Unknown);
        Closed { ending, step, is_gone }
    }

    fn last_words(&self) -> Vec<Word> {
        self.words.last()
    }

    fn listener(&self) -> Option<LastWords> {
        Some(self.words.listener())
    }

    fn pid(&self) -> Option<u32> {
        Some(self.tree.server)
    }

    fn usage(&self) -> Option<Usage> {
        self.tree.guard.usage()
    }
}
