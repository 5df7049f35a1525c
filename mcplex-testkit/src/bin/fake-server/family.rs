//! The processes it starts, and what each of them is.

use crate::{append, behavior::Behavior, die, linger};
use std::{
    io,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// How long a hop of the runner lives: short enough that its parent is gone whenever one looks.
const HOP: Duration = Duration::from_millis(5);

/// Whether this process is one of those that a server started.
pub(crate) fn is_member(behavior: &Behavior) -> bool {
    behavior.linger || behavior.leave_behind || behavior.new_session
}

/// Is such a process.
pub(crate) fn run(behavior: &Behavior) -> io::Result<()> {
    if behavior.new_session {
        rustix::process::setsid()?;
    }
    if behavior.leave_behind {
        apart()?.arg("--linger").spawn()?;
        return Ok(());
    }
    if let Some(left) = behavior.runner {
        return hop(left, behavior.runner_log.as_deref());
    }
    linger()
}

/// One hop of the runner.
fn hop(left: u64, log: Option<&str>) -> io::Result<()> {
    if let Some(log) = log {
        append(log, "hop\n")?;
    }
    thread::sleep(HOP);
    if left > 0 {
        runner(left - 1, log)?.spawn()?;
    }
    die(0)
}

fn runner(left: u64, log: Option<&str>) -> io::Result<Command> {
    let mut command = apart()?;
    command.args(["--new-session", "--runner", &left.to_string()]);
    if let Some(log) = log {
        command.args(["--runner-log", log]);
    }
    Ok(command)
}

/// Starts what the flags want.
pub(crate) fn begin(behavior: &Behavior) -> io::Result<()> {
    if behavior.grandchild {
        let mut command = itself()?;
        command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
        command.arg("--linger").spawn()?;
    }
    if behavior.setsid_child {
        apart()?.args(["--linger", "--new-session"]).spawn()?;
    }
    if behavior.daemon {
        apart()?.args(["--new-session", "--leave-behind"]).spawn()?.wait()?;
    }
    if let Some(hops) = behavior.runner {
        runner(hops, behavior.runner_log.as_deref())?.spawn()?;
    }
    for _ in 0..behavior.bomb.unwrap_or_default() {
        // A limit that ends a bomb early is what some tests are about.
        if apart()?.arg("--linger").spawn().is_err() {
            break;
        }
    }
    Ok(())
}

/// This program again, without the pipes.
fn apart() -> io::Result<Command> {
    let mut command = itself()?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

fn itself() -> io::Result<Command> {
    #[expect(clippy::disallowed_methods, reason = "mcplex is not what starts it")]
    let command = Command::new(std::env::current_exe()?);
    Ok(command)
}
