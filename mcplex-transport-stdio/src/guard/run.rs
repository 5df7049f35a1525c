//! The life of a guard.
//!
//! | state | begins with | leaves by |
//! | --- | --- | --- |
//! | watching | the start of the server | stdin hung up or the parent died; `TERM`; `INT` |
//! | eof | the end of the server's input | its grace; `TERM`; `INT` |
//! | term | SIGTERM and SIGCONT to all | its grace; `INT` |
//! | sweep | SIGKILL to all; also the end of the server in any state | no child being left; a bound |
//!
//! Then it ends as the server did.

use super::{
    family::{ask_descendants, number, own_children},
    orders::{FIRST, Orders, Record, Used},
    start::start,
};
use crate::linux::sys::{self, Reaped};
use rustix::{
    event::{Timespec, epoll},
    fd::{AsFd as _, OwnedFd},
    io::{Errno, FdFlags, fcntl_setfd},
    process::{
        Pid, PidfdFlags, Signal, getpid, getppid, kill_process, kill_process_group, pidfd_open,
        set_child_subreaper,
    },
};
use std::{
    ffi::{CStr, CString, OsString},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

/// What the guard is called in lists of processes.
pub(crate) const NAME: &CStr = c"mcplex-guard";

/// How much longer than ordered each step takes while the parent lives: it orders the next step
/// itself, and better knows when.
const SLACK: Duration = Duration::from_millis(300);

/// How long the sweep may take. Processes in uninterruptible sleep outlast it; they have their
/// SIGKILL, and whoever adopts them from the guard waits for them.
const SWEEP: Duration = Duration::from_secs(2);

/// The pauses between two rounds of the sweep, when one has found nothing dead.
const PAUSE: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(5));

pub(super) fn run_if_guard() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    (args.next()? == FIRST).then(|| run(args))
}

fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let Some((orders, command)) = Orders::read(args) else { return misuse() };
    let (status, usage) = inherit(&orders);
    let started = Watch::begin(&orders, &command);
    let record = match &started {
        Ok(watch) => Record::Started(number(watch.server)),
        Err(errno) => Record::Refused(*errno),
    };
    if let Some(status) = status {
        // Whoever wanted to know may be dead, which is seen in a moment.
        let _told = rustix::io::write(&status, &record.to_bytes());
    }
    let Ok(mut watch) = started else { return ExitCode::FAILURE };
    leave_pipes();
    let ended = watch.until_nothing_is_left(&orders);
    if let Some(usage) = usage {
        // The same; and where the pipe is full, nobody wants to know.
        let _told = rustix::io::write(&usage, &watch.used.to_bytes());
    }
    end_like(ended)
}

/// A person has typed it.
#[expect(clippy::print_stderr, reason = "there is no log in a guard")]
fn misuse() -> ExitCode {
    eprintln!("error: {FIRST} is how mcplex starts the guards of its servers, and for nobody else");
    ExitCode::from(2)
}

/// Takes over what the parent has left open on purpose, and closes all else.
fn inherit(orders: &Orders) -> (Option<OwnedFd>, Option<OwnedFd>) {
    let mut kept = [orders.status, orders.usage];
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept.into_iter().filter(|fd| *fd > 2) {
        close_all(first, fd - 1);
        first = fd + 1;
    }
    close_all(first, i32::MAX);
    let own = |fd| {
        let fd = sys::own(fd)?;
        // Else the server would get it too.
        fcntl_setfd(&fd, FdFlags::CLOEXEC).ok()?;
        Some(fd)
    };
    (own(orders.status), own(orders.usage))
}

fn close_all(first: i32, last: i32) {
    if first > last || sys::close_range(first, last).is_ok() {
        return;
    }
    // A kernel before 5.9.
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<i32> =
        open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| (first..=last).contains(fd)) {
        sys::close(fd);
    }
}

