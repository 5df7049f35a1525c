//! The guard: a small process between us and a server's processes, which holds them together.
//!
//! It is a second start of the program that uses this crate, so there is nothing to install: the
//! first statement of `main` asks [`run_if_guard`] whether this start is such a one. The guard
//! starts the server, adopts what the server's processes leave behind, and ends all of it when
//! the server ends, when our end of the server's stdin closes, or when we die, however that is.
//! Linux only; elsewhere nobody is a guard and [`Guard::of_this_program`] gives none.

use mcplex_proto::transport::Grace;
use std::{path::PathBuf, process::ExitCode, time::Duration};

#[cfg(target_os = "linux")]
mod family;

#[cfg(target_os = "linux")]
mod orders;

#[cfg(target_os = "linux")]
mod run;

#[cfg(target_os = "linux")]
mod start;

#[cfg(target_os = "linux")]
pub(crate) use family::{number, own_children, pids_in_proc, stat_of};
#[cfg(target_os = "linux")]
pub(crate) use orders::{Orders, RECORD, Record, USED, Used};
#[cfg(target_os = "linux")]
pub(crate) use run::NAME;

/// How a server is put under a guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// What is started as the guard.
    pub(crate) program: PathBuf,
    /// How long the server may take after the end of its input, when we cannot tell any longer.
    pub(crate) eof: Duration,
    /// How long it may take after SIGTERM.
    pub(crate) term: Duration,
}

impl Guard {
    /// A guard that is this program, where the platform has guards.
    ///
    /// The steps of `grace` are what it keeps to when this process has died; while it lives, the
    /// `close` of a lifeline says how long each step may take. The `main` of this program must
    /// begin with [`run_if_guard`].
    #[must_use]
    pub fn of_this_program(grace: Grace) -> Option<Self> {
        // The running program, also when its file was replaced by another version.
        Self::of_program("/proc/self/exe", grace)
    }

    /// A guard that is another program, whose `main` begins with [`run_if_guard`].
    #[must_use]
    pub fn of_program(program: impl Into<PathBuf>, grace: Grace) -> Option<Self> {
        let guard = Self { program: program.into(), eof: grace.eof, term: grace.term };
        cfg!(target_os = "linux").then_some(guard)
    }
}

/// Is the guard of a server, if this process was started as one.
///
/// To be called before anything else: before threads, a runtime, or the reading of arguments. If
/// it gives a code, the server has ended and `main` should return it at once. A server that was
/// ended by a signal ends the guard by the same one, and this never returns.
#[must_use]
pub fn run_if_guard() -> Option<ExitCode> {
    #[cfg(target_os = "linux")]
    return run::run_if_guard();
    #[cfg(not(target_os = "linux"))]
    None
}
