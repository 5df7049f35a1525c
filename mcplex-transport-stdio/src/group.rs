//! The process group of a child: everything it started that did not leave the group.

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpgid},
};
use std::fs;

/// A process group that we created; its number is never used again once it was seen empty.
#[derive(Debug)]
pub(crate) struct Group {
    /// Gone once the group was seen empty: the system may give the number to somebody else.
    id: Option<Pid>,
}

impl Group {
    /// The group whose leader is our child `pid`.
    pub(crate) fn led_by(pid: u32) -> Self {
        Self { id: i32::try_from(pid).ok().and_then(Pid::from_raw) }
    }

    /// Whether nothing of the group is left.
    ///
    /// A leader that ended but was not waited for counts as left.
    pub(crate) fn is_gone(&mut self) -> bool {
        if let Some(id) = self.id
            && matches!(test_kill_process_group(id), Err(Errno::SRCH))
        {
            self.id = None;
        }
        self.id.is_none()
    }

    /// Whether nothing of the group is left but dead processes that their new parent has not
    /// waited for.
    ///
    /// Some programs that run as process 1 of a container wait late or never. This reads all of
    /// `/proc`, so it is asked seldom; elsewhere than on Linux the answer is that of
    /// [`Self::is_gone`].
    pub(crate) fn is_dead(&mut self) -> bool {
        if !self.is_gone()
            && let Some(id) = self.id
            && cfg!(target_os = "linux")
            && !has_living_member(id)
        {
            self.id = None;
        }
        self.id.is_none()
    }

    /// Sends a signal to all of the group; nothing happens once it was seen empty.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if let Some(id) = self.id
            && matches!(kill_process_group(id, signal), Err(Errno::SRCH))
        {
            self.id = None;
        }
    }

    /// Waits for members that became our own children when their parents died.
    ///
    /// That happens where mcplex is process 1 of a container; unwaited they would count as left
    /// for ever. Only legal after the leader was waited for, or its status would be lost.
    pub(crate) fn reap_adopted(&self) {
        /// More than a group of a server ever has; the next round takes the rest.
        const AT_ONCE: usize = 64;
        let Some(id) = self.id else { return };
        for _ in 0..AT_ONCE {
            if !matches!(waitpgid(id, WaitOptions::NOHANG), Ok(Some(_))) {
                return;
            }
        }
    }
}

/// Looks for a process of the group that is no zombie; in doubt there is one.
///
/// The system lists processes by number, and a new one has the highest: one that is started while
/// this looks is seen, except where the numbers begin anew.
fn has_living_member(group: Pid) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    let group = group.to_string();
    processes.flatten().any(|process| {
        let is_process = process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
        is_process
            && fs::read_to_string(process.path().join("stat")).is_ok_and(|stat| {
                // Behind the name, which may hold anything: state, parent, group.
                let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
                let state = fields.next();
                fields.nth(1) == Some(&group) && !matches!(state, Some("Z" | "X"))
            })
    })
}