/// Lets go of the server's pipes and directory, which end with the server alone.
fn leave_pipes() {
    let null = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    );
    match null {
        Ok(null) => {
            // These cannot fail: both descriptors are there.
            let _stdin = rustix::stdio::dup2_stdin(&null);
            let _stdout = rustix::stdio::dup2_stdout(&null);
            let _stderr = rustix::stdio::dup2_stderr(&null);
        }
        Err(_) => (0..=2).for_each(sys::close),
    }
    // Where it fails, a directory is kept busy.
    let _left = std::env::set_current_dir("/");
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Our parent has closed the server's stdin.
    Stdin,
    /// Our parent has died.
    Parent,
    /// A signal came, among them that of a child's end.
    Signals,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug)]
enum State {
    Watching,
    Eof(Instant),
    Term(Instant),
    Sweep,
}

struct Watch {
    server: Pid,
    events: OwnedFd,
    signals: OwnedFd,
    /// Watched for its end.
    _parent: Option<OwnedFd>,
    is_orphan: bool,
    ended: Option<Reaped>,
    used: Used,
}

impl Watch {
    /// Starts the server, and watches from before it runs.
    fn begin(orders: &Orders, command: &[CString]) -> Result<Self, Errno> {
        // A name is for people, and without a new parent for orphans less is swept.
        let _named = rustix::thread::set_name(NAME);
        let _adopts = set_child_subreaper(Some(getpid()));
        let signals = sys::signals_as_file(&[
            libc::SIGCHLD,
            libc::SIGTERM,
            libc::SIGINT,
            libc::SIGHUP,
            libc::SIGQUIT,
        ])?;
        let events = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let add = |fd, source: Source, flags| {
            epoll::add(&events, fd, epoll::EventData::new_u64(source as u64), flags)
        };
        add(signals.as_fd(), Source::Signals, epoll::EventFlags::IN)?;
        // A hang-up is always told. The server holds the same open pipe, so it is watched for as
        // long as the server has it open although we let go of it at once: like this the writer
        // still learns that a server has closed its stdin.
        let stdin = rustix::stdio::stdin();
        // Refused for what cannot hang up, such as a file.
        let _watched = add(stdin, Source::Stdin, epoll::EventFlags::ONESHOT);
        let pid = Pid::from_raw(orders.parent);
        // Without one, of an old kernel, the hang-up is all there is to see.
        let parent = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        if let Some(parent) = &parent {
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
            add(parent.as_fd(), Source::Parent, flags)?;
        }
        let is_orphan = getppid() != pid;
        let server = start(orders, command)?;
        let used = Used { guard: number(getpid()), ..Used::default() };
        Ok(Self { server, events, signals, _parent: parent, is_orphan, ended: None, used })
    }

    /// Watches, and takes every step of the end.
    fn until_nothing_is_left(&mut self, orders: &Orders) -> Option<Reaped> {
        let mut state =
            if self.is_orphan { State::Eof(after(orders.eof)) } else { State::Watching };
        loop {
            state = match state {
                State::Sweep => return self.sweep(),
                State::Watching => self.next(None, state, orders),
                State::Eof(until) => self.next(Some(until), state, orders),
                State::Term(until) => self.next(Some(until), state, orders),
            };
        }
    }

