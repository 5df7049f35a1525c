//! What only the C library offers: every unsafe call of this crate but the start of a server.
#![expect(unsafe_code, reason = "these calls have no safe form; each says why it is sound")]

use rustix::{
    fd::{FromRawFd as _, OwnedFd, RawFd},
    io::Errno,
    process::Pid,
};
use std::{io, mem, time::Duration};
use tokio::io::{Interest, unix::AsyncFd};

/// A child that was waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reaped {
    /// As the system encodes it.
    pub(crate) status: i32,
    /// The most memory of one process of the child and all it waited for, in bytes.
    pub(crate) peak_memory: u64,
    /// Processor time of all of them.
    pub(crate) cpu: Duration,
}

/// Waits for one child of ours if it is dead.
pub(crate) fn reap(pid: Pid) -> Result<Option<Reaped>, Errno> {
    let mut status = 0;
    // SAFETY: all of `rusage` is numbers, for which zero is a value.
    let mut used: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: both places live during the call, and nothing else is written to.
    let found = unsafe {
        libc::wait4(pid.as_raw_nonzero().get(), &raw mut status, libc::WNOHANG, &raw mut used)
    };
    match found {
        0 => Ok(None),
        -1 => Err(last_error()),
        _ => Ok(Some(Reaped {
            status,
            peak_memory: u64::try_from(used.ru_maxrss).unwrap_or_default().saturating_mul(1024),
            cpu: duration(used.ru_utime) + duration(used.ru_stime),
        })),
    }
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds)
        + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or_default())
}

/// A dead child of ours that was not waited for, which it still is not; `CHILD` if there are none.
pub(crate) fn dead_child() -> Result<Option<Pid>, Errno> {
    // SAFETY: all of `siginfo_t` is numbers and pointers that are only compared.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the place lives during the call, and nothing else is written to.
    if unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, how) } != 0 {
        return Err(last_error());
    }
    // SAFETY: the call filled it in for a child, or left the zeros.
    Ok(Pid::from_raw(unsafe { info.si_pid() }))
}

/// Blocks these signals for this thread and makes a descriptor that they are read from.
pub(crate) fn signals_as_file(signals: &[i32]) -> Result<OwnedFd, Errno> {
    // SAFETY: a signal set is plain numbers, and is filled in before it is used.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is a place of our own; the numbers are those of signals.
    let fd = unsafe {
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    // SAFETY: the call has just made it, so nobody else owns it.
    if fd < 0 { Err(last_error()) } else { Ok(unsafe { OwnedFd::from_raw_fd(fd) }) }
}

/// The next signal from such a descriptor.
pub(crate) fn next_signal(file: &OwnedFd) -> Option<i32> {
    let mut info = [0; size_of::<libc::signalfd_siginfo>()];
    rustix::io::read(file, &mut info).ok()?;
    // The number of the signal is the first field.
    let number = info.first_chunk::<4>()?;
    i32::try_from(u32::from_ne_bytes(*number)).ok()
}

/// Lets the runtime watch a descriptor for being readable; to be called inside of one.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor stays open and the same until the result is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

/// Takes over a descriptor that whoever started this process has named to it.
pub(crate) fn own(fd: RawFd) -> Option<OwnedFd> {
    if fd <= 2 {
        return None;
    }
    // SAFETY: the number was handed to this process for this purpose alone, and is asked for
    // once, before anything else was opened. A wrong one is an error of the first call with it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes every descriptor from `first` to `last`, whoever opened it.
///
/// Only legal while nobody owns one of them, as right after the start of a process.
pub(crate) fn close_range(first: RawFd, last: RawFd) -> Result<(), Errno> {
    let (Ok(first), Ok(last)) = (u32::try_from(first), u32::try_from(last)) else {
        return Ok(());
    };
    // SAFETY: the caller says that nobody owns them.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if done == 0 { Ok(()) } else { Err(last_error()) }
}

/// Closes one descriptor, under the same condition.
pub(crate) fn close(fd: RawFd) {
    // SAFETY: the caller says that nobody owns it.
    let _error_means_closed = unsafe { libc::close(fd) };
}

/// Gives a process that is about to become another program the signals that one expects.
pub(crate) fn reset_signals() {
    // SAFETY: `set` is filled in before it is used, and no handler of anybody is touched: the
    // Rust runtime ignores SIGPIPE, and this undoes it.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Ends this process by a signal, without a core dump, as a child of ours was.
pub(crate) fn die_by(signal: i32) {
    // SAFETY: these change nothing but this process, which ends here.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        libc::signal(signal, libc::SIG_DFL);
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
        libc::kill(libc::getpid(), signal);
    }
}

pub(crate) fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}
