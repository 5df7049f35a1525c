//! The limit on open descriptors: high for us, as it was for our children.

use rustix::{
    io::Errno,
    process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit},
};
use std::{fs, io, sync::OnceLock};

/// The soft limit before it was raised.
static BEFORE: OnceLock<Option<u64>> = OnceLock::new();

/// Raises the soft limit of this process on open descriptors to the hard one.
///
/// An upstream costs four descriptors, so a usual soft limit of 1024 ends at 250 upstreams, and
/// one of 256 at 60. The children get the old limit back, because some programs go wrong with a
/// high one. To be called once, before the first child.
///
/// # Errors
/// When the system refuses; then everything is as before.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return Ok(());
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    // A second call finds both equal, unless somebody has lowered it between.
    let _first: Result<(), _> = BEFORE.set(limit.current);
    Ok(())
}

/// The soft limit a child should have, if it is not the one that it inherits.
pub(crate) fn of_children() -> Option<u64> {
    BEFORE.get().copied().flatten()
}

/// How many descriptors must be free below a lowered limit, for this start and for whatever other
/// threads open in the same moment.
const ROOM: usize = 128;

/// Our limit while it is as low as that of a child that is just being born; dropped, it is high
/// again.
#[derive(Debug)]
pub(crate) struct Lowered(Rlimit);

impl Lowered {
    /// Lowers our limit for a moment, so that a child is born with it and never sees another.
    ///
    /// Nothing that is open is touched by that, but what is opened meanwhile has to fit below it.
    /// Where there is no room for that, nothing is done, and [`lower_limit`] has to follow. It
    /// must be this start's turn, so that only one at a time does this.
    pub(crate) fn for_a_child() -> Option<Self> {
        let before = of_children()?;
        if !has_room(fs::read_dir("/proc/self/fd").ok()?.count(), before) {
            return None;
        }
        let own = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(before), ..own }).ok()?;
        Some(Self(own))
    }
}

impl Drop for Lowered {
    fn drop(&mut self) {
        // A soft limit may always be raised to the hard one.
        let _raised = setrlimit(Resource::Nofile, self.0);
    }
}

fn has_room(open: usize, limit: u64) -> bool {
    usize::try_from(limit).map_or(true, |limit| open.saturating_add(ROOM) <= limit)
}

/// Gives a child that is running already the limit it should have.
///
/// It has run for less than a millisecond, and what it has opened until then stays open; but a
/// program that asks for its limit first of all has seen ours.
pub(crate) fn lower_limit(child: Pid) -> Result<(), Errno> {
    if let Some(before) = of_children() {
        let limit = getrlimit(Resource::Nofile);
        prlimit(Some(child), Resource::Nofile, Rlimit { current: Some(before), ..limit })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_lowered_only_where_a_start_fits_below_it() {
        assert!(has_room(20, 321) && has_room(193, 321) && has_room(900, u64::MAX));
        assert!(!has_room(194, 321) && !has_room(20, 64));
    }
}
