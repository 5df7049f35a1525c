//! One child process: its end, and what it used.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(all(unix, not(target_os = "linux")))]
mod portable;

#[cfg(target_os = "linux")]
pub(crate) use linux::Child;
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) use portable::Child;

#[cfg(target_os = "linux")]
use std::{io, process};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

/// Our ends of a child's three pipes.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

#[cfg(target_os = "linux")]
impl Pipes {
    /// Takes them from a child that was just started; to be called inside a runtime.
    fn of(child: &mut process::Child) -> io::Result<Self> {
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(io::Error::other("a pipe of the child is missing"));
        };
        Ok(Self {
            stdin: ChildStdin::from_std(stdin)?,
            stdout: ChildStdout::from_std(stdout)?,
            stderr: ChildStderr::from_std(stderr)?,
        })
    }
}
