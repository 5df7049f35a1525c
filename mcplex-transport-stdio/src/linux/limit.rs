//! The limit on open descriptors: high for us, as it was for our children.

use rustix::{
    io::Errno,
    process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit},
};
use std::{io, sync::OnceLock};

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

/// Gives a child that is running already the limit it should have.
///
/// It has run for less than a millisecond, and what it has opened until then stays open.
pub(crate) fn lower_limit(child: Pid) -> Result<(), Errno> {
    if let Some(before) = of_children() {
        let limit = getrlimit(Resource::Nofile);
        prlimit(Some(child), Resource::Nofile, Rlimit { current: Some(before), ..limit })?;
    }
    Ok(())
}
