//! Which era an upstream belongs to, on disk, so that a second run of mcplex does not ask again.
//!
//! A server that needed a session is asked anew after [`LEGACY_HOLDS`]: one that was upgraded
//! meanwhile still accepts `initialize`, so nothing else would ever show that it speaks the newer
//! revision. That it was a modern one holds until it does not answer as one: then the handshake
//! finds out in the same life.

use crate::remembered;
use mcplex_config::Server;
use mcplex_proto::version::Era;
use mcplex_router::Memory as _;
use mcplex_supervisor::EraMemory;
use serde::{Deserialize, Serialize};
use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long it holds that a server needs a session. Asking costs a round trip, and of some servers a
/// start, so once a week is nothing; and nobody waits longer than that for what an upgrade brings.
const LEGACY_HOLDS: Duration = Duration::from_secs(7 * 24 * 3600);

/// The file of one upstream.
#[derive(Debug)]
pub(crate) struct File {
    file: remembered::File,
    /// What it holds or will hold: it is read once.
    verdict: Mutex<Verdict>,
}

/// What is known and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Verdict {
    /// `legacy` or `modern`; nothing once it turned out to be wrong.
    era: Option<String>,
    /// When that was found out, in seconds of Unix time.
    found: u64,
}

impl File {
    /// The file of a server in the folder of a configuration.
    pub(crate) fn of(state: &Path, server: &Server) -> Self {
        let file = remembered::File::inside(state, "era", server);
        let known = file.recall().and_then(|document| serde_json::from_str(&document).ok());
        Self { file, verdict: Mutex::new(known.unwrap_or_default()) }
    }

    fn keep(&self, era: Option<Era>) {
        let found = unix_secs(wall_clock());
        let verdict = Verdict { era: era.map(|era| era.to_string()), found };
        self.file.remember(serde_json::to_string(&verdict).expect("plain data is JSON"));
        *self.lock() = verdict;
    }

    fn lock(&self) -> MutexGuard<'_, Verdict> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EraMemory for File {
    fn recall(&self) -> Option<Era> {
        self.lock().holds(unix_secs(wall_clock()))
    }

    fn remember(&self, era: Era) {
        self.keep(Some(era));
    }

    fn forget(&self) {
        self.keep(None);
    }
}

impl Verdict {
    /// The era, if it can be relied on now.
    fn holds(&self, now: u64) -> Option<Era> {
        match self.era.as_deref()? {
            "modern" => Some(Era::Modern),
            // A clock that was set back makes it no younger than new.
            "legacy" => (now.abs_diff(self.found) < LEGACY_HOLDS.as_secs()).then_some(Era::Legacy),
            _ => None,
        }
    }
}

/// What people call the time: it outlives this process, so no other clock will do.
#[expect(clippy::disallowed_methods, reason = "what is on disk is as old as the wall clock says")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

fn unix_secs(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_holds_for_a_week_and_modern_until_it_is_wrong() {
        const WEEK: u64 = 7 * 24 * 3600;
        let check = |era: Option<&str>, found, now, expect| {
            let verdict = Verdict { era: era.map(str::to_owned), found };
            assert_eq!(verdict.holds(now), expect, "{verdict:?} at {now}");
        };
        check(Some("legacy"), 1000, 1000 + WEEK - 1, Some(Era::Legacy));
        check(Some("legacy"), 1000, 1000 + WEEK, None);
        check(Some("legacy"), 1000 + WEEK, 1000, None);
        check(Some("modern"), 0, 100 * WEEK, Some(Era::Modern));
        check(None, 1000, 1000, None);
        check(Some("ancient"), 1000, 1000, None);
    }
}
