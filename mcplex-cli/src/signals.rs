//! The first SIGTERM or SIGINT drains, a second one ends at once; SIGHUP reloads, SIGUSR1 resets.
//!
//! A SIGHUP is also how a shell says that its terminal closed, and then drains like a SIGTERM.

use crate::exit::Code;

#[cfg(unix)]
mod unix;

#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::Signals;
#[cfg(windows)]
pub(crate) use windows::Signals;

/// What a signal asks for.
#[cfg_attr(windows, expect(dead_code, reason = "nothing asks for all of it there"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Stop; the code is for whoever does not want to wait.
    Stop(&'static str, Code),
    /// Start every tripped upstream again.
    Reset,
    /// Read the configuration again.
    Reload,
}
