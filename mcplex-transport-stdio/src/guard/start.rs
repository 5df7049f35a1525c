//! Starts the server from inside the guard.
//!
//! It forks by hand: the guard is small and has one thread, so a fork costs little, and only
//! between fork and exec can the server be told to die with its guard.
#![expect(unsafe_code, reason = "fork and exec have no safe form; each call says why it is sound")]

use super::orders::Orders;
use crate::linux::sys;
use rustix::{
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    process::{
        Pid, Resource, Signal, getpid, getppid, getrlimit, set_parent_process_death_signal,
        setpgid, setrlimit,
    },
};
use std::{ffi::CString, ptr};

/// Starts `command` as the leader of a group of its own.
pub(super) fn start(orders: &Orders, command: &[CString]) -> Result<Pid, Errno> {
    let (errors, report) = pipe_with(PipeFlags::CLOEXEC)?;
    let guard = getpid();
    // SAFETY: there is one thread, so no lock is held by another, and the new process does
    // nothing but the few calls below before it becomes the server or ends.
    match unsafe { libc::fork() } {
        -1 => Err(sys::last_error()),
        0 => {
            let errno = become_server(orders, command, guard);
            // The guard reads it, or is dead.
            let _told = rustix::io::write(&report, &errno.raw_os_error().to_ne_bytes());
            // SAFETY: it ends this process and cannot fail; nothing of the guard's is run.
            unsafe { libc::_exit(127) }
        }
        pid => {
            drop(report);
            let pid = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
            let mut errno = [0; 4];
            // It ends without a byte when the server's program has taken over.
            match rustix::io::retry_on_intr(|| rustix::io::read(&errors, &mut errno)) {
                Ok(4) => Err(Errno::from_raw_os_error(i32::from_ne_bytes(errno))),
                Ok(_) | Err(_) => Ok(pid),
            }
        }
    }
}

/// Between fork and exec; returns only if that failed.
fn become_server(orders: &Orders, command: &[CString], guard: Pid) -> Errno {
    if let Err(errno) = prepare(orders, guard) {
        return errno;
    }
    let Some(program) = command.first() else { return Errno::NOENT };
    // This process is a copy of the guard with memory of its own, so it may allocate.
    let args: Vec<_> =
        command.iter().map(|arg| arg.as_ptr()).chain(std::iter::once(ptr::null())).collect();
    // SAFETY: the pointers are those of texts that end with NUL and live on in `command`, and
    // the last one is null. The environment is the guard's own, which nobody changes.
    unsafe { libc::execv(program.as_ptr(), args.as_ptr()) };
    sys::last_error()
}

fn prepare(orders: &Orders, guard: Pid) -> Result<(), Errno> {
    setpgid(None, None)?;
    // A server that changes its user on exec loses this; then only the guard's sweep is left.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() != Some(guard) {
        // The guard died before it could take this process with it.
        return Err(Errno::SRCH);
    }
    if let Some(limit) = orders.nofile {
        let own = getrlimit(Resource::Nofile);
        let soft = own.maximum.map_or(limit, |hard| limit.min(hard));
        setrlimit(Resource::Nofile, rustix::process::Rlimit { current: Some(soft), ..own })?;
    }
    sys::reset_signals();
    Ok(())
}