    /// Waits for what happens next.
    fn next(&mut self, until: Option<Instant>, state: State, orders: &Orders) -> State {
        let mut found = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 4];
        let left = until.map(|until| until.saturating_duration_since(now()));
        let limit = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        // A signal that interrupts it is one we have not blocked; the next round waits on.
        let count = epoll::wait(&self.events, &mut found, limit.as_ref()).unwrap_or(0);
        let mut state = state;
        for event in &found[..count] {
            let source = event.data.u64();
            state = if source == Source::Signals as u64 {
                self.handle_signals(state, orders)
            } else {
                self.is_orphan |= source == Source::Parent as u64;
                match state {
                    State::Watching => State::Eof(after(self.patience(orders.eof))),
                    State::Eof(_) | State::Term(_) | State::Sweep => state,
                }
            };
        }
        match state {
            State::Eof(until) if until <= now() => self.ask(orders),
            State::Term(until) if until <= now() => State::Sweep,
            State::Watching | State::Eof(_) | State::Term(_) | State::Sweep => state,
        }
    }

    fn handle_signals(&mut self, mut state: State, orders: &Orders) -> State {
        while let Some(signal) = sys::next_signal(&self.signals) {
            state = match (signal, state) {
                (libc::SIGCHLD, _) if self.has_ended() => State::Sweep,
                (libc::SIGINT | libc::SIGQUIT, _) => State::Sweep,
                (libc::SIGTERM | libc::SIGHUP, State::Watching | State::Eof(_)) => self.ask(orders),
                _ => state,
            };
            if matches!(state, State::Sweep) {
                break;
            }
        }
        state
    }

    /// Waits for children that have died; whether the server is one of them, which is left dead so
    /// that its number and its group's stay its own.
    fn has_ended(&mut self) -> bool {
        while let Ok(Some(dead)) = sys::dead_child() {
            if dead == self.server {
                return true;
            }
            // It was adopted, so nobody wants to know how it ended.
            if let Ok(Some(reaped)) = sys::reap(dead) {
                self.used.add(&reaped);
            }
        }
        false
    }

    /// Asks all of the tree to end.
    fn ask(&self, orders: &Orders) -> State {
        for signal in [Signal::TERM, Signal::CONT] {
            // The server was not waited for, so the group is its own.
            let _is_there = kill_process_group(self.server, signal);
        }
        ask_descendants();
        State::Term(after(self.patience(orders.term)))
    }

    fn patience(&self, step: Duration) -> Duration {
        if self.is_orphan { step } else { step + SLACK }
    }

    /// Kills until no child is left.
    ///
    /// Whoever loses its parent becomes our child, so it is enough to kill children over and over:
    /// a process that forks and ends faster than it can be killed leaves a child each time, which
    /// is found in the next round.
    fn sweep(&mut self) -> Option<Reaped> {
        let until = after(SWEEP);
        // Still unwaited, so the group is the server's; one blow for all that stayed in it.
        let _is_there = kill_process_group(self.server, Signal::KILL);
        let mut pause = PAUSE.0;
        while now() < until {
            for child in own_children() {
                // Nobody but us waits for it, so its number is its own.
                let _is_there = kill_process(child, Signal::KILL);
            }
            match self.reap_all() {
                Err(_) => return self.ended,
                Ok(0) => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(PAUSE.1);
                }
                Ok(_) => pause = PAUSE.0,
            }
        }
        self.ended
    }

    /// Waits for all that have died; an error when there is no child at all.
    fn reap_all(&mut self) -> Result<usize, Errno> {
        let mut count = 0;
        while let Some(dead) = sys::dead_child()? {
            if let Some(reaped) = sys::reap(dead)? {
                self.used.add(&reaped);
                if dead == self.server {
                    self.ended = Some(reaped);
                }
            }
            count += 1;
        }
        Ok(count)
    }
}

/// Ends as the server did.
fn end_like(ended: Option<Reaped>) -> ExitCode {
    let Some(Reaped { status, .. }) = ended else {
        // It could not be killed.
        sys::die_by(libc::SIGKILL);
        return ExitCode::FAILURE;
    };
    if libc::WIFEXITED(status) {
        return ExitCode::from(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX));
    }
    sys::die_by(libc::WTERMSIG(status));
    // Not reached unless the signal is one that ends nobody.
    ExitCode::FAILURE
}

fn after(time: Duration) -> Instant {
    now() + time
}

#[expect(clippy::disallowed_methods, reason = "the guard is its own driver")]
fn now() -> Instant {
    Instant::now()
}
