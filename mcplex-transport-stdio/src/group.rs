//! The process group of a child: everything it started that did not leave the group.

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpgid},
};

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
